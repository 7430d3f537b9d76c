//! fanotify(7), which `rustix` does not wrap.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use crate::storage::types::Result;

/// What is told: names that come and go, contents, attributes; of directories too.
const EVENTS: u64 = libc::FAN_CREATE
    | libc::FAN_DELETE
    | libc::FAN_MOVED_FROM
    | libc::FAN_MOVED_TO
    | libc::FAN_MODIFY
    | libc::FAN_ATTRIB
    | libc::FAN_ONDIR;

/// A group whose events name the directory by its file handle, the name in it, and the inode by its file
/// handle (fanotify_init(2), `FAN_REPORT_DFID_NAME_TARGET`, Linux 5.17).
pub(super) fn group() -> Result<OwnedFd> {
    let flags = libc::FAN_CLASS_NOTIF
        | libc::FAN_CLOEXEC
        | libc::FAN_NONBLOCK
        | libc::FAN_REPORT_DFID_NAME_TARGET;
    // SAFETY: no memory is involved.
    let fd = unsafe { libc::fanotify_init(flags, libc::O_RDONLY as libc::c_uint) };
    if fd < 0 {
        return Err(last_errno());
    }
    // SAFETY: the kernel just made this descriptor and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Marks the file system of a directory.
pub(super) fn mark_filesystem(group: BorrowedFd<'_>, directory: BorrowedFd<'_>) -> Result<()> {
    let flags = libc::FAN_MARK_ADD | libc::FAN_MARK_FILESYSTEM | libc::FAN_MARK_ONLYDIR;
    // SAFETY: the path ends with NUL and outlives the call. (A name, because a descriptor alone may not be
    // an `O_PATH` one.)
    let result = unsafe {
        libc::fanotify_mark(
            group.as_raw_fd(),
            flags,
            EVENTS,
            directory.as_raw_fd(),
            c".".as_ptr(),
        )
    };
    if result < 0 {
        return Err(last_errno());
    }
    Ok(())
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
