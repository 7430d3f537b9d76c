//! The subtree in which all threads work at once, on the same few names: nobody knows what is there, but
//! only some errors may come.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::material::Random;
use crate::suite::util;

/// The directory in the mount.
pub(super) const DIRECTORY: &str = "shared";

/// Names that threads meet at.
const NAMES: usize = 24;

/// Bytes written at once.
const BLOCK: usize = 4096;

/// What one thread does there.
#[derive(Debug)]
pub(super) struct Shared {
    directory: PathBuf,
    random: Random,
}

impl Shared {
    pub(super) fn new(root: &Path, seed: u64) -> Self {
        Shared {
            directory: root.join(DIRECTORY),
            random: Random::new(!seed),
        }
    }

    /// Does something with one of the names.
    pub(super) fn step(&mut self) -> Result<()> {
        let path = self.any_path();
        let what = self.random.below(9);
        let done = match what {
            0 => self.write(&path, OFlags::APPEND),
            1 => self.write(&path, OFlags::TRUNC),
            2 => util::read_all(&path).map(drop),
            3 => util::lstat(&path).map(drop),
            4 => rustix::fs::unlink(&path),
            5 => rustix::fs::rename(&path, self.any_path()),
            6 => rustix::fs::link(&path, self.any_path()),
            7 => util::chmod(&path, 0o600 | self.random.below(0o200) as u32),
            _ => {
                let names = util::names(&self.directory).map_err(|failure| anyhow!("{failure}"));
                return names.map(drop).context("listing the shared directory");
            }
        };
        match done {
            Ok(()) | Err(Errno::NOENT | Errno::EXIST) => Ok(()),
            Err(error) => Err(error).with_context(|| {
                format!("kind {what} in the shared directory, {}", path.display())
            }),
        }
    }

    fn any_path(&mut self) -> PathBuf {
        let number = self.random.below(NAMES);
        self.directory.join(format!("s{number}"))
    }

    fn write(&mut self, path: &Path, flags: OFlags) -> rustix::io::Result<()> {
        let file = util::open(path, flags | OFlags::WRONLY | OFlags::CREATE)?;
        util::write_all(file, &util::pattern(self.random.next(), BLOCK))
    }
}
