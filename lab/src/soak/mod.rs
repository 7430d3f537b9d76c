//! Mixed load on a mount for a long time, with too little memory: nothing may leak, hang or differ.
//!
//! Threads work in rounds. In each, every thread does random operations in a subtree of its own, which it
//! compares with a model (`worker.rs`), and in one that all share (`shared.rs`). Between two rounds nobody
//! uses the mount: then no request may wait, what the kernel was given must come back to what it was before
//! the load, and the tree through the mount must be the one behind it (`run.rs`). What was seen is evidence
//! (`evidence.rs`), and verdicts follow from that alone (`verdict.rs`).
//!
//! The pressure is a memory cgroup around the load and the daemon, whose limit is half of what the files take: pages of
//! files are freed and read again all the time. A second process that takes the memory of the machine would hit everything
//! else that runs there, and be a matter of luck.

mod big;
mod evidence;
mod model;
mod operation;
mod report;
mod run;
mod shared;
mod verdict;
mod watch;
mod worker;

use std::path::Path;
use std::time::Duration;

use dynamicfs::config::Preset;

use crate::cgroup;
use crate::target::Dynamicfs;

pub use report::{is_clean, table};
pub use run::{rounds, run};
pub use verdict::Verdict;

/// What is run.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How long the load runs, without the pauses.
    pub duration: Duration,
    /// What is mounted.
    pub preset: Preset,
    /// Threads of the load.
    pub threads: usize,
    /// Bytes of memory that the load and the daemon have together.
    pub memory: u64,
    /// What the random numbers of the threads begin with.
    pub seed: u64,
}

impl Settings {
    /// Room that the directory must have: the files take twice the memory, and small ones come on top.
    pub fn disk_bytes(&self) -> u64 {
        4 * self.memory + (512 << 20)
    }
}

/// Where it is run.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// The command that serves the mount.
    pub command: &'a Dynamicfs,
    /// The directory that is served: empty, on a file system of a disk, because files of a tmpfs cannot be
    /// freed and count as used memory.
    pub source: &'a Path,
    /// Where it is mounted; created.
    pub mountpoint: &'a Path,
    /// A directory for what the run mounts beside it.
    pub work: &'a Path,
}

/// Ends what a run has started that this process waits for ([`isolate`](crate::namespace::isolate)), and
/// removes its memory cgroup, which lies outside of all namespaces. For a run that is interrupted.
pub fn clear() {
    cgroup::clear_of(std::process::id());
}
