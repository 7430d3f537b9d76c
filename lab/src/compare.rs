//! A preset's results beside those of ext4.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::exceptions::{Class, Exception};
use crate::outcome::{Case, Counts, Outcome, SuiteResult};
use crate::suites::Suite;
use crate::target::Permissions;

/// Why a difference is accepted: what the exceptions file says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Excuse {
    /// In a word.
    pub class: Class,
    /// In a sentence.
    pub reason: String,
}

/// One case that ends or sees otherwise than on ext4.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Name of the case.
    pub test: String,
    /// On ext4.
    pub reference: String,
    /// On the preset.
    pub preset: String,
    /// Why it is accepted; `None` fails the run.
    pub excuse: Option<Excuse>,
}

/// One suite on one preset beside ext4.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The suite.
    pub suite: Suite,
    /// Name of the preset.
    pub preset: String,
    /// Who checks permissions.
    pub permissions: Permissions,
    /// Counts on ext4.
    pub reference: Counts,
    /// Counts on the preset.
    pub counts: Counts,
    /// Seconds on ext4.
    pub reference_seconds: f64,
    /// Seconds on the preset.
    pub seconds: f64,
    /// What differs, by name of the case.
    pub differences: Vec<Difference>,
    /// The cases that were run.
    #[serde(skip)]
    pub tests: BTreeSet<String>,
}

impl Comparison {
    /// What was compared there.
    pub fn subject<'a>(&'a self, target: &'a str) -> Subject<'a> {
        Subject {
            target,
            suite: self.suite,
            preset: &self.preset,
            permissions: self.permissions,
        }
    }

    /// The differences that nothing excuses.
    pub fn unexcused(&self) -> impl Iterator<Item = &Difference> {
        self.differences
            .iter()
            .filter(|difference| difference.excuse.is_none())
    }
}

/// What was compared.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Name of the target: which kernel this was on.
    pub target: &'a str,
    /// The suite.
    pub suite: Suite,
    /// Name of the preset.
    pub preset: &'a str,
    /// Who checks permissions.
    pub permissions: Permissions,
}

/// Compares case by case.
///
/// # Errors
///
/// When the two runs do not have the same cases: one of them was not run in full.
pub fn compare(
    subject: Subject<'_>,
    reference: &SuiteResult,
    result: &SuiteResult,
    exceptions: &[Exception],
) -> Result<Comparison> {
    let expected: BTreeSet<String> = reference.cases.keys().cloned().collect();
    let tests: BTreeSet<String> = result.cases.keys().cloned().collect();
    if expected != tests {
        let odd: Vec<&String> = expected.symmetric_difference(&tests).take(10).collect();
        bail!(
            "{} ran {} cases on ext4 and {} on {}; only on one of them: {odd:?}",
            subject.suite.name(),
            expected.len(),
            tests.len(),
            subject.preset
        );
    }
    let differences = reference
        .cases
        .iter()
        .filter_map(|(test, on_ext4)| {
            let (reference, preset) = difference(on_ext4, &result.cases[test])?;
            let excuse = exceptions
                .iter()
                .find(|exception| exception.covers(subject, test) && exception.accepts(&preset))
                .map(|exception| Excuse {
                    class: exception.class,
                    reason: exception.reason.clone(),
                });
            Some(Difference {
                test: test.clone(),
                reference,
                preset,
                excuse,
            })
        })
        .collect();
    Ok(Comparison {
        suite: subject.suite,
        preset: subject.preset.to_owned(),
        permissions: subject.permissions,
        reference: reference.counts(),
        counts: result.counts(),
        reference_seconds: reference.elapsed.as_secs_f64(),
        seconds: result.elapsed.as_secs_f64(),
        differences,
        tests,
    })
}

/// What differs between two runs of a case: the outcome, otherwise what was observed.
fn difference(on_ext4: &Case, on_preset: &Case) -> Option<(String, String)> {
    if on_ext4.outcome.word() != on_preset.outcome.word() {
        return Some((on_ext4.outcome.to_string(), on_preset.outcome.to_string()));
    }
    if on_ext4.outcome != Outcome::Passed {
        return None;
    }
    let keys: BTreeSet<&String> = on_ext4
        .observations
        .keys()
        .chain(on_preset.observations.keys())
        .collect();
    let mut words = (Vec::new(), Vec::new());
    for key in keys {
        let (left, right) = (
            on_ext4.observations.get(key),
            on_preset.observations.get(key),
        );
        if left != right {
            let word = |value: Option<&serde_json::Value>| match value {
                Some(value) => format!("{key} = {value}"),
                None => format!("no {key}"),
            };
            words.0.push(word(left));
            words.1.push(word(right));
        }
    }
    (!words.0.is_empty()).then(|| (words.0.join(", "), words.1.join(", ")))
}

/// The exceptions that no comparison needed, of those whose case was run where they apply. `run` has
/// the comparisons of all targets, each with the name of its target. An entry by reason
/// ([`Exception::skipped`]) has no case of its own that could tell.
pub fn stale<'a>(exceptions: &'a [Exception], run: &[(&str, &Comparison)]) -> Vec<&'a Exception> {
    let is_stale = |exception: &&Exception| {
        let mut applies = run
            .iter()
            .filter(|(target, comparison)| {
                exception.covers(comparison.subject(target), &exception.test)
                    && comparison.tests.contains(&exception.test)
            })
            .peekable();
        let needed = |(_, comparison): &(&str, &Comparison)| {
            let mut differences = comparison.differences.iter();
            differences.any(|difference| difference.test == exception.test)
        };
        exception.skipped.is_none() && applies.peek().is_some() && !applies.any(needed)
    };
    exceptions.iter().filter(is_stale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SUBJECT: Subject<'_> = Subject {
        target: "host",
        suite: Suite::Suite,
        preset: "safe",
        permissions: Permissions::Kernel,
    };

    fn result(cases: &[(&str, Outcome, i32)]) -> SuiteResult {
        let cases = cases
            .iter()
            .map(|(name, outcome, seen)| {
                let observations = [("errno".to_owned(), json!(seen))].into();
                (
                    (*name).to_owned(),
                    Case {
                        outcome: outcome.clone(),
                        observations,
                    },
                )
            })
            .collect();
        SuiteResult {
            cases,
            ..SuiteResult::default()
        }
    }

    #[test]
    fn outcomes_and_observations_differ_by_name() {
        let ext4 = result(&[
            ("a", Outcome::Passed, 0),
            ("b", Outcome::Passed, 0),
            ("c", Outcome::Passed, 0),
        ]);
        let preset = result(&[
            ("a", Outcome::Passed, 0),
            ("b", Outcome::Failed("EIO".to_owned()), 0),
            ("c", Outcome::Passed, 5),
        ]);
        let comparison =
            compare(SUBJECT, &ext4, &preset, &[Exception::of_suite("c", "*")]).unwrap();
        let names: Vec<_> = comparison
            .differences
            .iter()
            .map(|d| d.test.as_str())
            .collect();
        assert_eq!(names, ["b", "c"]);
        assert_eq!(comparison.differences[0].preset, "failed (EIO)");
        assert_eq!(comparison.differences[1].reference, "errno = 0");
        assert_eq!(comparison.differences[1].preset, "errno = 5");
        let unexcused: Vec<_> = comparison.unexcused().map(|d| d.test.as_str()).collect();
        assert_eq!(unexcused, ["b"]);
    }

    #[test]
    fn a_case_that_was_not_run_is_an_error() {
        let ext4 = result(&[("a", Outcome::Passed, 0), ("b", Outcome::Passed, 0)]);
        let preset = result(&[("a", Outcome::Passed, 0)]);
        assert!(
            compare(SUBJECT, &ext4, &preset, &[])
                .unwrap_err()
                .to_string()
                .contains("\"b\"")
        );
    }

    #[test]
    fn skipping_what_ext4_passes_is_a_difference() {
        let ext4 = result(&[("a", Outcome::Passed, 0)]);
        let preset = result(&[("a", Outcome::Skipped("no acl".to_owned()), 0)]);
        assert_eq!(
            compare(SUBJECT, &ext4, &preset, &[])
                .unwrap()
                .unexcused()
                .count(),
            1
        );
    }

    #[test]
    fn an_exception_is_stale_when_its_case_ran_and_did_not_differ() {
        let same = result(&[("a", Outcome::Passed, 0)]);
        let comparison = compare(SUBJECT, &same, &same, &[]).unwrap();
        let exceptions = [
            Exception::of_suite("a", "*"),
            Exception::of_suite("a", "safe"),
            Exception::of_suite("a", "baseline"),
            Exception::of_suite("z", "*"),
        ];
        let stale: Vec<_> = stale(&exceptions, &[("host", &comparison)])
            .into_iter()
            .map(|e| e.preset.as_str())
            .collect();
        assert_eq!(stale, ["*", "safe"], "the others speak of what was not run");
    }

    #[test]
    fn an_exception_is_needed_when_one_of_its_targets_needs_it() {
        let same = result(&[("a", Outcome::Passed, 0)]);
        let other = result(&[("a", Outcome::TimedOut, 0)]);
        let equal = compare(SUBJECT, &same, &same, &[]).unwrap();
        let different = compare(SUBJECT, &same, &other, &[]).unwrap();
        let only = |targets: &[&str]| Exception {
            targets: Some(targets.iter().map(|name| (*name).to_owned()).collect()),
            ..Exception::of_suite("a", "*")
        };
        let exceptions = [only(&["old"]), only(&["old", "new"]), only(&["absent"])];
        let stale = stale(&exceptions, &[("old", &equal), ("new", &different)]);
        assert_eq!(stale, [&exceptions[0]]);
    }
}
