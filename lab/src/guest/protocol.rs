//! The language between the lab and the agent: one JSON object a line, both ways.

use std::fmt;
use std::io::{BufRead, Write};

use anyhow::{Context, Result};
use dynamicfs::config::Preset;
use dynamicfs::mount::MountReport;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::bench::result::{Bench, Settings};
use crate::cell::{Cell, Contestant};
use crate::outcome::SuiteResult;
use crate::power;
use crate::power::verify::Loss;
use crate::suites::Suite;
use crate::suites::xfstests::Xfstests;

/// Version of this language. An agent of another version would answer nonsense.
pub const PROTOCOL: u32 = 2;

/// What the lab says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// Do this. Said first, and again when the last job is done.
    Job(Job),
    /// Tell which tasks hang, and where.
    Dump,
    /// There is no more to do.
    Off,
}

/// What an agent is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// In this order.
    pub steps: Vec<Step>,
    /// Smaller amounts in the suites that have such.
    pub quick: bool,
    /// Factor for all time limits.
    pub patience: u32,
    /// Power cuts of a suite that makes its own.
    pub cuts: u32,
    /// For the suite of that name. A guest has the tree on a disk, wherever the lab has it.
    pub xfstests: Option<Xfstests>,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Mount a preset and tell what the kernel granted.
    Capabilities(Preset),
    /// A suite on somebody.
    Cell(Cell),
    /// Timed loops.
    Workloads(Workloads),
    /// Write until the machine is killed.
    PowerWrite(PowerWrite),
    /// Compare what is there after the machine was killed.
    PowerVerify(PowerVerify),
}

/// Writing until the machine is killed: the step has no end of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PowerWrite {
    /// On whom.
    pub contestant: Contestant,
    /// What is written.
    pub seed: u64,
    /// The last transaction, after which the machine waits for its end.
    pub last: Option<u64>,
}

/// Comparing what is there after the machine was killed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PowerVerify {
    /// On whom it was written.
    pub contestant: Contestant,
    /// What was begun and acknowledged.
    pub log: power::Log,
}

/// Timed loops, on ext4, `baseline` and presets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Workloads {
    /// The presets.
    pub presets: Vec<Preset>,
    /// Names of the loops.
    pub names: Vec<String>,
    /// How often and how long.
    pub settings: Settings,
    /// Version of dynamicfs, for the report.
    pub version: String,
    /// The command line, for the report.
    pub command: String,
}

impl Step {
    /// Whether it is this suite on somebody.
    pub fn is_of(&self, suite: Suite) -> bool {
        matches!(self, Step::Cell(cell) if cell.suite == suite)
    }

    /// A name of its own for every step of a job, good for a path below a directory.
    pub fn key(&self) -> String {
        match self {
            Step::Capabilities(preset) => format!("capabilities/{}", preset.name()),
            Step::Cell(cell) => cell.key(),
            Step::Workloads(_) => "workloads".to_owned(),
            Step::PowerWrite(_) => "power-write".to_owned(),
            Step::PowerVerify(_) => "power-verify".to_owned(),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Capabilities(preset) => write!(f, "capabilities of {}", preset.name()),
            Step::Cell(cell) => cell.fmt(f),
            Step::Workloads(_) => f.write_str("workloads"),
            Step::PowerWrite(write) => {
                write!(f, "writing on {} until the power goes", write.contestant)
            }
            Step::PowerVerify(verify) => {
                write!(f, "what {} has after the power went", verify.contestant)
            }
        }
    }
}

/// What an agent says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// Said first.
    Hello {
        /// [`PROTOCOL`].
        protocol: u32,
        /// Release of the kernel.
        kernel: String,
    },
    /// A step has begun.
    Started {
        /// [`Step::key`].
        step: String,
    },
    /// Said every few seconds: the guest lives.
    Alive {
        /// Share of the processors' time since the last time that was not idle, 0 to 1.
        busy: f64,
    },
    /// Something for the log.
    Log {
        /// In words; may have several lines.
        text: String,
    },
    /// A step has ended.
    Finished {
        /// [`Step::key`].
        step: String,
        /// How.
        outcome: StepOutcome,
        /// How long it took.
        seconds: f64,
    },
    /// What the writer of [`Step::PowerWrite`] tells.
    Power(power::Event),
    /// All steps of the job have ended.
    Done,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepOutcome {
    /// What the kernel granted.
    Capabilities(MountReport),
    /// The cases of a suite.
    Suite(SuiteResult),
    /// The figures.
    Workloads(Box<Bench>),
    /// What is not as promised.
    Losses(Vec<Loss>),
    /// It could not be done to its end, and why.
    Failed(String),
}

/// Says something.
///
/// # Errors
///
/// When the other side is gone.
pub fn say(to: &mut dyn Write, what: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    to.write_all(&line)?;
    to.flush().context("the other side is gone")
}

/// Hears the next thing; `None` at the end.
///
/// # Errors
///
/// When the line is cut short, is not of this language, or cannot be read.
pub fn hear<T: DeserializeOwned>(from: &mut dyn BufRead) -> Result<Option<T>> {
    let mut line = String::new();
    loop {
        line.clear();
        if from.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        // A serial line may begin with noise of the terminal: blank lines mean nothing.
        if !line.trim().is_empty() {
            break;
        }
    }
    let text = line.trim();
    let heard = serde_json::from_str(text).with_context(|| {
        let start: String = text.chars().take(80).collect();
        if line.ends_with('\n') {
            format!("not of the agent's language: {start:?}")
        } else {
            format!("cut short: {start:?}")
        }
    })?;
    Ok(Some(heard))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Case, Outcome};

    fn finished() -> Event {
        let mut result = SuiteResult::default();
        let failed = Outcome::Failed("two\nlines".to_owned());
        result.cases.insert("a::b".to_owned(), Case::from(failed));
        Event::Finished {
            step: Step::Cell(Cell::reference(Suite::Fsx)).key(),
            outcome: StepOutcome::Suite(result),
            seconds: 1.5,
        }
    }

    #[test]
    fn what_is_said_is_heard() {
        let mut line = Vec::new();
        say(&mut line, &finished()).unwrap();
        say(&mut line, &Event::Done).unwrap();
        assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 2);
        let mut from = line.as_slice();
        assert_eq!(hear::<Event>(&mut from).unwrap(), Some(finished()));
        assert_eq!(hear::<Event>(&mut from).unwrap(), Some(Event::Done));
        assert_eq!(hear::<Event>(&mut from).unwrap(), None);
    }

    #[test]
    fn a_line_that_ends_early_is_an_error_and_not_an_event() {
        let mut line = Vec::new();
        say(&mut line, &finished()).unwrap();
        let error = hear::<Event>(&mut &line[..line.len() / 2]).unwrap_err();
        assert!(error.to_string().starts_with("cut short"), "{error}");
        let error = hear::<Event>(&mut &b"Kernel panic\n"[..]).unwrap_err();
        assert!(error.to_string().contains("Kernel panic"), "{error}");
    }
}
