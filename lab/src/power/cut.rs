//! Cuts the power of a machine at moments drawn from a seed, and looks at what is left.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::sequence::{Promise, Sequence};
use super::verify::Loss;
use super::{Event, Log};
use crate::material::Random;
use crate::outcome::{Outcome, SuiteResult};

/// How many cuts a contestant suffers unless told otherwise: enough to notice a promise that is never
/// kept, in seconds.
pub const CUTS: u32 = 3;

/// How many in a night: each promise is the last before a cut, and as many cuts come amid something.
pub const CUTS_NIGHTLY: u32 = 50;

/// Of every run, so that two write the same. The moments fall otherwise all the same.
pub const SEED: u64 = 20_260_711;

/// How many losses of a case are told; the first says most.
const TOLD: usize = 3;

/// How long after a transaction was begun the power is cut at most: on a disk, some transactions take
/// longer and most end before.
const LONGEST_DELAY: Duration = Duration::from_millis(10);

/// Something with a file system on a disk whose power can be cut.
pub trait Machine {
    /// Starts with an empty directory, runs [`super::writer::write`] with this seed and `last` on it, and
    /// hands over each event as it arrives. When `on_event` breaks, the power is cut after that time;
    /// what arrives until then is handed over too.
    ///
    /// # Errors
    ///
    /// When the machine does not start, or the writer fails or falls silent before the power is cut.
    fn write(
        &mut self,
        seed: u64,
        last: Option<u64>,
        on_event: &mut dyn FnMut(Event) -> ControlFlow<Duration>,
    ) -> Result<()>;

    /// Starts again with the same disk, and runs [`super::verify::verify`] on the writer's directory,
    /// on each way to it: the disk's own file system, and a mount of the contestant.
    ///
    /// # Errors
    ///
    /// When the machine does not start, or the directory cannot be mounted or read.
    fn verify(&mut self, log: &Log) -> Result<Vec<Loss>>;
}

/// When the power is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Moment {
    transaction: u64,
    /// This long after it was begun, while the writer goes on; `None`: when it is acknowledged, and
    /// nothing comes after it that could bring in by the way what it should have brought in.
    delay: Option<Duration>,
}

impl Moment {
    /// Of cut `number`, counted from 0, in the sequence of `seed`. After one round at least: by then every
    /// promise was given once. In turn right after a promise was kept, the last in [`Promise::ALL`] first
    /// because most others bring in by the way what those may not have, and amid whatever comes.
    fn draw(number: u32, seed: u64, random: &mut Random) -> Self {
        let earliest = Sequence::ROUND + 1 + random.next() % (5 * Sequence::ROUND);
        if number.is_multiple_of(2) {
            let turn = number as usize / 2 % Promise::ALL.len();
            let promise = Promise::ALL[Promise::ALL.len() - 1 - turn];
            let transaction = Sequence::new(seed)
                .skip(earliest as usize)
                .find(|transaction| transaction.promise == Some(promise));
            return Moment {
                transaction: transaction.expect("every round has every promise").n,
                delay: None,
            };
        }
        let delay = Duration::from_nanos(random.next() % LONGEST_DELAY.as_nanos() as u64);
        Moment {
            transaction: earliest,
            delay: Some(delay),
        }
    }
}

/// What came of power cuts.
#[derive(Debug, Clone, PartialEq)]
pub struct Cuts {
    /// A case a promise, which passes when it was kept every time.
    pub result: SuiteResult,
    /// Transactions that had been acknowledged, in all cuts together.
    pub acknowledged: u64,
}

/// Cuts the power `cuts` times, each with a seed and a moment drawn from `seed`.
///
/// # Errors
///
/// Those of the machine.
pub fn run(machine: &mut dyn Machine, cuts: u32, seed: u64) -> Result<Cuts> {
    ensure!(cuts > 0, "no power cut asked for: nothing would be shown");
    let start = Instant::now();
    let mut random = Random::new(seed);
    let mut losses = Vec::new();
    let mut acknowledged = 0;
    for number in 1..=cuts {
        let seed = random.next();
        let moment = Moment::draw(number - 1, seed, &mut random);
        let cut = || format!("power cut {number} of {cuts}, seed {seed}, {moment:?}");
        let (log, lost) = one_cut(machine, seed, moment).with_context(cut)?;
        acknowledged += log.acknowledged;
        losses.extend(lost.into_iter().map(|loss| (number, loss)));
    }
    let result = SuiteResult {
        cases: cases(&losses)
            .into_iter()
            .map(|(promise, outcome)| (promise.to_owned(), outcome.into()))
            .collect(),
        elapsed: start.elapsed(),
    };
    Ok(Cuts {
        result,
        acknowledged,
    })
}

fn one_cut(machine: &mut dyn Machine, seed: u64, moment: Moment) -> Result<(Log, Vec<Loss>)> {
    let mut log = Log::new(seed);
    let mut noted = Ok(());
    let reached = match moment.delay {
        Some(_) => Event::Begun(moment.transaction),
        None => Event::Acknowledged(moment.transaction),
    };
    let last = moment.delay.is_none().then_some(moment.transaction);
    machine.write(seed, last, &mut |event| {
        noted = std::mem::replace(&mut noted, Ok(())).and_then(|()| log.note(event));
        if event == reached || noted.is_err() {
            ControlFlow::Break(moment.delay.unwrap_or_default())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    noted?;
    ensure!(
        log.begun > moment.transaction,
        "the power went before its time: {log:?}"
    );
    let losses = machine.verify(&log)?;
    Ok((log, losses))
}

/// How every promise was kept.
fn cases(losses: &[(u32, Loss)]) -> BTreeMap<&'static str, Outcome> {
    let outcome = |promise: Promise| {
        // What belongs to nobody is everybody's.
        let of = |(_, loss): &&(u32, Loss)| loss.promise().is_none_or(|of| of == promise);
        let lost: Vec<&(u32, Loss)> = losses.iter().filter(of).collect();
        if lost.is_empty() {
            return Outcome::Passed;
        }
        let told = lost.iter().take(TOLD);
        let told: Vec<String> = told
            .map(|(cut, loss)| format!("cut {cut}: {loss}"))
            .collect();
        Outcome::Failed(format!("{} lost: {}", lost.len(), told.join("; ")))
    };
    Promise::ALL
        .into_iter()
        .map(|promise| (promise.name(), outcome(promise)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::power::{verify, writer};

    /// Writes to a directory; the power "goes" by the end of the writing, and takes `lost` with it.
    struct Directory {
        dir: tempfile::TempDir,
        lost: Option<&'static str>,
        events_lost: bool,
    }

    impl Directory {
        fn new() -> Self {
            Directory {
                dir: tempfile::tempdir().unwrap(),
                lost: None,
                events_lost: false,
            }
        }
    }

    impl Machine for Directory {
        fn write(
            &mut self,
            seed: u64,
            last: Option<u64>,
            on_event: &mut dyn FnMut(Event) -> ControlFlow<Duration>,
        ) -> Result<()> {
            self.dir = tempfile::tempdir()?;
            let events_lost = self.events_lost;
            writer::write(self.dir.path(), seed, last, &mut |event| {
                if events_lost && event == Event::Begun(4) {
                    return ControlFlow::Continue(());
                }
                match on_event(event) {
                    ControlFlow::Break(_) => ControlFlow::Break(()),
                    ControlFlow::Continue(()) => ControlFlow::Continue(()),
                }
            })
        }

        fn verify(&mut self, log: &Log) -> Result<Vec<Loss>> {
            if let Some(path) = self.lost {
                std::fs::remove_file(self.dir.path().join(path))?;
            }
            verify::verify(self.dir.path(), log)
        }
    }

    #[test]
    fn promises_that_are_kept_pass() {
        let cuts = run(&mut Directory::new(), 4, 1).unwrap();
        assert_eq!(cuts.result.counts().passed, Promise::ALL.len());
        assert!(cuts.acknowledged > 4 * Sequence::ROUND, "{cuts:?}");
    }

    #[test]
    fn a_loss_fails_the_case_of_its_promise_alone() {
        let mut machine = Directory::new();
        machine.lost = Some("syncfs/data");
        let result = run(&mut machine, 2, 1).unwrap().result;
        assert_eq!(result.counts().failed, 1);
        let Outcome::Failed(detail) = &result.cases["syncfs"].outcome else {
            panic!("{result:?}");
        };
        assert!(
            detail.starts_with("2 lost: cut 1: syncfs/data: is missing (transaction "),
            "{detail}"
        );
    }

    #[test]
    fn lost_events_and_no_cuts_are_errors() {
        let mut machine = Directory::new();
        machine.events_lost = true;
        let error = format!("{:#}", run(&mut machine, 1, 1).unwrap_err());
        assert!(error.contains("events were lost"), "{error}");
        assert!(run(&mut Directory::new(), 0, 1).is_err());
    }

    #[test]
    fn every_second_moment_is_right_after_another_promise() {
        let mut random = Random::new(9);
        let moments = (0..30).map(|number| Moment::draw(number, 5, &mut random));
        let moments: Vec<Moment> = moments.collect();
        assert!(moments.iter().all(|m| m.transaction > Sequence::ROUND));
        let held = moments.iter().filter(|moment| moment.delay.is_none());
        let mut promises: Vec<Promise> = held
            .filter_map(|held| Sequence::new(5).nth(held.transaction as usize)?.promise)
            .collect();
        assert_eq!(promises[0], Promise::Syncfs);
        promises.sort();
        assert_eq!(promises, Promise::ALL);
    }
}
