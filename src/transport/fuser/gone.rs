//! Keeps `fuser` from unmounting twice.
//!
//! When a session ends, `fuser` 0.18 unmounts its mountpoint unless poll(2) shows that the mount is
//! gone already. It reads the answer the wrong way round: `POLLERR`, which the device reports once
//! the mount is gone, counts as mounted (`mnt::is_mounted`). So after every ordinary unmount it
//! unmounts again, by path, whatever is mounted there by then: a new mount of ours, or the file system
//! below the mountpoint. The end of a pipe whose other end is closed reports `POLLHUP` and not
//! `POLLERR`; put in the place of the device, it makes that second unmount not happen.

use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::platform::pipe;

/// Called at the end of a session, between its last request and the moment at which `fuser` looks
/// whether the mount is still there. `device` is the session's descriptor.
pub(super) fn settle(device: RawFd) {
    // SAFETY: the session's `Mount` owns the descriptor and is dropped after `Filesystem::destroy`,
    // from where this is called; it is not closed here.
    let mut device = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(device) });
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut state = [PollFd::new(&*device, PollFlags::empty())];
    let gone = poll(&mut state, Some(&now)).is_ok() && state[0].revents().contains(PollFlags::ERR);
    if !gone {
        // The session broke while the mount is there: then `fuser` shall unmount it.
        return;
    }
    let replaced = pipe().and_then(|(reader, writer)| {
        drop(writer);
        rustix::io::dup2(&reader, &mut device)
    });
    if let Err(error) = replaced {
        tracing::warn!(%error, "the mountpoint may be unmounted a second time");
    }
}
