//! Real programs at work: git, cargo, ripgrep, tar, sqlite, rsync, cp.
//!
//! After every case the tree that it left is read through the mount and in the directory behind
//! it, and both have to be the same entry by entry.

mod archive;
mod build;
mod database;
mod files;
mod git;
mod search;
mod tree;

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

use self::tree::Tree;
use super::{Place, fresh_directory};
use crate::outcome::{Case, Outcome, SuiteResult};
use crate::program::{self, Late, Settings};

/// Limit of one program. The slowest copies 2 GiB.
const PROGRAM_LIMIT: Duration = Duration::from_secs(90);

/// Limit of one case with all that is not a program of its own: a mount that hangs would hang the
/// lab.
const CASE_LIMIT: Duration = Duration::from_secs(240);

/// What a case saw that is the same on every file system.
type Seen = BTreeMap<String, Value>;

/// A case: its name, the directory it works in, and what it does.
struct Program {
    name: &'static str,
    dir: &'static str,
    run: fn(&Cx) -> Result<Seen>,
}

const PROGRAMS: &[Program] = &[
    Program {
        name: "git::clone",
        dir: "git",
        run: git::clone,
    },
    Program {
        name: "git::status",
        dir: "git",
        run: git::status,
    },
    Program {
        name: "git::clone_with_hard_links",
        dir: "git",
        run: git::clone_with_hard_links,
    },
    Program {
        name: "git::gc_and_fsck",
        dir: "git",
        run: git::gc_and_fsck,
    },
    Program {
        name: "tar::extract",
        dir: "tar",
        run: archive::extract,
    },
    Program {
        name: "tar::archive_again",
        dir: "tar",
        run: archive::archive_again,
    },
    Program {
        name: "rg::counts",
        dir: "tar",
        run: search::counts,
    },
    Program {
        name: "cp::copy_and_diff",
        dir: "cp",
        run: files::copy_and_diff,
    },
    Program {
        name: "rsync::archive_twice",
        dir: "rsync",
        run: archive::rsync_twice,
    },
    Program {
        name: "cargo::build_and_run",
        dir: "cargo",
        run: build::build_and_run,
    },
    Program {
        name: "sqlite::wal",
        dir: "sqlite",
        run: database::wal,
    },
    Program {
        name: "sqlite::wal_two_processes",
        dir: "sqlite",
        run: database::wal_two_processes,
    },
    Program {
        name: "sqlite::rollback_journal",
        dir: "sqlite",
        run: database::rollback_journal,
    },
    Program {
        name: "cp::large_file",
        dir: "large",
        run: files::large_file,
    },
    Program {
        name: "rm::everything",
        dir: "",
        run: files::remove_everything,
    },
];

/// Runs all cases, in order: some use what an earlier one left.
///
/// # Errors
///
/// When a case hangs, or the material cannot be made.
pub fn run(place: &Place<'_>) -> Result<SuiteResult> {
    let start = Instant::now();
    let cx = Cx::new(place)?;
    let mut cases = BTreeMap::new();
    for program in PROGRAMS {
        cases.insert(program.name.to_owned(), with_deadline(&cx, program)?);
    }
    fs::remove_dir_all(&cx.root)
        .with_context(|| format!("cannot clean up {}", cx.root.display()))?;
    fs::remove_dir_all(&cx.scratch)?;
    Ok(SuiteResult {
        cases,
        elapsed: start.elapsed(),
    })
}

/// On a thread of its own: a system call on a mount that does not answer cannot be interrupted.
fn with_deadline(cx: &Cx, program: &'static Program) -> Result<Case> {
    let (sender, receiver) = mpsc::channel();
    let cx = cx.at(program.dir);
    thread::spawn(move || sender.send(case(&cx, program)));
    receiver.recv_timeout(CASE_LIMIT).map_err(|_| {
        anyhow!(
            "programs: {} neither ended nor failed within {CASE_LIMIT:?}",
            program.name
        )
    })
}

fn case(cx: &Cx, program: &Program) -> Case {
    match (program.run)(cx).and_then(|seen| cx.same_behind_the_mount().map(|()| seen)) {
        Ok(observations) => Case {
            outcome: Outcome::Passed,
            observations,
        },
        Err(error) if error.is::<Late>() => Outcome::TimedOut.into(),
        Err(error) => Outcome::Failed(format!("{error:#}")).into(),
    }
}

/// Where a case works and with what.
#[derive(Clone)]
struct Cx {
    /// Directory of the suite on the mount.
    root: PathBuf,
    /// Directory of the case, in `root`.
    dir: PathBuf,
    /// The same without the mount.
    backing: PathBuf,
    /// Off the mount: the material.
    scratch: PathBuf,
    settings: Settings,
    quick: bool,
}

impl Cx {
    fn new(place: &Place<'_>) -> Result<Self> {
        let root = place.root.join("programs");
        fresh_directory(&root)?;
        let scratch = place.scratch.join("programs");
        fresh_directory(&scratch)?;
        let settings = Settings::in_directory(&scratch)?;
        Ok(Cx {
            dir: root.clone(),
            root,
            backing: place.backing.join("programs"),
            scratch,
            settings,
            quick: place.quick,
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
    fn fresh(&self) -> Result<()> {
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
    fn command(&self, name: impl AsRef<OsStr>) -> Command {
        self.settings.command(name, &self.dir)
    }

    /// Runs it and returns what it printed.
    fn run(&self, command: &mut Command) -> Result<String> {
        program::run(command, PROGRAM_LIMIT)
    }

    /// Runs a program that must print nothing.
    fn run_silent(&self, command: &mut Command) -> Result<()> {
        program::run_silent(command, PROGRAM_LIMIT)
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
        };
        fs::create_dir_all(backing.join("programs")).unwrap();
        Cx::new(&place).unwrap()
    }

    #[test]
    fn a_tree_that_differs_behind_the_mount_fails_the_case() {
        let dir = tempfile::tempdir().unwrap();
        let cx = cx(dir.path());
        fs::write(cx.dir.join("file"), "mount").unwrap();
        fs::write(cx.backing.join("file"), "other").unwrap();
        let program = Program {
            name: "nothing",
            dir: "",
            run: |_| Ok(Seen::new()),
        };
        let Outcome::Failed(detail) = case(&cx, &program).outcome else {
            panic!("passed");
        };
        assert!(detail.contains("\"file\": on the mount mode"), "{detail}");
        fs::write(cx.backing.join("file"), "mount").unwrap();
        assert_eq!(
            cx.same_behind_the_mount().map_err(|e| e.to_string()),
            Ok(())
        );
    }
}
