//! Driving an agent: gives it jobs, hears what it tells, and does not wait for the dead.

use std::borrow::BorrowMut;
use std::io::BufReader;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow, bail};
use thiserror::Error;

use super::guest::Guest;
use crate::guest::protocol::{Command, Event, Job, PROTOCOL, Step, hear, say};
use crate::process::GRACE;
use crate::suites::{Suite, xfstests};

/// Below this share of the processors' time, a guest does nothing.
const IDLE: f64 = 0.02;

/// How long the lab waits for what.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From the start to the agent's first word.
    pub boot: Duration,
    /// Between two words: an agent says every few seconds that it lives.
    pub silence: Duration,
    /// With idle processors and no step that ends: longer than any wait of a suite.
    pub idle: Duration,
    /// For one step.
    pub step: Duration,
    /// For one of the suite xfstests, which has a limit of its own.
    pub xfstests: Duration,
    /// For a guest that hangs to tell where.
    pub answer: Duration,
    /// From the last word until the machine is off.
    pub off: Duration,
}

impl Limits {
    /// For a machine on which all takes `patience` times as long as on this one.
    pub fn new(patience: u32) -> Self {
        Limits {
            boot: Duration::from_secs(30) * patience.max(2),
            silence: Duration::from_secs(20) * patience.max(2),
            idle: Duration::from_secs(90),
            step: Duration::from_secs(20 * 60).max(Duration::from_secs(5 * 60) * patience),
            xfstests: xfstests::LIMIT * patience + Duration::from_secs(10 * 60),
            answer: Duration::from_secs(5) * patience.max(2),
            off: Duration::from_secs(20) * patience.max(2),
        }
    }

    /// For the step of this name, of a job.
    fn of(&self, step: &str, job: &Job) -> Duration {
        let is_long = |other: &Step| other.is_of(Suite::Xfstests) && other.key() == step;
        if job.steps.iter().any(is_long) {
            self.xfstests
        } else {
            self.step
        }
    }
}

/// An agent did not come to its end.
#[derive(Debug, Error)]
#[error("{why}")]
pub struct Broken {
    /// The step that was under way.
    pub step: Option<String>,
    /// What happened, and what the guest told of it.
    pub why: String,
}

/// Gives the guest its job, and hands every event to `sink`, until all steps are done and the machine is
/// off. A guest that makes no progress is asked where it hangs, and killed.
///
/// # Errors
///
/// When the guest dies, hangs, or does not speak the language. What it told before was handed over.
pub fn drive(
    guest: &mut Guest,
    job: &Job,
    limits: &Limits,
    sink: &mut dyn FnMut(&Event),
) -> Result<(), Broken> {
    let mut on_event = |event: &Event| {
        sink(event);
        ControlFlow::Continue(())
    };
    let mut driver = Driver::new(guest, limits).map_err(|error| Broken {
        step: None,
        why: format!("{error:#}"),
    })?;
    let driven = driver
        .greet(&mut on_event)
        .and_then(|()| driver.work(job, &mut on_event))
        .and_then(|()| driver.off());
    let step = driver.step.take();
    driven.map_err(|error| {
        driver.guest.borrow_mut().kill();
        Broken {
            step,
            why: format!("{error:#}"),
        }
    })
}

fn listen(from: Box<dyn std::io::Read + Send>) -> Receiver<Result<Option<Event>>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        loop {
            let heard = hear(&mut from);
            let last = !matches!(heard, Ok(Some(_)));
            if sender.send(heard).is_err() || last {
                return;
            }
        }
    });
    receiver
}

/// What is told of events; when it breaks, the guest loses its power after that time.
type OnEvent<'a> = &'a mut dyn FnMut(&Event) -> ControlFlow<Duration>;

/// Gives the agent of a guest jobs, one after the other. `G` is the guest, or borrows it.
pub struct Driver<G: BorrowMut<Guest>> {
    heard: Receiver<Result<Option<Event>>>,
    to: Box<dyn std::io::Write + Send>,
    guest: G,
    step: Option<String>,
    limits: Limits,
}

impl<G: BorrowMut<Guest>> Driver<G> {
    /// For a guest that was never driven before.
    ///
    /// # Errors
    ///
    /// When it was.
    pub fn new(mut guest: G, limits: &Limits) -> Result<Self> {
        let stream = guest.borrow_mut().take_stream();
        let stream = stream.context("the guest was driven before")?;
        Ok(Driver {
            heard: listen(stream.from),
            to: stream.to,
            guest,
            step: None,
            limits: *limits,
        })
    }

    /// Waits for the agent's first word.
    ///
    /// # Errors
    ///
    /// When it does not come, or is of another language.
    pub fn greet(&mut self, on_event: OnEvent<'_>) -> Result<()> {
        let event = self.next(self.limits.boot, "did not come up")?;
        let _ = on_event(&event);
        match event {
            Event::Hello { protocol, .. } if protocol == PROTOCOL => Ok(()),
            other => bail!(
                "the first word of the agent was {other:?}, not a greeting in version {PROTOCOL}"
            ),
        }
    }

    /// Gives a job, and hands over every event until it is done; or until `on_event` breaks: then the
    /// guest is killed after that time, as by a power failure, and what it told until then is handed
    /// over too.
    ///
    /// # Errors
    ///
    /// When the guest dies by itself, hangs, or does not speak the language.
    pub fn work(&mut self, job: &Job, on_event: OnEvent<'_>) -> Result<()> {
        say(&mut self.to, &Command::Job(job.clone()))?;
        let mut step_began = Instant::now();
        let mut step_limit = self.limits.step;
        let mut last_busy = Instant::now();
        loop {
            let event = self.next(self.limits.silence, "said nothing")?;
            if let ControlFlow::Break(delay) = on_event(&event) {
                self.cut_power(delay, on_event);
                return Ok(());
            }
            match event {
                Event::Started { step } => {
                    step_limit = self.limits.of(&step, job);
                    self.step = Some(step);
                    step_began = Instant::now();
                    last_busy = step_began;
                }
                Event::Finished { .. } => self.step = None,
                Event::Alive { busy } if busy > IDLE => last_busy = Instant::now(),
                Event::Done => return Ok(()),
                Event::Hello { .. } | Event::Alive { .. } | Event::Log { .. } | Event::Power(_) => {
                }
            }
            if self.step.is_some() {
                self.check(last_busy, self.limits.idle, "was idle")?;
                self.check(step_began, step_limit, "was busy with one step")?;
            }
        }
    }

    /// There is no more to do: the guest turns itself off.
    ///
    /// # Errors
    ///
    /// When it does not in time.
    pub fn off(&mut self) -> Result<()> {
        // One that is gone already cannot hear it, and need not.
        let _ = say(&mut self.to, &Command::Off);
        self.guest.borrow_mut().wait(self.limits.off)?;
        Ok(())
    }

    /// Kills the guest after a time, and hands over what it told.
    fn cut_power(&mut self, delay: Duration, on_event: OnEvent<'_>) {
        let moment = Instant::now() + delay;
        while let Some(left) = moment.checked_duration_since(Instant::now()) {
            match self.heard.recv_timeout(left) {
                Ok(Ok(Some(event))) => drop(on_event(&event)),
                Err(RecvTimeoutError::Timeout) => {}
                _ => break,
            }
        }
        self.guest.borrow_mut().kill();
        // What had left the guest is on its way; the end of it may be cut short.
        while let Ok(Ok(Some(event))) = self.heard.recv_timeout(GRACE) {
            let _ = on_event(&event);
        }
    }

    fn check(&mut self, since: Instant, limit: Duration, did: &str) -> Result<()> {
        if since.elapsed() < limit {
            return Ok(());
        }
        Err(self.stuck(limit, did))
    }

    /// The next event, or why there is none.
    fn next(&mut self, limit: Duration, did: &str) -> Result<Event> {
        match self.heard.recv_timeout(limit) {
            Ok(Ok(Some(event))) => Ok(event),
            Ok(Err(error)) => Err(error),
            Ok(Ok(None)) | Err(RecvTimeoutError::Disconnected) => bail!(self.death()),
            Err(RecvTimeoutError::Timeout) => Err(self.stuck(limit, did)),
        }
    }

    /// How the guest ended, with the last that it printed.
    fn death(&mut self) -> String {
        let ending = self
            .guest
            .borrow_mut()
            .wait(GRACE)
            .unwrap_or_else(|_| "its stream ended, and it goes on".to_owned());
        format!("the guest died ({ending}); {}", self.tail())
    }

    /// Asks what hangs, and gives up.
    fn stuck(&mut self, limit: Duration, did: &str) -> Error {
        let mut told = String::new();
        if say(&mut self.to, &Command::Dump).is_ok() {
            let deadline = Instant::now() + self.limits.answer;
            while let Some(left) = deadline.checked_duration_since(Instant::now()) {
                match self.heard.recv_timeout(left) {
                    Ok(Ok(Some(Event::Log { text }))) => {
                        told = text;
                        break;
                    }
                    Ok(Ok(Some(_))) => {}
                    _ => break,
                }
            }
        }
        anyhow!(
            "the guest {did} for {limit:?} and was ended; {}; {}",
            if told.is_empty() {
                "it did not answer the question what hangs"
            } else {
                told.trim()
            },
            self.tail()
        )
    }

    fn tail(&self) -> String {
        let console = self.guest.borrow().console();
        let lines: Vec<&str> = console.lines().collect();
        if lines.is_empty() {
            return "it printed nothing".to_owned();
        }
        let from = lines.len().saturating_sub(25);
        format!("its last lines:\n{}", lines[from..].join("\n"))
    }
}
