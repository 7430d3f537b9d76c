//! The runs: the reference, the control, and a mount for each plant.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};

use super::control::{self, Control};
use super::{Plant, VARIABLE};
use crate::cell::{Cell, Contestant};
use crate::conformance::{Conformance, Ran, judge};
use crate::exceptions::Exception;
use crate::images::HOST;
use crate::namespace::scratch;
use crate::outcome::SuiteResult;
use crate::progress::Progress;
use crate::suites::{Programs, Suite};
use crate::target::Dynamicfs;
use crate::volumes::Volumes;

/// Names of cases by suite.
pub(super) type Cases = BTreeMap<Suite, BTreeSet<String>>;

/// The suites whose cases can be chosen.
const SUITES: [Suite; 3] = [Suite::Pjdfstest, Suite::Fsx, Suite::Suite];

/// What to plant, and who looks for it.
#[derive(Debug)]
pub struct Plan {
    /// The plants.
    pub plants: Vec<&'static Plant>,
    /// All cases look, not only those that must find it: tells which would.
    pub all_cases: bool,
}

/// Whether a plant was found.
#[derive(Debug)]
pub struct Verdict {
    /// The plant.
    pub plant: &'static Plant,
    /// The cases that found it and had to.
    pub caught_by: Vec<String>,
    /// The cases that had to find it and did not.
    pub missed_by: Vec<String>,
    /// The cases that found it as well.
    pub also_by: Vec<String>,
    /// What could not be run.
    pub errors: Vec<String>,
}

impl Verdict {
    /// Found by all that had to.
    pub fn is_caught(&self) -> bool {
        self.errors.is_empty() && self.missed_by.is_empty() && !self.caught_by.is_empty()
    }

    fn new(plant: &'static Plant, conformance: &Conformance) -> Self {
        let seen = differences(conformance);
        let must: BTreeSet<String> = plant
            .caught_by
            .iter()
            .map(|(suite, case)| name(*suite, case))
            .collect();
        Verdict {
            plant,
            caught_by: must.intersection(&seen).cloned().collect(),
            missed_by: must.difference(&seen).cloned().collect(),
            also_by: seen.difference(&must).cloned().collect(),
            errors: conformance.errors.clone(),
        }
    }
}

/// What came out.
#[derive(Debug)]
pub struct Selftest {
    /// Without a plant.
    pub control: Control,
    /// With each plant.
    pub verdicts: Vec<Verdict>,
}

impl Selftest {
    /// The control is clean and every plant is caught.
    pub fn is_clean(&self) -> bool {
        self.control.is_clean() && self.verdicts.iter().all(Verdict::is_caught)
    }
}

impl Plan {
    /// Steps of progress.
    pub fn steps(&self) -> usize {
        1 + self.contestants().len() + self.plants.len()
    }

    /// Plants and looks. `program` is `dynamicfs-planted`.
    ///
    /// # Errors
    ///
    /// When the cases cannot be run on ext4. What fails on a mount is in the result.
    pub fn run(
        &self,
        program: &Path,
        volumes: &mut Volumes,
        programs: &Programs,
        exceptions: &[Exception],
        progress: &Progress,
    ) -> Result<Selftest> {
        progress.step("reference: ext4");
        let reference = self.reference(volumes, programs)?;
        progress.advance();
        let mut ground = Ground {
            volumes,
            programs,
            reference: &reference,
            progress,
        };
        let mut ran = Vec::new();
        for contestant in self.contestants() {
            let command = Dynamicfs::new(program, &scratch());
            let cases = self.cases_on(contestant, &reference);
            ran.extend(ground.run("control: no plant", command, contestant, &cases));
        }
        let mut verdicts = Vec::new();
        for &plant in &self.plants {
            let command = Dynamicfs::new(program, &scratch()).variable(VARIABLE, plant.name);
            let cases = match self.all_cases {
                true => names_of(&reference),
                false => declared([plant]),
            };
            let ran = ground.run(plant.name, command, plant.on, &cases);
            verdicts.push(Verdict::new(plant, &judge(HOST, &ran, exceptions)));
        }
        Ok(Selftest {
            control: Control::new(&ran, exceptions),
            verdicts,
        })
    }

    /// Where something is planted.
    fn contestants(&self) -> Vec<Contestant> {
        let mut contestants: Vec<Contestant> = Vec::new();
        for plant in &self.plants {
            if !contestants.contains(&plant.on) {
                contestants.push(plant.on);
            }
        }
        contestants
    }

    /// What the control runs on a contestant.
    fn cases_on(&self, contestant: Contestant, reference: &Results) -> Cases {
        if self.all_cases {
            return names_of(reference);
        }
        let here = self.plants.iter().filter(|plant| plant.on == contestant);
        let mut cases = declared(here.copied());
        control::add_cases(&mut cases);
        cases
    }

    fn reference(&self, volumes: &Volumes, programs: &Programs) -> Result<Results> {
        let mut cases = declared(self.plants.iter().copied());
        control::add_cases(&mut cases);
        if self.all_cases {
            // A run of all tells what there is; those that need more than a choice of cases are not
            // run again.
            for suite in SUITES {
                let all = volumes.run(&Cell::reference(suite), programs)?;
                let here = |name: &String| !name.contains("erofs");
                cases.insert(suite, all.cases.into_keys().filter(here).collect());
            }
        }
        let results = volumes.visit(Contestant::Ext4, |place| {
            let run = |(suite, names): (&Suite, &BTreeSet<String>)| {
                let result = suite.run_cases(place, programs, &borrowed(names));
                Ok((*suite, result.with_context(|| suite.name())?))
            };
            cases.iter().map(run).collect::<Result<Results>>()
        });
        results.context("on ext4")
    }
}

/// Results by suite.
type Results = BTreeMap<Suite, SuiteResult>;

/// What all mounts have in common.
struct Ground<'a> {
    volumes: &'a mut Volumes,
    programs: &'a Programs,
    reference: &'a Results,
    progress: &'a Progress,
}

impl Ground<'_> {
    /// Runs cases on one mount: for each suite the reference and the result.
    fn run(
        &mut self,
        what: &str,
        command: Dynamicfs,
        contestant: Contestant,
        cases: &Cases,
    ) -> Vec<Ran> {
        let first = cases.keys().next().copied().unwrap_or(Suite::Suite);
        let cell = |suite| Cell { contestant, suite };
        self.progress.step(&format!("{what}, on {contestant}"));
        self.volumes.set_command(command);
        let visited = self.volumes.visit(contestant, |place| {
            let run = |(suite, names): (&Suite, &BTreeSet<String>)| {
                let result = suite.run_cases(place, self.programs, &borrowed(names));
                (cell(*suite), result.map_err(|error| format!("{error:#}")))
            };
            Ok(cases.iter().map(run).collect::<Vec<Ran>>())
        });
        self.progress.advance();
        let results = match visited {
            Ok(results) => results,
            Err(error) => vec![(cell(first), Err(format!("{error:#}")))],
        };
        let references = cases.iter().filter_map(|(suite, names)| {
            let all = self.reference.get(suite)?;
            Some((Cell::reference(*suite), Ok(subset(all, names))))
        });
        references.chain(results).collect()
    }
}

fn subset(result: &SuiteResult, names: &BTreeSet<String>) -> SuiteResult {
    let cases = result
        .cases
        .iter()
        .filter(|(name, _)| names.contains(*name));
    SuiteResult {
        cases: cases
            .map(|(name, case)| (name.clone(), case.clone()))
            .collect(),
        elapsed: result.elapsed,
    }
}

fn borrowed(names: &BTreeSet<String>) -> BTreeSet<&str> {
    names.iter().map(String::as_str).collect()
}

fn names_of(results: &Results) -> Cases {
    let names = |result: &SuiteResult| result.cases.keys().cloned().collect();
    results
        .iter()
        .map(|(suite, result)| (*suite, names(result)))
        .collect()
}

/// The cases that must find these plants.
fn declared(plants: impl IntoIterator<Item = &'static Plant>) -> Cases {
    let mut cases = Cases::new();
    for (suite, case) in plants.into_iter().flat_map(|plant| plant.caught_by) {
        cases.entry(*suite).or_default().insert((*case).to_owned());
    }
    cases
}

fn name(suite: Suite, case: &str) -> String {
    format!("{} {case}", suite.name())
}

/// The names of the cases that ended otherwise than on ext4 without an excuse.
fn differences(conformance: &Conformance) -> BTreeSet<String> {
    let of = |comparison: &crate::compare::Comparison| {
        let suite = comparison.suite;
        comparison
            .unexcused()
            .map(|difference| name(suite, &difference.test))
            .collect::<Vec<String>>()
    };
    conformance.comparisons.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Case, Outcome};
    use crate::selftest;

    fn result(cases: &[(&str, Outcome)]) -> SuiteResult {
        let case =
            |(name, outcome): &(&str, Outcome)| ((*name).to_owned(), Case::from(outcome.clone()));
        SuiteResult {
            cases: cases.iter().map(case).collect(),
            ..SuiteResult::default()
        }
    }

    /// A plant and how its first case and another one ended on it.
    fn verdict(first: Outcome, other: Outcome) -> Verdict {
        let plant = selftest::find("write-offset-32-bits").unwrap();
        let (suite, case) = plant.caught_by[0];
        let passed = result(&[(case, Outcome::Passed), ("other", Outcome::Passed)]);
        let cell = Cell {
            contestant: plant.on,
            suite,
        };
        let ran = [
            (Cell::reference(suite), Ok(passed)),
            (cell, Ok(result(&[(case, first), ("other", other)]))),
        ];
        Verdict::new(plant, &judge(HOST, &ran, &[]))
    }

    #[test]
    fn a_plant_is_caught_by_its_own_cases_and_no_other() {
        let failed = || Outcome::Failed("x".to_owned());
        assert!(!verdict(Outcome::Passed, Outcome::Passed).is_caught());
        let by_another = verdict(Outcome::Passed, failed());
        assert!(!by_another.is_caught());
        assert_eq!(by_another.also_by, ["suite other"]);
        let caught = verdict(failed(), Outcome::Passed);
        assert!(caught.is_caught(), "{caught:?}");
    }

    #[test]
    fn each_of_its_cases_has_to_find_it() {
        let plant = selftest::find("append-at-stale-size").unwrap();
        let [(suite, one), (_, other)] = plant.caught_by else {
            panic!("two cases");
        };
        let passed = result(&[(one, Outcome::Passed), (other, Outcome::Passed)]);
        let failed = Outcome::Failed("x".to_owned());
        let half = result(&[(one, failed), (other, Outcome::Passed)]);
        let cell = Cell {
            contestant: plant.on,
            suite: *suite,
        };
        let ran = [(Cell::reference(*suite), Ok(passed)), (cell, Ok(half))];
        let verdict = Verdict::new(plant, &judge(HOST, &ran, &[]));
        assert!(!verdict.is_caught());
        assert_eq!(verdict.missed_by, [format!("suite {other}")]);
    }

    #[test]
    fn what_could_not_be_run_is_not_caught() {
        let plant = selftest::find("append-at-stale-size").unwrap();
        let cell = Cell {
            contestant: plant.on,
            suite: Suite::Suite,
        };
        let ran = [(cell, Err("no mount".to_owned()))];
        let verdict = Verdict::new(plant, &judge(HOST, &ran, &[]));
        assert!(!verdict.is_caught());
        assert!(verdict.errors[0].contains("no mount"));
    }
}
