//! An ext4 file system of its own, on a loop device.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::mount::{UnmountFlags, unmount};

use crate::process;

/// Size of an image: room for two files of 2 GiB. Sparse: only what is written takes space.
pub const IMAGE_BYTES: u64 = 6 << 30;

/// Memory that must be free for the images to lie in it; otherwise they lie on disk. Enough for
/// two files of 2 GiB, one image at a time, once in the image and once in the page cache.
const MEMORY_FOR_TMPFS: u64 = 12 << 30;

/// Always the same, so that two images are the same file system: the hash seed decides the order
/// of directory entries.
const UUID: &str = "6d1c2a5e-0c4b-4f7e-9a53-64796e616d69";

/// A mounted ext4 image. Unmounted when dropped; its loop device clears itself with the mount.
#[derive(Debug)]
pub struct Image {
    mountpoint: PathBuf,
}

impl Image {
    /// Makes a file system and mounts it at `mountpoint`, which is created. The file of the image
    /// is in `directory` and has no name once it is mounted, so nothing can be left behind.
    ///
    /// # Errors
    ///
    /// When the file, the file system or the mount cannot be made.
    pub fn create(directory: &Path, mountpoint: &Path, bytes: u64) -> Result<Self> {
        fs::create_dir_all(directory)?;
        fs::create_dir_all(mountpoint)?;
        let file = tempfile::Builder::new()
            .prefix("ext4-")
            .tempfile_in(directory)
            .with_context(|| format!("cannot create an image in {}", directory.display()))?;
        Image::format(file.path(), bytes)?;
        // mount(8) sets LO_FLAGS_AUTOCLEAR: the device goes with the last mount, even if this
        // process is killed.
        run(Command::new("mount")
            .args(["-t", "ext4", "-o", "loop"])
            .arg(file.path())
            .arg(mountpoint))?;
        Ok(Image {
            mountpoint: mountpoint.to_owned(),
        })
    }

    /// Makes an empty file system of that size in the file `disk`, whatever it was before.
    ///
    /// # Errors
    ///
    /// When the file or the file system cannot be made.
    pub fn format(disk: &Path, bytes: u64) -> Result<()> {
        let mut mkfs = Command::new("mkfs.ext4");
        prepare_ext4(&mut mkfs, disk, bytes)?;
        run(mkfs.arg(disk))
    }

    /// Mounts the file system of a disk, or in a file, at `mountpoint`, which is created.
    ///
    /// # Errors
    ///
    /// When the disk or the mount cannot be had.
    pub fn mount(disk: &Path, mountpoint: &Path) -> Result<Self> {
        fs::create_dir_all(mountpoint)?;
        run(Command::new("mount")
            .args(["-t", "ext4"])
            .arg(disk)
            .arg(mountpoint))?;
        Ok(Image {
            mountpoint: mountpoint.to_owned(),
        })
    }

    /// Its root directory.
    pub fn path(&self) -> &Path {
        &self.mountpoint
    }

    /// Gives the room of deleted files back to the file of the image (fstrim(8)): it may lie in
    /// memory.
    ///
    /// # Errors
    ///
    /// When fstrim fails.
    pub fn trim(&self) -> Result<()> {
        run(Command::new("fstrim").arg(&self.mountpoint))
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        if unmount(&self.mountpoint, UnmountFlags::empty()).is_err() {
            // Busy, because a suite was killed: detached, it goes with its last user.
            let _ = unmount(&self.mountpoint, UnmountFlags::DETACH);
        }
        let _ = fs::remove_dir(&self.mountpoint);
    }
}

/// Makes the empty file `disk`, and gives `mkfs`, which is mke2fs(8), all that file systems of the lab have in
/// common. The disk is to be its last argument.
///
/// # Errors
///
/// When the file cannot be made.
pub(crate) fn prepare_ext4(mkfs: &mut Command, disk: &Path, bytes: u64) -> Result<()> {
    let file = File::create(disk);
    file.and_then(|file| file.set_len(bytes))
        .with_context(|| format!("cannot create the image {}", disk.display()))?;
    mkfs.args([
        "-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-m", "0", "-U", UUID,
    ])
    .arg("-E")
    .arg(format!(
        "hash_seed={UUID},lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0"
    ));
    Ok(())
}

/// The fastest place with enough room: `memory`, a tmpfs, or `disk`.
pub fn place_for_images<'a>(memory: &'a Path, disk: &'a Path) -> &'a Path {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    if available_memory(&info).is_some_and(|bytes| bytes >= MEMORY_FOR_TMPFS) {
        memory
    } else {
        disk
    }
}

fn available_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find(|line| line.starts_with("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

fn run(command: &mut Command) -> Result<()> {
    let finished = process::run(command, Duration::from_secs(60))?;
    if !finished.success() {
        bail!(
            "{command:?}: {}: {}",
            finished.ending(),
            finished.stderr.trim()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_available_memory() {
        let info = "MemTotal:  24000000 kB\nMemFree: 1 kB\nMemAvailable:    2048 kB\n";
        assert_eq!(available_memory(info), Some(2 << 20));
        assert_eq!(available_memory("MemFree: 1 kB\n"), None);
    }
}
