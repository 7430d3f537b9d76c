//! The kernel's own readahead window of a mount.
//!
//! The FUSE handshake can only lower the window below the kernel's default of 128 KiB. More is set
//! afterwards, in `/sys/class/bdi/MAJOR:MINOR/read_ahead_kb` (the kernel's
//! `Documentation/ABI/testing/sysfs-class-bdi`).

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{major, minor, stat, statfs};

use crate::storage::Errno;

/// `FUSE_SUPER_MAGIC` of the kernel's `fs/fuse/inode.c`.
const FUSE_MAGIC: i64 = 0x6573_5546;

/// The windows before and after, in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raised {
    /// The window that was found.
    pub before_kb: u64,
    /// The window in force now. The kernel rounds down to whole pages.
    pub after_kb: u64,
}

/// Why a readahead window could not be read or raised.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BdiError {
    /// The mountpoint could not be examined.
    #[error("cannot examine {path}: {errno}", path = path.display())]
    Mountpoint {
        /// The mountpoint.
        path: PathBuf,
        /// The error of stat(2) or statfs(2).
        errno: Errno,
    },
    /// No FUSE filesystem is mounted there (any more); the window of another filesystem is not
    /// touched.
    #[error("{path} is not on a FUSE filesystem", path = path.display())]
    NotFuse {
        /// The mountpoint.
        path: PathBuf,
    },
    /// The setting could not be read: usually sysfs is not mounted.
    #[error("cannot read {file}: {source}; is sysfs mounted at /sys?", file = file.display())]
    Unreadable {
        /// The file of the setting.
        file: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The setting could not be written: usually for want of privilege.
    #[error(
        "the readahead window stays at {current_kb} KiB: {source}; root, with /sys writable, can \
         raise it while the filesystem is mounted: echo {wanted_kb} > {file}",
        file = file.display()
    )]
    Unwritable {
        /// The file of the setting.
        file: PathBuf,
        /// The window in force, in KiB.
        current_kb: u64,
        /// The window that was wanted, in KiB.
        wanted_kb: u64,
        /// The error of the system.
        source: io::Error,
    },
}

/// Raises the readahead window of the mount at `mountpoint` to `bytes` (rounded up to KiB). A
/// larger window stays as it is.
///
/// Sends GETATTR and STATFS to the mount, so it must be served by now.
///
/// # Errors
/// See [`BdiError`].
pub fn raise(mountpoint: &Path, bytes: usize) -> Result<Raised, BdiError> {
    raise_file(&setting(mountpoint)?, bytes)
}

/// The readahead window of the mount at `mountpoint`, in KiB.
///
/// # Errors
/// See [`BdiError`].
pub fn current(mountpoint: &Path) -> Result<u64, BdiError> {
    read(&setting(mountpoint)?)
}

fn setting(mountpoint: &Path) -> Result<PathBuf, BdiError> {
    let failed = |errno| BdiError::Mountpoint {
        path: mountpoint.to_owned(),
        errno,
    };
    let device = stat(mountpoint).map_err(failed)?.st_dev;
    let magic = statfs(mountpoint).map_err(failed)?.f_type;
    #[allow(clippy::unnecessary_cast)] // Its type differs between architectures.
    if magic as i64 != FUSE_MAGIC {
        return Err(BdiError::NotFuse {
            path: mountpoint.to_owned(),
        });
    }
    let (major, minor) = (major(device), minor(device));
    Ok(PathBuf::from(format!(
        "/sys/class/bdi/{major}:{minor}/read_ahead_kb"
    )))
}

fn raise_file(file: &Path, bytes: usize) -> Result<Raised, BdiError> {
    let before_kb = read(file)?;
    let wanted_kb = bytes.div_ceil(1024) as u64;
    if wanted_kb > before_kb {
        std::fs::write(file, wanted_kb.to_string()).map_err(|source| BdiError::Unwritable {
            file: file.to_owned(),
            current_kb: before_kb,
            wanted_kb,
            source,
        })?;
    }
    Ok(Raised {
        before_kb,
        after_kb: read(file)?,
    })
}

fn read(file: &Path) -> Result<u64, BdiError> {
    let failed = |source| BdiError::Unreadable {
        file: file.to_owned(),
        source,
    };
    let text = std::fs::read_to_string(file).map_err(failed)?;
    text.trim()
        .parse()
        .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting_of(kb: u64) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("read_ahead_kb");
        std::fs::write(&file, format!("{kb}\n")).expect("a file");
        (dir, file)
    }

    #[test]
    fn a_smaller_window_is_raised_and_read_back() {
        let (_dir, file) = setting_of(128);
        let raised = raise_file(&file, 512 * 1024).expect("raised");
        assert_eq!((raised.before_kb, raised.after_kb), (128, 512));
    }

    #[test]
    fn a_larger_window_stays() {
        let (_dir, file) = setting_of(1024);
        let raised = raise_file(&file, 512 * 1024).expect("nothing to do");
        assert_eq!((raised.before_kb, raised.after_kb), (1024, 1024));
    }

    #[test]
    fn other_filesystems_are_not_touched() {
        for path in ["/proc", "/sys"] {
            let error = raise(Path::new(path), 1 << 20).expect_err("not FUSE");
            assert!(matches!(error, BdiError::NotFuse { .. }), "{error}");
        }
    }

    #[test]
    fn errors_name_the_file_and_the_way_out() {
        let missing = Path::new("/sys/class/bdi/0:0/read_ahead_kb");
        let error = raise_file(missing, 4096).expect_err("no such device");
        assert!(error.to_string().contains("is sysfs mounted"), "{error}");

        // The files of sysfs that are read-only refuse even root.
        let read_only = Path::new("/sys/kernel/uevent_seqnum");
        let error = raise_file(read_only, usize::MAX).expect_err("read-only");
        assert!(matches!(error, BdiError::Unwritable { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.contains("echo") && text.contains("uevent_seqnum"),
            "{text}"
        );
    }
}
