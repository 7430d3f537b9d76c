//! What the kernel tells of its FUSE connections (`Documentation/filesystems/fuse/fuse.rst`).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::minor;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// Its file system. Unmounted when dropped.
pub(crate) struct Fusectl(PathBuf);

impl Fusectl {
    pub(crate) fn mount(at: &Path) -> Result<Self> {
        fs::create_dir_all(at)?;
        mount("fusectl", at, "fusectl", MountFlags::empty(), None)
            .with_context(|| format!("cannot mount fusectl at {}", at.display()))?;
        Ok(Fusectl(at.to_owned()))
    }

    /// Requests without an answer.
    pub(crate) fn waiting(&self, connection: u32) -> Result<u64> {
        let file = self.file(connection, "waiting");
        let text =
            fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(text.trim().parse()?)
    }

    /// Cuts the daemon off: whoever waits for it gets an error.
    pub(crate) fn abort(&self, connection: u32) -> Result<()> {
        let file = self.file(connection, "abort");
        fs::write(&file, "1").with_context(|| format!("cannot write to {}", file.display()))
    }

    fn file(&self, connection: u32, name: &str) -> PathBuf {
        self.0.join(connection.to_string()).join(name)
    }
}

impl Drop for Fusectl {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

/// The connection of a mount: the kernel names it by the device number, whose major part is 0.
pub(crate) fn connection_of(mountpoint: &Path) -> Result<u32> {
    Ok(minor(fs::metadata(mountpoint)?.dev()))
}
