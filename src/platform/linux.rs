//! Linux.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

#[cfg(feature = "cli")]
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::mount::UnmountFlags;
use rustix::pipe::{PipeFlags, pipe_with};
#[cfg(feature = "cli")]
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::thread::CapabilitySet;
use rustix::time::ClockId;

pub use rustix::fs::{FallocateFlags, IFlags, RenameFlags, XattrFlags};

/// What is said of an extended attribute that is not there.
pub(crate) const NO_ATTRIBUTE: Errno = Errno::NODATA;

/// A monotonic clock that is cheap to read and may lag by a timer tick.
pub(crate) const COARSE_CLOCK: ClockId = ClockId::MonotonicCoarse;

/// Kinds of a record lock, fcntl(2).
pub(crate) const F_RDLCK: i32 = libc::F_RDLCK;
pub(crate) const F_WRLCK: i32 = libc::F_WRLCK;
pub(crate) const F_UNLCK: i32 = libc::F_UNLCK;

/// Whether reading a file opened so leaves its time of access (`O_NOATIME`).
pub(crate) fn leaves_access_time(flags: OFlags) -> bool {
    flags.contains(OFlags::NOATIME)
}

/// Whether this process may mount (`CAP_SYS_ADMIN`), and open files by their handles
/// (`CAP_DAC_READ_SEARCH`).
pub(crate) fn privileges() -> [bool; 2] {
    // Fails for no process that asks about itself; without an answer, assume the least.
    let effective = rustix::thread::capabilities(None)
        .map_or_else(|_| CapabilitySet::empty(), |sets| sets.effective);
    [CapabilitySet::SYS_ADMIN, CapabilitySet::DAC_READ_SEARCH]
        .map(|capability| effective.contains(capability))
}

/// A pipe that programs started later do not get: the end to read from, the end to write to.
pub(crate) fn pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    pipe_with(PipeFlags::CLOEXEC)
}

/// Makes contents, and unless `datasync` attributes, durable: fsync(2) waits for the medium.
///
/// # Errors
/// Those of fsync(2).
pub fn sync(fd: impl AsFd, datasync: bool) -> Result<(), Errno> {
    if datasync {
        rustix::fs::fdatasync(fd)
    } else {
        rustix::fs::fsync(fd)
    }
}

/// umount2(2); `lazy` takes the mount away while something uses it.
pub(crate) fn unmount(mountpoint: &Path, lazy: bool) -> Result<(), Errno> {
    let flags = if lazy {
        UnmountFlags::NOFOLLOW | UnmountFlags::DETACH
    } else {
        UnmountFlags::NOFOLLOW
    };
    rustix::mount::unmount(mountpoint, flags)
}

/// A process of somebody else's, to wait for.
#[cfg(feature = "cli")]
pub(crate) struct Process(OwnedFd);

#[cfg(feature = "cli")]
impl Process {
    /// The running process of that id.
    pub(crate) fn of(pid: Pid) -> Option<Process> {
        pidfd_open(pid, PidfdFlags::empty()).ok().map(Process)
    }

    /// Returns when it has ended.
    pub(crate) fn wait(&self) -> Result<(), Errno> {
        loop {
            match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], None) {
                Err(Errno::INTR) => {}
                ended => return ended.map(drop),
            }
        }
    }
}
