//! Two guests at a time, each target in guests of its own, until all its steps have ended.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use tempfile::TempDir;

use super::power::Powered;
use super::store::{Facts, Record, RunPlan, Store, TargetPlan};
use crate::cell::Cell;
use crate::guest::protocol::{Event, Job, PROTOCOL, Step, StepOutcome};
use crate::machine::{Broken, CONSOLE, Guest, Limits, alarms, drive};
use crate::power::cut;
use crate::progress::Progress;
use crate::report::PowerCuts;
use crate::suites::Suite;
use crate::suites::xfstests::Xfstests;

/// Where a target's guests come from.
pub trait Site: Sync {
    /// Starts a guest. Its disks are in `room`, and fresh unless an earlier guest was started there; so
    /// is what else it needs.
    ///
    /// # Errors
    ///
    /// When it does not start.
    fn start(&self, room: &Path) -> Result<Guest>;

    /// Factor for all time limits: 1 on this machine, more where all takes longer.
    fn patience(&self) -> u32;

    /// Whether a guest can lose its power and start again with what is on its disks.
    fn has_power(&self) -> bool {
        false
    }

    /// How long to wait for what.
    fn limits(&self) -> Limits {
        Limits::new(self.patience())
    }
}

/// Does what is missing of a run. Guests have their rooms in `rooms`.
///
/// # Errors
///
/// When a result cannot be kept. A guest that breaks is part of the run: the step that was under way has
/// failed, and the rest goes on in another guest.
pub fn run<'a>(
    plan: &RunPlan,
    sites: &(dyn Fn(&str) -> Result<&'a dyn Site> + Sync),
    guests_at_a_time: usize,
    rooms: &Path,
    store: &Store,
    progress: &Progress,
) -> Result<()> {
    let together: Vec<_> = plan.targets.iter().map(|one| (one, &one.steps)).collect();
    let alone: Vec<_> = plan.targets.iter().map(|one| (one, &one.alone)).collect();
    for (work, guests) in [(together, guests_at_a_time), (alone, 1)] {
        let queue = Mutex::new(VecDeque::from(work));
        let next = || {
            let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.pop_front()
        };
        thread::scope(|scope| -> Result<()> {
            let worker = || -> Result<()> {
                while let Some((target, steps)) = next() {
                    let runner = Runner {
                        target,
                        xfstests: plan.xfstests.as_ref(),
                        rooms,
                        store,
                        progress,
                    };
                    runner.run(sites(&target.name)?, steps)?;
                }
                Ok(())
            };
            let workers: Vec<_> = (0..guests).map(|_| scope.spawn(worker)).collect();
            workers.into_iter().try_for_each(|worker| {
                let panicked = |_| Err(anyhow!("a worker panicked"));
                worker.join().unwrap_or_else(panicked)
            })
        })?;
    }
    Ok(())
}

struct Runner<'a> {
    target: &'a TargetPlan,
    xfstests: Option<&'a Xfstests>,
    rooms: &'a Path,
    store: &'a Store,
    progress: &'a Progress,
}

impl Runner<'_> {
    /// Until nothing is missing, or what is missing has failed.
    fn run(&self, site: &dyn Site, steps: &[Step]) -> Result<()> {
        let left = self.store.missing(&self.target.name, steps)?;
        let (killed, left) = left
            .into_iter()
            .partition(|step| site.has_power() && as_power_cut(step).is_some());
        self.together(site, left)?;
        self.power_cuts(site, &killed)
    }

    /// Steps that share guests.
    fn together(&self, site: &dyn Site, mut left: Vec<Step>) -> Result<()> {
        while !left.is_empty() {
            let before = left.len();
            let broken = self.guest(site, &mut left)?;
            let Some(broken) = broken else { continue };
            self.note(&format!("the guest broke: {}", first_line(&broken.why)));
            match broken.step {
                Some(step) => {
                    self.fail(&step, &broken.why)?;
                    left.retain(|other| other.key() != step);
                }
                // It did nothing at all: another would not either.
                None if left.len() == before => {
                    for step in left.drain(..) {
                        self.fail(&step.key(), &broken.why)?;
                    }
                }
                None => {}
            }
        }
        Ok(())
    }

    /// One guest for all that is left; what has ended is left no more.
    fn guest(&self, site: &dyn Site, left: &mut Vec<Step>) -> Result<Option<Broken>> {
        let name = &self.target.name;
        let mut facts = self.store.facts(name)?;
        let start = Instant::now();
        let room = self.room()?;
        let broken = match site.start(room.path()) {
            Ok(mut guest) => {
                let runs_xfstests = left.iter().any(|step| step.is_of(Suite::Xfstests));
                let job = Job {
                    protocol: PROTOCOL,
                    steps: left.clone(),
                    quick: self.target.quick,
                    patience: site.patience(),
                    cuts: self.target.cuts,
                    xfstests: self.xfstests.filter(|_| runs_xfstests).cloned(),
                };
                let mut kept = Ok(());
                let driven = drive(&mut guest, &job, &site.limits(), &mut |event| {
                    if kept.is_ok() {
                        kept = self.heard(event, &mut facts, left);
                    }
                });
                kept?;
                self.console(&guest.console(), &mut facts)?;
                driven.err()
            }
            Err(error) => Some(Broken {
                step: None,
                why: format!("the guest did not start: {error:#}"),
            }),
        };
        facts.breaks.extend(broken.iter().map(ToString::to_string));
        facts.seconds += start.elapsed().as_secs_f64();
        self.store.keep_facts(name, &facts)?;
        Ok(broken)
    }

    /// The suite that kills its guest, in a guest of its own for all contestants, who have their disks
    /// and directories in it.
    fn power_cuts(&self, site: &dyn Site, steps: &[Step]) -> Result<()> {
        let Some(first) = steps.iter().find_map(as_power_cut) else {
            return Ok(());
        };
        let name = &self.target.name;
        let start = Instant::now();
        let room = self.room()?;
        let mut machine = Powered::new(site, room.path(), first.contestant);
        for (step, cell) in steps
            .iter()
            .filter_map(|step| Some((step, as_power_cut(step)?)))
        {
            let key = step.key();
            self.progress.step(&format!("{name}: {key}"));
            let began = Instant::now();
            machine.contestant = cell.contestant;
            let mut facts = self.store.facts(name)?;
            let outcome = match cut::run(&mut machine, self.target.cuts, cut::SEED) {
                Ok(cuts) => {
                    facts
                        .cuts
                        .insert(key.clone(), PowerCuts::of(cell, self.target.cuts, &cuts));
                    StepOutcome::Suite(cuts.result)
                }
                Err(error) => StepOutcome::Failed(format!("{error:#}")),
            };
            facts.kernel.clone_from(&machine.kernel);
            self.store.keep_facts(name, &facts)?;
            let record = Record {
                outcome,
                seconds: began.elapsed().as_secs_f64(),
            };
            self.keep(&key, &record)?;
        }
        drop(machine);
        let mut facts = self.store.facts(name)?;
        facts.seconds += start.elapsed().as_secs_f64();
        let console = fs::read(room.path().join(CONSOLE)).unwrap_or_default();
        self.console(&String::from_utf8_lossy(&console), &mut facts)?;
        self.store.keep_facts(name, &facts)
    }

    fn room(&self) -> Result<TempDir> {
        tempfile::Builder::new()
            .prefix(&format!("{}-", self.target.name))
            .tempdir_in(self.rooms)
            .with_context(|| format!("cannot make a room in {}", self.rooms.display()))
    }

    fn heard(&self, event: &Event, facts: &mut Facts, left: &mut Vec<Step>) -> Result<()> {
        match event {
            Event::Hello { kernel, .. } => facts.kernel.clone_from(kernel),
            Event::Started { step } => self.progress.step(&format!("{}: {step}", self.target.name)),
            Event::Log { text } => self.note(text),
            Event::Finished {
                step,
                outcome,
                seconds,
            } => {
                let record = Record {
                    outcome: outcome.clone(),
                    seconds: *seconds,
                };
                self.keep(step, &record)?;
                left.retain(|other| other.key() != *step);
            }
            Event::Alive { .. } | Event::Power(_) | Event::Done => {}
        }
        Ok(())
    }

    fn console(&self, console: &str, facts: &mut Facts) -> Result<()> {
        facts.guests += 1;
        let name = &self.target.name;
        self.store.keep_console(name, facts.guests, console)?;
        let alarms = alarms::find(console);
        for alarm in &alarms {
            self.note(&format!("{}: {}", alarm.kind, alarm.line));
        }
        facts.alarms.extend(alarms);
        Ok(())
    }

    fn keep(&self, step: &str, record: &Record) -> Result<()> {
        if let StepOutcome::Failed(why) = &record.outcome {
            self.note(&format!("{step} failed: {}", first_line(why)));
        }
        self.progress.advance();
        self.store.keep(&self.target.name, step, record)
    }

    fn fail(&self, step: &str, why: &str) -> Result<()> {
        let record = Record {
            outcome: StepOutcome::Failed(why.to_owned()),
            seconds: 0.0,
        };
        self.keep(step, &record)
    }

    fn note(&self, what: &str) {
        self.progress.note(&format!("{}: {what}", self.target.name));
    }
}

/// The cell of a step that cuts the power.
fn as_power_cut(step: &Step) -> Option<Cell> {
    match step {
        Step::Cell(cell) if cell.suite == Suite::PowerCut => Some(*cell),
        _ => None,
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
