//! The clock of a workload.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use histogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::meter::{Cpu, Meter};

/// Operations between two looks at the clock: a look costs a tenth of a cached stat.
const BATCH: u64 = 8;

/// A turn with pauses takes at most this many times its budget.
const PAUSES: u32 = 4;

/// How long a turn is.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// No operation is begun after this time.
    pub time: Duration,
    /// Nor more than these, whatever the time.
    pub operations: u64,
}

/// What a turn measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Operations done.
    pub operations: u64,
    /// Wall time of all of them.
    pub seconds: f64,
    /// CPU time of all of them.
    pub cpu: Cpu,
    /// How long single operations took, where that is the question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Percentiles>,
}

impl Sample {
    /// Both together.
    fn with(self, other: Sample) -> Sample {
        Sample {
            operations: self.operations + other.operations,
            seconds: self.seconds + other.seconds,
            cpu: Cpu {
                client: self.cpu.client + other.cpu.client,
                daemon: self.cpu.daemon + other.cpu.daemon,
            },
            latency: None,
        }
    }

    /// Wall time of one operation.
    pub fn seconds_per_operation(&self) -> f64 {
        self.seconds / self.operations as f64
    }
}

/// Latencies in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Half are faster.
    pub p50: f64,
    /// Nine of ten are faster.
    pub p90: f64,
    /// 99 of 100 are faster.
    pub p99: f64,
    /// 999 of 1,000 are faster.
    pub p999: f64,
}

/// Is told when a timed part of a turn begins and ends, and may take its time.
pub trait Watcher: fmt::Debug {
    /// Right before a timed part.
    ///
    /// # Errors
    ///
    /// Those of whatever it does; the turn ends with them.
    fn begin(&mut self) -> Result<()>;

    /// Right after it.
    ///
    /// # Errors
    ///
    /// Likewise.
    fn end(&mut self) -> Result<()>;
}

/// What a program says of itself that ran for a given time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account {
    /// Operations done.
    pub(super) operations: u64,
    /// In this wall time.
    pub(super) time: Duration,
    /// With this CPU time of its own.
    pub(super) cpu: Duration,
}

/// Times what a workload does. Exactly one of its methods is called in a turn, once.
#[derive(Debug)]
pub struct Turn<'a> {
    budget: Budget,
    meter: &'a Meter,
    watcher: Option<Box<dyn Watcher>>,
    sample: Option<Sample>,
}

impl<'a> Turn<'a> {
    /// A turn of that length; `meter` knows whose CPU time counts.
    pub fn new(budget: Budget, meter: &'a Meter) -> Self {
        Turn {
            budget,
            meter,
            watcher: None,
            sample: None,
        }
    }

    /// The same, watched.
    #[must_use]
    pub fn watched_by(mut self, watcher: Box<dyn Watcher>) -> Self {
        self.watcher = Some(watcher);
        self
    }

    /// Calls `operation` with 0, 1, 2 … until the budget is spent, or `most` are done.
    ///
    /// # Errors
    ///
    /// The first one of `operation`.
    pub fn repeat(
        &mut self,
        most: u64,
        mut operation: impl FnMut(u64) -> Result<()>,
    ) -> Result<()> {
        let Budget { time, operations } = self.budget;
        self.timed(|| {
            let until = Instant::now() + time;
            spend(until, 0, most.min(operations), &mut operation)
        })
    }

    /// [`Turn::repeat`] in rounds of `round` operations, each of which ends with `end`, in the
    /// timed part: what a round left to do later is done there. The last one may be cut short.
    ///
    /// # Errors
    ///
    /// The first one of `operation` or `end`.
    pub fn repeat_in_rounds(
        &mut self,
        round: u64,
        mut operation: impl FnMut(u64) -> Result<()>,
        mut end: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        let Budget { time, operations } = self.budget;
        self.timed(|| {
            let until = Instant::now() + time;
            let mut done = 0;
            while done < operations && Instant::now() < until {
                let most = operations.min(done + round);
                done = spend(until, done, most, &mut operation)?;
                end()?;
            }
            Ok(done)
        })
    }

    /// Calls `work` with 0, 1, 2 …, each time a whole of `each` operations, until the budget is
    /// spent; once at least.
    ///
    /// # Errors
    ///
    /// The first one of `work`.
    pub fn repeat_whole(
        &mut self,
        each: u64,
        mut work: impl FnMut(u64) -> Result<()>,
    ) -> Result<()> {
        let Budget { time, operations } = self.budget;
        self.timed(|| {
            let until = Instant::now() + time;
            let mut times = 0;
            loop {
                work(times)?;
                times += 1;
                if times * each >= operations || Instant::now() >= until {
                    return Ok(times * each);
                }
            }
        })
    }

    /// [`Turn::repeat`] with a look at the clock around each operation.
    ///
    /// # Errors
    ///
    /// The first one of `operation`.
    pub fn repeat_each_timed(
        &mut self,
        most: u64,
        mut operation: impl FnMut(u64) -> Result<()>,
    ) -> Result<()> {
        // Exact to 1/128, up to 2^40 ns (18 minutes).
        let mut latencies = Histogram::new(7, 40)?;
        let Budget { time, operations } = self.budget;
        let most = most.min(operations);
        self.timed(|| {
            let start = Instant::now();
            let mut done = 0;
            let mut last = start;
            while done < most && last - start < time {
                operation(done)?;
                let now = Instant::now();
                latencies.increment((now - last).as_nanos() as u64)?;
                last = now;
                done += 1;
            }
            Ok(done)
        })?;
        if let Some(sample) = &mut self.sample {
            sample.latency = Some(percentiles(&latencies)?);
        }
        Ok(())
    }

    /// Each of `threads` is called with 0, 1, 2 … by a thread of its own until the budget is spent.
    /// The operations of all threads count.
    ///
    /// # Errors
    ///
    /// The first one of any thread, which ends all of them.
    pub fn repeat_in_threads<F>(&mut self, threads: Vec<F>) -> Result<()>
    where
        F: FnMut(u64) -> Result<()> + Send,
    {
        let Budget { time, operations } = self.budget;
        let most = operations.div_ceil(threads.len() as u64);
        let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
        self.timed(|| {
            let start = Instant::now();
            let work = |mut operation: F| -> Result<()> {
                let mut own = 0;
                while own < most && start.elapsed() < time && !stop.load(Relaxed) {
                    operation(own).inspect_err(|_| stop.store(true, Relaxed))?;
                    own += 1;
                }
                done.fetch_add(own, Relaxed);
                Ok(())
            };
            thread::scope(|scope| {
                let work = &work;
                let workers: Vec<_> = threads
                    .into_iter()
                    .map(|operation| scope.spawn(move || work(operation)))
                    .collect();
                workers.into_iter().try_for_each(|worker| {
                    worker.join().map_err(|_| anyhow!("a thread panicked"))?
                })
            })?;
            Ok(done.load(Relaxed))
        })
    }

    /// Rounds of at most `round` times `operation`, counted from 0 in each. What `pause` does before
    /// each round is not timed; it is told the number of the round, and says whether there is one.
    ///
    /// # Errors
    ///
    /// The first one of `pause` or `operation`.
    pub fn repeat_after_pauses(
        &mut self,
        round: u64,
        pause: impl FnMut(u64) -> Result<bool>,
        mut operation: impl FnMut(u64) -> Result<()>,
    ) -> Result<()> {
        self.rounds(pause, |rest| {
            let until = Instant::now() + rest.time;
            spend(until, 0, round.min(rest.operations), &mut operation)
        })
    }

    /// Rounds of `work` as a whole, which tells how many operations it was. What `pause` does before
    /// each round is not timed; it says whether there is anything left to do.
    ///
    /// # Errors
    ///
    /// The first one of `pause` or `work`.
    pub fn timed_after_pauses(
        &mut self,
        mut pause: impl FnMut() -> Result<bool>,
        mut work: impl FnMut() -> Result<u64>,
    ) -> Result<()> {
        self.rounds(|_| pause(), |_| work())
    }

    /// One round at least; no more when the timed parts have spent the budget, or all took
    /// [`PAUSES`] times as long.
    fn rounds(
        &mut self,
        mut pause: impl FnMut(u64) -> Result<bool>,
        mut work: impl FnMut(Budget) -> Result<u64>,
    ) -> Result<()> {
        let start = Instant::now();
        let mut rest = self.budget;
        let mut total: Option<Sample> = None;
        for number in 0.. {
            let is_spent = rest.time.is_zero() || rest.operations == 0;
            let is_late = start.elapsed() > PAUSES * self.budget.time;
            if (number > 0 && (is_spent || is_late)) || !pause(number)? {
                break;
            }
            // What a pause leaves to the daemon must not cost the round.
            self.meter.wait_until_idle()?;
            let part = self.measure(|| work(rest))?;
            rest.time = rest
                .time
                .saturating_sub(Duration::from_secs_f64(part.seconds));
            rest.operations = rest.operations.saturating_sub(part.operations);
            total = Some(match total {
                None => part,
                Some(total) => total.with(part),
            });
        }
        self.set(total.ok_or_else(|| anyhow!("there is nothing to do"))?)
    }

    /// A piece of work as a whole, which tells how many operations it was.
    ///
    /// # Errors
    ///
    /// Those of `work`, or when it did nothing.
    pub fn timed(&mut self, work: impl FnOnce() -> Result<u64>) -> Result<()> {
        let sample = self.measure(work)?;
        self.set(sample)
    }

    /// A program that timed itself, because its start-up takes longer than what it is asked for. Only
    /// the CPU time of the daemons is measured from outside.
    ///
    /// # Errors
    ///
    /// Those of `work`, or when it did nothing.
    pub(super) fn timed_by_itself(&mut self, work: impl FnOnce() -> Result<Account>) -> Result<()> {
        let mut itself = None;
        let sample = self.measure(|| Ok(itself.insert(work()?).operations))?;
        let itself = itself.ok_or_else(|| anyhow!("the program gave no account"))?;
        self.set(Sample {
            seconds: itself.time.as_secs_f64(),
            cpu: Cpu {
                client: itself.cpu.as_secs_f64(),
                daemon: sample.cpu.daemon,
            },
            ..sample
        })
    }

    fn measure(&mut self, work: impl FnOnce() -> Result<u64>) -> Result<Sample> {
        if let Some(watcher) = &mut self.watcher {
            watcher.begin()?;
        }
        let before = self.meter.cpu()?;
        let start = Instant::now();
        let operations = work()?;
        let seconds = start.elapsed().as_secs_f64();
        let cpu = self.meter.cpu()?.since(before);
        if let Some(watcher) = &mut self.watcher {
            watcher.end()?;
        }
        Ok(Sample {
            operations,
            seconds,
            cpu,
            latency: None,
        })
    }

    /// The budget, for programs that are told how long to run.
    pub fn budget(&self) -> Budget {
        self.budget
    }

    /// What was measured.
    ///
    /// # Errors
    ///
    /// When the workload timed nothing.
    pub fn finish(self) -> Result<Sample> {
        self.sample
            .ok_or_else(|| anyhow!("the workload timed nothing"))
    }

    fn set(&mut self, sample: Sample) -> Result<()> {
        ensure!(self.sample.is_none(), "the workload timed two things");
        ensure!(sample.operations > 0, "no operation was done in the time");
        self.sample = Some(sample);
        Ok(())
    }
}

/// Calls `operation` with `done` and the numbers after it, up to `most` or `until`. Returns how many
/// are done then.
fn spend(
    until: Instant,
    mut done: u64,
    most: u64,
    operation: &mut impl FnMut(u64) -> Result<()>,
) -> Result<u64> {
    while done < most && Instant::now() < until {
        for _ in 0..BATCH.min(most - done) {
            operation(done)?;
            done += 1;
        }
    }
    Ok(done)
}

fn percentiles(latencies: &Histogram) -> Result<Percentiles> {
    let at = |quantile: f64| -> Result<f64> {
        let bucket = latencies
            .quantile_bucket(quantile)?
            .ok_or_else(|| anyhow!("no latency was recorded"))?;
        Ok((bucket.start() + bucket.end()) as f64 / 2e3)
    };
    Ok(Percentiles {
        p50: at(0.5)?,
        p90: at(0.9)?,
        p99: at(0.99)?,
        p999: at(0.999)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn sample(operations: u64, time: Duration, run: impl FnOnce(&mut Turn<'_>)) -> Sample {
        let meter = Meter::default();
        let mut turn = Turn::new(Budget { time, operations }, &meter);
        run(&mut turn);
        turn.finish().unwrap()
    }

    #[test]
    fn a_round_ends_with_its_end_also_the_last_one() {
        let (mut seen, mut ends) = (Vec::new(), 0);
        let sample = sample(64, LONG, |turn| {
            turn.repeat_in_rounds(
                25,
                |index| {
                    seen.push(index);
                    Ok(())
                },
                || {
                    ends += 1;
                    Ok(())
                },
            )
            .unwrap();
        });
        assert_eq!(sample.operations, 64);
        assert_eq!(seen, (0..64).collect::<Vec<_>>());
        assert_eq!(ends, 3);
    }

    fn spin(time: Duration) {
        let start = Instant::now();
        while start.elapsed() < time {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn pauses_do_not_count_and_each_round_begins_anew() {
        let (mut seen, mut pauses) = (Vec::new(), 0);
        let sample = sample(7, LONG, |turn| {
            turn.repeat_after_pauses(
                3,
                |number| {
                    assert_eq!(number, pauses);
                    pauses += 1;
                    spin(Duration::from_millis(5));
                    Ok(true)
                },
                |index| {
                    seen.push(index);
                    Ok(())
                },
            )
            .unwrap();
        });
        assert_eq!(seen, [0, 1, 2, 0, 1, 2, 0]);
        assert_eq!((sample.operations, pauses), (7, 3));
        assert!(sample.seconds < 0.005, "{}", sample.seconds);
    }

    #[test]
    fn a_program_that_timed_itself_also_knows_its_cpu_time() {
        let second = Duration::from_secs(1);
        let account = Account {
            operations: 5,
            time: 4 * second,
            cpu: 3 * second,
        };
        let sample = sample(u64::MAX, LONG, |turn| {
            turn.timed_by_itself(|| Ok(account)).unwrap();
        });
        assert_eq!((sample.operations, sample.seconds), (5, 4.0));
        assert_eq!((sample.cpu.client, sample.cpu.daemon), (3.0, 0.0));
    }

    #[test]
    fn rounds_end_when_there_is_nothing_left() {
        let mut left = 3;
        let sample = sample(u64::MAX, LONG, |turn| {
            let pause = || {
                left -= 1;
                Ok(left > 0)
            };
            turn.timed_after_pauses(pause, || Ok(10)).unwrap();
        });
        assert_eq!(sample.operations, 20);
    }

    #[test]
    fn a_whole_is_done_once_at_least_and_not_again_when_the_budget_is_spent() {
        let none = Duration::ZERO;
        let whole = |turn: &mut Turn<'_>| turn.repeat_whole(50, |_| Ok(())).unwrap();
        assert_eq!(sample(u64::MAX, none, whole).operations, 50);
        assert_eq!(sample(64, LONG, whole).operations, 100);
    }
}
