//! What a suite says about its cases.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How one case ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", content = "detail", rename_all = "kebab-case")]
pub enum Outcome {
    /// As expected.
    Passed,
    /// Otherwise, and how.
    Failed(String),
    /// Not run, and why not.
    Skipped(String),
    /// Stopped by a deadline.
    TimedOut,
}

impl Outcome {
    /// The word for it, without the detail.
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Passed => "passed",
            Outcome::Failed(_) => "failed",
            Outcome::Skipped(_) => "skipped",
            Outcome::TimedOut => "timed out",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Failed(detail) | Outcome::Skipped(detail) if !detail.is_empty() => {
                write!(
                    f,
                    "{} ({})",
                    self.word(),
                    detail.split_whitespace().collect::<Vec<_>>().join(" ")
                )
            }
            _ => f.write_str(self.word()),
        }
    }
}

/// One case: how it ended, and what it saw on the way (error numbers, attributes, contents).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What it saw; empty for suites that do not tell.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub observations: BTreeMap<String, Value>,
}

impl From<Outcome> for Case {
    fn from(outcome: Outcome) -> Self {
        Case {
            outcome,
            observations: BTreeMap::new(),
        }
    }
}

/// All cases of one suite on one target, by name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SuiteResult {
    /// The cases.
    pub cases: BTreeMap<String, Case>,
    /// How long the suite took.
    pub elapsed: Duration,
}

/// How many cases ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Passed.
    pub passed: usize,
    /// Failed or timed out.
    pub failed: usize,
    /// Skipped.
    pub skipped: usize,
}

impl Counts {
    /// All of them.
    pub fn total(&self) -> usize {
        self.passed + self.failed + self.skipped
    }
}

impl SuiteResult {
    /// How many cases ended how.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for case in self.cases.values() {
            match case.outcome {
                Outcome::Passed => counts.passed += 1,
                Outcome::Failed(_) | Outcome::TimedOut => counts.failed += 1,
                Outcome::Skipped(_) => counts.skipped += 1,
            }
        }
        counts
    }
}
