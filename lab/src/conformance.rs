//! Every suite on ext4 first and on each preset after.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use dynamicfs::config::Preset;
use serde::{Deserialize, Serialize};

use crate::compare::{Comparison, Subject, compare, stale};
use crate::exceptions::Exception;
use crate::image::{IMAGE_BYTES, Image, place_for_images};
use crate::namespace::{WORKPLACE, scratch};
use crate::outcome::{Outcome, SuiteResult};
use crate::paths::Paths;
use crate::progress::Progress;
use crate::suites::{Place, Programs, Suite};
use crate::target::{Dynamicfs, Permissions};

/// What to compare.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The presets.
    pub presets: Vec<Preset>,
    /// The suites.
    pub suites: Vec<Suite>,
    /// Who checks permissions; `None`: both for pjdfstest, which is about them, otherwise the
    /// kernel.
    pub permissions: Option<Vec<Permissions>>,
    /// Smaller amounts in the suites that have such.
    pub quick: bool,
}

impl Plan {
    /// Each run on a preset, in order.
    pub fn runs(&self) -> Vec<(Preset, Permissions, Suite)> {
        let mut runs = Vec::new();
        for &preset in &self.presets {
            for permissions in [Permissions::Kernel, Permissions::Storage] {
                for &suite in &self.suites {
                    let wanted = match &self.permissions {
                        Some(chosen) => chosen.contains(&permissions),
                        None => permissions == Permissions::Kernel || suite == Suite::Pjdfstest,
                    };
                    if wanted {
                        runs.push((preset, permissions, suite));
                    }
                }
            }
        }
        runs
    }
}

/// What came out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Conformance {
    /// A comparison per suite and preset that was run.
    pub comparisons: Vec<Comparison>,
    /// What could not be run, and why: as bad as a difference.
    pub errors: Vec<String>,
    /// Exceptions that no longer apply.
    pub stale: Vec<Exception>,
}

impl Conformance {
    /// No difference without an excuse, nothing that was not run, no exception without a use.
    pub fn is_clean(&self) -> bool {
        self.errors.is_empty()
            && self.stale.is_empty()
            && self
                .comparisons
                .iter()
                .all(|comparison| comparison.unexcused().next().is_none())
    }
}

/// The two file systems of a run: one for ext4, one behind the mounts, and one more to cross to.
#[derive(Debug)]
pub struct Bench {
    /// Native ext4.
    pub ext4: Image,
    /// Behind the mounts.
    pub backing: Image,
    secondary: Image,
    command: Dynamicfs,
    work: PathBuf,
    scratch: PathBuf,
}

impl Bench {
    /// Makes the file systems under [`WORKPLACE`].
    ///
    /// # Errors
    ///
    /// When an image cannot be made or mounted.
    pub fn new(paths: &Paths, command: &Path, imitation: bool) -> Result<Self> {
        let work = Path::new(WORKPLACE);
        let memory = work.join("images");
        let disk = paths.lab().join("images");
        let images = place_for_images(&memory, &disk);
        let scratch = scratch();
        let command = Dynamicfs::new(command, &scratch);
        Ok(Bench {
            ext4: Image::create(images, &work.join("ext4"), IMAGE_BYTES)?,
            backing: Image::create(images, &work.join("back"), IMAGE_BYTES)?,
            secondary: Image::create(images, &work.join("other"), 64 << 20)?,
            command: if imitation {
                command.imitation()
            } else {
                command
            },
            work: work.to_owned(),
            scratch,
        })
    }

    /// The command under test.
    pub fn command(&self) -> &Dynamicfs {
        &self.command
    }

    /// A mountpoint for a preset.
    pub fn mountpoint(&self, preset: Preset) -> PathBuf {
        self.work.join("mnt").join(preset.name())
    }

    /// An empty directory of the backing file system for a preset.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn source(&self, preset: Preset) -> Result<PathBuf> {
        let source = self.backing.path().join(preset.name());
        if source.exists() {
            fs::remove_dir_all(&source)?;
        }
        fs::create_dir(&source)?;
        Ok(source)
    }

    fn run_native(&self, suite: Suite, programs: &Programs, quick: bool) -> Result<SuiteResult> {
        let root = self.ext4.path();
        let place = self.place(root, root, Duration::ZERO, quick);
        let result = suite.run(&place, programs)?;
        self.ext4.trim()?;
        Ok(result)
    }

    fn run_preset(
        &self,
        suite: Suite,
        preset: Preset,
        permissions: Permissions,
        programs: &Programs,
        quick: bool,
    ) -> Result<SuiteResult> {
        // A mount per suite: one that a suite broke must not spoil the next.
        let source = self.source(preset)?;
        let mount = self
            .command
            .mount(&source, &self.mountpoint(preset), preset, permissions)?;
        let attr_ttl = preset.config().attr_timeout();
        let place = self.place(mount.path(), &source, attr_ttl, quick);
        let result = suite.run(&place, programs)?;
        mount.unmount()?;
        self.backing.trim()?;
        Ok(result)
    }

    fn place<'a>(
        &'a self,
        root: &'a Path,
        backing: &'a Path,
        attr_ttl: Duration,
        quick: bool,
    ) -> Place<'a> {
        Place {
            root,
            backing,
            secondary: self.secondary.path(),
            scratch: &self.scratch,
            attr_ttl,
            quick,
        }
    }
}

/// Runs the plan. What cannot be run becomes an error of the result, and the rest goes on.
pub fn run(
    plan: &Plan,
    bench: &Bench,
    programs: &Programs,
    exceptions: &[Exception],
    progress: &Progress,
) -> Conformance {
    let mut conformance = Conformance::default();
    let mut references: BTreeMap<Suite, SuiteResult> = BTreeMap::new();
    for &suite in &plan.suites {
        progress.step(&format!("{} on ext4", suite.name()));
        match bench.run_native(suite, programs, plan.quick) {
            Ok(result) => {
                conformance.errors.extend(faulty_reference(suite, &result));
                references.insert(suite, result);
            }
            Err(error) => conformance
                .errors
                .push(format!("{} on ext4: {error:#}", suite.name())),
        }
        progress.advance();
    }
    for (preset, permissions, suite) in plan.runs() {
        let what = format!(
            "{} on {}, permissions by the {}",
            suite.name(),
            preset.name(),
            permissions.name()
        );
        progress.step(&what);
        let Some(reference) = references.get(&suite) else {
            conformance
                .errors
                .push(format!("{what}: not run, because ext4 has no result"));
            continue;
        };
        let subject = Subject {
            suite,
            preset: preset.name(),
            permissions,
        };
        let compared = bench
            .run_preset(suite, preset, permissions, programs, plan.quick)
            .and_then(|result| compare(subject, reference, &result, exceptions))
            .with_context(|| what);
        match compared {
            Ok(comparison) => conformance.comparisons.push(comparison),
            Err(error) => conformance.errors.push(format!("{error:#}")),
        }
        progress.advance();
    }
    conformance.stale = stale(exceptions, &conformance.comparisons)
        .into_iter()
        .cloned()
        .collect();
    conformance
}

/// A case that fails on ext4 says nothing about a preset that fails it too: the reference is
/// broken, or the case is.
fn faulty_reference(suite: Suite, result: &SuiteResult) -> Option<String> {
    let failed: Vec<String> = result
        .cases
        .iter()
        .filter(|(_, case)| matches!(case.outcome, Outcome::Failed(_) | Outcome::TimedOut))
        .map(|(name, case)| format!("{name} {}", case.outcome))
        .collect();
    let first = failed.first()?;
    Some(format!(
        "{} of {} fail on ext4 itself, so they prove nothing; the first: {first}",
        failed.len(),
        suite.name()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Case;

    #[test]
    fn a_reference_that_fails_is_an_error() {
        let mut result = SuiteResult::default();
        result.cases.insert(
            "a".to_owned(),
            Case::from(Outcome::Skipped("no".to_owned())),
        );
        assert_eq!(faulty_reference(Suite::Fsx, &result), None);
        result
            .cases
            .insert("b".to_owned(), Case::from(Outcome::TimedOut));
        let error = faulty_reference(Suite::Fsx, &result).unwrap();
        assert!(
            error.starts_with("1 of fsx") && error.ends_with("b timed out"),
            "{error}"
        );
    }

    #[test]
    fn permissions_default_to_both_for_pjdfstest_only() {
        let plan = Plan {
            presets: vec![Preset::Safe],
            suites: vec![Suite::Pjdfstest, Suite::Fsx],
            permissions: None,
            quick: false,
        };
        let runs: Vec<_> = plan.runs().into_iter().map(|(_, p, s)| (p, s)).collect();
        assert_eq!(
            runs,
            [
                (Permissions::Kernel, Suite::Pjdfstest),
                (Permissions::Kernel, Suite::Fsx),
                (Permissions::Storage, Suite::Pjdfstest),
            ]
        );
    }
}
