//! What readahead costs each read: detection, and a read served by the block cache.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use divan::{Bencher, counter::BytesCount};
use dynamicfs::readahead::Prefetcher;
use dynamicfs::{OptimizedFUSEConfig, ReadAheadManager};

const READ: usize = 4096;
const GIB: u64 = 1 << 30;

fn main() {
    divan::main();
}

/// Each thread reads a file of its own.
fn inode_of_thread() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local!(static INO: u64 = NEXT.fetch_add(1, Relaxed));
    INO.with(|ino| *ino)
}

/// Bijective over 64 bits, so cheap reads look random (Steele et al., "Fast splittable
/// pseudorandom number generators", the finalizer of SplitMix64).
fn scatter(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

thread_local!(static COUNT: std::cell::Cell<u64> = const { std::cell::Cell::new(0) });

fn count() -> u64 {
    COUNT.replace(COUNT.get() + 1)
}

#[divan::bench(threads = [1, 8])]
fn record_access_sequential(bencher: Bencher) {
    let manager = ReadAheadManager::new(OptimizedFUSEConfig::balanced());
    bencher.bench(|| {
        let offset = count() * READ as u64;
        manager.record_access_in(inode_of_thread(), offset, READ, u64::MAX)
    });
}

#[divan::bench(threads = [1, 8])]
fn record_access_random(bencher: Bencher) {
    let manager = ReadAheadManager::new(OptimizedFUSEConfig::balanced());
    bencher.bench(|| {
        let offset = scatter(count()) % GIB / READ as u64 * READ as u64;
        manager.record_access_in(inode_of_thread(), offset, READ, GIB)
    });
}

/// Reads of `len` bytes from one block that stays in the cache.
#[divan::bench(args = [4 << 10, 64 << 10], threads = [1, 8])]
fn block_cache_hit(bencher: Bencher, len: usize) {
    let fetch = |_, _, _, buf: &mut [u8]| {
        buf.fill(1);
        Ok(buf.len())
    };
    let prefetcher = Prefetcher::new(OptimizedFUSEConfig::balanced(), fetch).expect("threads");
    prefetcher.request(1, 1, 0, 64 << 10);
    let start = Instant::now();
    while prefetcher.figures().fetched == 0 {
        assert!(start.elapsed() < Duration::from_secs(20), "nothing fetched");
        std::thread::yield_now();
    }
    bencher
        .counter(BytesCount::new(len))
        .with_inputs(|| vec![0; len])
        .bench_refs(|buf| assert_eq!(prefetcher.read(1, 0, buf), Some(len)));
}

/// What every read pays when nothing was fetched.
#[divan::bench(threads = [1, 8])]
fn block_cache_miss(bencher: Bencher) {
    let fetch = |_, _, _, _: &mut [u8]| Ok(0);
    let prefetcher = Prefetcher::new(OptimizedFUSEConfig::balanced(), fetch).expect("threads");
    bencher.bench(|| prefetcher.read(1, 0, &mut [0; READ]));
}
