//! What recording costs a serving thread: less than 100 ns.
//!
//! `cargo bench --bench statistics`. With more threads than CPUs a sample also holds the time that
//! its thread waited for a CPU; its fastest samples do not.

use std::time::Duration;

use divan::{Bencher, black_box};
use dynamicfs::stats::{Opcode, Statistics};

fn main() {
    divan::main();
}

/// Threads that record into the same statistics at once.
const THREADS: [usize; 3] = [1, 2, 8];
/// Calls in one sample: the first call of a thread makes the histogram and must not decide how
/// many calls are timed together.
const CALLS: u32 = 10_000;

#[divan::bench(threads = THREADS, sample_size = CALLS)]
fn record(bencher: Bencher<'_, '_>) {
    let statistics = Statistics::new();
    bencher.bench(|| {
        statistics.record(
            black_box(Opcode::Lookup),
            black_box(Duration::from_nanos(7_300)),
            Ok(()),
        )
    });
}

#[divan::bench(threads = THREADS, sample_size = CALLS)]
fn bytes_read(bencher: Bencher<'_, '_>) {
    let statistics = Statistics::new();
    bencher.bench(|| statistics.bytes_read(black_box(4096)));
}
