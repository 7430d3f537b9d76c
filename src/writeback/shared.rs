//! What callers and the background thread share.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};

use super::WriteSink;
use super::extents::Extents;
use super::inode::{InodeBuffer, State};
use crate::storage::{Errno, Fh, Ino, Result};

/// Lock order: `space`, then `inodes`, then the state of an inode. The sink is called with none of
/// them held.
pub(super) struct Shared {
    pub(super) limit: usize,
    max_age: Duration,
    pub(super) sink: Box<dyn WriteSink>,
    /// Bytes held, those being flushed included.
    pub(super) space: Mutex<usize>,
    /// Signalled when bytes were freed, and when bytes that can be flushed arrived.
    space_changed: Condvar,
    inodes: RwLock<HashMap<Ino, Arc<InodeBuffer>>>,
    pub(super) background: Mutex<Background>,
    pub(super) wake: Condvar,
}

#[derive(Default)]
pub(super) struct Background {
    pub(super) stop: bool,
    /// An inode became dirty since the thread last looked.
    pub(super) news: bool,
}

impl Shared {
    pub(super) fn new(limit: usize, max_age: Duration, sink: Box<dyn WriteSink>) -> Shared {
        Shared {
            limit,
            max_age,
            sink,
            space: Mutex::new(0),
            space_changed: Condvar::new(),
            inodes: RwLock::new(HashMap::new()),
            background: Mutex::new(Background::default()),
            wake: Condvar::new(),
        }
    }

    pub(super) fn find(&self, ino: Ino) -> Option<Arc<InodeBuffer>> {
        self.inodes.read().get(&ino).cloned()
    }

    pub(super) fn inos(&self) -> Vec<Ino> {
        self.inodes.read().keys().copied().collect()
    }

    /// Buffers `data`, which is no longer than the limit, once there is room.
    pub(super) fn buffer(&self, ino: Ino, fh: Fh, offset: u64, data: &[u8]) {
        self.reserve(data.len());
        let (grown, first) = self.with_live(ino, |buffer, state| {
            let first = state.dirty.is_empty();
            let grown = state.dirty.write(fh, offset, data);
            state.dirty_bytes += grown;
            buffer.weight.store(state.dirty_bytes, Ordering::Relaxed);
            if first {
                state.since = Some(Instant::now());
            }
            (grown, first)
        });
        let mut space = self.space.lock();
        *space -= data.len() - grown;
        self.space_changed.notify_all();
        drop(space);
        if first {
            self.background.lock().news = true;
            self.wake.notify_one();
        }
    }

    /// Waits until `len` bytes fit, writing out the inode with most dirty bytes until they do.
    fn reserve(&self, len: usize) {
        let mut space = self.space.lock();
        while *space + len > self.limit {
            match self.heaviest() {
                Some(ino) => {
                    MutexGuard::unlocked(&mut space, || self.write_back(ino));
                }
                // All of it is being written, or about to be buffered, by other threads; both end
                // with a signal under the lock that is held here.
                None => self.space_changed.wait(&mut space),
            }
        }
        *space += len;
    }

    fn heaviest(&self) -> Option<Ino> {
        let inodes = self.inodes.read();
        let weights = inodes
            .iter()
            .map(|(ino, buffer)| (buffer.weight.load(Ordering::Relaxed), *ino));
        weights
            .filter(|(weight, _)| *weight > 0)
            .max()
            .map(|(_, ino)| ino)
    }

    fn with_live<R>(&self, ino: Ino, act: impl FnOnce(&InodeBuffer, &mut State) -> R) -> R {
        loop {
            let found = self.find(ino);
            let buffer =
                found.unwrap_or_else(|| Arc::clone(self.inodes.write().entry(ino).or_default()));
            let mut state = buffer.state.lock();
            if !state.gone {
                return act(&buffer, &mut state);
            }
        }
    }

    /// Writes out everything that was buffered for `ino` before the call. Errors stay with the inode.
    pub(super) fn write_back(&self, ino: Ino) {
        let Some(buffer) = self.find(ino) else { return };
        let mut state = buffer.state.lock();
        wait_for_flush(&buffer, &mut state);
        if !state.dirty.is_empty() {
            let extents = Arc::new(std::mem::take(&mut state.dirty));
            let bytes = std::mem::take(&mut state.dirty_bytes);
            buffer.weight.store(0, Ordering::Relaxed);
            state.since = None;
            state.flushing = Some(Arc::clone(&extents));
            drop(state);
            let mut ending = FlushEnding {
                shared: self,
                ino,
                buffer: &buffer,
                bytes,
                // What remains if the sink panics.
                outcome: Err(Errno::IO),
            };
            ending.outcome = self.write_out(ino, &extents);
        }
    }

    fn write_out(&self, ino: Ino, extents: &Extents) -> Result<()> {
        extents.write_out(|fh, offset, data| self.sink.write(ino, fh, offset, data))
    }

    /// Takes the error that nobody has been told yet.
    pub(super) fn take_error(&self, ino: Ino) -> Result<()> {
        let error = self
            .find(ino)
            .and_then(|buffer| buffer.state.lock().error.take());
        self.drop_if_idle(ino);
        error.map_or(Ok(()), Err)
    }

    pub(super) fn discard(&self, ino: Ino, from: u64) {
        let Some(buffer) = self.find(ino) else { return };
        let mut state = buffer.state.lock();
        // A flush under way would bring back what is cut off.
        wait_for_flush(&buffer, &mut state);
        let freed = state.dirty.truncate(from);
        state.dirty_bytes -= freed;
        buffer.weight.store(state.dirty_bytes, Ordering::Relaxed);
        drop(state);
        self.free(freed);
        self.drop_if_idle(ino);
    }

    fn free(&self, bytes: usize) {
        *self.space.lock() -= bytes;
        self.space_changed.notify_all();
    }

    fn drop_if_idle(&self, ino: Ino) {
        let mut inodes = self.inodes.write();
        if let Some(buffer) = inodes.get(&ino).cloned() {
            let mut state = buffer.state.lock();
            if state.is_idle() {
                state.gone = true;
                inodes.remove(&ino);
            }
        }
    }

    /// The background thread: writes out what has become too old.
    pub(super) fn run(&self) {
        let mut background = self.background.lock();
        while !background.stop {
            background.news = false;
            let next = MutexGuard::unlocked(&mut background, || self.write_back_aged());
            if background.stop || background.news {
                continue;
            }
            match next {
                Some(deadline) => {
                    self.wake.wait_until(&mut background, deadline);
                }
                None => self.wake.wait(&mut background),
            }
        }
    }

    /// Returns when the next inode will be too old.
    fn write_back_aged(&self) -> Option<Instant> {
        let mut next = None;
        for ino in self.inos() {
            let since = self.find(ino).and_then(|buffer| buffer.state.lock().since);
            let Some(deadline) = since.and_then(|since| since.checked_add(self.max_age)) else {
                continue;
            };
            if deadline <= Instant::now() {
                self.write_back(ino);
            } else {
                next = Some(next.map_or(deadline, |next: Instant| next.min(deadline)));
            }
        }
        next
    }
}

fn wait_for_flush(buffer: &InodeBuffer, state: &mut MutexGuard<'_, State>) {
    while state.flushing.is_some() {
        buffer.flushed.wait(state);
    }
}

/// Ends a flush, on success, on failure and on panic of the sink alike.
struct FlushEnding<'a> {
    shared: &'a Shared,
    ino: Ino,
    buffer: &'a InodeBuffer,
    bytes: usize,
    outcome: Result<()>,
}

impl Drop for FlushEnding<'_> {
    fn drop(&mut self) {
        // Both at once: who saw the flush end also sees its bytes freed.
        let mut space = self.shared.space.lock();
        let mut state = self.buffer.state.lock();
        state.flushing = None;
        *space -= self.bytes;
        if let Err(errno) = self.outcome {
            tracing::warn!(ino = self.ino, %errno, "writeback failed; the data are dropped");
            state.error.get_or_insert(errno);
        }
        drop(state);
        drop(space);
        self.buffer.flushed.notify_all();
        self.shared.space_changed.notify_all();
        self.shared.drop_if_idle(self.ino);
    }
}
