//! The repetitions of a run.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::attempt::Attempt;
use super::calibration::calibrate;
use super::contestant::{Contestant, Mounted};
use super::environment::{self, Observer};
use super::judge::{Score, judge};
use super::plan::Plan;
use super::requests::Tracer;
use super::result::{self, Bench, Calibration, Cell, FORMAT, Kind, Row};
use super::rooms::{furnish, room};
use super::site::Site;
use crate::meter::Meter;
use crate::progress::Progress;
use crate::workload::{Budget, Workload};

/// The turn that counts requests has at most this many operations: counts are exact, so few are
/// enough, but what a loop does once must not weigh.
const COUNTED_OPERATIONS: u64 = 1_000;
const COUNTED_TIME: Duration = Duration::from_millis(50);

impl Plan {
    /// Runs it.
    ///
    /// # Errors
    ///
    /// When ext4 itself fails, or nothing can be mounted or measured. A contestant that fails in a
    /// workload is part of the result.
    pub fn run(&self, site: &Site, progress: &Progress) -> Result<Bench> {
        ensure!(!self.workloads.is_empty(), "no workload was chosen");
        let start = Instant::now();
        let started = environment::now();
        let observer = Observer::begin(site.description(), self.version.as_str())?;
        progress.step("calibrating");
        let before = calibrate()?;
        let mut run = Run {
            plan: self,
            site,
            progress,
            tracer: Tracer::open(),
            gone: vec![None; self.contestants.len()],
            scores: vec![vec![Score::default(); self.contestants.len()]; self.workloads.len()],
        };
        let all: Vec<usize> = (0..self.workloads.len()).collect();
        for number in 0..self.settings.repetitions {
            let name = format!("repetition {} of {}", number + 1, self.settings.repetitions);
            run.repetition(number, &name, &all)?;
        }
        run.repeat_noisy(start)?;
        let rows = run.rows();
        let calibration = Calibration {
            before,
            after: calibrate()?,
        };
        Ok(Bench {
            format: FORMAT,
            started,
            environment: observer.finish()?,
            seconds: start.elapsed().as_secs_f64(),
            command: self.command.clone(),
            calibration,
            settings: self.settings.clone(),
            contestants: run.who_was_there(),
            rows,
        })
    }
}

struct Run<'a> {
    plan: &'a Plan,
    site: &'a Site,
    progress: &'a Progress,
    tracer: Tracer,
    /// By contestant: why it could not be mounted. It is out then, for the whole run.
    gone: Vec<Option<String>>,
    /// By workload and contestant.
    scores: Vec<Vec<Score>>,
}

/// A contestant during a repetition.
struct Entrant {
    /// `None` when it is gone.
    mounted: Option<Mounted>,
    source: PathBuf,
}

impl Run<'_> {
    /// Everybody is mounted anew, and has a turn in each of the workloads.
    fn repetition(&mut self, number: usize, name: &str, workloads: &[usize]) -> Result<()> {
        self.progress.step(&format!("{name}: making files"));
        let mut entrants = self.enter(workloads)?;
        if number == 0 {
            // Before the first timed turn: it is the warm-up, too.
            for &workload in workloads {
                let what = self.plan.workloads[workload].name;
                self.progress.step(&format!("counting requests: {what}"));
                for contestant in 0..entrants.len() {
                    self.turn(workload, contestant, &mut entrants, Purpose::CountRequests)?;
                }
                self.progress.advance();
            }
        }
        for &workload in workloads {
            let what = self.plan.workloads[workload].name;
            self.progress.step(&format!("{name}: {what}"));
            for contestant in turns(number, entrants.len()) {
                self.turn(workload, contestant, &mut entrants, Purpose::Time)?;
            }
            self.progress.advance();
        }
        self.leave(entrants)?;
        self.site.trim()
    }

    /// Unmounts all. A peer that does not end by itself was killed, and its figures stand.
    fn leave(&self, entrants: Vec<Entrant>) -> Result<()> {
        for (entrant, contestant) in entrants.into_iter().zip(&self.plan.contestants) {
            let Some(mounted) = entrant.mounted else {
                continue;
            };
            let unmounted = mounted
                .unmount()
                .with_context(|| format!("unmounting {}", contestant.name()));
            match unmounted {
                Err(error) if contestant.kind() == Kind::Peer => {
                    self.progress.note(&format!("{error:#}"));
                }
                other => other?,
            }
        }
        Ok(())
    }

    /// Makes the files of all, then mounts all.
    fn enter(&mut self, workloads: &[usize]) -> Result<Vec<Entrant>> {
        let plan = self.plan;
        let workloads: Vec<&Workload> = workloads.iter().map(|&w| &plan.workloads[w]).collect();
        let mut sources = Vec::new();
        for contestant in &plan.contestants {
            let source = self.site.source(contestant.name())?;
            furnish(&source, &workloads, &plan.fixtures)?;
            sources.push(source);
        }
        if let Some(source) = sources.first() {
            // Or the first turn pays for it.
            rustix::fs::syncfs(File::open(source)?)?;
        }
        sources
            .into_iter()
            .enumerate()
            .map(|(contestant, source)| {
                Ok(Entrant {
                    mounted: self.mount(contestant, &source)?,
                    source,
                })
            })
            .collect()
    }

    /// A peer that cannot be mounted is out, and the others go on.
    fn mount(&mut self, contestant: usize, source: &Path) -> Result<Option<Mounted>> {
        if self.gone[contestant].is_some() {
            return Ok(None);
        }
        let one = &self.plan.contestants[contestant];
        let mounted = one.mount(source, &self.site.mountpoint(one.name()));
        match mounted.with_context(|| format!("mounting {}", one.name())) {
            Ok(mounted) => Ok(Some(mounted)),
            Err(error) if one.kind() == Kind::Peer => {
                self.gone[contestant] = Some(format!("{error:#}"));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// One turn. A failure takes the contestant out of this workload, and mounts it anew for the
    /// next one: its daemon may be gone.
    fn turn(
        &mut self,
        workload: usize,
        contestant: usize,
        entrants: &mut [Entrant],
        purpose: Purpose,
    ) -> Result<()> {
        let meters = entrants.iter().filter_map(|one| one.mounted.as_ref());
        let everybody = Meter::of_all(meters.map(Mounted::meter));
        let Entrant { mounted, source } = &mut entrants[contestant];
        let budget = self.budget(purpose);
        let score = &mut self.scores[workload][contestant];
        let (Some(served), None) = (&*mounted, &score.failed) else {
            return Ok(());
        };
        let workload = self.plan.workloads[workload];
        let attempt = Attempt {
            workload,
            room: room(&workload, served.dir(), source, &self.plan.fixtures),
            budget,
            meter: served.meter().clone(),
            everybody,
        };
        let outcome = match purpose {
            Purpose::Time => time(&attempt, score),
            Purpose::CountRequests => count(&attempt, served, &mut self.tracer, score),
        };
        let Err(error) = outcome else { return Ok(()) };
        if contestant == 0 {
            return Err(error.context(format!("{} fails on ext4 itself", workload.name)));
        }
        score.failed = Some(format!("{error:#}"));
        // First: it is killed when dropped.
        drop(mounted.take());
        *mounted = self.mount(contestant, source)?;
        Ok(())
    }

    fn budget(&self, purpose: Purpose) -> Budget {
        match purpose {
            Purpose::Time => Budget {
                time: Duration::from_millis(self.plan.settings.turn_ms),
                operations: u64::MAX,
            },
            Purpose::CountRequests => Budget {
                time: COUNTED_TIME,
                operations: COUNTED_OPERATIONS,
            },
        }
    }

    /// More repetitions of the rows whose figures spread too much, while there is time.
    fn repeat_noisy(&mut self, start: Instant) -> Result<()> {
        let settings = &self.plan.settings;
        for extra in 0..settings.more_if_noisy {
            let noisy: Vec<usize> = (0..self.scores.len())
                .filter(|&workload| self.is_noisy(workload))
                .collect();
            if noisy.is_empty() || start.elapsed() > self.plan.limit {
                break;
            }
            let name = format!("{} noisy rows once more", noisy.len());
            self.repetition(settings.repetitions + extra, &name, &noisy)?;
        }
        Ok(())
    }

    /// Peers alone are no reason: the row is about this project, and about the best of them.
    fn is_noisy(&self, workload: usize) -> bool {
        let cells = self.cells(workload);
        let best = cells
            .iter()
            .find_map(|cell| Some(cell.figures.as_ref()?.to_best_peer.as_ref()?.0.clone()));
        self.there().zip(&cells).any(|((_, one), cell)| {
            let counts = one.kind() != Kind::Peer || best.as_deref() == Some(one.name());
            counts && cell.figures.as_ref().is_some_and(|figures| figures.noisy)
        })
    }

    /// Those that are not gone, with their numbers.
    fn there(&self) -> impl Iterator<Item = (usize, &Contestant)> {
        let all = self.plan.contestants.iter().enumerate();
        all.filter(|(number, _)| self.gone[*number].is_none())
    }

    /// Of those that are there.
    fn cells(&self, workload: usize) -> Vec<Cell> {
        let (names, scores): (Vec<(&str, Kind)>, Vec<Score>) = self
            .there()
            .map(|(number, one)| {
                let score = self.scores[workload][number].clone();
                ((one.name(), one.kind()), score)
            })
            .unzip();
        judge(&names, &scores)
    }

    fn rows(&self) -> Vec<Row> {
        self.plan
            .workloads
            .iter()
            .enumerate()
            .map(|(index, workload)| Row {
                workload: workload.name.to_owned(),
                group: workload.group,
                operation: workload.operation.to_owned(),
                caches: workload.caches,
                cells: self.cells(index),
            })
            .collect()
    }

    fn who_was_there(&self) -> Vec<result::Contestant> {
        let described = self.plan.contestants.iter().zip(&self.gone);
        described
            .map(|(contestant, gone)| result::Contestant {
                not_run: gone.clone(),
                ..contestant.describe()
            })
            .chain(self.plan.absent.iter().cloned())
            .collect()
    }
}

/// What a turn is for: counting may slow the requests down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Time,
    CountRequests,
}

fn time(attempt: &Attempt, score: &mut Score) -> Result<()> {
    attempt.prepare()?;
    attempt.meter.reset_peak_memory()?;
    score.samples.push(attempt.run()?);
    let memory = attempt.meter.peak_memory()?;
    score.daemon_memory = score.daemon_memory.max(memory);
    Ok(())
}

fn count(
    attempt: &Attempt,
    mounted: &Mounted,
    tracer: &mut Tracer,
    score: &mut Score,
) -> Result<()> {
    attempt.prepare()?;
    let (sample, requests) = attempt.run_counted(mounted, tracer)?;
    score.requests = requests.map(|counts| {
        counts
            .into_iter()
            .map(|(name, count)| (name, count as f64 / sample.operations as f64))
            .collect()
    });
    Ok(())
}

/// The order of a repetition: each begins with another contestant, and every second one goes
/// backwards, so that nobody always follows the same one.
fn turns(repetition: usize, contestants: usize) -> impl Iterator<Item = usize> {
    (0..contestants).map(move |turn| {
        let turn = if repetition.is_multiple_of(2) {
            turn
        } else {
            contestants - turn
        };
        (repetition + turn) % contestants
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_a_turn_and_nobody_always_the_same_neighbour() {
        let orders: Vec<Vec<usize>> = (0..4).map(|r| turns(r, 3).collect()).collect();
        assert_eq!(orders, [[0, 1, 2], [1, 0, 2], [2, 0, 1], [0, 2, 1]]);
    }
}
