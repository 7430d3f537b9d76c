//! Every suite on ext4 first and on each preset after, and what differs.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use dynamicfs::config::Preset;
use serde::{Deserialize, Serialize};

use crate::cell::{Cell, Contestant};
use crate::compare::{Comparison, Subject, compare, stale};
use crate::exceptions::Exception;
use crate::outcome::{Case, Outcome, SuiteResult};
use crate::progress::Progress;
use crate::suites::{Programs, Suite};
use crate::target::Permissions;
use crate::volumes::Volumes;

/// What to compare.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The presets.
    pub presets: Vec<Preset>,
    /// The suites.
    pub suites: Vec<Suite>,
    /// Who checks permissions; `None`: both for pjdfstest, which is about them, otherwise the
    /// kernel.
    pub permissions: Option<Vec<Permissions>>,
}

impl Plan {
    /// Each run, in order: ext4 first.
    pub fn cells(&self) -> Vec<Cell> {
        let with_reference = self.suites.iter().filter(|suite| suite.has_reference());
        with_reference
            .map(|&suite| Cell::reference(suite))
            .chain(self.cells_of_presets())
            .collect()
    }

    /// Each run on a preset, in order.
    pub fn cells_of_presets(&self) -> Vec<Cell> {
        let mut cells = Vec::new();
        for &preset in &self.presets {
            for permissions in [Permissions::Kernel, Permissions::Storage] {
                for &suite in &self.suites {
                    let wanted = match &self.permissions {
                        Some(chosen) => chosen.contains(&permissions),
                        None => permissions == Permissions::Kernel || suite == Suite::Pjdfstest,
                    };
                    if wanted {
                        cells.push(Cell::preset(preset, permissions, suite));
                    }
                }
            }
        }
        cells
    }
}

/// A cell and its result, or why it has none.
pub type Ran = (Cell, Result<SuiteResult, String>);

/// What came out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Conformance {
    /// A comparison per suite and preset that was run.
    pub comparisons: Vec<Comparison>,
    /// What could not be run, and why: as bad as a difference.
    pub errors: Vec<String>,
    /// Exceptions that no longer apply.
    pub stale: Vec<Exception>,
}

impl Conformance {
    /// No difference without an excuse, nothing that was not run, no exception without a use.
    pub fn is_clean(&self) -> bool {
        self.errors.is_empty()
            && self.stale.is_empty()
            && self
                .comparisons
                .iter()
                .all(|comparison| comparison.unexcused().next().is_none())
    }
}

/// Runs cells. What cannot be run is in the result, and the rest goes on.
pub fn run(
    cells: &[Cell],
    volumes: &Volumes,
    programs: &Programs,
    progress: &Progress,
) -> Vec<Ran> {
    let run = |cell: &Cell| {
        progress.step(&cell.to_string());
        let result = volumes
            .run(cell, programs)
            .map_err(|error| format!("{error:#}"));
        progress.advance();
        (*cell, result)
    };
    cells.iter().map(run).collect()
}

/// Compares presets with ext4 on one target. What has no result becomes an error. Where a run has more
/// targets, what is stale is asked of all together ([`stale`]).
pub fn judge(target: &str, ran: &[Ran], exceptions: &[Exception]) -> Conformance {
    let mut conformance = Conformance::default();
    let mut references: BTreeMap<Suite, &SuiteResult> = BTreeMap::new();
    for (cell, result) in ran {
        let result = match result {
            Ok(result) => result,
            Err(error) => {
                conformance.errors.push(format!("{cell}: {error}"));
                continue;
            }
        };
        let Contestant::Preset {
            preset,
            permissions,
        } = cell.contestant
        else {
            let faulty = faulty_reference(cell.suite, result);
            conformance.errors.extend(faulty);
            references.insert(cell.suite, result);
            continue;
        };
        let subject = Subject {
            target,
            suite: cell.suite,
            preset: preset.name(),
            permissions,
        };
        let reference = references.get(&cell.suite).copied();
        match beside(reference, subject, result, exceptions) {
            Ok(comparison) => conformance.comparisons.push(comparison),
            Err(error) => conformance.errors.push(format!("{cell}: {error:#}")),
        }
    }
    let here: Vec<_> = conformance
        .comparisons
        .iter()
        .map(|it| (target, it))
        .collect();
    conformance.stale = stale(exceptions, &here).into_iter().cloned().collect();
    conformance
}

/// A preset's result beside that of ext4, or where there is no such thing, beside a pass of everything.
fn beside(
    reference: Option<&SuiteResult>,
    subject: Subject<'_>,
    result: &SuiteResult,
    exceptions: &[Exception],
) -> Result<Comparison> {
    if !subject.suite.has_reference() {
        return compare(subject, &all_passed(result), result, exceptions);
    }
    let reference = reference.context("ext4 has no result to compare with")?;
    compare(subject, reference, result, exceptions)
}

/// What a suite without a reference is compared with. A case that says why it cannot be run here stays
/// one that was not run.
fn all_passed(result: &SuiteResult) -> SuiteResult {
    let passed = |case: &Case| Case {
        outcome: match &case.outcome {
            Outcome::Skipped(reason) => Outcome::Skipped(reason.clone()),
            Outcome::Passed | Outcome::Failed(_) | Outcome::TimedOut => Outcome::Passed,
        },
        observations: case.observations.clone(),
    };
    let cases = result.cases.iter();
    SuiteResult {
        cases: cases
            .map(|(name, case)| (name.clone(), passed(case)))
            .collect(),
        elapsed: result.elapsed,
    }
}

/// A case that fails on ext4 says nothing about a preset that fails it too: the reference is
/// broken, or the case is.
fn faulty_reference(suite: Suite, result: &SuiteResult) -> Option<String> {
    if suite.only_differences_count() {
        return None;
    }
    let failed: Vec<String> = result
        .cases
        .iter()
        .filter(|(_, case)| matches!(case.outcome, Outcome::Failed(_) | Outcome::TimedOut))
        .map(|(name, case)| format!("{name} {}", case.outcome))
        .collect();
    let first = failed.first()?;
    Some(format!(
        "{} of {} fail on ext4 itself, so they prove nothing; the first: {first}",
        failed.len(),
        suite.name()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Case;

    #[test]
    fn a_reference_that_fails_is_an_error() {
        let mut result = SuiteResult::default();
        result.cases.insert(
            "a".to_owned(),
            Case::from(Outcome::Skipped("no".to_owned())),
        );
        assert_eq!(faulty_reference(Suite::Fsx, &result), None);
        result
            .cases
            .insert("b".to_owned(), Case::from(Outcome::TimedOut));
        let error = faulty_reference(Suite::Fsx, &result).unwrap();
        assert!(
            error.starts_with("1 of fsx") && error.ends_with("b timed out"),
            "{error}"
        );
    }

    #[test]
    fn permissions_default_to_both_for_pjdfstest_only() {
        let plan = Plan {
            presets: vec![Preset::Safe],
            suites: vec![Suite::Pjdfstest, Suite::Fsx],
            permissions: None,
        };
        let keys: Vec<String> = plan.cells().iter().map(Cell::key).collect();
        assert_eq!(
            keys,
            [
                "ext4/pjdfstest",
                "ext4/fsx",
                "safe/kernel/pjdfstest",
                "safe/kernel/fsx",
                "safe/storage/pjdfstest",
            ]
        );
    }
}
