//! Waiting for a message or for the end, whichever comes first.
//!
//! A worker waits in read(2), and only the end of the connection ends that wait. Where the mount is somebody
//! else's to take away, the worker waits here before it reads: one system call more a request.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::io::Errno;

/// What the event of the bell is told from that of the device by.
const RUNG: u64 = 1;

/// Ends the waits of all workers of a connection, for good.
#[derive(Debug, Clone)]
pub(super) struct Bell(Arc<OwnedFd>);

impl Bell {
    pub(super) fn new() -> rustix::io::Result<Bell> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        eventfd(0, flags).map(Arc::new).map(Bell)
    }

    pub(super) fn ring(&self) -> rustix::io::Result<()> {
        match rustix::io::write(&self.0, &1_u64.to_ne_bytes()) {
            // It rings already.
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The wait of one worker.
#[derive(Debug)]
pub(super) struct Wait {
    bell: Bell,
    events: OwnedFd,
}

impl Wait {
    /// For messages from `device`, until `bell` rings.
    pub(super) fn new(device: BorrowedFd<'_>, bell: &Bell) -> rustix::io::Result<Wait> {
        use epoll::{EventData, EventFlags};
        let events = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        // A message wakes one worker, not all.
        let message = EventFlags::IN | EventFlags::EXCLUSIVE;
        epoll::add(&events, device, EventData::new_u64(!RUNG), message)?;
        let rung = EventData::new_u64(RUNG);
        epoll::add(&events, bell.0.as_fd(), rung, EventFlags::IN)?;
        let bell = bell.clone();
        Ok(Wait { bell, events })
    }

    pub(super) fn bell(&self) -> &Bell {
        &self.bell
    }

    /// Waits; false when the bell has rung.
    pub(super) fn for_message(&self) -> rustix::io::Result<bool> {
        let mut happened = [const { std::mem::MaybeUninit::uninit() }; 2];
        let (happened, _) = epoll::wait(&self.events, &mut happened, None)?;
        Ok(happened.iter().all(|event| event.data.u64() != RUNG))
    }
}
