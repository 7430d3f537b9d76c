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
use super::result::{Bench, Calibration, Cell, FORMAT, Kind, Row};
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
            contestants: self
                .contestants
                .iter()
                .map(Contestant::describe)
                .chain(self.absent.iter().cloned())
                .collect(),
            rows,
        })
    }
}

struct Run<'a> {
    plan: &'a Plan,
    site: &'a Site,
    progress: &'a Progress,
    tracer: Tracer,
    /// By workload and contestant.
    scores: Vec<Vec<Score>>,
}

/// A contestant during a repetition.
struct Entrant {
    mounted: Mounted,
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
        for (entrant, contestant) in entrants.into_iter().zip(&self.plan.contestants) {
            entrant
                .mounted
                .unmount()
                .with_context(|| format!("unmounting {}", contestant.name()))?;
        }
        self.site.trim()
    }

    /// Makes the files of all, then mounts all.
    fn enter(&self, workloads: &[usize]) -> Result<Vec<Entrant>> {
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
        plan.contestants
            .iter()
            .zip(sources)
            .map(|(contestant, source)| {
                Ok(Entrant {
                    mounted: self.mount(contestant, &source)?,
                    source,
                })
            })
            .collect()
    }

    fn mount(&self, contestant: &Contestant, source: &Path) -> Result<Mounted> {
        let name = contestant.name();
        contestant
            .mount(source, &self.site.mountpoint(name))
            .with_context(|| format!("mounting {name}"))
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
        if self.scores[workload][contestant].failed.is_some() {
            return Ok(());
        }
        let attempt = self.attempt(workload, contestant, entrants, purpose);
        let mounted = &entrants[contestant].mounted;
        let score = &mut self.scores[workload][contestant];
        let outcome = match purpose {
            Purpose::Time => time(&attempt, score),
            Purpose::CountRequests => count(&attempt, mounted, &mut self.tracer, score),
        };
        let Err(error) = outcome else { return Ok(()) };
        let name = attempt.workload.name;
        if contestant == 0 {
            return Err(error.context(format!("{name} fails on ext4 itself")));
        }
        score.failed = Some(format!("{error:#}"));
        let anew = &self.plan.contestants[contestant];
        let entrant = &mut entrants[contestant];
        entrant
            .mounted
            .replace(|| self.mount(anew, &entrant.source))
    }

    fn attempt(
        &self,
        workload: usize,
        contestant: usize,
        entrants: &[Entrant],
        purpose: Purpose,
    ) -> Attempt {
        let plan = self.plan;
        let Entrant { mounted, source } = &entrants[contestant];
        let workload = plan.workloads[workload];
        Attempt {
            workload,
            room: room(&workload, mounted.dir(), source, &plan.fixtures),
            budget: match purpose {
                Purpose::Time => Budget {
                    time: Duration::from_millis(plan.settings.turn_ms),
                    operations: u64::MAX,
                },
                Purpose::CountRequests => Budget {
                    time: COUNTED_TIME,
                    operations: COUNTED_OPERATIONS,
                },
            },
            meter: mounted.meter().clone(),
            everybody: Meter::of_all(entrants.iter().map(|entrant| entrant.mounted.meter())),
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
        self.plan.contestants.iter().zip(&cells).any(|(one, cell)| {
            let counts = one.kind() != Kind::Peer || best.as_deref() == Some(one.name());
            counts && cell.figures.as_ref().is_some_and(|figures| figures.noisy)
        })
    }

    fn cells(&self, workload: usize) -> Vec<Cell> {
        let names: Vec<(&str, Kind)> = self
            .plan
            .contestants
            .iter()
            .map(|contestant| (contestant.name(), contestant.kind()))
            .collect();
        judge(&names, &self.scores[workload])
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
            contestants - 1 - turn
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
        assert_eq!(orders, [[0, 1, 2], [0, 2, 1], [2, 0, 1], [2, 1, 0]]);
    }
}
