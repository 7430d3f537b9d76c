//! Inodes that the kernel has forgotten, and may yet ask for by number alone.
//!
//! A file handle of the mount (name_to_handle_at(2), NFS) is the number and the generation of an inode.
//! When it is opened after the kernel has dropped the inode, the kernel looks up `.` in that number.

use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;

use super::LocalStorage;
use super::inodes::Node;
use crate::storage::types::{Entry, Errno, Ino, Result};

const SHARDS: usize = 8;

/// Inodes remembered by each shard, 16,384 in all: some 4 MiB. Older ones are stale, as a handle may be.
const EACH: NonZeroUsize = NonZeroUsize::new(2048).unwrap();

/// The table, by number.
pub(super) struct Forgotten {
    shards: Vec<Mutex<LruCache<Ino, Arc<Node>>>>,
}

impl Forgotten {
    pub(super) fn new() -> Forgotten {
        Forgotten {
            shards: (0..SHARDS)
                .map(|_| Mutex::new(LruCache::new(EACH)))
                .collect(),
        }
    }

    fn shard(&self, ino: Ino) -> &Mutex<LruCache<Ino, Arc<Node>>> {
        &self.shards[ino as usize % SHARDS]
    }

    /// Remembers an inode, if it can be found again and will have the same number: one of the root's own
    /// file system, so that no other is kept from being unmounted.
    pub(super) fn keep(&self, node: Arc<Node>) {
        let same_number = node.id == node.key.ino;
        if !same_number || node.handle.is_none() || node.pinned.lock().is_some() {
            return;
        }
        let oldest = self.shard(node.id).lock().push(node.id, node);
        // Freed here, outside the lock.
        drop(oldest);
    }

    fn take(&self, ino: Ino) -> Option<Arc<Node>> {
        self.shard(ino).lock().pop(&ino)
    }
}

impl LocalStorage {
    /// The entry of an inode that the kernel has forgotten. Counts a lookup. Runs privileged.
    ///
    /// # Errors
    /// `ESTALE` when it is not remembered, or gone from the backing store.
    pub(super) fn recall(&self, ino: Ino) -> Result<Entry> {
        let node = self.forgotten.take(ino).ok_or(Errno::STALE)?;
        let fd = self.fd(&node)?;
        // The kernel gets a new node; what was cached for the old one would only age.
        self.descriptors.drop_of(&node);
        self.entry_of_fd(fd.as_fd(), None)
    }
}
