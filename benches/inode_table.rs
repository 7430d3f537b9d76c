//! What the inode table costs a request, without the system calls around it.
//!
//! `cargo bench --features internals --bench inode_table`. With more threads than CPUs a sample also
//! holds the time that its thread waited for a CPU; its fastest samples do not.

use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use divan::{Bencher, black_box};
use dynamicfs::storage::BareInodes;

/// Inodes that the kernel holds: those of a big source tree.
const KNOWN: u64 = 100_000;
/// The first of their numbers.
const FIRST: u64 = 1_000;
/// Threads that use the same table at once.
const THREADS: [usize; 3] = [1, 2, 8];
/// Calls in one sample: many, so that the threads of a sample overlap.
const CALLS: u32 = 10_000;

fn main() {
    divan::main();
}

/// A table that holds the numbers from `FIRST` on.
fn table() -> BareInodes {
    let inodes = BareInodes::new(Path::new("/")).expect("the root directory");
    for number in FIRST..FIRST + KNOWN {
        inodes.look_up(number);
    }
    inodes
}

/// One of the known numbers, in an order without a pattern (xorshift, another start for each
/// thread).
fn any_known() -> u64 {
    static THREAD: AtomicU64 = AtomicU64::new(1);
    thread_local! {
        static RANDOM: Cell<u64> =
            Cell::new(0x2545_F491_4F6C_DD1D ^ THREAD.fetch_add(1, Relaxed));
    }
    let mut random = RANDOM.get();
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    RANDOM.set(random);
    FIRST + random % KNOWN
}

/// What the choice of a number takes of each figure below.
#[divan::bench(sample_size = CALLS)]
fn choose() -> u64 {
    any_known()
}

/// GETATTR, OPEN and all others that name an inode.
#[divan::bench(threads = THREADS, sample_size = CALLS)]
fn find_by_id(bencher: Bencher<'_, '_>) {
    let inodes = table();
    bencher.bench(|| assert!(inodes.knows(black_box(any_known()))));
}

/// LOOKUP of a known inode, and the FORGET that gives that one lookup back.
#[divan::bench(threads = THREADS, sample_size = CALLS)]
fn look_up_known_and_forget(bencher: Bencher<'_, '_>) {
    let inodes = table();
    bencher.bench(|| {
        let id = inodes.look_up(black_box(any_known()));
        assert!(!inodes.forget(id, 1));
    });
}

/// LOOKUP of a new inode, and the FORGET that removes it. No two threads have the same number.
#[divan::bench(threads = THREADS, sample_size = CALLS)]
fn look_up_new_and_forget(bencher: Bencher<'_, '_>) {
    static NEXT: AtomicU64 = AtomicU64::new(FIRST + KNOWN);
    let inodes = table();
    bencher.bench(|| {
        let id = inodes.look_up(NEXT.fetch_add(1, Relaxed));
        assert!(inodes.forget(id, 1));
    });
}

/// The worst case: every thread names the same inode.
#[divan::bench(threads = THREADS, sample_size = CALLS)]
fn find_the_same(bencher: Bencher<'_, '_>) {
    let inodes = table();
    bencher.bench(|| assert!(inodes.knows(black_box(FIRST))));
}
