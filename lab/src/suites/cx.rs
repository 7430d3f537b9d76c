//! Cases that start real programs: where each works, how long it may take, and what is checked
//! after it.
//!
//! After every case the tree that it left is read through the mount and in the directory behind
//! it, and both have to be the same entry by entry.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use super::tree::Tree;
use super::{Place, fresh_directory};
use crate::outcome::{Case, Outcome, SuiteResult};
use crate::program::{self, Late, Settings};

/// Limit of one program. The slowest copies 2 GiB.
const PROGRAM_LIMIT: Duration = Duration::from_secs(90);

/// Limit of one case with all that is not a program of its own: a mount that hangs would hang the
/// lab.
const CASE_LIMIT: Duration = Duration::from_secs(240);

/// What a case saw that is the same on every file system.
pub(super) type Seen = BTreeMap<String, Value>;

/// Where a case works and with what.
#[derive(Clone)]
pub(super) struct Cx {
    suite: &'static str,
    /// Directory of the suite on the mount.
    root: PathBuf,
    /// Directory of the case: `root` or one in it.
    pub(super) dir: PathBuf,
    /// The same without the mount.
    pub(super) backing: PathBuf,
    /// Off the mount: the material.
    pub(super) scratch: PathBuf,
    pub(super) settings: Settings,
    /// Smaller amounts.
    pub(super) quick: bool,
    /// Factor for all time limits.
    pub(super) patience: u32,
    start: Instant,
}

impl Cx {
    /// For `suite`, in fresh directories of its name.
    pub(super) fn new(place: &Place<'_>, suite: &'static str) -> Result<Self> {
        let root = place.root.join(suite);
        fresh_directory(&root)?;
        let scratch = place.scratch.join(suite);
        fresh_directory(&scratch)?;
        let settings = Settings::in_directory(&scratch)?;
        Ok(Cx {
            suite,
            dir: root.clone(),
            root,
            backing: place.backing.join(suite),
            scratch,
            settings,
            quick: place.quick,
            patience: place.patience,
            start: Instant::now(),
        })
    }

    /// Runs a case in the directory `dir` of the suite.
    ///
    /// On a thread of its own: a system call on a mount that does not answer cannot be interrupted.
    ///
    /// # Errors
    ///
    /// When it neither ends nor fails.
    pub(super) fn case(
        &self,
        name: &str,
        dir: &str,
        work: impl FnOnce(&Cx) -> Result<Seen> + Send + 'static,
    ) -> Result<Case> {
        let (sender, receiver) = mpsc::channel();
        let cx = self.at(dir);
        thread::spawn(move || sender.send(judge(&cx, work)));
        let limit = CASE_LIMIT * self.patience;
        receiver.recv_timeout(limit).map_err(|_| {
            anyhow!(
                "{}: {name} neither ended nor failed within {limit:?}",
                self.suite
            )
        })
    }

    /// Takes the directories of the suite away.
    pub(super) fn finish(self, cases: BTreeMap<String, Case>) -> Result<SuiteResult> {
        fs::remove_dir_all(&self.root)
            .with_context(|| format!("cannot clean up {}", self.root.display()))?;
        fs::remove_dir_all(&self.scratch)?;
        Ok(SuiteResult {
            cases,
            elapsed: self.start.elapsed(),
        })
    }

    fn at(&self, name: &str) -> Self {
        Cx {
            dir: self.root.join(name),
            backing: self.backing.join(name),
            ..self.clone()
        }
    }

    /// Makes the directory of the case.
    pub(super) fn fresh(&self) -> Result<()> {
        fresh_directory(&self.dir)
    }

    /// Fails when the mount shows anything else than the directory behind it.
    fn same_behind_the_mount(&self) -> Result<()> {
        if self.dir == self.backing {
            return Ok(());
        }
        rustix::fs::syncfs(File::open(&self.dir)?)?;
        let here = Tree::read(&self.dir)?;
        let behind = Tree::read(&self.backing)?;
        match here.difference(&behind, ["on the mount", "behind it"]) {
            None => Ok(()),
            Some(difference) => {
                bail!("the mount and the directory behind it differ:\n{difference}")
            }
        }
    }

    /// A program that works in the directory of the case.
    pub(super) fn command(&self, name: impl AsRef<OsStr>) -> Command {
        self.settings.command(name, &self.dir)
    }

    /// How long a program may take.
    pub(super) fn limit(&self) -> Duration {
        PROGRAM_LIMIT * self.patience
    }

    /// Runs it and returns what it printed.
    pub(super) fn run(&self, command: &mut Command) -> Result<String> {
        program::run(command, self.limit())
    }

    /// Runs a program that must print nothing.
    pub(super) fn run_silent(&self, command: &mut Command) -> Result<()> {
        program::run_silent(command, self.limit())
    }
}

fn judge(cx: &Cx, work: impl FnOnce(&Cx) -> Result<Seen>) -> Case {
    match work(cx).and_then(|seen| cx.same_behind_the_mount().map(|()| seen)) {
        Ok(observations) => Case {
            outcome: Outcome::Passed,
            observations,
        },
        Err(error) if error.is::<Late>() => Outcome::TimedOut.into(),
        Err(error) => Outcome::Failed(format!("{error:#}")).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn cx(dir: &Path) -> Cx {
        let backing = dir.join("backing");
        let place = Place {
            root: &dir.join("root"),
            backing: &backing,
            secondary: dir,
            scratch: &dir.join("scratch"),
            attr_ttl: Duration::ZERO,
            mounted: None,
            quick: true,
            patience: 1,
            cuts: 1,
        };
        fs::create_dir_all(backing.join("programs")).unwrap();
        Cx::new(&place, "programs").unwrap()
    }

    #[test]
    fn a_tree_that_differs_behind_the_mount_fails_the_case() {
        let dir = tempfile::tempdir().unwrap();
        let cx = cx(dir.path());
        fs::write(cx.dir.join("file"), "mount").unwrap();
        fs::write(cx.backing.join("file"), "other").unwrap();
        let case = cx.case("nothing", "", |_| Ok(Seen::new())).unwrap();
        let Outcome::Failed(detail) = case.outcome else {
            panic!("passed");
        };
        assert!(detail.contains("\"file\": on the mount mode"), "{detail}");
        fs::write(cx.backing.join("file"), "mount").unwrap();
        assert_eq!(
            cx.same_behind_the_mount().map_err(|e| e.to_string()),
            Ok(())
        );
    }

    #[test]
    fn a_program_that_does_not_end_is_late_and_not_failed() {
        let dir = tempfile::tempdir().unwrap();
        let cx = cx(dir.path());
        let late = |_: &Cx| Err(anyhow!(Late).context("sleep"));
        assert_eq!(judge(&cx, late).outcome, Outcome::TimedOut);
        let failed = |_: &Cx| bail!("no");
        assert_eq!(judge(&cx, failed).outcome, Outcome::Failed("no".to_owned()));
    }
}
