//! Conformance cases in the manner of xfstests.
//!
//! A case works in a fresh directory of its own. It *asserts* what POSIX or the Linux manual
//! promises, and it *observes* what a filesystem may decide for itself (an errno, a mode, a
//! content). The harness runs all cases on native ext4 and then on a mounted preset: a case passes
//! there when it holds its assertions and its observations equal those of ext4.
//!
//! Observations are deterministic: relations and codes, never inode numbers, device numbers or
//! absolute times.

mod cases;
mod cx;
mod errno;
mod failure;
mod process;
mod runner;
pub(crate) mod sys;
pub(crate) mod util;

pub use cx::Cx;
pub use failure::Failure;
pub use runner::{CaseReport, Options, Outcome, run, run_case_here};

use rustix::io::Errno;

use crate::workload::sys::pages;

/// What a case needs before it can run. An unmet need is a skip, with the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Effective uid 0: to change owners, to act as other users, to make device nodes.
    pub root: bool,
    /// cachestat(2), to see what is not on the disk yet.
    pub cachestat: bool,
}

impl Needs {
    /// Nothing.
    pub const NONE: Self = Self {
        root: false,
        cachestat: false,
    };
    /// The superuser.
    pub const ROOT: Self = Self {
        root: true,
        ..Self::NONE
    };
    /// A kernel that tells what its page cache has of a file.
    pub const CACHESTAT: Self = Self {
        cachestat: true,
        ..Self::NONE
    };

    /// Why these needs are not met here, or `None` if they are.
    #[must_use]
    pub fn unmet(self) -> Option<&'static str> {
        if self.root && !rustix::process::geteuid().is_root() {
            return Some("needs root");
        }
        (self.cachestat && !has_cachestat()).then_some("needs cachestat(2), Linux 6.5")
    }
}

fn has_cachestat() -> bool {
    // Of whatever it is asked: only a kernel without the call says that there is none.
    !matches!(pages(std::io::stdin()), Err(Errno::NOSYS))
}

/// One case.
#[derive(Clone, Copy)]
pub struct Case {
    /// Group, as xfstests has them: `data`, `lock`, `rename`…
    pub group: &'static str,
    /// Full name, `group::what`. Unique.
    pub name: &'static str,
    /// What holds if the case passes, in one line.
    pub description: &'static str,
    /// What must be there for the case to run.
    pub needs: Needs,
    /// The case. Its working directory is the case's own, so relative paths are enough.
    pub run: fn(&Cx) -> Result<(), Failure>,
}

/// Cases that run together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// What every file system is asked.
    Suite,
    /// What a Mac's Finder does.
    Finder,
    /// What holds in directories that fold case; the file system must have such.
    Casefold,
}

impl Set {
    /// All of them.
    pub const ALL: [Set; 3] = [Set::Suite, Set::Finder, Set::Casefold];

    /// The name on the command line, and of the directory that its cases work in.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Set::Suite => "suite",
            Set::Finder => "finder",
            Set::Casefold => "casefold",
        }
    }

    /// Its cases in their fixed order.
    #[must_use]
    pub fn cases(self) -> Vec<Case> {
        let groups = match self {
            Set::Suite => cases::GROUPS,
            Set::Finder => cases::FINDER,
            Set::Casefold => cases::CASEFOLD,
        };
        groups.iter().copied().flatten().copied().collect()
    }
}

/// All cases of [`Set::Suite`].
#[must_use]
pub fn all() -> Vec<Case> {
    Set::Suite.cases()
}
