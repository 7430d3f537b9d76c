//! Where a workload works.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::io::Errno;

/// The directory of one workload on one contestant.
#[derive(Debug, Clone)]
pub struct Room {
    /// Where the loop runs: on the mount, or the native directory itself.
    pub dir: PathBuf,
    /// The same directory without the mount; for a native directory, that directory itself.
    pub backing: PathBuf,
    /// What lies outside of all contestants.
    pub fixtures: Fixtures,
}

impl Room {
    /// Whether a mount is between the loop and ext4.
    pub fn is_mounted(&self) -> bool {
        self.dir != self.backing
    }

    /// Writes out all that is dirty, so that one turn does not pay for another.
    ///
    /// # Errors
    ///
    /// Those of syncfs(2).
    pub fn settle(&self) -> Result<()> {
        if self.is_mounted() {
            match rustix::fs::syncfs(File::open(&self.dir)?) {
                // Dirty pages of a file that is removed: a daemon that holds no open files can
                // write them nowhere. Nobody misses them.
                Ok(()) | Err(Errno::STALE) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(rustix::fs::syncfs(File::open(&self.backing)?)?)
    }
}

/// What workloads share, in memory and outside of all contestants: archives, repositories,
/// settings of programs.
#[derive(Debug, Clone)]
pub struct Fixtures {
    /// A directory on tmpfs.
    pub dir: PathBuf,
    /// Fewer files and bytes, for a quick run.
    pub quick: bool,
}

impl Fixtures {
    /// `few` in a quick run, otherwise `many`.
    pub fn amount(&self, many: u64, few: u64) -> u64 {
        if self.quick { few } else { many }
    }

    /// A path in the directory.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.join(name)
    }
}
