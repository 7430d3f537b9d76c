//! What the machine can do at best: the limits that stand beside the figures of a run.
//!
//! Each limit is the median of several batches, so that one interruption does not decide it. All
//! together take about a second.

use std::hint::black_box;
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};

use super::cpus;
use super::result::Limits;
use super::statistics::median;

/// Odd, so that the median is one that was measured.
const BATCHES: usize = 7;

/// A few milliseconds a batch.
const SYSTEM_CALLS: u32 = 20_000;

/// Up to 20 ms a batch: on another processor of a virtual machine a trip can take 40 µs, because an
/// idle one must be woken through the hypervisor.
const ROUND_TRIPS: u32 = 500;

/// Source and destination together 256 MiB, which is more than the last-level caches that one
/// core of today's processors reaches.
const COPY_BYTES: usize = 128 << 20;

/// Pieces of computation in a batch; the slowest hundredth of them are four.
const PIECES: usize = 400;

/// Steps of a piece: some 50 µs, so that a batch spans several ticks of the scheduler (1 to 10 ms)
/// and still most pieces see none.
const STEPS: u32 = 25_000;

/// Measures the limits of this machine at this moment.
///
/// # Errors
///
/// When a thread cannot be bound to a processor, or there are no pipes.
pub fn calibrate() -> Result<Limits> {
    let cpus = cpus::allowed()?;
    let first = *cpus.first().context("no processor may be used")?;
    let trip_to = |cpu| round_trip_us(first, cpu).context("cannot time a context switch");
    Ok(Limits {
        system_call_ns: system_call_ns(),
        switch_same_cpu_us: trip_to(first)?,
        switch_other_cpu_us: cpus::another(&cpus, first).map(trip_to).transpose()?,
        memory_copy_gb_s: memory_copy_gb_s(),
        jitter: jitter(),
    })
}

fn median_of_batches(batch: impl FnMut() -> f64) -> f64 {
    let mut batch = batch;
    median((0..BATCHES).map(|_| batch())).expect("there are batches")
}

/// getppid(2): nothing to look up, nothing to copy, and never answered without entering the
/// kernel, as clock_gettime(2) is.
fn system_call_ns() -> f64 {
    median_of_batches(|| {
        let start = Instant::now();
        for _ in 0..SYSTEM_CALLS {
            black_box(rustix::process::getppid());
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(SYSTEM_CALLS)
    })
}

/// A byte through a pipe to a thread on the processor `there` and one back: two writes, two reads
/// and two switches, as few as a request to a daemon and its answer can cost. Both threads are
/// made for this, so that nobody else stays bound.
fn round_trip_us(here: usize, there: usize) -> Result<f64> {
    let (requests, ask) = pipe()?;
    let (answers, answer) = pipe()?;
    thread::scope(|scope| {
        let echo = scope.spawn(move || echo(there, requests, answer));
        let caller = scope.spawn(move || call(here, ask, answers));
        let join = |_| anyhow!("a thread panicked");
        let trip = caller.join().map_err(join)?;
        echo.join().map_err(join)??;
        trip
    })
}

/// Sends back each byte, until the other end is closed: whatever ends one thread ends both.
fn echo(cpu: usize, mut requests: PipeReader, mut answer: PipeWriter) -> Result<()> {
    cpus::bind_this_thread(cpu)?;
    let mut byte = [0];
    while requests.read(&mut byte)? == 1 {
        answer.write_all(&byte)?;
    }
    Ok(())
}

fn call(cpu: usize, mut ask: PipeWriter, mut answers: PipeReader) -> Result<f64> {
    cpus::bind_this_thread(cpu)?;
    let mut batch = || -> Result<f64> {
        let start = Instant::now();
        for _ in 0..ROUND_TRIPS {
            ask.write_all(&[1])?;
            answers.read_exact(&mut [0])?;
        }
        Ok(start.elapsed().as_secs_f64() * 1e6 / f64::from(ROUND_TRIPS))
    };
    // The first one finds the threads elsewhere and the processors asleep.
    batch()?;
    let batches: Vec<f64> = (0..BATCHES).map(|_| batch()).collect::<Result<_>>()?;
    median(batches).context("no batch was measured")
}

/// memcpy(3) from one buffer to another, both in memory already: bytes copied, not bytes moved over
/// the bus, of which there are two or three times as many.
fn memory_copy_gb_s() -> f64 {
    // Not zeros: pages that nobody wrote are all the same one.
    let source = vec![1_u8; COPY_BYTES];
    let mut destination = vec![2_u8; COPY_BYTES];
    median_of_batches(|| {
        let start = Instant::now();
        destination.copy_from_slice(black_box(&source));
        black_box(&mut destination);
        COPY_BYTES as f64 / start.elapsed().as_secs_f64() / 1e9
    })
}

/// Pieces that take the same time unless something interrupts them: the mean of the slowest
/// hundredth, compared with the median. The mean, because what they lost to others is their sum.
fn jitter() -> f64 {
    median_of_batches(|| {
        let mut times: Vec<f64> = (0..PIECES).map(|_| piece_seconds()).collect();
        times.sort_unstable_by(f64::total_cmp);
        let slowest = &times[PIECES - PIECES / 100..];
        let mean = slowest.iter().sum::<f64>() / slowest.len() as f64;
        mean / times[PIECES / 2] - 1.0
    })
}

/// A chain in which each step waits for the one before (xorshift), without memory.
fn piece_seconds() -> f64 {
    let start = Instant::now();
    let mut random = black_box(1_u64);
    for _ in 0..STEPS {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
    }
    black_box(random);
    start.elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_are_those_of_a_machine() {
        let before = cpus::allowed().unwrap();
        let limits = calibrate().unwrap();
        let within = |value: f64, from: f64, to: f64| {
            assert!(value > from && value < to, "{value}: {limits:?}");
        };
        within(limits.system_call_ns, 10.0, 10_000.0);
        within(limits.switch_same_cpu_us, 0.2, 500.0);
        if let Some(other) = limits.switch_other_cpu_us {
            within(other, 0.2, 5_000.0);
        }
        assert_eq!(limits.switch_other_cpu_us.is_some(), before.len() > 1);
        // A trip is at least four system calls.
        within(
            limits.switch_same_cpu_us * 1e3,
            2.0 * limits.system_call_ns,
            f64::INFINITY,
        );
        within(limits.memory_copy_gb_s, 0.1, 1_000.0);
        within(limits.jitter, 0.0, 1_000.0);
        assert_eq!(cpus::allowed().unwrap(), before, "a thread stayed bound");
    }

    #[test]
    fn a_processor_that_may_not_be_used_is_an_error_and_not_a_wait() {
        let cpus = cpus::allowed().unwrap();
        let absent = cpus.last().unwrap() + 500;
        let error = round_trip_us(cpus[0], absent).unwrap_err();
        assert!(format!("{error:#}").contains("processor"), "{error:#}");
    }
}
