//! What makes a run red.

use super::entries;
use crate::report::model::{Report, Target};

/// What makes a run red.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A kernel complained.
    Alarm,
    /// A case differs from ext4, and no exception says why.
    Difference,
    /// There is no result.
    NotRun,
    /// A workload failed on a preset.
    Workload,
    /// No target needs it.
    StaleException,
}

impl Kind {
    /// Of one and of many.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Kind::Alarm => ("alarm of a kernel", "alarms of kernels"),
            Kind::Difference => (
                "difference from ext4 that nothing accepts",
                "differences from ext4 that nothing accepts",
            ),
            Kind::NotRun => ("part that was not run", "parts that were not run"),
            Kind::Workload => ("workload that failed", "workloads that failed"),
            Kind::StaleException => (
                "exception that nothing needs any more",
                "exceptions that nothing needs any more",
            ),
        }
    }
}

/// All of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) kind: Kind,
    /// Each of them.
    pub(crate) lines: Vec<String>,
}

impl Problem {
    /// `2 differences from ext4 that nothing accepts`.
    pub(crate) fn title(&self) -> String {
        let (one, many) = self.kind.names();
        match self.lines.len() {
            1 => format!("1 {one}"),
            count => format!("{count} {many}"),
        }
    }
}

impl Report {
    /// Everything that makes the run red, the worst first; nothing when it is clean.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let of_targets = |lines: fn(&Target) -> Vec<String>| -> Vec<String> {
            let named = |target: &Target| {
                let name = target.name.clone();
                lines(target)
                    .into_iter()
                    .map(move |line| format!("{name}: {line}"))
            };
            self.targets.iter().flat_map(named).collect()
        };
        let mut not_run = self.errors.clone();
        if self.targets.is_empty() {
            not_run.push("no target was run".to_owned());
        }
        not_run.extend(of_targets(not_run_on));
        let kinds = [
            (Kind::Alarm, of_targets(alarms)),
            (Kind::Difference, self.open()),
            (Kind::NotRun, not_run),
            (Kind::Workload, of_targets(failed_workloads)),
            (Kind::StaleException, self.stale_lines()),
        ];
        kinds
            .into_iter()
            .filter(|(_, lines)| !lines.is_empty())
            .map(|(kind, lines)| Problem {
                kind,
                lines: lines.iter().map(|line| one_line(line)).collect(),
            })
            .collect()
    }

    /// How the run ended, in one sentence.
    pub(crate) fn headline(&self) -> String {
        let problems = self.problems();
        if !problems.is_empty() {
            let titles: Vec<String> = problems.iter().map(Problem::title).collect();
            return format!("Red: {}.", titles.join(", "));
        }
        let comparisons = self.comparisons();
        let compared = comparisons.iter().map(|(_, it)| it.counts.total());
        let accepted = match entries(&comparisons).len() {
            0 => "no case differs".to_owned(),
            1 => "1 case differs, as accepted".to_owned(),
            many => format!("{many} cases differ, all as accepted"),
        };
        let targets = match self.targets.as_slice() {
            [only] => only.name.clone(),
            targets => format!("all {} targets", targets.len()),
        };
        format!(
            "Every preset is as ext4 on {targets}: {} results compared, {accepted}.",
            compared.sum::<usize>()
        )
    }

    fn open(&self) -> Vec<String> {
        let comparisons = self.comparisons();
        let mut lines = Vec::new();
        for entry in entries(&comparisons) {
            for way in entry.ways.iter().filter(|way| way.excuse.is_none()) {
                lines.push(entry.line(way));
            }
        }
        lines
    }

    fn stale_lines(&self) -> Vec<String> {
        let stale = self.stale.iter();
        stale
            .map(|exception| format!("{exception}: remove it from lab/exceptions.toml"))
            .collect()
    }
}

/// What programs say may have several.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn not_run_on(target: &Target) -> Vec<String> {
    let mut lines = target.errors.clone();
    for cell in target.missing() {
        let cell = cell.to_string();
        if !lines.iter().any(|line| line.contains(&cell)) {
            lines.push(format!("{cell}: no result"));
        }
    }
    if !target.complete && lines.is_empty() {
        lines.push("did not come to its end".to_owned());
    }
    lines
}

fn alarms(target: &Target) -> Vec<String> {
    let alarms = target.alarms.iter();
    alarms
        .map(|alarm| format!("{}: {}", alarm.kind, alarm.line))
        .collect()
}

/// `baseline` is a yardstick: what fails there is named with the workloads.
fn failed_workloads(target: &Target) -> Vec<String> {
    let failed = target
        .workloads
        .iter()
        .flat_map(|bench| bench.failed_presets());
    failed
        .map(|(row, cell, reason)| format!("{} on {}: {reason}", row.workload, cell.contestant))
        .collect()
}
