//! The conformance suites: how each is run and how its answer is read.
//!
//! A suite that did not run, or not to its end, is an error and never a result.

pub mod afp;
pub mod build;
mod cx;
pub mod daemon;
pub mod dynamicfs_suite;
pub mod fsx;
pub mod labels;
pub mod load;
pub mod pjdfstest;
pub mod power_cut;
pub mod programs;
pub mod smbtorture;
pub(crate) mod tree;
pub mod xfstests;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use dynamicfs::config::Preset;
use serde::{Deserialize, Serialize};

use self::xfstests::Xfstests;
use crate::outcome::{Outcome, SuiteResult};
use crate::paths::Paths;
use crate::suite::Set;
use crate::target::{Dynamicfs, Permissions};

/// A conformance suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Suite {
    /// POSIX system calls, one by one.
    Pjdfstest,
    /// Random operations on one file, checked against a model.
    Fsx,
    /// The project's own cases.
    Suite,
    /// git, sqlite and others at work.
    Programs,
    /// The daemon is killed, starved and told to end, with callers at work.
    Daemon,
    /// The power goes at any moment, and what was acknowledged is there.
    PowerCut,
    /// What a Mac's Finder does to a directory.
    Finder,
    /// Directories that fold case; an error where the file system has none.
    Casefold,
    /// The directory through Samba, as a Mac sees it; needs the packages [`smbtorture::PACKAGES`].
    Smbtorture,
    /// The directory through netatalk, as a Mac sees it; needs the packages [`afp::PACKAGES`].
    Afp,
    /// cargo at work: only where a Rust toolchain is.
    Build,
    /// fio, stress-ng and dbench: much at once, checked.
    Load,
    /// SELinux labels of what is created; needs a kernel that was started with it, and secilc(8).
    Labels,
    /// xfstests: only with a tree that somebody built.
    Xfstests,
}

impl Suite {
    /// All of them, the quick ones first.
    pub const ALL: [Suite; 14] = [
        Suite::Pjdfstest,
        Suite::Fsx,
        Suite::Suite,
        Suite::Finder,
        Suite::Casefold,
        Suite::Daemon,
        Suite::PowerCut,
        Suite::Build,
        Suite::Load,
        Suite::Programs,
        Suite::Smbtorture,
        Suite::Afp,
        Suite::Labels,
        Suite::Xfstests,
    ];

    /// Those that every target can run.
    pub const EVERYWHERE: [Suite; 7] = [
        Suite::Pjdfstest,
        Suite::Fsx,
        Suite::Suite,
        Suite::Finder,
        Suite::Daemon,
        Suite::PowerCut,
        Suite::Programs,
    ];

    /// Whether the quick profile has it.
    pub fn is_quick(self) -> bool {
        !self.only_differences_count() && self != Suite::Load
    }

    /// The suite of that name.
    pub fn by_name(name: &str) -> Option<Suite> {
        Suite::ALL.into_iter().find(|suite| suite.name() == name)
    }

    /// The name on the command line and in the exceptions file.
    pub fn name(self) -> &'static str {
        match self {
            Suite::Pjdfstest => "pjdfstest",
            Suite::Fsx => "fsx",
            Suite::Suite => "suite",
            Suite::Programs => "programs",
            Suite::Daemon => "daemon",
            Suite::PowerCut => "power-cut",
            Suite::Finder => "finder",
            Suite::Casefold => "casefold",
            Suite::Smbtorture => "smbtorture",
            Suite::Afp => "afp",
            Suite::Build => "build",
            Suite::Labels => "labels",
            Suite::Load => "load",
            Suite::Xfstests => "xfstests",
        }
    }

    /// Whether it runs on ext4 first, to compare with. A suite that is about the daemon, or about what is
    /// behind a mount, has no counterpart there: all its cases must pass.
    pub fn has_reference(self) -> bool {
        !matches!(self, Suite::Daemon | Suite::Labels)
    }

    /// Whether a case may fail on ext4: the suite tests something else on top of the file system, and
    /// only what ends otherwise than on ext4 says anything.
    pub fn only_differences_count(self) -> bool {
        matches!(self, Suite::Smbtorture | Suite::Afp | Suite::Xfstests)
    }

    /// Runs it on a directory.
    ///
    /// # Errors
    ///
    /// When it could not be run to its end.
    pub fn run(self, place: &Place<'_>, programs: &Programs) -> Result<SuiteResult> {
        match self {
            Suite::Pjdfstest => pjdfstest::run(place, programs),
            Suite::Fsx => fsx::run(place, programs),
            Suite::Suite => dynamicfs_suite::run(place, programs, Set::Suite),
            Suite::Programs => programs::run(place),
            Suite::Daemon => daemon::run(place, programs),
            Suite::PowerCut => power_cut::run(place),
            Suite::Finder => dynamicfs_suite::run(place, programs, Set::Finder),
            Suite::Casefold => dynamicfs_suite::run(place, programs, Set::Casefold),
            Suite::Smbtorture => smbtorture::run(place),
            Suite::Afp => afp::run(place),
            Suite::Build => build::run(place),
            Suite::Load => load::run(place),
            Suite::Labels => labels::run(place),
            Suite::Xfstests => xfstests::run(place, programs),
        }
    }

    /// Runs some of its cases on a directory, and leaves there what they left.
    ///
    /// # Errors
    ///
    /// When they could not be run to their end, one of them does not exist, or the cases of this suite
    /// cannot be chosen.
    pub fn run_cases(
        self,
        place: &Place<'_>,
        programs: &Programs,
        names: &BTreeSet<&str>,
    ) -> Result<SuiteResult> {
        match self {
            Suite::Pjdfstest => pjdfstest::run_cases(place, programs, names),
            Suite::Fsx => fsx::run_cases(place, programs, names),
            Suite::Suite => dynamicfs_suite::run_cases(place, programs, Set::Suite, names),
            Suite::Finder => dynamicfs_suite::run_cases(place, programs, Set::Finder, names),
            Suite::Casefold => dynamicfs_suite::run_cases(place, programs, Set::Casefold, names),
            other => bail!("the cases of {} cannot be run one by one", other.name()),
        }
    }
}

/// Where a suite runs.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Root directory of the file system under test.
    pub root: &'a Path,
    /// The directory behind it; for a native directory, that directory itself.
    pub backing: &'a Path,
    /// A directory on another file system.
    pub secondary: &'a Path,
    /// Where the suite may keep its own files.
    pub scratch: &'a Path,
    /// Lifetime of attributes that the mount declares; zero for a native directory.
    pub attr_ttl: Duration,
    /// What made the mount, for a suite that makes its own; `None`: a native directory.
    pub mounted: Option<Mounted<'a>>,
    /// Smaller amounts where the time depends on the amount.
    pub quick: bool,
    /// Factor for all time limits, at least 1: where the kernel is emulated, all takes longer.
    pub patience: u32,
    /// How many power cuts a suite makes, at least 1.
    pub cuts: u32,
}

/// How a mount was made.
#[derive(Debug, Clone, Copy)]
pub struct Mounted<'a> {
    /// The command under test.
    pub command: &'a Dynamicfs,
    /// The preset.
    pub preset: Preset,
    /// Who checks permissions.
    pub permissions: Permissions,
}

/// The programs of the suites.
#[derive(Debug, Clone)]
pub struct Programs {
    /// pjdfstest.
    pub pjdfstest: PathBuf,
    /// fsx.
    pub fsx: PathBuf,
    /// The project's own suite.
    pub suite: PathBuf,
    /// xfstests, if somebody gave a built tree.
    pub xfstests: Option<Xfstests>,
}

impl Programs {
    /// Where they are installed and built.
    pub fn of(paths: &Paths) -> Self {
        Programs {
            pjdfstest: paths.tool("pjdfstest"),
            fsx: paths.tool("fsx"),
            suite: paths.debug("dynamicfs-suite"),
            xfstests: None,
        }
    }

    /// All in one directory, under their own names.
    pub fn in_directory(directory: &Path) -> Self {
        Programs {
            pjdfstest: directory.join("pjdfstest"),
            fsx: directory.join("fsx"),
            suite: directory.join("dynamicfs-suite"),
            xfstests: None,
        }
    }
}

/// The result, if its cases are those of these names.
fn exactly(names: &BTreeSet<&str>, result: SuiteResult) -> Result<SuiteResult> {
    let reported: BTreeSet<&str> = result.cases.keys().map(String::as_str).collect();
    if reported != *names {
        let odd: Vec<&&str> = names.symmetric_difference(&reported).collect();
        bail!("cases expected or reported but not both: {odd:?}");
    }
    Ok(result)
}

/// A failure as the outcome of a case.
fn outcome(result: Result<()>) -> Outcome {
    match result {
        Ok(()) => Outcome::Passed,
        Err(error) => Outcome::Failed(format!("{error:#}")),
    }
}

/// Takes away all that is in a directory.
fn empty_directory(path: &Path) -> Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        }
        .with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

/// Makes an empty directory that everybody may enter.
fn fresh_directory(path: &Path) -> Result<()> {
    if path.exists() {
        fs::remove_dir_all(path)?;
    }
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}
