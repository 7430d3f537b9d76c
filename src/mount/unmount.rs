//! Taking a mount away.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::io::Errno;

use crate::platform;

/// How to unmount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnmountMode {
    /// Fails while something uses the mount.
    Normal,
    /// Takes the mount out of the tree at once; it ends when its last user does (`MNT_DETACH`).
    Lazy,
}

/// Why a mount is still there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnmountError {
    /// Something uses it.
    #[error("{path} is in use: close what is open there, or unmount lazily")]
    Busy {
        /// The mountpoint.
        path: PathBuf,
    },
    /// Nothing is mounted there.
    #[error("{path} is not a mountpoint")]
    NotMounted {
        /// The path as given.
        path: PathBuf,
    },
    /// Neither the system call nor the helper was allowed to.
    #[error("cannot unmount {path}: {reason}")]
    Refused {
        /// The mountpoint.
        path: PathBuf,
        /// What the kernel or the helper said.
        reason: String,
    },
}

/// Unmounts `mountpoint`: by umount2(2) where allowed, otherwise with the set-user-id helper
/// `fusermount3`.
///
/// # Errors
/// See [`UnmountError`]; the mount is then unchanged.
pub fn unmount(mountpoint: &Path, mode: UnmountMode) -> Result<(), UnmountError> {
    let path = || mountpoint.to_owned();
    match platform::unmount(mountpoint, mode == UnmountMode::Lazy) {
        Ok(()) => Ok(()),
        Err(Errno::BUSY) => Err(UnmountError::Busy { path: path() }),
        Err(Errno::INVAL | Errno::NOENT) => Err(UnmountError::NotMounted { path: path() }),
        Err(Errno::PERM) => unmount_with_helper(mountpoint, mode),
        Err(error) => Err(UnmountError::Refused {
            path: path(),
            reason: error.to_string(),
        }),
    }
}

fn unmount_with_helper(mountpoint: &Path, mode: UnmountMode) -> Result<(), UnmountError> {
    let refused = |reason: String| UnmountError::Refused {
        path: mountpoint.to_owned(),
        reason,
    };
    let mut helper = Command::new("fusermount3");
    helper.arg("-u");
    if mode == UnmountMode::Lazy {
        helper.arg("-z");
    }
    let output = helper.arg("--").arg(mountpoint).output().map_err(|error| {
        refused(format!(
            "not privileged, and fusermount3 cannot be run ({error}); install the package fuse3"
        ))
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if said.contains("busy") {
        Err(UnmountError::Busy {
            path: mountpoint.to_owned(),
        })
    } else if said.contains("not found") || said.contains("not mounted") {
        Err(UnmountError::NotMounted {
            path: mountpoint.to_owned(),
        })
    } else {
        Err(refused(said))
    }
}
