//! A way into a connection with the kernel.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, splice};

use super::bell::{Bell, Wait};
use super::sys;
use crate::transport::given::Ender;

/// The device of all FUSE connections.
const PATH: &str = "/dev/fuse";

/// Its number, which is the same everywhere (the kernel's `Documentation/admin-guide/devices.txt`).
const MAJOR: u32 = 10;
const MINOR: u32 = 229;

/// An open `/dev/fuse`, or a socket whose other end plays the kernel.
///
/// A request must be answered through the descriptor by which it was read: the kernel keeps those
/// under way by descriptor, and takes the closing of one for a refusal of all that it has.
#[derive(Debug)]
pub(super) struct Device {
    connection: OwnedFd,
    /// How a message is waited for, where not by reading it.
    wait: Option<Wait>,
}

impl Device {
    /// Opens the device; it belongs to no connection yet.
    pub(super) fn open() -> io::Result<OwnedFd> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        rustix::fs::open(PATH, flags, Mode::empty()).map_err(|error| {
            let error = io::Error::from(error);
            io::Error::new(error.kind(), format!("{PATH}: {error}"))
        })
    }

    /// A connection that somebody else has mounted, by the number of its descriptor, which stays open and its
    /// owner's. Its workers can be [ended](Device::ender).
    ///
    /// # Errors
    /// Nothing is open under the number, or something else.
    pub(super) fn given(number: RawFd) -> io::Result<Device> {
        let connection = sys::duplicate(number)?;
        if !is_fuse(connection.as_fd()) {
            let text = format!("descriptor {number} is not an open {PATH}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Device::awaited(connection, &Bell::new()?)
    }

    /// A way into a connection whose workers wait until a message comes or the bell rings.
    fn awaited(connection: OwnedFd, bell: &Bell) -> io::Result<Device> {
        // Another worker may have taken the message that ended the wait.
        let flags = rustix::fs::fcntl_getfl(&connection)?;
        rustix::fs::fcntl_setfl(&connection, flags | OFlags::NONBLOCK)?;
        let wait = Wait::new(connection.as_fd(), bell)?;
        Ok(Device {
            connection,
            wait: Some(wait),
        })
    }

    /// Whether it is the device, and not a socket in its place.
    pub(super) fn is_fuse(&self) -> bool {
        is_fuse(self.as_fd())
    }

    /// What ends the workers although the connection lasts; `None` where they wait for its end alone.
    pub(super) fn ender(&self) -> Option<Ender> {
        let bell = self.wait.as_ref()?.bell().clone();
        Some(Arc::new(move || Ok(bell.ring()?)))
    }

    pub(super) fn new(connection: OwnedFd) -> Device {
        Device {
            connection,
            wait: None,
        }
    }

    /// A further way into the same connection, with a queue of its own in the kernel. Where the device
    /// cannot be opened again (its node may be out of reach by now), both share one.
    pub(super) fn another(&self) -> io::Result<Device> {
        let own = Device::open().and_then(|new| {
            sys::clone_connection(new.as_fd(), self.connection.as_fd())?;
            Ok(new)
        });
        let own = own.or_else(|error| {
            tracing::debug!(%error, "a worker shares its device with another");
            self.connection.try_clone()
        })?;
        match &self.wait {
            Some(wait) => Device::awaited(own, wait.bell()),
            None => Ok(Device::new(own)),
        }
    }

    /// Waits for a message and puts it into `buffer`; `None` when the connection has ended, or this process
    /// is to leave it.
    ///
    /// # Errors
    /// Anything but that end: the connection cannot be used any more.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        self.take(|connection| rustix::io::read(connection, &mut *buffer))
    }

    /// The same, with the message put into a pipe that is empty and can hold it, at most `len` bytes. Not for a
    /// socket, which does not keep messages apart then.
    pub(super) fn receive_into(
        &self,
        pipe: BorrowedFd<'_>,
        len: usize,
    ) -> io::Result<Option<usize>> {
        let flags = SpliceFlags::empty();
        self.take(|connection| splice(connection, None, pipe, None, len, flags))
    }

    /// Waits for a message, which `take` takes.
    fn take(
        &self,
        mut take: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<usize>,
    ) -> io::Result<Option<usize>> {
        loop {
            if let Some(wait) = &self.wait {
                match wait.for_message() {
                    Ok(true) => {}
                    Ok(false) => return Ok(None),
                    Err(Errno::INTR) => continue,
                    Err(error) => return Err(error.into()),
                }
            }
            match take(self.connection.as_fd()) {
                // A socket whose other end is closed.
                Ok(0) => return Ok(None),
                Ok(len) => return Ok(Some(len)),
                // Unmounted; the second where that came while a request was being read.
                Err(Errno::NODEV | Errno::CONNABORTED) => return Ok(None),
                // The caller of a request was interrupted before it could be read; a signal; nothing yet.
                Err(Errno::NOENT | Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends a message that lies in pieces.
    pub(super) fn send(&self, message: &[IoSlice<'_>]) -> rustix::io::Result<()> {
        rustix::io::writev(&self.connection, message).map(drop)
    }
}

fn is_fuse(file: BorrowedFd<'_>) -> bool {
    rustix::fs::fstat(file).is_ok_and(|found| {
        FileType::from_raw_mode(found.st_mode) == FileType::CharacterDevice
            && found.st_rdev == rustix::fs::makedev(MAJOR, MINOR)
    })
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};

    use super::*;

    #[test]
    fn workers_that_wait_end_together_and_not_before() {
        let flags = SocketFlags::CLOEXEC;
        let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
        let (kernel, ours) = pair.expect("a pair");
        let first = Device::awaited(ours, &Bell::new().expect("a bell")).expect("a device");
        let second = first.another().expect("another");
        let end = first.ender().expect("it waits");
        std::thread::scope(|scope| {
            let received = [&first, &second].map(|device| {
                scope.spawn(move || {
                    let mut count = 0;
                    while device.receive(&mut [0; 8]).expect("open").is_some() {
                        count += 1;
                    }
                    count
                })
            });
            for _ in 0..100 {
                send(&kernel, &[1], SendFlags::empty()).expect("sent");
            }
            while rustix::io::ioctl_fionread(&first).is_ok_and(|bytes| bytes > 0) {
                std::thread::yield_now();
            }
            end().expect("rung");
            end().expect("rung again");
            let all: i32 = received.map(|r| r.join().expect("ended")).iter().sum();
            assert_eq!(all, 100);
        });
        assert!(Device::new(kernel).ender().is_none());
    }

    #[test]
    fn what_is_no_device_is_not_taken_for_one() {
        let file = tempfile::tempfile().expect("a file");
        let number = std::os::fd::AsRawFd::as_raw_fd(&file);
        let error = Device::given(number).expect_err("a file");
        assert!(error.to_string().contains("is not an open /dev/fuse"));
        assert!(Device::given(RawFd::MAX).is_err());
    }
}
