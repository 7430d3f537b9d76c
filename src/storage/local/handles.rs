//! Open files and directories, by the number that the kernel returns with each request.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::storage::types::{Errno, Fh, Result};

const SHARDS: usize = 16;

/// An open file.
pub(super) struct OpenFile {
    pub(super) fd: Arc<OwnedFd>,
    pub(super) writable: bool,
}

/// Numbers for open objects; a number is never used twice.
pub(super) struct Handles<T> {
    shards: Vec<RwLock<HashMap<Fh, Arc<T>>>>,
    next: AtomicU64,
}

impl<T> Handles<T> {
    pub(super) fn new() -> Handles<T> {
        Handles {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            next: AtomicU64::new(1),
        }
    }

    fn shard(&self, fh: Fh) -> &RwLock<HashMap<Fh, Arc<T>>> {
        &self.shards[fh as usize % SHARDS]
    }

    pub(super) fn insert(&self, object: T) -> Fh {
        let fh = self.next.fetch_add(1, Ordering::Relaxed);
        self.shard(fh).write().insert(fh, Arc::new(object));
        fh
    }

    pub(super) fn get(&self, fh: Fh) -> Option<Arc<T>> {
        self.shard(fh).read().get(&fh).cloned()
    }

    /// # Errors
    /// `EBADF` when nothing is open under this number.
    pub(super) fn require(&self, fh: Fh) -> Result<Arc<T>> {
        self.get(fh).ok_or(Errno::BADF)
    }

    /// # Errors
    /// `EBADF` when nothing is open under this number.
    pub(super) fn remove(&self, fh: Fh) -> Result<Arc<T>> {
        let removed = self.shard(fh).write().remove(&fh);
        removed.ok_or(Errno::BADF)
    }

    pub(super) fn clear(&self) {
        for shard in &self.shards {
            shard.write().clear();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }
}
