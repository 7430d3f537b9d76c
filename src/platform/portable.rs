//! Systems other than Linux: what is there in its place.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::Command;

use rustix::fs::OFlags;
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::process::{Pid, test_kill_process};
use rustix::time::ClockId;

#[cfg(not(target_vendor = "apple"))]
pub use super::freebsd::{RenameFlags, XattrFlags};
#[cfg(target_vendor = "apple")]
pub use rustix::fs::{RenameFlags, XattrFlags};

/// What is said of an extended attribute that is not there.
pub(crate) const NO_ATTRIBUTE: Errno = Errno::from_raw_os_error(libc::ENOATTR);

bitflags::bitflags! {
    /// Modes of fallocate(2), as Linux numbers them.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct FallocateFlags: u32 {
        /// The size stays.
        const KEEP_SIZE = 1;
        /// Makes a hole.
        const PUNCH_HOLE = 2;
        /// Takes the range out.
        const COLLAPSE_RANGE = 8;
        /// Zeroes the range.
        const ZERO_RANGE = 16;
        /// Makes room for a range.
        const INSERT_RANGE = 32;
        const _ = !0;
    }
}

bitflags::bitflags! {
    /// Flags of an inode, as Linux numbers them (ioctl_iflags(2)).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct IFlags: u32 {
        /// Can only be appended to.
        const APPEND = 0x20;
        /// Cannot be changed.
        const IMMUTABLE = 0x10;
        const _ = !0;
    }
}

/// A monotonic clock.
pub(crate) const COARSE_CLOCK: ClockId = ClockId::Monotonic;

/// Kinds of a record lock, fcntl(2).
pub(crate) const F_RDLCK: i32 = libc::F_RDLCK as i32;
pub(crate) const F_WRLCK: i32 = libc::F_WRLCK as i32;
pub(crate) const F_UNLCK: i32 = libc::F_UNLCK as i32;

/// There is no `O_NOATIME`.
pub(crate) fn leaves_access_time(_flags: OFlags) -> bool {
    false
}

/// Whether this process may mount, and open files by their handles: root may do all.
pub(crate) fn privileges() -> [bool; 2] {
    [rustix::process::geteuid().is_root(); 2]
}

/// A pipe that programs started later do not get: the end to read from, the end to write to. (One that
/// is started by another thread in between may.)
pub(crate) fn pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    let (reader, writer) = rustix::pipe::pipe()?;
    fcntl_setfd(&reader, FdFlags::CLOEXEC)?;
    fcntl_setfd(&writer, FdFlags::CLOEXEC)?;
    Ok((reader, writer))
}

/// Makes contents and attributes durable. On macOS fsync(2) stops at the cache of the drive, which
/// `F_FULLFSYNC` empties; where a file system has no such barrier, fsync(2) is all there is.
///
/// # Errors
/// Those of fsync(2).
pub fn sync(fd: impl AsFd, _datasync: bool) -> Result<(), Errno> {
    #[cfg(target_vendor = "apple")]
    match rustix::fs::fcntl_fullfsync(&fd) {
        Err(Errno::NOTSUP | Errno::NOTTY | Errno::INVAL) => {}
        done => return done,
    }
    rustix::fs::fsync(fd)
}

/// umount(8); `lazy` forces it, for want of anything gentler.
pub(crate) fn unmount(mountpoint: &Path, lazy: bool) -> Result<(), Errno> {
    let mut command = Command::new("umount");
    if lazy {
        command.arg("-f");
    }
    let output = command.arg("--").arg(mountpoint).output();
    let output = output.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).to_lowercase();
    Err(if said.contains("busy") {
        Errno::BUSY
    } else if said.contains("not currently mounted") || said.contains("not a file system") {
        Errno::INVAL
    } else {
        Errno::ACCESS
    })
}

/// How often a process is looked for.
#[cfg(feature = "cli")]
const PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// A process of somebody else's, to wait for.
#[cfg(feature = "cli")]
pub(crate) struct Process(Pid);

#[cfg(feature = "cli")]
impl Process {
    /// The running process of that id.
    pub(crate) fn of(pid: Pid) -> Option<Process> {
        test_kill_process(pid).ok().map(|()| Process(pid))
    }

    /// Returns when it has ended.
    pub(crate) fn wait(&self) -> Result<(), Errno> {
        loop {
            match test_kill_process(self.0) {
                Ok(()) => std::thread::sleep(PAUSE),
                Err(Errno::SRCH) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}
