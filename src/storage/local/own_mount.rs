//! A mount of the storage's own.
//!
//! Whether reading sets a time of access is a question of the mount through which a file was opened, the
//! backing file of a passthrough too (`touch_atime` in `fs/inode.c`). So where the mount that is served is
//! to do otherwise than the one where the directory lies, the storage reaches the directory by a private
//! copy of that mount, which has no place in any tree and ends with its descriptor (open_tree(2),
//! mount_setattr(2), Linux 5.12).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::mount::{OpenTreeFlags, open_tree};

use super::sys::{MountAttributes, set_mount_attributes};
use crate::storage::types::{AccessTimes, Result};

/// The directory by a mount of its own, with those mounted inside; `None` where the one that there is
/// will do. What is mounted inside later is not seen.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`, `ENOSYS` before Linux 5.12.
pub(super) fn with_access_times(
    root: BorrowedFd<'_>,
    times: AccessTimes,
) -> Result<Option<OwnedFd>> {
    let set = match times {
        AccessTimes::Inherited => return Ok(None),
        AccessTimes::Kept => MountAttributes::NOATIME,
        AccessTimes::KeptOfDirectories => MountAttributes::NODIRATIME,
        AccessTimes::Strict => MountAttributes::STRICTATIME,
    };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_EMPTY_PATH;
    let own = open_tree(root, c"", flags)?;
    let all = MountAttributes::ATIME | MountAttributes::NODIRATIME;
    set_mount_attributes(own.as_fd(), set, all)?;
    Ok(Some(own))
}
