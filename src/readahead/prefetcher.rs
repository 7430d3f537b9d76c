//! Fetching in the background.

use std::borrow::Borrow;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::state::{Job, Lookup, State};
use crate::config::OptimizedFUSEConfig;
use crate::storage::{Fh, Ino, Result};

/// Threads that fetch. Two keep a storage busy while the reader copies; more would compete with
/// the threads that serve requests.
const THREADS: usize = 2;

const MIN_BLOCK: usize = 64 * 1024;
const MAX_BLOCK: usize = 1024 * 1024;

/// The least that is held, in bytes: some runs at a time, however small the window.
const MIN_HELD: usize = 4 * 1024 * 1024;

/// Windows of runs that fit at a time, when they are large.
const WINDOWS: usize = 8;

type Fetch = dyn Fn(Ino, Fh, u64, &mut [u8]) -> Result<usize> + Send + Sync;

/// Bytes that a [`Prefetcher`] moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PrefetchFigures {
    /// Bytes fetched.
    pub fetched: u64,
    /// Bytes of these that were dropped unread: pushed out, outdated by a write, or closed.
    pub wasted: u64,
}

/// Fetches hinted ranges in two background threads and keeps them for the reads to come, for
/// storages without a kernel-backed file (the others read ahead into the page cache).
///
/// Data are fetched in aligned blocks of a quarter of `readahead_size`, 64 KiB to 1 MiB, so both
/// threads have part of each window. At most 8 × `readahead_size` are held, or 4 MiB if that is
/// more, blocks being fetched included. To make room, blocks that were read to their end go first,
/// then the oldest.
///
/// # Coherence
///
/// A read sees every change that was announced by [`invalidate`](Self::invalidate) before it, if
/// changes are announced *after* the storage has them. [`close`](Self::close) drops all of the
/// inode, so an open sees what other clients of the storage closed before.
pub struct Prefetcher {
    pub(super) shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

pub(super) struct Shared {
    block_size: usize,
    fetch: Box<Fetch>,
    pub(super) state: Mutex<State>,
    /// Something was queued, or the prefetcher is to stop.
    queued: Condvar,
    /// A fetch has ended.
    landed: Condvar,
}

impl Prefetcher {
    /// A prefetcher that reads through `fetch`: it fills the buffer from an offset (bytes) of an
    /// open file, and fewer bytes mean end of file. After an error nothing is kept; the read that
    /// follows will meet the error itself.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn new(
        config: impl Borrow<OptimizedFUSEConfig>,
        fetch: impl Fn(Ino, Fh, u64, &mut [u8]) -> Result<usize> + Send + Sync + 'static,
    ) -> std::io::Result<Prefetcher> {
        let window = config.borrow().readahead_size;
        let block_size = (window / 4).next_power_of_two().clamp(MIN_BLOCK, MAX_BLOCK);
        let held = (window.saturating_mul(WINDOWS)).max(MIN_HELD);
        let mut prefetcher = Prefetcher {
            shared: Arc::new(Shared {
                block_size,
                fetch: Box::new(fetch),
                state: Mutex::new(State::new(block_size, held / block_size)),
                queued: Condvar::new(),
                landed: Condvar::new(),
            }),
            threads: Vec::with_capacity(THREADS),
        };
        for _ in 0..THREADS {
            let shared = Arc::clone(&prefetcher.shared);
            let thread = std::thread::Builder::new()
                .name("prefetch".into())
                .spawn(move || shared.run())?;
            prefetcher.threads.push(thread);
        }
        Ok(prefetcher)
    }

    /// Reads what was fetched. `Some` when all of the request is there, or all up to the end of
    /// file; `None` when the storage must be asked. Waits for blocks that are being fetched: asking
    /// the storage a second time would not be faster.
    pub fn read(&self, ino: Ino, offset: u64, buf: &mut [u8]) -> Option<usize> {
        let mut state = self.shared.state.lock();
        let pieces = loop {
            match state.lookup(ino, offset, buf.len()) {
                Lookup::Found(pieces) => break pieces,
                Lookup::UnderWay => self.shared.landed.wait(&mut state),
                Lookup::Missing => return None,
            }
        };
        drop(state);
        Some(pieces.copy_to(buf))
    }

    /// Queues a range to be fetched through the open file `fh`. Never waits for the storage; when
    /// the queue is full, what was asked first is dropped.
    pub fn request(&self, ino: Ino, fh: Fh, offset: u64, len: u64) {
        let range = offset..offset.saturating_add(len);
        let queued = self.shared.state.lock().enqueue(ino, fh, range);
        for _ in 0..queued.min(THREADS) {
            self.shared.queued.notify_one();
        }
    }

    /// The storage has changed this range (bytes): nothing fetched before is used any more, nor
    /// what is being fetched. A change at an offset may move the end of the file, which is taken
    /// into account.
    pub fn invalidate(&self, ino: Ino, range: Range<u64>) {
        self.shared.state.lock().invalidate(ino, &range);
    }

    /// An open file of the inode is about to be released: drops all of the inode, and waits for
    /// fetches under way, so none uses the handle afterwards. No request may come for that handle
    /// any more; requests for others are welcome and not waited for.
    pub fn close(&self, ino: Ino) {
        let mut state = self.shared.state.lock();
        let mark = state.forget(ino);
        while state.is_reading(ino, mark) {
            self.shared.landed.wait(&mut state);
        }
    }

    /// What was fetched and wasted since the prefetcher was made. Bytes still held are not wasted.
    pub fn figures(&self) -> PrefetchFigures {
        let (fetched, wasted) = self.shared.state.lock().figures();
        PrefetchFigures { fetched, wasted }
    }

    /// Bytes held now, those being fetched included; whole blocks are counted.
    pub fn held_bytes(&self) -> usize {
        self.shared.state.lock().held() * self.shared.block_size
    }
}

impl Drop for Prefetcher {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.stop = true;
        state.clear_queue();
        drop(state);
        self.shared.queued.notify_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a prefetch thread panicked");
            }
        }
    }
}

impl std::fmt::Debug for Prefetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prefetcher")
            .field("block_size", &self.shared.block_size)
            .field("figures", &self.figures())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn run(&self) {
        let mut state = self.state.lock();
        while !state.stop {
            let Some((flight, job)) = state.take_off() else {
                self.queued.wait(&mut state);
                continue;
            };
            let data = MutexGuard::unlocked(&mut state, || self.fetch(job));
            state.land(flight, data);
            self.landed.notify_all();
        }
    }

    fn fetch(&self, job: Job) -> Option<Arc<Vec<u8>>> {
        let (ino, number) = job.block;
        let mut data = vec![0; self.block_size];
        // A panic must not leave the flight in the air: closing the inode would wait for ever.
        let result = catch_unwind(AssertUnwindSafe(|| {
            let offset = number * self.block_size as u64;
            (self.fetch)(ino, job.fh, offset, &mut data)
        }));
        match result {
            Ok(Ok(n)) => {
                data.truncate(n);
                Some(Arc::new(data))
            }
            Ok(Err(errno)) => {
                tracing::debug!(ino, number, %errno, "prefetch failed");
                None
            }
            Err(_) => {
                tracing::error!(ino, number, "the storage panicked in a prefetch");
                None
            }
        }
    }
}
