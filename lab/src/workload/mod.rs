//! The timed loops: what one operation is, what it works on, what is cached when the clock starts.
//!
//! A workload knows nothing of contestants, repetitions or reports (see [`crate::bench`]): it works
//! in a [`Room`] and is timed by a [`Turn`].

mod catalogue;
mod data;
mod directories;
mod files;
mod latency;
mod mix;
mod names;
mod places;
mod programs;
mod random_reads;
mod repository;
mod room;
pub(crate) mod sys;
mod turn;
mod xattrs;

use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

pub use self::catalogue::{all, select};
pub use self::room::{Fixtures, Room};
pub use self::turn::{Budget, Percentiles, Sample, Turn, Watcher};

/// One loop.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    /// Its name on the command line and in reports: lower case, words joined by hyphens.
    pub name: &'static str,
    /// Where it stands in reports.
    pub group: Group,
    /// What one operation is, for instance "a file created, 4 KiB written, closed".
    pub operation: &'static str,
    /// What is cached when the clock starts.
    pub caches: Caches,
    /// Whether `--quick` runs it.
    pub quick: bool,
    /// The files it works on.
    pub material: Material,
    /// Before each turn, through the mount, not timed: brings caches to where they should be.
    pub before: fn(&Room) -> Result<()>,
    /// The turn. What it hands to [`Turn`] is timed.
    pub run: fn(&Room, &mut Turn<'_>) -> Result<()>,
}

/// What kind of work it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// Reading and writing one file.
    Data,
    /// Random reads by fio, with several threads.
    RandomReads,
    /// Names, attributes, small files.
    Metadata,
    /// Listings.
    Directories,
    /// Extended attributes.
    ExtendedAttributes,
    /// Programs that people use.
    RealWork,
    /// How long single operations take.
    Latency,
}

/// What is cached when the clock starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Caches {
    /// Everything was used once right before, through the mount.
    Hot,
    /// Names were dropped machine-wide right before (`drop_caches` 2; proc_sys_vm(5)), on the mount
    /// and behind it. Data are kept, and with them the inodes of files that have data; where files
    /// are read, each was read once through the mount before.
    ColdNames,
    /// The pages of the mount were dropped (`posix_fadvise` `DONTNEED` on the mount's file); the
    /// backing file is in the page cache of ext4, or nowhere for reads with `O_DIRECT`.
    ColdData,
    /// The files do not exist before, or are written.
    New,
}

/// The files that a workload works on, made behind the mount before it is mounted, so that no
/// contestant ever sees a change from behind.
#[derive(Debug, Clone, Copy)]
pub enum Material {
    /// Only read: one for all workloads that name it; made anew for each repetition, because what lies
    /// where differs by chance.
    Shared {
        /// Name of its directory.
        name: &'static str,
        /// Fills the directory.
        make: fn(&Path, &Fixtures) -> Result<()>,
    },
    /// The same, and so large that it is made once for all repetitions.
    Lasting {
        /// Name of its directory.
        name: &'static str,
        /// Fills the directory.
        make: fn(&Path, &Fixtures) -> Result<()>,
    },
    /// Changed: made anew for each repetition.
    Own {
        /// Fills the directory.
        make: fn(&Path, &Fixtures) -> Result<()>,
    },
}
