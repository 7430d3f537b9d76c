//! The system calls of this transport that have no safe form.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::wire::abi::{BackingMap, DEV_IOC_BACKING_CLOSE, DEV_IOC_BACKING_OPEN, DEV_IOC_CLONE};

/// Makes `new`, which was just opened, a further way into the connection of `session`.
pub(super) fn clone_connection(new: BorrowedFd<'_>, session: BorrowedFd<'_>) -> io::Result<()> {
    let session: RawFd = session.as_raw_fd();
    // SAFETY: the number encodes a read of 4 bytes from the argument, which outlives the call.
    let result = unsafe {
        libc::ioctl(
            new.as_raw_fd(),
            DEV_IOC_CLONE as libc::Ioctl,
            &raw const session,
        )
    };
    check(result).map(drop)
}

/// A descriptor of our own for what is open under a number that somebody gave us.
///
/// # Errors
/// `EBADF` where nothing is open under it.
pub(super) fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: a number is all that is passed; the kernel refuses one that nothing is open under.
    let new = check(unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 0) })?;
    // SAFETY: the kernel has just made it, so it is nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(new) })
}

/// Registers a file for passthrough and returns its id in this connection.
pub(super) fn register_backing(device: BorrowedFd<'_>, file: BorrowedFd<'_>) -> io::Result<u32> {
    let map = BackingMap {
        fd: file.as_raw_fd(),
        ..BackingMap::default()
    };
    // SAFETY: the number encodes a read of 16 bytes from the argument, which is such a structure
    // and outlives the call.
    let result = unsafe {
        libc::ioctl(
            device.as_raw_fd(),
            DEV_IOC_BACKING_OPEN as libc::Ioctl,
            &raw const map,
        )
    };
    check(result).map(|id| id as u32)
}

/// Gives a backing id back. Files that are open with it keep it.
pub(super) fn unregister_backing(device: BorrowedFd<'_>, id: u32) -> io::Result<()> {
    // SAFETY: the number encodes a read of 4 bytes from the argument, which outlives the call.
    let result = unsafe {
        libc::ioctl(
            device.as_raw_fd(),
            DEV_IOC_BACKING_CLOSE as libc::Ioctl,
            &raw const id,
        )
    };
    check(result).map(drop)
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    match result {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(result),
    }
}
