//! A way into a connection with the kernel.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::sys;

/// The device of all FUSE connections.
const PATH: &str = "/dev/fuse";

/// An open `/dev/fuse`, or a socket whose other end plays the kernel.
///
/// A request must be answered through the descriptor by which it was read: the kernel keeps those
/// under way by descriptor, and takes the closing of one for a refusal of all that it has.
#[derive(Debug)]
pub(super) struct Device(OwnedFd);

impl Device {
    /// Opens the device; it belongs to no connection yet.
    pub(super) fn open() -> io::Result<OwnedFd> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        rustix::fs::open(PATH, flags, Mode::empty()).map_err(|error| {
            let error = io::Error::from(error);
            io::Error::new(error.kind(), format!("{PATH}: {error}"))
        })
    }

    pub(super) fn new(connection: OwnedFd) -> Device {
        Device(connection)
    }

    /// A further way into the same connection, with a queue of its own in the kernel. Where the device
    /// cannot be opened again (its node may be out of reach by now), both share one.
    pub(super) fn another(&self) -> io::Result<Device> {
        let own = Device::open().and_then(|new| {
            sys::clone_connection(new.as_fd(), self.0.as_fd())?;
            Ok(new)
        });
        match own {
            Ok(new) => Ok(Device(new)),
            Err(error) => {
                tracing::debug!(%error, "a worker shares its device with another");
                self.0.try_clone().map(Device)
            }
        }
    }

    /// Waits for a message and puts it into `buffer`; `None` when the connection has ended.
    ///
    /// # Errors
    /// Anything but that end: the connection cannot be used any more.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match rustix::io::read(&self.0, &mut *buffer) {
                // A socket whose other end is closed.
                Ok(0) => return Ok(None),
                Ok(len) => return Ok(Some(len)),
                // Unmounted.
                Err(Errno::NODEV) => return Ok(None),
                // The caller of a request was interrupted before it could be read; a signal; nothing yet.
                Err(Errno::NOENT | Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends a message that lies in pieces.
    pub(super) fn send(&self, message: &[IoSlice<'_>]) -> rustix::io::Result<()> {
        rustix::io::writev(&self.0, message).map(drop)
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
