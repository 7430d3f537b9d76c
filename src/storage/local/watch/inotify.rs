//! A watch for each directory that the kernel holds.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};

use super::super::descriptors::{Descriptors, stat};
use super::super::inodes::{InodeTable, Node};
use super::super::sys::ProcPath;
use super::{Change, Source, name_changed};
use crate::storage::types::{Errno, Result};

/// Room for some hundred events; one with the longest name takes 272 bytes.
const BUFFER: usize = 64 * 1024;

const EVENTS: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::ONLYDIR);

/// Events about a name of a directory.
const NAMES: ReadFlags = APPEARANCES
    .union(ReadFlags::DELETE)
    .union(ReadFlags::MOVED_FROM);

const APPEARANCES: ReadFlags = ReadFlags::CREATE.union(ReadFlags::MOVED_TO);

/// The watched directories.
pub(in super::super) struct Directories {
    instance: OwnedFd,
    watched: Mutex<Watched>,
    /// A directory could not be watched; said once.
    incomplete: AtomicBool,
}

#[derive(Default)]
struct Watched {
    nodes: HashMap<i32, Arc<Node>>,
    /// By the serial number of the node.
    descriptors: HashMap<u64, i32>,
}

impl Directories {
    pub(super) fn new() -> Result<Directories> {
        Ok(Directories {
            instance: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?,
            watched: Mutex::default(),
            incomplete: AtomicBool::new(false),
        })
    }

    /// Watches a directory, before any of its names is answered.
    pub(in super::super) fn add(&self, node: &Arc<Node>, fd: BorrowedFd<'_>) {
        // Held meanwhile, so that no event is read before it is known whose it is.
        let mut watched = self.watched.lock();
        match inotify::add_watch(&self.instance, ProcPath::new(fd).as_c_str(), EVENTS) {
            Ok(descriptor) => {
                watched.nodes.insert(descriptor, node.clone());
                watched.descriptors.insert(node.serial, descriptor);
            }
            Err(error) => self.missed(&error),
        }
    }

    /// A directory goes without a watch. Says so the first time.
    pub(in super::super) fn missed(&self, error: &dyn fmt::Display) {
        if !self.incomplete.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                %error,
                "a directory cannot be watched: changes in it are seen when lifetimes end \
                 (fs.inotify.max_user_watches is the limit)"
            );
        }
    }

    /// The kernel forgot the directory.
    pub(in super::super) fn remove(&self, node: &Node) {
        let mut watched = self.watched.lock();
        if let Some(descriptor) = watched.descriptors.remove(&node.serial) {
            watched.nodes.remove(&descriptor);
            // Fails when the directory is gone, and its watch with it.
            let _ = inotify::remove_watch(&self.instance, descriptor);
        }
    }

    fn node(&self, descriptor: i32) -> Option<Arc<Node>> {
        self.watched.lock().nodes.get(&descriptor).cloned()
    }
}

/// The events of the watched directories.
pub(super) struct Inotify {
    directories: Arc<Directories>,
    inodes: Arc<InodeTable>,
    descriptors: Arc<Descriptors>,
    buffer: Vec<MaybeUninit<u8>>,
}

impl Inotify {
    pub(super) fn new(
        directories: Arc<Directories>,
        inodes: Arc<InodeTable>,
        descriptors: Arc<Descriptors>,
    ) -> Inotify {
        Inotify {
            directories,
            inodes,
            descriptors,
            buffer: vec![MaybeUninit::uninit(); BUFFER],
        }
    }

    /// The inode that a name of a directory means now, if the kernel holds it.
    fn child(&self, directory: &Arc<Node>, name: &OsStr) -> Option<Arc<Node>> {
        let fd = self.descriptors.of(&self.inodes, directory).ok()?;
        self.inodes.find(&stat(fd.as_fd(), name).ok()?)
    }

    fn note(&self, event: &Event, changes: &mut BTreeSet<Change>) {
        if event.events.contains(ReadFlags::QUEUE_OVERFLOW) {
            changes.insert(Change::Anything);
            return;
        }
        let Some(directory) = self.directories.node(event.descriptor) else {
            return;
        };
        let Some(name) = &event.name else {
            changes.insert(Change::Attributes(directory.id));
            return;
        };
        if event.events.intersects(NAMES) {
            let appeared = event.events.intersects(APPEARANCES);
            name_changed(changes, &directory, name.clone(), appeared);
        }
        if let Some(node) = self.child(&directory, name) {
            changes.insert(Change::Attributes(node.id));
            if event.events.contains(ReadFlags::MODIFY) {
                changes.insert(Change::Contents(node.id));
            }
        }
    }
}

impl Source for Inotify {
    fn fd(&self) -> BorrowedFd<'_> {
        self.directories.instance.as_fd()
    }

    fn read(&mut self, changes: &mut BTreeSet<Change>) -> Result<()> {
        let mut events = Vec::new();
        let mut reader = Reader::new(&self.directories.instance, &mut self.buffer);
        loop {
            match reader.next() {
                Ok(event) => events.push(Event {
                    descriptor: event.wd(),
                    events: event.events(),
                    name: event
                        .file_name()
                        .map(|name| OsStr::from_bytes(name.to_bytes()).to_owned()),
                }),
                Err(Errno::AGAIN | Errno::INTR) => break,
                Err(error) => return Err(error),
            }
            if reader.is_buffer_empty() {
                break;
            }
        }
        for event in events {
            self.note(&event, changes);
        }
        Ok(())
    }
}

/// One event, taken out of the buffer.
struct Event {
    descriptor: i32,
    events: ReadFlags,
    name: Option<OsString>,
}
