//! The prefetcher against a storage that the test can stop in the middle of a read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::Prefetcher;
use crate::config::OptimizedFUSEConfig;
use crate::storage::{Errno, Fh, Ino, Result};

const BLOCK: usize = 64 * 1024;
const DEADLINE: Duration = Duration::from_secs(20);

/// A file in memory, whose reads wait while the gate is shut.
#[derive(Default)]
struct Storage {
    file: Mutex<Vec<u8>>,
    gate: Mutex<Gate>,
    moved: Condvar,
    reads: AtomicUsize,
}

#[derive(Default)]
struct Gate {
    shut: bool,
    /// Reads that have copied their data and wait to return.
    waiting: usize,
}

impl Storage {
    fn with(file: Vec<u8>) -> Arc<Storage> {
        Arc::new(Storage {
            file: Mutex::new(file),
            ..Storage::default()
        })
    }

    fn read(&self, _ino: Ino, _fh: Fh, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let n = {
            let file = self.file.lock();
            let rest = file.get(offset as usize..).unwrap_or_default();
            let n = rest.len().min(buf.len());
            buf[..n].copy_from_slice(&rest[..n]);
            n
        };
        let mut gate = self.gate.lock();
        gate.waiting += 1;
        self.moved.notify_all();
        self.moved.wait_while(&mut gate, |gate| gate.shut);
        gate.waiting -= 1;
        Ok(n)
    }

    /// Shuts the gate until the result is dropped: also when the test fails, or the prefetcher
    /// would wait for its threads for ever. Hence to be declared after it.
    fn shut(&self) -> ShutGate<'_> {
        self.gate.lock().shut = true;
        ShutGate(self)
    }

    fn wait_for_readers(&self, count: usize) {
        let mut gate = self.gate.lock();
        let timeout = self
            .moved
            .wait_while_for(&mut gate, |gate| gate.waiting != count, DEADLINE);
        assert!(!timeout.timed_out(), "{} readers", gate.waiting);
    }
}

struct ShutGate<'a>(&'a Storage);

impl Drop for ShutGate<'_> {
    fn drop(&mut self) {
        self.0.gate.lock().shut = false;
        self.0.moved.notify_all();
    }
}

fn prefetcher(storage: &Arc<Storage>) -> Prefetcher {
    let storage = Arc::clone(storage);
    let fetch = move |ino, fh, offset, buf: &mut [u8]| storage.read(ino, fh, offset, buf);
    Prefetcher::new(OptimizedFUSEConfig::balanced(), fetch).expect("threads")
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i / 7 % 251) as u8).collect()
}

fn wait_until(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "the condition never came true");
        std::thread::yield_now();
    }
}

/// Waits until a read finds its bytes.
fn read_when_there(prefetcher: &Prefetcher, offset: u64, len: usize) -> Vec<u8> {
    let mut buf = vec![0; len];
    let mut found = None;
    wait_until(|| {
        found = prefetcher.read(1, offset, &mut buf);
        found.is_some()
    });
    buf.truncate(found.unwrap_or_default());
    buf
}

#[test]
fn fetched_ranges_are_served_up_to_the_end_of_file() {
    let data = pattern(3 * BLOCK + 100);
    let storage = Storage::with(data.clone());
    let prefetcher = prefetcher(&storage);
    prefetcher.request(1, 5, 1000, data.len() as u64 - 1000);
    let fetched = || prefetcher.figures().fetched == data.len() as u64;
    wait_until(fetched);
    let reads = storage.reads.load(Ordering::SeqCst);
    assert_eq!(reads, 4);
    let mut buf = vec![0; 4 * BLOCK];
    assert_eq!(prefetcher.read(1, 10, &mut buf), Some(data.len() - 10));
    assert!(buf[..data.len() - 10] == data[10..]);
    assert_eq!(prefetcher.read(2, 0, &mut buf), None);
    assert_eq!(prefetcher.read(1, 4 * BLOCK as u64, &mut buf), None);
    assert_eq!(storage.reads.load(Ordering::SeqCst), reads);
    // Not asked for again.
    prefetcher.request(1, 5, 0, data.len() as u64);
    prefetcher.close(1);
    assert_eq!(storage.reads.load(Ordering::SeqCst), reads);
    assert_eq!(prefetcher.figures().wasted, 10);
}

#[test]
fn a_read_waits_for_the_fetch_under_way() {
    let storage = Storage::with(pattern(BLOCK));
    let prefetcher = prefetcher(&storage);
    let gate = storage.shut();
    prefetcher.request(1, 5, 0, BLOCK as u64);
    storage.wait_for_readers(1);
    let prefetcher = &prefetcher;
    std::thread::scope(move |scope| {
        let reader = scope.spawn(|| {
            let mut buf = vec![0; BLOCK];
            (prefetcher.read(1, 0, &mut buf), buf)
        });
        drop(gate);
        let (n, buf) = reader.join().expect("no panic");
        assert_eq!(n, Some(BLOCK));
        assert!(buf == pattern(BLOCK));
    });
    assert_eq!(storage.reads.load(Ordering::SeqCst), 1);
}

#[test]
fn a_fetch_overtaken_by_a_write_is_not_kept() {
    let storage = Storage::with(pattern(BLOCK));
    let prefetcher = prefetcher(&storage);
    let gate = storage.shut();
    prefetcher.request(1, 5, 0, BLOCK as u64);
    storage.wait_for_readers(1);
    storage.file.lock()[77] = 255;
    prefetcher.invalidate(1, 77..78);
    drop(gate);
    wait_until(|| prefetcher.figures().wasted == BLOCK as u64);
    let mut buf = vec![0; 100];
    assert_eq!(prefetcher.read(1, 0, &mut buf), None);
    prefetcher.request(1, 5, 0, BLOCK as u64);
    assert_eq!(read_when_there(&prefetcher, 77, 1), [255]);
}

#[test]
fn an_end_of_file_that_moved_during_a_fetch_is_not_kept() {
    let storage = Storage::with(pattern(100));
    let prefetcher = prefetcher(&storage);
    let gate = storage.shut();
    prefetcher.request(1, 5, 0, 100);
    storage.wait_for_readers(1);
    storage.file.lock().resize(2 * BLOCK, 9);
    prefetcher.invalidate(1, 2 * BLOCK as u64 - 1..2 * BLOCK as u64);
    drop(gate);
    wait_until(|| prefetcher.figures().wasted == 100);
    assert_eq!(prefetcher.read(1, 0, &mut [0; 200]), None);
}

#[test]
fn close_waits_for_fetches_of_its_inode_and_no_other() {
    let storage = Storage::with(pattern(8 * BLOCK));
    let prefetcher = prefetcher(&storage);
    let gate = storage.shut();
    prefetcher.request(1, 5, 0, 8 * BLOCK as u64);
    storage.wait_for_readers(2);
    prefetcher.close(2);
    let (sender, closed) = mpsc::channel();
    let prefetcher = &prefetcher;
    std::thread::scope(move |scope| {
        scope.spawn(move || {
            prefetcher.close(1);
            sender.send(()).expect("the test waits");
        });
        // Until `close` has emptied the queue, which it does before it waits.
        let queued = || prefetcher.shared.state.lock().queued();
        wait_until(|| queued() == 0);
        assert_eq!(closed.try_recv(), Err(mpsc::TryRecvError::Empty));
        drop(gate);
        closed.recv_timeout(DEADLINE).expect("close returns");
    });
    assert_eq!(storage.reads.load(Ordering::SeqCst), 2);
    assert_eq!(prefetcher.held_bytes(), 0);
    assert_eq!(prefetcher.figures().wasted, 2 * BLOCK as u64);
}

#[test]
fn what_is_held_is_bounded_and_requests_never_wait() {
    let storage = Storage::with(pattern(BLOCK));
    storage.file.lock().resize(300 * BLOCK, 1);
    let prefetcher = prefetcher(&storage);
    let gate = storage.shut();
    prefetcher.request(1, 5, 0, 2 * BLOCK as u64);
    storage.wait_for_readers(2);
    for number in 2..300 {
        prefetcher.request(1, 5, number * BLOCK as u64, BLOCK as u64);
    }
    // 4 MiB for a window of 128 KiB: 64 blocks.
    assert_eq!(prefetcher.shared.state.lock().queued(), 64);
    drop(gate);
    wait_until(|| {
        assert!(prefetcher.held_bytes() <= 64 * BLOCK);
        prefetcher.figures().fetched == 66 * BLOCK as u64
    });
    // The newest jobs were kept.
    assert_eq!(read_when_there(&prefetcher, 299 * BLOCK as u64, 1), [1]);
    assert_eq!(prefetcher.read(1, 100 * BLOCK as u64, &mut [0]), None);
}

#[test]
fn a_reader_takes_what_it_reads_itself_off_the_queue() {
    let storage = Storage::with(pattern(4 * BLOCK));
    let prefetcher = prefetcher(&storage);
    let gate = storage.shut();
    prefetcher.request(1, 5, 0, 4 * BLOCK as u64);
    storage.wait_for_readers(2);
    let mut buf = vec![0; BLOCK];
    assert_eq!(prefetcher.read(1, 3 * BLOCK as u64, &mut buf), None);
    assert_eq!(prefetcher.shared.state.lock().queued(), 1);
    drop(gate);
    wait_until(|| prefetcher.figures().fetched == 3 * BLOCK as u64);
}

#[test]
fn errors_and_panics_of_the_storage_leave_nothing_behind() {
    let fetch = |_: Ino, fh: Fh, _: u64, _: &mut [u8]| match fh {
        1 => Err(Errno::IO),
        _ => panic!("the storage panics on purpose"),
    };
    let prefetcher = Prefetcher::new(OptimizedFUSEConfig::balanced(), fetch).expect("threads");
    // More panics than threads: these go on.
    for fh in [1, 2, 2, 2] {
        prefetcher.request(fh, fh, 0, 1);
        wait_until(|| prefetcher.shared.state.lock().queued() == 0);
        prefetcher.close(fh);
    }
    assert_eq!(prefetcher.held_bytes(), 0);
    assert_eq!(prefetcher.read(1, 0, &mut [0]), None);
}

#[test]
fn readers_never_see_data_older_than_the_last_announced_write() {
    let storage = Storage::with(vec![0; 2 * BLOCK]);
    let prefetcher = prefetcher(&storage);
    let rounds = 200u8;
    let last = Mutex::new(0u8);
    std::thread::scope(|scope| {
        let (storage, prefetcher, last) = (&storage, &prefetcher, &last);
        scope.spawn(move || {
            for round in 1..=rounds {
                storage.file.lock()[BLOCK] = round;
                prefetcher.invalidate(1, BLOCK as u64..BLOCK as u64 + 1);
                *last.lock() = round;
                std::thread::yield_now();
            }
        });
        loop {
            prefetcher.request(1, 5, 0, 2 * BLOCK as u64);
            let at_least = *last.lock();
            let mut buf = [0];
            if prefetcher.read(1, BLOCK as u64, &mut buf).is_some() {
                assert!(buf[0] >= at_least, "{} after {at_least}", buf[0]);
                if buf[0] == rounds {
                    break;
                }
            }
        }
    });
}
