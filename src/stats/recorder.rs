//! What the serving threads write to while they serve.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use histogram::{AtomicHistogram, Histogram};

use super::snapshot::{OpFigures, Snapshot};
use super::window::Window;
use super::{Activity, Opcode, Throughput};
use crate::storage::Errno;

/// Sub-buckets for each power of two are 2^4: a percentile is exact to 1/16.
const GROUPING_POWER: u8 = 4;
/// Latencies up to 2^40 ns (18 minutes) are told apart; longer ones count as that.
const MAX_VALUE_POWER: u8 = 40;
const MAX_LATENCY_NS: u64 = (1 << MAX_VALUE_POWER) - 1;

/// Counters and latency histograms of one mount, shared by all threads that serve it.
///
/// Nothing here blocks or allocates after an operation's first occurrence: recording costs a
/// few uncontended atomic additions (`cargo bench --bench statistics`). Threads write to different
/// shards, so they do not pass cache lines around; a snapshot adds the shards up.
#[derive(Debug)]
pub struct Statistics {
    shards: Box<[Shard]>,
    activity: Activity,
    started: Instant,
    started_unix: u64,
}

/// What one group of threads writes. Aligned so that no two shards share a cache line (128: the
/// adjacent-line prefetcher works on pairs).
#[derive(Debug)]
#[repr(align(128))]
struct Shard {
    /// The number of all operations, without adding histograms up.
    answered: AtomicU64,
    ops: Box<[Operation]>,
    read: Bytes,
    spliced: AtomicU64,
    written: Bytes,
}

/// The figures of one operation in one shard. The number of calls is the sum of the histogram.
#[derive(Debug, Default)]
struct Operation {
    errors: AtomicU64,
    total_ns: AtomicU64,
    max_ns: AtomicU64,
    /// Made when the operation first occurs: most mounts use half of all operations.
    latencies: OnceLock<AtomicHistogram>,
}

#[derive(Debug, Default)]
struct Bytes {
    total: AtomicU64,
    recent: Window,
}

impl Default for Statistics {
    fn default() -> Self {
        Self::new()
    }
}

impl Statistics {
    /// All zero; the mount's uptime counts from now.
    pub fn new() -> Statistics {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let shards = cpus.next_power_of_two().min(16);
        Statistics {
            shards: (0..shards).map(|_| Shard::new()).collect(),
            activity: Activity::default(),
            started: Instant::now(),
            started_unix: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        }
    }

    /// One operation was answered after `latency`, with success or with an error.
    pub fn record(&self, op: Opcode, latency: Duration, outcome: Result<(), Errno>) {
        let nanos = u64::try_from(latency.as_nanos())
            .unwrap_or(MAX_LATENCY_NS)
            .min(MAX_LATENCY_NS);
        let shard = self.shard();
        shard.answered.fetch_add(1, Relaxed);
        let figures = &shard.ops[op as usize];
        // The value is in range by the clamp above, so this cannot fail.
        let _ = figures
            .latencies
            .get_or_init(new_histogram)
            .increment(nanos);
        figures.total_ns.fetch_add(nanos, Relaxed);
        if figures.max_ns.load(Relaxed) < nanos {
            figures.max_ns.fetch_max(nanos, Relaxed);
        }
        if outcome.is_err() {
            figures.errors.fetch_add(1, Relaxed);
        }
        self.activity.stir();
    }

    /// The number of operations that were answered.
    pub(crate) fn answered(&self) -> u64 {
        let of_shard = |shard: &Shard| shard.answered.load(Relaxed);
        self.shards.iter().map(of_shard).sum()
    }

    /// Where a thread waits for operations.
    pub(crate) fn activity(&self) -> &Activity {
        &self.activity
    }

    /// `n` bytes were handed to the kernel in answer to reads. Bytes that the kernel reads itself
    /// (passthrough, page cache) are never seen here.
    pub fn bytes_read(&self, n: u64) {
        self.shard().read.add(n, self.second());
    }

    /// `n` of the bytes that were handed to the kernel or accepted from it did not pass through memory of this process.
    pub fn bytes_spliced(&self, n: u64) {
        self.shard().spliced.fetch_add(n, Relaxed);
    }

    /// `n` bytes of write requests were accepted.
    pub fn bytes_written(&self, n: u64) {
        self.shard().written.add(n, self.second());
    }

    /// The figures of this moment. What caches and tables know (the optional fields and the
    /// gauges) is left at none and zero, for their owner to fill in.
    ///
    /// Not atomic as a whole: requests answered meanwhile may be counted in one figure and not
    /// yet in another.
    pub fn snapshot(&self) -> Snapshot {
        let uptime = self.started.elapsed();
        let second = uptime.as_secs();
        let sum = |figure: fn(&Shard) -> &Bytes| {
            self.shards
                .iter()
                .map(figure)
                .fold((0, 0), |(all, recent), bytes| {
                    (
                        all + bytes.total.load(Relaxed),
                        recent + bytes.recent.sum(second),
                    )
                })
        };
        let (bytes_read, recently_read) = sum(|shard| &shard.read);
        let (bytes_written, recently_written) = sum(|shard| &shard.written);
        let spliced = |shard: &Shard| shard.spliced.load(Relaxed);
        let recent_secs = Window::span(uptime).as_secs_f64();
        Snapshot {
            started: self.started_unix,
            uptime_secs: uptime.as_secs_f64(),
            ops: Opcode::ALL
                .iter()
                .filter_map(|&op| self.operation(op))
                .collect(),
            bytes_read,
            bytes_spliced: self.shards.iter().map(spliced).sum(),
            bytes_written,
            throughput: Throughput {
                read: rate(bytes_read, uptime.as_secs_f64()),
                write: rate(bytes_written, uptime.as_secs_f64()),
                recent_read: rate(recently_read, recent_secs),
                recent_write: rate(recently_written, recent_secs),
                recent_secs,
            },
            ..Snapshot::default()
        }
    }

    /// `None` when it has not occurred.
    fn operation(&self, op: Opcode) -> Option<OpFigures> {
        let mut all = Histogram::new(GROUPING_POWER, MAX_VALUE_POWER).ok()?;
        let (mut errors, mut total_ns, mut max_ns) = (0, 0, 0);
        for shard in &self.shards {
            let figures = &shard.ops[op as usize];
            if let Some(latencies) = figures.latencies.get() {
                all.checked_add_assign(&latencies.load()).ok()?;
            }
            errors += figures.errors.load(Relaxed);
            total_ns += figures.total_ns.load(Relaxed);
            max_ns = max_ns.max(figures.max_ns.load(Relaxed));
        }
        OpFigures::new(op.name(), &all, errors, total_ns, max_ns)
    }

    fn shard(&self) -> &Shard {
        &self.shards[thread_number() & (self.shards.len() - 1)]
    }

    fn second(&self) -> u64 {
        self.started.elapsed().as_secs()
    }
}

impl Shard {
    fn new() -> Shard {
        Shard {
            answered: AtomicU64::default(),
            ops: Opcode::ALL.iter().map(|_| Operation::default()).collect(),
            read: Bytes::default(),
            spliced: AtomicU64::default(),
            written: Bytes::default(),
        }
    }
}

impl Bytes {
    fn add(&self, n: u64, second: u64) {
        self.total.fetch_add(n, Relaxed);
        self.recent.add(n, second);
    }
}

fn new_histogram() -> AtomicHistogram {
    AtomicHistogram::new(GROUPING_POWER, MAX_VALUE_POWER)
        .expect("the constants satisfy grouping_power < max_value_power <= 64")
}

fn rate(amount: u64, secs: f64) -> f64 {
    if secs > 0.0 {
        amount as f64 / secs
    } else {
        0.0
    }
}

/// Threads numbered in the order in which they first record something.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
    }
    NUMBER.with(|number| match number.get() {
        Some(known) => known,
        None => {
            let new = NEXT.fetch_add(1, Relaxed);
            number.set(Some(new));
            new
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_threads_lose_no_count() {
        let statistics = Statistics::new();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for n in 0..10_000u64 {
                        let outcome = if n % 10 == 0 {
                            Err(Errno::NOENT)
                        } else {
                            Ok(())
                        };
                        statistics.record(Opcode::Lookup, Duration::from_micros(5), outcome);
                        statistics.bytes_read(3);
                        statistics.bytes_spliced(2);
                        statistics.bytes_written(2);
                    }
                });
            }
        });
        let snapshot = statistics.snapshot();
        let [lookup] = snapshot.ops.as_slice() else {
            panic!("one operation was recorded, not {:?}", snapshot.ops);
        };
        assert_eq!((lookup.count, lookup.errors), (80_000, 8_000));
        assert_eq!(statistics.answered(), 80_000);
        assert_eq!(
            (snapshot.bytes_read, snapshot.bytes_written),
            (240_000, 160_000)
        );
        assert_eq!(snapshot.bytes_spliced, 160_000);
        assert!(snapshot.throughput.read > 0.0 && snapshot.throughput.recent_write > 0.0);
    }

    #[test]
    fn percentiles_are_those_of_the_latencies() {
        let statistics = Statistics::new();
        for micros in 1..=1000 {
            statistics.record(Opcode::Read, Duration::from_micros(micros), Ok(()));
        }
        let read = &statistics.snapshot().ops[0];
        for (found, exact) in [
            (read.p50_us, 500.0),
            (read.p90_us, 900.0),
            (read.p99_us, 990.0),
        ] {
            assert!(
                (found - exact).abs() / exact < 1.0 / 16.0,
                "{found} for {exact}"
            );
        }
        assert_eq!(read.max_us, 1000.0);
        assert_eq!(read.total_us, 500_500.0);
    }

    #[test]
    fn a_latency_beyond_the_histogram_counts_as_its_last_bucket() {
        let statistics = Statistics::new();
        statistics.record(Opcode::SetLk, Duration::MAX, Err(Errno::INTR));
        let setlk = &statistics.snapshot().ops[0];
        assert_eq!((setlk.count, setlk.errors), (1, 1));
        assert_eq!(setlk.max_us, MAX_LATENCY_NS as f64 / 1e3);
    }

    #[test]
    fn what_never_occurred_is_not_listed() {
        assert_eq!(Statistics::new().snapshot().ops, []);
    }
}
