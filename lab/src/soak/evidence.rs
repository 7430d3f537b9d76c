//! What was seen while it ran.

use std::time::Duration;

use super::watch::Slow;
use crate::cgroup::Pressure;

/// The daemon at one moment under load.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sample {
    /// Inodes that the kernel holds references to.
    pub(super) inodes: u64,
    /// Descriptors of the process.
    pub(super) descriptors: u64,
    /// Resident memory that is no file's, in bytes (`RssAnon`).
    pub(super) anonymous: u64,
    /// All resident memory, in bytes.
    pub(super) resident: u64,
}

/// The mount when nobody uses it and the kernel has dropped what it cached of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rest {
    /// Requests without an answer.
    pub(super) waiting: u64,
    pub(super) inodes: u64,
    pub(super) open_files: u64,
    pub(super) descriptors: u64,
}

/// What was found between two rounds.
#[derive(Debug, Clone, Default)]
pub(super) struct Pause {
    pub(super) rest: Rest,
    /// Entries of the tree.
    pub(super) entries: usize,
    /// Where mount and directory are not the same.
    pub(super) difference: Option<String>,
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Evidence {
    pub(super) samples: Vec<Sample>,
    /// Before the load.
    pub(super) baseline: Rest,
    pub(super) pauses: Vec<Pause>,
    /// What threads found to be wrong.
    pub(super) faults: Vec<String>,
    /// Operations that did not end.
    pub(super) stuck: Vec<Slow>,
    /// Of those that ended.
    pub(super) slowest: Option<Slow>,
    pub(super) operations: u64,
    /// `Err` says why there was no memory cgroup.
    pub(super) pressure: Option<Result<Pressure, String>>,
    /// Whether it was unmounted and the daemon ended.
    pub(super) end: Option<Result<(), String>>,
    /// How long the load ran.
    pub(super) elapsed: Duration,
}

impl Evidence {
    /// The load was ended by what was wrong.
    pub(super) fn ended_early(&self) -> bool {
        !self.faults.is_empty() || !self.stuck.is_empty()
    }
}
