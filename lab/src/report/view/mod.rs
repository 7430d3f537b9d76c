//! What reports ask of a run.

mod capabilities;
mod differences;
mod places;
mod problems;

use dynamicfs::config::Preset;

use super::model::{Report, Target};
use crate::cell::{Cell, Contestant};
use crate::compare::Comparison;
use crate::outcome::Counts;
use crate::suites::Suite;
use crate::target::Permissions;

pub(crate) use self::capabilities::{Kernels, State, io_mode, kernels, reasons, what};
pub(crate) use self::differences::{Entry, Way, entries};
pub(crate) use self::places::{Place, whereabouts};
pub(crate) use self::problems::{Kind, Problem};

/// A column of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Column {
    pub(crate) suite: Suite,
    pub(crate) permissions: Permissions,
}

impl Column {
    /// That of a comparison.
    pub(crate) fn of(comparison: &Comparison) -> Column {
        Column {
            suite: comparison.suite,
            permissions: comparison.permissions,
        }
    }

    /// The suite; with the permissions where those are not the kernel's.
    pub(crate) fn name(self) -> String {
        match self.permissions {
            Permissions::Kernel => self.suite.name().to_owned(),
            Permissions::Storage => format!("{}, permissions by the storage", self.suite.name()),
        }
    }
}

/// What a cell of the matrix says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As ext4 in every case.
    Same,
    /// So many differences, all accepted.
    Accepted(usize),
    /// So many differences that nothing accepts.
    Different(usize),
    /// Planned, and without a result.
    NotRun,
    /// Nobody asked for it.
    NotPlanned,
}

impl Verdict {
    pub(crate) fn of(comparison: &Comparison) -> Verdict {
        match (comparison.unexcused().count(), comparison.differences.len()) {
            (0, 0) => Verdict::Same,
            (0, all) => Verdict::Accepted(all),
            (open, _) => Verdict::Different(open),
        }
    }

    /// In few words.
    pub(crate) fn words(self) -> String {
        match self {
            Verdict::Same => "same".to_owned(),
            Verdict::Accepted(all) => format!("{all} accepted"),
            Verdict::Different(open) => format!("{open} DIFFERENT"),
            Verdict::NotRun => "NOT RUN".to_owned(),
            Verdict::NotPlanned => "–".to_owned(),
        }
    }
}

/// `397/0/1`: passed, failed, skipped.
pub(crate) fn counts(counts: Counts) -> String {
    format!("{}/{}/{}", counts.passed, counts.failed, counts.skipped)
}

impl Report {
    /// Every preset equals ext4 up to the exceptions, everything that was planned has a result, no kernel
    /// complained, and every exception is needed.
    pub fn is_clean(&self) -> bool {
        self.problems().is_empty()
    }

    /// The columns of the matrix: what at least one target ran or should have.
    pub(crate) fn columns(&self) -> Vec<Column> {
        let mut columns: Vec<Column> = self
            .targets
            .iter()
            .flat_map(|target| {
                let run = target.comparisons.iter().map(Column::of);
                run.chain(target.planned().map(|(_, column)| column))
            })
            .collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }
}

impl Target {
    /// The presets that were run or should have been, in their usual order.
    pub(crate) fn presets(&self) -> Vec<&str> {
        let mut presets: Vec<&str> = self
            .planned()
            .map(|(preset, _)| preset.name())
            .chain(self.comparisons.iter().map(|it| it.preset.as_str()))
            .chain(self.capabilities.keys().map(String::as_str))
            .collect();
        presets.sort_unstable_by_key(|name| rank(name));
        presets.dedup();
        presets
    }

    /// What was to be run on presets.
    fn planned(&self) -> impl Iterator<Item = (Preset, Column)> {
        self.plan.iter().filter_map(|cell| match cell.contestant {
            Contestant::Ext4 => None,
            Contestant::Preset {
                preset,
                permissions,
            } => {
                let suite = cell.suite;
                Some((preset, Column { suite, permissions }))
            }
        })
    }

    /// Cells of the plan that have no result.
    pub(crate) fn missing(&self) -> impl Iterator<Item = Cell> {
        let lacks = |(preset, at): &(Preset, Column)| self.comparison(preset.name(), *at).is_none();
        self.planned()
            .filter(lacks)
            .map(|(preset, at)| Cell::preset(preset, at.permissions, at.suite))
    }

    /// What was found there.
    pub(crate) fn comparison(&self, preset: &str, at: Column) -> Option<&Comparison> {
        let mut comparisons = self.comparisons.iter();
        comparisons.find(|it| it.preset == preset && Column::of(it) == at)
    }

    /// What the matrix says there.
    pub(crate) fn verdict(&self, preset: &str, at: Column) -> Verdict {
        match self.comparison(preset, at) {
            Some(comparison) => Verdict::of(comparison),
            None if self.planned().any(|it| (it.0.name(), it.1) == (preset, at)) => Verdict::NotRun,
            None => Verdict::NotPlanned,
        }
    }

    /// The counts on ext4; `None` where it was not run, or is no reference.
    pub(crate) fn reference(&self, at: Column) -> Option<Counts> {
        let mut comparisons = self.comparisons.iter();
        let found = comparisons.find(|it| Column::of(it) == at && at.suite.has_reference())?;
        Some(found.reference)
    }
}

/// Sorts presets in their usual order, others after them.
pub(crate) fn rank(preset: &str) -> (usize, &str) {
    let place = Preset::ALL.iter().position(|known| known.name() == preset);
    (place.unwrap_or(Preset::ALL.len()), preset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::alarms::Alarm;
    use crate::report::sample;

    fn kinds(report: &Report) -> Vec<Kind> {
        report
            .problems()
            .iter()
            .map(|problem| problem.kind)
            .collect()
    }

    #[test]
    fn a_run_is_clean_only_when_nothing_is_wrong() {
        let clean = sample::clean();
        assert!(clean.is_clean(), "{:?}", clean.problems());
        type Spoil = fn(&mut Report);
        let spoilt: [(Spoil, Kind); 8] = [
            (|run| run.targets.clear(), Kind::NotRun),
            (|run| run.errors.push("no disk".to_owned()), Kind::NotRun),
            (
                |run| run.targets[0].errors.push("no fsx".to_owned()),
                Kind::NotRun,
            ),
            (|run| run.targets[0].complete = false, Kind::NotRun),
            (|run| drop(run.targets[0].comparisons.pop()), Kind::NotRun),
            (|run| run.stale = sample::red().stale, Kind::StaleException),
            (
                |run| {
                    run.targets[0].alarms.push(Alarm {
                        kind: "oops".to_owned(),
                        line: "BUG".to_owned(),
                    });
                },
                Kind::Alarm,
            ),
            (
                |run| run.targets[0].comparisons[0].differences[0].excuse = None,
                Kind::Difference,
            ),
        ];
        for (spoil, kind) in spoilt {
            let mut run = clean.clone();
            spoil(&mut run);
            assert_eq!(kinds(&run), [kind]);
            assert!(!run.is_clean());
        }
    }

    #[test]
    fn a_workload_that_fails_on_a_preset_makes_a_run_red() {
        let fail = |contestant: &str| {
            let mut run = sample::clean();
            let bench = run.targets[0].workloads.as_mut().unwrap();
            let mut cells = bench.rows[0].cells.iter_mut();
            let cell = cells.find(|cell| cell.contestant == contestant).unwrap();
            (cell.figures, cell.failed) = (None, Some("EIO".to_owned()));
            kinds(&run)
        };
        assert_eq!(fail("safe"), [Kind::Workload]);
        assert_eq!(fail("baseline"), [], "a yardstick");
    }

    #[test]
    fn what_has_no_result_is_in_the_matrix_and_among_the_problems() {
        let mut run = sample::clean();
        let target = &mut run.targets[0];
        let gone = target.comparisons.remove(0);
        let at = Column::of(&gone);
        assert_eq!(target.verdict(&gone.preset, at), Verdict::NotRun);
        target.plan.clear();
        assert_eq!(target.verdict(&gone.preset, at), Verdict::NotPlanned);
        assert!(run.is_clean());
    }
}
