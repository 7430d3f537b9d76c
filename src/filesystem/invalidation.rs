//! Telling the kernel what to drop, from a thread of its own.
//!
//! A notification waits for locks that a request may hold; sent from inside a request handler it can
//! wait for itself. So handlers only queue.

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::listings::Expiry;
use crate::storage::Ino;

/// Notifications waiting at most. More than that means that the kernel is stuck behind them; what
/// does not fit is dropped, and the TTL bounds the staleness.
const QUEUE: usize = 4096;

/// The longest lifetime that can be configured.
const LONGEST: Duration = Duration::from_secs(86_400);

/// The notifications of a transport (`FUSE_NOTIFY_*` of the kernel's `fuse.h`).
pub trait KernelNotifier: Send {
    /// Drop the attributes of an inode, and its cached pages from `offset` on for `len` bytes
    /// (0: to the end). A negative `offset` drops attributes only.
    fn inval_inode(&self, ino: Ino, offset: i64, len: i64) -> std::io::Result<()>;
    /// Drop a name.
    fn inval_entry(&self, parent: Ino, name: &std::ffi::OsStr) -> std::io::Result<()>;
    /// Look a name up again before it is used, and leave mounts and working directories on it alone.
    /// Where the kernel has no such notification (before Linux 6.2), drops it.
    fn expire_entry(&self, parent: Ino, name: &std::ffi::OsStr) -> std::io::Result<()> {
        self.inval_entry(parent, name)
    }
}

enum Message {
    /// The listing of a directory is to be dropped at that moment.
    Listing {
        ino: Ino,
        due: Instant,
    },
    Attach(Box<dyn KernelNotifier>),
    Inode {
        ino: Ino,
        offset: i64,
        len: i64,
    },
    Entry {
        parent: Ino,
        name: OsString,
    },
    /// A name that may be as it was.
    Expire {
        parent: Ino,
        name: OsString,
    },
}

impl Message {
    fn attributes(ino: Ino) -> Message {
        Message::Inode {
            ino,
            offset: -1,
            len: 0,
        }
    }

    fn contents(ino: Ino) -> Message {
        Message::Inode {
            ino,
            offset: 0,
            len: 0,
        }
    }
}

/// The queue and its thread.
pub struct Invalidator {
    queue: Mutex<Option<SyncSender<Message>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    sent: Arc<AtomicU64>,
}

impl Invalidator {
    pub(super) fn start() -> Invalidator {
        let (queue, messages) = sync_channel(QUEUE);
        let sent = Arc::new(AtomicU64::new(0));
        let counter = sent.clone();
        let thread = std::thread::Builder::new()
            .name("dynamicfs-inval".into())
            .spawn(move || deliver(messages, &counter));
        let thread = match thread {
            Ok(thread) => Some(thread),
            Err(error) => {
                tracing::error!(%error, "no thread for invalidations: staleness is bounded by TTLs only");
                None
            }
        };
        Invalidator {
            queue: Mutex::new(thread.is_some().then_some(queue)),
            thread: Mutex::new(thread),
            sent,
        }
    }

    /// Gives the thread a way to the kernel. Until then, notifications are dropped: there is no
    /// kernel cache yet.
    pub fn attach(&self, notifier: Box<dyn KernelNotifier>) {
        self.send(Message::Attach(notifier));
    }

    /// Queues: drop the attributes of `ino`.
    pub fn attributes(&self, ino: Ino) {
        self.send(Message::attributes(ino));
    }

    /// Queues: drop attributes and all cached data of `ino`.
    pub fn inode(&self, ino: Ino) {
        self.send(Message::contents(ino));
    }

    /// Queues: drop the name.
    pub fn entry(&self, parent: Ino, name: OsString) {
        self.send(Message::Entry { parent, name });
    }

    /// Queues: look the name up again before it is used.
    pub(super) fn expire_entry(&self, parent: Ino, name: OsString) {
        self.send(Message::Expire { parent, name });
    }

    /// A listing of `ino` starts now: drops what the kernel keeps of it after `lifetime`, unless another
    /// starts before.
    pub(super) fn listing(&self, ino: Ino, lifetime: Duration) {
        // What lives longer than any lifetime that can be configured never ends.
        if lifetime <= LONGEST {
            let due = Instant::now() + lifetime;
            self.send(Message::Listing { ino, due });
        }
    }

    /// Like [`attributes`](Self::attributes), and waits while the queue is full. Not for threads that
    /// serve requests.
    pub(super) fn must_drop_attributes(&self, ino: Ino) {
        self.send_waiting(Message::attributes(ino));
    }

    /// Like [`inode`](Self::inode), and waits while the queue is full. Not for threads that serve requests.
    pub(super) fn must_drop_inode(&self, ino: Ino) {
        self.send_waiting(Message::contents(ino));
    }

    /// Like [`entry`](Self::entry), and waits while the queue is full. Not for threads that serve requests.
    pub(super) fn must_drop_entry(&self, parent: Ino, name: OsString) {
        self.send_waiting(Message::Entry { parent, name });
    }

    /// Like [`expire_entry`](Self::expire_entry), and waits while the queue is full. Not for threads that serve
    /// requests.
    pub(super) fn must_expire_entry(&self, parent: Ino, name: OsString) {
        self.send_waiting(Message::Expire { parent, name });
    }

    /// Invalidations taken from the queue since the mount.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    fn send(&self, message: Message) {
        let Some(queue) = &*self.queue.lock() else {
            return;
        };
        match queue.try_send(message) {
            // What is shown stays right without it, as far as is known.
            Ok(()) | Err(TrySendError::Full(Message::Listing { .. } | Message::Expire { .. })) => {}
            Err(TrySendError::Full(_)) => {
                tracing::warn!("the queue of invalidations is full; one was dropped");
            }
            // Its thread is gone, which said so itself.
            Err(TrySendError::Disconnected(_)) => {}
        }
    }

    fn send_waiting(&self, message: Message) {
        // Not under the lock, which those who must not wait take.
        let queue = self.queue.lock().clone();
        if let Some(queue) = queue {
            // Fails when the thread is gone: then the mount is going away.
            let _ = queue.send(message);
        }
    }

    /// Ends the thread; what is queued is still sent.
    pub(super) fn stop(&self) {
        drop(self.queue.lock().take());
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of invalidations panicked");
        }
    }
}

impl Drop for Invalidator {
    fn drop(&mut self) {
        self.stop();
    }
}

fn deliver(messages: Receiver<Message>, counter: &AtomicU64) {
    let mut notifier: Option<Box<dyn KernelNotifier>> = None;
    let mut expiry = Expiry::default();
    loop {
        let message = match expiry.next_due() {
            None => messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(due) => messages.recv_timeout(due.saturating_duration_since(Instant::now())),
        };
        let Some(kernel) = &notifier else {
            match message {
                Ok(Message::Attach(new)) => notifier = Some(new),
                Ok(_) => {}
                Err(_) => return,
            }
            continue;
        };
        let sent = match message {
            Ok(Message::Attach(new)) => {
                notifier = Some(new);
                continue;
            }
            Ok(Message::Listing { ino, due }) => {
                expiry.add(ino, due);
                continue;
            }
            Ok(Message::Inode { ino, offset, len }) => kernel.inval_inode(ino, offset, len),
            Ok(Message::Entry { parent, name }) => kernel.inval_entry(parent, &name),
            Ok(Message::Expire { parent, name }) => kernel.expire_entry(parent, &name),
            Err(RecvTimeoutError::Timeout) => match expiry.take(Instant::now()) {
                Some(directory) => kernel.inval_inode(directory, 0, 0),
                None => continue,
            },
            Err(RecvTimeoutError::Disconnected) => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = sent {
            // The inode or name is no longer cached, or the mount is going away: either way
            // there is nothing left to drop.
            tracing::debug!(%error, "the kernel did not take an invalidation");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Recorder(Arc<Mutex<Vec<String>>>);

    impl KernelNotifier for Recorder {
        fn inval_inode(&self, ino: Ino, offset: i64, len: i64) -> std::io::Result<()> {
            self.0.lock().push(format!("inode {ino} {offset} {len}"));
            Ok(())
        }
        fn inval_entry(&self, parent: Ino, name: &std::ffi::OsStr) -> std::io::Result<()> {
            self.0.lock().push(format!("entry {parent} {name:?}"));
            Err(std::io::ErrorKind::NotFound.into())
        }
        fn expire_entry(&self, parent: Ino, name: &std::ffi::OsStr) -> std::io::Result<()> {
            self.0.lock().push(format!("expire {parent} {name:?}"));
            Ok(())
        }
    }

    #[test]
    fn notifications_arrive_in_order_and_an_error_does_not_stop_the_thread() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let invalidator = Invalidator::start();
        invalidator.attributes(1);
        invalidator.attach(Box::new(Recorder(seen.clone())));
        invalidator.entry(1, "gone".into());
        invalidator.expire_entry(1, "perhaps".into());
        invalidator.attributes(2);
        invalidator.inode(3);
        invalidator.stop();
        assert_eq!(
            *seen.lock(),
            [
                "entry 1 \"gone\"",
                "expire 1 \"perhaps\"",
                "inode 2 -1 0",
                "inode 3 0 0"
            ]
        );
    }
}
