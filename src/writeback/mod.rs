//! Write buffering with flush guarantees, for storages without a kernel-backed file.

mod extents;
mod inode;
mod shared;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::storage::{Fh, Ino, Result};
use extents::MAX_PIECE;
use shared::Shared;

/// The age at which dirty data are written out unasked, by default: 1 s.
pub const DEFAULT_MAX_AGE: Duration = Duration::from_secs(1);

/// Where dirty data go. Implemented by closures.
pub trait WriteSink: Send + Sync {
    /// Writes `data` at `offset` (bytes), says how many bytes it took. `fh` is an open file of
    /// `ino` that wrote some of these bytes.
    ///
    /// # Errors
    /// Any; `EINTR` is tried again, after others the bytes of this call are dropped.
    fn write(&self, ino: Ino, fh: Fh, offset: u64, data: &[u8]) -> Result<usize>;
}

impl<F> WriteSink for F
where
    F: Fn(Ino, Fh, u64, &[u8]) -> Result<usize> + Send + Sync,
{
    fn write(&self, ino: Ino, fh: Fh, offset: u64, data: &[u8]) -> Result<usize> {
        self(ino, fh, offset, data)
    }
}

/// Holds writes back and joins them, up to a number of bytes over all inodes.
///
/// Data are written out when the bytes would pass the limit (the writer waits, and the inode with
/// most dirty bytes goes first), when asked, when they are older than a maximum age, and on drop.
///
/// # What a flush guarantees
///
/// When [`flush_inode`](Self::flush_inode) returns `Ok`, the sink has accepted every byte that was
/// written to that inode before the call. Writes that come during a flush are kept and written
/// after it: of two writes to a byte, the later one stays.
///
/// # Errors
///
/// As in the kernel, data whose writeback failed are dropped, and the error is told by the next flush.
/// Simpler than the kernel's `errseq_t`: it is told once per inode, not once per open file, and of
/// several untold errors the first is kept.
/// Of two flushes of an inode at the same time one gets it; the other's `Ok` then says only that the
/// data are no longer held.
///
/// # Handles
///
/// A handle must be flushed ([`flush_inode`](Self::flush_inode)) before the storage releases it.
pub struct WriteBuffer {
    shared: Arc<Shared>,
    flusher: Option<JoinHandle<()>>,
}

impl WriteBuffer {
    /// A buffer of at most `limit` bytes (0: each write goes straight to the sink), whose data are
    /// written out after `max_age`.
    ///
    /// # Errors
    /// When the background thread cannot be started.
    pub fn new(
        limit: usize,
        max_age: Duration,
        sink: impl WriteSink + 'static,
    ) -> std::io::Result<WriteBuffer> {
        let shared = Arc::new(Shared::new(limit, max_age, Box::new(sink)));
        let background = Arc::clone(&shared);
        let flusher = std::thread::Builder::new()
            .name("writeback".into())
            .spawn(move || background.run())?;
        Ok(WriteBuffer {
            shared,
            flusher: Some(flusher),
        })
    }

    /// Takes a write; waits while the buffer is full. Returns the number of bytes taken.
    ///
    /// # Errors
    /// `EFBIG` past the largest offset. Errors of the sink only with a limit of 0; otherwise the
    /// next flush tells them.
    pub fn write(&self, ino: Ino, fh: Fh, offset: u64, data: &[u8]) -> Result<usize> {
        if i64::MAX as u64 - data.len() as u64 <= offset {
            return Err(crate::storage::Errno::FBIG);
        }
        if self.shared.limit == 0 {
            return self.shared.sink.write(ino, fh, offset, data);
        }
        let mut position = offset;
        for part in data.chunks(self.shared.limit.min(MAX_PIECE)) {
            self.shared.buffer(ino, fh, position, part);
            position += part.len() as u64;
        }
        Ok(data.len())
    }

    /// Reads through the buffer: `read` fills a buffer from the storage, and unwritten data are
    /// laid over it. Bytes between the end in the storage and unwritten data are zeros.
    ///
    /// The unwritten data are copied *before* the storage is asked, so a flush in between is seen
    /// in one place or the other.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn read(
        &self,
        ino: Ino,
        offset: u64,
        buf: &mut [u8],
        read: impl FnOnce(&mut [u8]) -> Result<usize>,
    ) -> Result<usize> {
        let overlay = self.overlay(ino, offset, buf.len());
        let n = read(buf)?;
        Ok(overlay.apply(buf, n))
    }

    /// Copies the unwritten data of a range, to be laid over what is read from the storage
    /// *afterwards*.
    pub fn overlay(&self, ino: Ino, offset: u64, len: usize) -> Overlay {
        let mut parts = Vec::new();
        if let Some(buffer) = self.shared.find(ino) {
            let state = buffer.state.lock();
            if let Some(flushing) = &state.flushing {
                flushing.copy_range(offset, len, &mut parts);
            }
            state.dirty.copy_range(offset, len, &mut parts);
        }
        Overlay { parts }
    }

    /// Where unwritten data end (bytes). The size of the file is at least that. Ask *before* asking
    /// the storage for its size.
    pub fn dirty_end(&self, ino: Ino) -> Option<u64> {
        let buffer = self.shared.find(ino)?;
        let state = buffer.state.lock();
        let flushing = state.flushing.as_ref().and_then(|extents| extents.end());
        state.dirty.end().max(flushing)
    }

    /// Writes out all of an inode and tells an error that has not been told: for FLUSH, FSYNC and
    /// RELEASE.
    ///
    /// # Errors
    /// The first error of the sink since the last call.
    pub fn flush_inode(&self, ino: Ino) -> Result<()> {
        self.shared.write_back(ino);
        self.shared.take_error(ino)
    }

    /// Writes out all of an inode and keeps errors for [`flush_inode`](Self::flush_inode): for
    /// operations that are not the ones to tell them (getattr, setattr).
    pub fn write_back(&self, ino: Ino) {
        self.shared.write_back(ino);
    }

    /// Writes out everything, for unmount.
    ///
    /// # Errors
    /// One of the errors not told before; all inodes are tried.
    pub fn flush_all(&self) -> Result<()> {
        let mut outcome = Ok(());
        for ino in self.shared.inos() {
            outcome = outcome.and(self.flush_inode(ino));
        }
        outcome
    }

    /// Drops the unwritten data at or after `from` (bytes), before the file is truncated there. No
    /// writes to the inode may come before the truncation is done (the kernel sees to that).
    pub fn discard(&self, ino: Ino, from: u64) {
        self.shared.discard(ino, from);
    }

    /// Bytes held, those being written out included.
    pub fn held_bytes(&self) -> usize {
        *self.shared.space.lock()
    }
}

impl Drop for WriteBuffer {
    fn drop(&mut self) {
        self.shared.background.lock().stop = true;
        self.shared.wake.notify_all();
        if let Some(flusher) = self.flusher.take()
            && flusher.join().is_err()
        {
            tracing::error!("the writeback thread panicked");
        }
        if let Err(errno) = self.flush_all() {
            tracing::error!(%errno, "unwritten data were lost");
        }
    }
}

impl std::fmt::Debug for WriteBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WriteBuffer")
            .field("limit", &self.shared.limit)
            .field("held_bytes", &self.held_bytes())
            .finish_non_exhaustive()
    }
}

/// Unwritten data of a range, copied.
#[derive(Debug)]
pub struct Overlay {
    /// Offset in the range and bytes, the older first.
    parts: Vec<(usize, Vec<u8>)>,
}

impl Overlay {
    /// Lays the data over `buf`, of which the storage filled the first `n` bytes. Returns how many
    /// bytes are valid now.
    pub fn apply(&self, buf: &mut [u8], n: usize) -> usize {
        let ends = self.parts.iter().map(|(at, bytes)| at + bytes.len());
        let valid = ends.fold(n, usize::max);
        buf[n..valid].fill(0);
        for (at, bytes) in &self.parts {
            buf[*at..*at + bytes.len()].copy_from_slice(bytes);
        }
        valid
    }
}
