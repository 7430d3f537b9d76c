//! The file system that all contestants of a run work on.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::fs::{FlockOperation, flock};

use crate::image::{Image, place_for_images};
use crate::namespace::WORKPLACE;
use crate::paths::Paths;

/// Size of the image: sparse. ext4 makes an inode for each 16 KiB: enough for 15 contestants with
/// 100,000 files each.
const IMAGE_BYTES: u64 = 24 << 30;

/// `f_type` of ext2, ext3 and ext4 (statfs(2)).
const EXT4_SUPER_MAGIC: u64 = 0xef53;

/// An ext4 file system, with a directory for each contestant.
#[derive(Debug)]
pub struct Site {
    storage: Storage,
    mountpoints: PathBuf,
    description: String,
}

#[derive(Debug)]
enum Storage {
    Image(Image),
    Directory(Directory),
}

impl Site {
    /// On an image of its own, in memory where that suffices: compares what the processors do.
    ///
    /// # Errors
    ///
    /// When the image cannot be made or mounted.
    pub fn image(paths: &Paths) -> Result<Self> {
        let work = Path::new(WORKPLACE);
        let (memory, disk) = (work.join("images"), paths.lab().join("images"));
        let place = place_for_images(&memory, &disk);
        let image = Image::create(place, &work.join("back"), IMAGE_BYTES)?;
        let description = if place == memory {
            "image in memory"
        } else {
            "image on disk: less than 12 GiB of memory are free"
        };
        Ok(Site::of(image, &mountpoints(), description))
    }

    /// On this image, with mountpoints below `mountpoints`.
    pub fn of(image: Image, mountpoints: &Path, description: &str) -> Self {
        Site {
            storage: Storage::Image(image),
            mountpoints: mountpoints.to_owned(),
            description: description.to_owned(),
        }
    }

    /// In a new directory of a real disk's ext4, which is removed afterwards.
    ///
    /// # Errors
    ///
    /// When `directory` is not on ext4, another run works there, or nothing can be made there.
    pub fn directory(directory: &Path) -> Result<Self> {
        Site::check_directory(directory)?;
        Ok(Site {
            storage: Storage::Directory(Directory::lock(directory)?),
            mountpoints: mountpoints(),
            description: format!("directory {}", directory.display()),
        })
    }

    /// Whether [`Site::directory`] can work there: to be asked before long preparations.
    ///
    /// # Errors
    ///
    /// When the directory is not there, or not on ext4.
    pub fn check_directory(directory: &Path) -> Result<()> {
        let statfs = rustix::fs::statfs(directory)
            .with_context(|| format!("cannot use {}", directory.display()))?;
        ensure!(
            statfs.f_type as u64 == EXT4_SUPER_MAGIC,
            "{} is not on ext4, which everything is compared with (its file system has the magic \
             number {:#x}); give a directory on ext4, or none for an image in memory",
            directory.display(),
            statfs.f_type
        );
        Ok(())
    }

    /// In words.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The directory that belongs to a contestant, made when it is missing.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn source(&self, contestant: &str) -> Result<PathBuf> {
        let root = match &self.storage {
            Storage::Image(image) => image.path(),
            Storage::Directory(directory) => &directory.path,
        };
        let source = root.join(contestant);
        fs::create_dir_all(&source)
            .with_context(|| format!("cannot create {}", source.display()))?;
        Ok(source)
    }

    /// Where a contestant is mounted.
    pub fn mountpoint(&self, contestant: &str) -> PathBuf {
        self.mountpoints.join(contestant)
    }

    /// Gives the room of deleted files back to an image in memory.
    ///
    /// # Errors
    ///
    /// When fstrim(8) fails.
    pub fn trim(&self) -> Result<()> {
        match &self.storage {
            Storage::Image(image) => image.trim(),
            Storage::Directory(_) => Ok(()),
        }
    }
}

/// A directory of ours in one of the user's. Locked while it is in use, so that the next run can tell
/// what a killed one left, and clear it.
#[derive(Debug)]
struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    fn lock(parent: &Path) -> Result<Self> {
        let path = parent.join("dynamicfs-bench");
        let make = || -> Result<File> {
            fs::create_dir_all(&path)?;
            let lock = File::open(&path)?;
            flock(&lock, FlockOperation::NonBlockingLockExclusive)
                .context("another run works there")?;
            for entry in fs::read_dir(&path)? {
                fs::remove_dir_all(entry?.path())?;
            }
            Ok(lock)
        };
        let lock = make().with_context(|| format!("cannot use {}", path.display()))?;
        Ok(Directory { path, _lock: lock })
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed is cleared by the next run.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn mountpoints() -> PathBuf {
    Path::new(WORKPLACE).join("mnt")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_not_on_ext4_is_refused() {
        let error = Site::directory(Path::new("/proc")).unwrap_err().to_string();
        assert!(
            error.contains("/proc is not on ext4") && error.contains("0x9fa0"),
            "{error}"
        );
    }

    #[test]
    fn what_a_killed_run_left_is_cleared_and_a_running_one_is_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        let left = parent.path().join("dynamicfs-bench/ext4/file");
        fs::create_dir_all(&left).unwrap();
        let first = Directory::lock(parent.path()).unwrap();
        assert!(!left.exists());
        let error = format!("{:#}", Directory::lock(parent.path()).unwrap_err());
        assert!(error.contains("another run works there"), "{error}");
        drop(first);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
