//! Reading and writing, with what runs ahead of reads and behind writes.
//!
//! None of it sees a file in passthrough: there the kernel reads and writes without asking.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use super::DynamicFS;
use crate::config::{IoMode, OptimizedFUSEConfig};
use crate::readahead::{Prefetcher, ReadAheadManager};
use crate::stats::ReadAheadStatistics;
use crate::storage::{
    Attr, Caller, Errno, Fh, FilesystemInterface, Ino, Prefetch, Result, StorageCapabilities,
    WriteFlags,
};
use crate::writeback::{DEFAULT_MAX_AGE, WriteBuffer};

impl DynamicFS {
    /// Reads into `buf` from `offset`; fewer bytes mean end of file.
    pub fn read(&self, ino: Ino, fh: Fh, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let n = self.data_path.read(ino, fh, offset, buf)?;
        self.has_read(ino, fh, offset, n);
        Ok(n)
    }

    /// The kernel file that a [`read`](Self::read) would read from and nothing else, as it is now. Who reads from it tells
    /// ([`has_read`](Self::has_read)).
    pub fn file_to_read(&self, ino: Ino, fh: Fh) -> Option<Arc<OwnedFd>> {
        self.data_path.file_to_read(ino, fh)
    }

    /// `n` bytes were read from `offset`.
    pub fn has_read(&self, ino: Ino, fh: Fh, offset: u64, n: usize) {
        self.data_path.run_ahead(ino, fh, offset, n);
    }

    /// Writes and says how many bytes were taken.
    pub fn write(
        &self,
        caller: &Caller,
        ino: Ino,
        fh: Fh,
        offset: u64,
        data: &[u8],
        flags: WriteFlags,
    ) -> Result<usize> {
        let written = match self.write_buffer() {
            Some(buffer) => buffer.write(ino, fh, offset, data),
            None => self.storage.write(caller, ino, fh, offset, data, flags),
        };
        // Also after an error: part of the data may have arrived.
        self.data_path.changed(ino, offset, data.len() as u64);
        written
    }

    /// Writes the `len` bytes that are in a pipe, and says how many were taken.
    ///
    /// # Errors
    /// Nothing was written, and all is still in the pipe: a [`write`](Self::write) tells why, or can do it.
    #[allow(clippy::too_many_arguments)]
    pub fn write_from(
        &self,
        caller: &Caller,
        ino: Ino,
        fh: Fh,
        offset: u64,
        pipe: BorrowedFd<'_>,
        len: usize,
        flags: WriteFlags,
    ) -> Result<usize> {
        if self.write_buffer().is_some() {
            return Err(Errno::NOSYS);
        }
        let written = self
            .storage
            .write_from(caller, ino, fh, offset, pipe, len, flags);
        if written.is_ok() {
            self.data_path.changed(ino, offset, len as u64);
        }
        written
    }

    /// Where writes wait, if they do.
    fn write_buffer(&self) -> Option<&WriteBuffer> {
        let buffer = self.data_path.write_buffer.as_ref();
        buffer.filter(|_| self.policy().io_mode == IoMode::WritebackCache)
    }
}

/// The caches between requests for data and the storage.
pub(super) struct DataPath {
    storage: Arc<dyn FilesystemInterface>,
    detector: Option<ReadAheadManager>,
    /// For storages that keep nothing themselves; the others prefetch into their own cache.
    prefetcher: Option<Arc<Prefetcher>>,
    write_buffer: Option<WriteBuffer>,
}

impl DataPath {
    pub(super) fn new(
        storage: &Arc<dyn FilesystemInterface>,
        capabilities: &StorageCapabilities,
        config: &OptimizedFUSEConfig,
    ) -> DataPath {
        let own_caches = !capabilities.kernel_backed;
        let prefetcher = (own_caches && config.enable_readahead)
            .then(|| prefetcher(storage.clone(), config))
            .flatten()
            .map(Arc::new);
        DataPath {
            detector: config
                .enable_readahead
                .then(|| ReadAheadManager::new(config)),
            write_buffer: (own_caches && config.enable_writeback)
                .then(|| write_buffer(storage.clone(), prefetcher.clone(), config))
                .flatten(),
            prefetcher,
            storage: storage.clone(),
        }
    }

    fn file_to_read(&self, ino: Ino, fh: Fh) -> Option<Arc<OwnedFd>> {
        let caches = self.prefetcher.is_some() || self.write_buffer.is_some();
        (!caches).then(|| self.storage.file_to_read(ino, fh))?
    }

    fn read(&self, ino: Ino, fh: Fh, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let from_storage = |buf: &mut [u8]| {
            if let Some(n) = self
                .prefetcher
                .as_ref()
                .and_then(|p| p.read(ino, offset, buf))
            {
                return Ok(n);
            }
            self.storage.read(ino, fh, offset, buf)
        };
        match &self.write_buffer {
            Some(buffer) => buffer.read(ino, offset, buf, from_storage),
            None => from_storage(buf),
        }
    }

    /// Starts fetching what a run of reads will want next.
    fn run_ahead(&self, ino: Ino, fh: Fh, offset: u64, n: usize) {
        let Some(detector) = &self.detector else {
            return;
        };
        let Ok(attr) = self.storage.getattr(ino, Some(fh)) else {
            return;
        };
        let Some(hint) = detector.record_access_in(ino, offset, n, attr.size) else {
            return;
        };
        let (offset, size) = (hint.offset, hint.size as u64);
        match self.storage.prefetch(ino, fh, offset, size) {
            Ok(Prefetch::Started) => {}
            Ok(Prefetch::Unsupported) => {
                if let Some(prefetcher) = &self.prefetcher {
                    prefetcher.request(ino, fh, offset, size);
                }
            }
            // A hint that fails costs nothing: the read itself will tell.
            Err(error) => tracing::debug!(%error, ino, "prefetch failed"),
        }
    }

    /// Attributes with the data that the storage has not yet.
    pub(super) fn as_seen(&self, mut attr: Attr) -> Attr {
        let unwritten_end = self
            .write_buffer
            .as_ref()
            .and_then(|buffer| buffer.dirty_end(attr.ino));
        if let Some(end) = unwritten_end {
            attr.size = attr.size.max(end);
        }
        attr
    }

    /// The contents of a range are no longer what was fetched.
    pub(super) fn changed(&self, ino: Ino, offset: u64, len: u64) {
        if let Some(prefetcher) = &self.prefetcher {
            prefetcher.invalidate(ino, offset..offset.saturating_add(len));
        }
    }

    /// The contents from `offset` on are no longer what was fetched. Called *after* the storage has
    /// changed them, so that no fetch in between keeps what was there before.
    pub(super) fn changed_from(&self, ino: Ino, offset: u64) {
        self.changed(ino, offset, u64::MAX - offset);
    }

    /// The file is about to be cut at `size`: unwritten data beyond it are not wanted any more.
    pub(super) fn discard(&self, ino: Ino, size: u64) {
        if let Some(buffer) = &self.write_buffer {
            buffer.discard(ino, size);
        }
    }

    /// Writes out what is held of a file, and tells an error that has not been told.
    pub(super) fn flush_inode(&self, ino: Ino) -> Result<()> {
        self.write_buffer
            .as_ref()
            .map_or(Ok(()), |buffer| buffer.flush_inode(ino))
    }

    /// Writes out what is held of a file before an operation that must see it; errors wait for
    /// the next [`flush_inode`](Self::flush_inode).
    pub(super) fn write_back(&self, ino: Ino) {
        if let Some(buffer) = &self.write_buffer {
            buffer.write_back(ino);
        }
    }

    /// Writes out everything.
    pub(super) fn flush_all(&self) -> Result<()> {
        self.write_buffer
            .as_ref()
            .map_or(Ok(()), WriteBuffer::flush_all)
    }

    /// An open of the file is gone.
    pub(super) fn closed(&self, ino: Ino) {
        if let Some(detector) = &self.detector {
            detector.close(ino);
        }
        if let Some(prefetcher) = &self.prefetcher {
            prefetcher.close(ino);
        }
    }

    /// The kernel forgot the inode: its number may become another file's.
    pub(super) fn forget(&self, ino: Ino) {
        self.changed_from(ino, 0);
    }

    pub(super) fn readahead_statistics(&self) -> Option<ReadAheadStatistics> {
        let mut figures = self.detector.as_ref()?.statistics();
        if let Some(prefetcher) = &self.prefetcher {
            let moved = prefetcher.figures();
            // Whole blocks are fetched, so it may be more than was hinted.
            figures.bytes_prefetched = figures.bytes_prefetched.max(moved.fetched);
            figures.bytes_wasted = moved.wasted;
        }
        Some(figures)
    }
}

fn write_buffer(
    storage: Arc<dyn FilesystemInterface>,
    prefetcher: Option<Arc<Prefetcher>>,
    config: &OptimizedFUSEConfig,
) -> Option<WriteBuffer> {
    // The kernel has checked and changed what a write changes besides the data when it took the
    // pages, so the storage is written to as the kernel itself.
    let flags = WriteFlags {
        from_page_cache: true,
    };
    let sink = move |ino, fh, offset, data: &[u8]| {
        let written = storage.write(&Caller::ROOT, ino, fh, offset, data, flags);
        // What was fetched since the application's write lacks these data. They are still held
        // here, so no read can miss them before this is done.
        if let Some(prefetcher) = &prefetcher {
            prefetcher.invalidate(ino, offset..offset.saturating_add(data.len() as u64));
        }
        written
    };
    WriteBuffer::new(config.writeback_buffer_size, DEFAULT_MAX_AGE, sink)
        .inspect_err(|error| tracing::error!(%error, "no thread for writeback: writing through"))
        .ok()
}

fn prefetcher(
    storage: Arc<dyn FilesystemInterface>,
    config: &OptimizedFUSEConfig,
) -> Option<Prefetcher> {
    Prefetcher::new(config, move |ino, fh, offset, buf: &mut [u8]| {
        storage.read(ino, fh, offset, buf)
    })
    .inspect_err(|error| tracing::error!(%error, "no threads for prefetching"))
    .ok()
}
