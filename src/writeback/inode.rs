//! The unwritten data of one inode.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::extents::Extents;
use crate::storage::Errno;

#[derive(Debug, Default)]
pub(super) struct State {
    /// Written by callers, not yet given to the sink.
    pub(super) dirty: Extents,
    pub(super) dirty_bytes: usize,
    /// When the oldest byte of `dirty` came.
    pub(super) since: Option<Instant>,
    /// What a flush is writing just now; older than `dirty`. One flush at a time keeps the order
    /// of writes.
    pub(super) flushing: Option<Arc<Extents>>,
    /// The first error of a flush that nobody has been told.
    pub(super) error: Option<Errno>,
    /// Taken out of the map: look the inode up again.
    pub(super) gone: bool,
}

impl State {
    pub(super) fn is_idle(&self) -> bool {
        self.dirty.is_empty() && self.flushing.is_none() && self.error.is_none()
    }
}

#[derive(Debug, Default)]
pub(super) struct InodeBuffer {
    pub(super) state: Mutex<State>,
    /// Signalled at the end of a flush.
    pub(super) flushed: Condvar,
    /// `dirty_bytes`, readable without the lock, for the choice of what to flush.
    pub(super) weight: AtomicUsize,
}
