//! The run without a plant, and the exceptions tried on it.

use std::collections::BTreeSet;

use super::run::Cases;
use crate::compare::Comparison;
use crate::conformance::{Conformance, Ran, judge};
use crate::exceptions::{Class, Exception};
use crate::images::HOST;
use crate::suites::Suite;

/// Cases that differ from ext4 on every preset, so that the control needs exceptions.
const EXCUSED: [&str; 3] = [
    "sparse::collapse_and_insert",
    "open::unnamed_temporary",
    "metadata::statx_fields",
];

/// What came out without a plant.
#[derive(Debug)]
pub struct Control {
    /// Beside ext4.
    pub conformance: Conformance,
    /// How many exceptions it needs.
    pub needed: usize,
    /// How many exceptions it does not need were tried.
    pub added: usize,
    /// Exceptions that could be removed, or added, unnoticed.
    pub unnoticed: Vec<String>,
}

impl Control {
    /// No difference, and no change of the exceptions goes unnoticed.
    pub fn is_clean(&self) -> bool {
        self.conformance.is_clean()
            && self.unnoticed.is_empty()
            && self.needed > 0
            && self.added > 0
    }

    /// Judges the runs with the exceptions, without each that is needed, and with one more for each
    /// case that does not differ.
    pub(super) fn new(ran: &[Ran], exceptions: &[Exception]) -> Self {
        let conformance = judge(HOST, ran, exceptions);
        let mut unnoticed = Vec::new();
        let needed: Vec<usize> = needed(exceptions, &conformance.comparisons);
        for &index in &needed {
            let mut fewer = exceptions.to_vec();
            let removed = fewer.remove(index);
            if judge(HOST, ran, &fewer).is_clean() {
                unnoticed.push(format!("removed: {removed}"));
            }
        }
        let unneeded = unneeded(&conformance.comparisons);
        for added in &unneeded {
            let mut more = exceptions.to_vec();
            more.push(added.clone());
            if !judge(HOST, ran, &more).stale.contains(added) {
                unnoticed.push(format!("added: {added}"));
            }
        }
        Control {
            conformance,
            needed: needed.len(),
            added: unneeded.len(),
            unnoticed,
        }
    }
}

/// The cases that the control runs beside those of the plants.
pub(super) fn add_cases(cases: &mut Cases) {
    let excused = EXCUSED.map(str::to_owned);
    cases.entry(Suite::Suite).or_default().extend(excused);
}

/// The places of the exceptions that excuse something.
fn needed(exceptions: &[Exception], comparisons: &[Comparison]) -> Vec<usize> {
    let excuses = |exception: &Exception| {
        comparisons.iter().any(|comparison| {
            comparison
                .differences
                .iter()
                .any(|difference| covers(exception, comparison, &difference.test))
        })
    };
    let indices = exceptions.iter().enumerate();
    indices
        .filter(|(_, exception)| excuses(exception))
        .map(|(index, _)| index)
        .collect()
}

/// An exception for each case that ended as on ext4.
fn unneeded(comparisons: &[Comparison]) -> Vec<Exception> {
    let mut all = Vec::new();
    for comparison in comparisons {
        let differing: BTreeSet<&String> = comparison
            .differences
            .iter()
            .map(|difference| &difference.test)
            .collect();
        for test in comparison
            .tests
            .iter()
            .filter(|test| !differing.contains(test))
        {
            all.push(Exception {
                suite: comparison.suite.name().to_owned(),
                test: test.clone(),
                preset: comparison.preset.clone(),
                permissions: Some(comparison.permissions),
                targets: None,
                transports: None,
                skipped: None,
                class: Class::Environment,
                reason: "tried by the selftest".to_owned(),
            });
        }
    }
    all
}

fn covers(exception: &Exception, comparison: &Comparison, test: &str) -> bool {
    exception.covers(comparison.subject(HOST), test)
}

#[cfg(test)]
mod tests {
    use dynamicfs::config::Preset;

    use super::*;
    use crate::cell::Cell;
    use crate::outcome::{Case, Outcome, SuiteResult};
    use crate::target::Permissions;

    fn result(b: Outcome) -> SuiteResult {
        let cases = [
            ("a".to_owned(), Case::from(Outcome::Passed)),
            ("b".to_owned(), Case::from(b)),
        ];
        SuiteResult {
            cases: cases.into(),
            ..SuiteResult::default()
        }
    }

    fn ran() -> Vec<Ran> {
        let preset = Cell::preset(Preset::Safe, Permissions::Kernel, Suite::Suite);
        vec![
            (Cell::reference(Suite::Suite), Ok(result(Outcome::Passed))),
            (preset, Ok(result(Outcome::Failed("x".to_owned())))),
        ]
    }

    #[test]
    fn each_needed_exception_is_removed_and_each_other_added() {
        let control = Control::new(&ran(), &[Exception::of_suite("b", "safe")]);
        assert_eq!((control.needed, control.added), (1, 1));
        assert!(control.is_clean(), "{control:?}");
    }

    #[test]
    fn an_exception_that_another_repeats_can_be_removed_unnoticed() {
        let twice = [
            Exception::of_suite("b", "safe"),
            Exception::of_suite("b", "*"),
        ];
        let control = Control::new(&ran(), &twice);
        assert_eq!(control.unnoticed.len(), 2);
        assert!(!control.is_clean());
    }

    #[test]
    fn a_control_that_differs_or_tries_nothing_is_not_clean() {
        assert!(!Control::new(&ran(), &[]).is_clean());
        assert!(!Control::new(&[], &[]).is_clean());
    }
}
