//! What changed from one run to another, by name.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use dynamicfs::transport::Negotiated;

use super::model::{Report, Target};
use super::view::{Column, Kind, counts, entries};
use crate::bench::compare::{Comparison as Speeds, compare as compare_speeds};
use crate::bench::render;
use crate::compare::{Comparison, Difference};

/// What changed.
#[derive(Debug, Default, PartialEq)]
pub struct Diff {
    /// Why the two may differ without a change of dynamicfs.
    pub warnings: Vec<String>,
    /// What only one of them has.
    pub only_in_one: Vec<String>,
    /// How many cases passed, failed and were skipped, where that changed.
    pub outcomes: Vec<String>,
    /// Differences from ext4 that came, went, or changed.
    pub differences: Vec<String>,
    /// What mounts asked, were granted, and had in force, where that changed.
    pub capabilities: Vec<String>,
    /// What made one of them red and not the other.
    pub problems: Vec<String>,
    /// By target: the speeds.
    pub workloads: Vec<(String, Speeds)>,
}

impl Diff {
    /// Whether nothing that both have changed.
    pub fn is_same(&self) -> bool {
        let changes = [
            &self.outcomes,
            &self.differences,
            &self.capabilities,
            &self.problems,
        ];
        let slow_or_fast = |(_, speeds): &(String, Speeds)| !speeds.is_same() && !speeds.is_empty();
        changes.iter().all(|lines| lines.is_empty()) && !self.workloads.iter().any(slow_or_fast)
    }
}

/// Compares what both have.
pub fn diff(a: &Report, b: &Report) -> Diff {
    let mut diff = Diff::default();
    for (run, other, which) in [(a, b, "first"), (b, a, "second")] {
        for target in run
            .targets
            .iter()
            .filter(|it| other.target(&it.name).is_none())
        {
            diff.only_in_one
                .push(format!("{}: only in the {which} run", target.name));
        }
    }
    for before in &a.targets {
        if let Some(after) = b.target(&before.name) {
            diff.target(before, after);
        }
    }
    diff.of_both(a, b);
    diff
}

impl Report {
    fn target(&self, name: &str) -> Option<&Target> {
        self.targets.iter().find(|target| target.name == name)
    }
}

impl Diff {
    fn target(&mut self, before: &Target, after: &Target) {
        let name = &before.name;
        let facts = [
            ("kernel", &before.kernel, &after.kernel),
            ("image", &before.image, &after.image),
        ];
        let machines = (before.machine(), after.machine());
        for (fact, x, y) in facts.into_iter().filter(|(_, x, y)| x != y) {
            self.warnings.push(format!("{name}: {fact} {x}, then {y}"));
        }
        if machines.0 != machines.1 {
            self.warnings.push(format!(
                "{name}: run by {}, then by {}",
                machines.0, machines.1
            ));
        }
        self.suites(before, after);
        self.mounts(before, after);
        if let (Some(x), Some(y)) = (&before.workloads, &after.workloads) {
            self.workloads.push((name.clone(), compare_speeds(x, y)));
        }
    }

    fn suites(&mut self, before: &Target, after: &Target) {
        for (one, other, which) in [(before, after, "first"), (after, before, "second")] {
            for found in &one.comparisons {
                let at = Column::of(found);
                let place = format!("{}: {} on {}", one.name, at.name(), found.preset);
                match other.comparison(&found.preset, at) {
                    None => self
                        .only_in_one
                        .push(format!("{place}: only in the {which} run")),
                    Some(_) if which == "second" => {}
                    Some(then) => {
                        let lines = [
                            ("ext4", found.reference, then.reference),
                            ("here", found.counts, then.counts),
                        ];
                        for (who, x, y) in lines.into_iter().filter(|(_, x, y)| x != y) {
                            let (x, y) = (counts(x), counts(y));
                            self.outcomes.push(format!("{place}: {who} {x}, then {y}"));
                        }
                    }
                }
            }
        }
    }

    fn mounts(&mut self, before: &Target, after: &Target) {
        for (preset, x) in &before.capabilities {
            let Some(y) = after.capabilities.get(preset) else {
                continue;
            };
            let place = format!("{}, {preset}", before.name);
            if x.io_mode != y.io_mode {
                let line = format!("{place}: I/O mode {}, then {}", x.io_mode, y.io_mode);
                self.capabilities.push(line);
            }
            let (x, y) = (by_name(&x.capabilities), by_name(&y.capabilities));
            for (name, item) in &x {
                match y.get(name) {
                    Some(then) if then == item => {}
                    Some(then) => self.capabilities.push(format!(
                        "{place}: {name} {}, then {}",
                        negotiated(item),
                        negotiated(then)
                    )),
                    None => self.capabilities.push(format!("{place}: {name} is gone")),
                }
            }
            let new = y.iter().filter(|(name, _)| !x.contains_key(*name));
            let new =
                new.map(|(name, item)| format!("{place}: {name} is new: {}", negotiated(item)));
            self.capabilities.extend(new);
        }
    }

    /// Differences from ext4, where both were run, and what else makes a run red.
    fn of_both(&mut self, a: &Report, b: &Report) {
        for (run, other, word) in [(a, b, "gone"), (b, a, "new")] {
            let only = only_in(run, other);
            let only: Vec<(&str, &Comparison)> = only.iter().map(|(at, it)| (*at, it)).collect();
            for entry in entries(&only) {
                for way in &entry.ways {
                    let accepted = if way.excuse.is_some() {
                        "accepted"
                    } else {
                        "NOT ACCEPTED"
                    };
                    let line = format!("{word}: {} [{accepted}]", entry.line(way));
                    self.differences.push(line);
                }
            }
            let others = other_problems(other);
            let problems = other_problems(run).into_iter();
            let changed = problems.filter(|line| !others.contains(line));
            self.problems
                .extend(changed.map(|line| format!("{word}: {line}")));
        }
    }
}

/// The comparisons that both runs have, with the differences that only `run` has.
fn only_in<'a>(run: &'a Report, other: &Report) -> Vec<(&'a str, Comparison)> {
    let mut found = Vec::new();
    for (target, comparison) in run.comparisons() {
        let there = other.target(target);
        let at = Column::of(comparison);
        let Some(there) = there.and_then(|it| it.comparison(&comparison.preset, at)) else {
            continue;
        };
        let mut only = comparison.clone();
        only.differences
            .retain(|one| !there.differences.iter().any(|two| is_same(one, two)));
        found.push((target, only));
    }
    found
}

/// That a reason is worded otherwise is no change.
fn is_same(one: &Difference, two: &Difference) -> bool {
    let essence = |it: &Difference| {
        let accepted = it.excuse.is_some();
        (
            it.test.clone(),
            it.reference.clone(),
            it.preset.clone(),
            accepted,
        )
    };
    essence(one) == essence(two)
}

/// What makes a run red and is not told otherwise.
fn other_problems(report: &Report) -> Vec<String> {
    let told = [Kind::Difference, Kind::Workload];
    let problems = report.problems().into_iter();
    problems
        .filter(|problem| !told.contains(&problem.kind))
        .flat_map(|problem| problem.lines)
        .collect()
}

fn by_name(items: &[Negotiated]) -> BTreeMap<&str, &Negotiated> {
    items
        .iter()
        .map(|item| (item.name.as_str(), item))
        .collect()
}

fn negotiated(item: &Negotiated) -> String {
    format!(
        "asked {}, granted {}, in force {}",
        item.asked, item.granted, item.effective
    )
}

/// What changed, on a terminal.
pub fn text(diff: &Diff) -> String {
    let verdict = match diff.is_same() {
        true => "The same, as far as both runs go.",
        false => "Not the same.",
    };
    let mut text = format!("{verdict}\n");
    let lists = [
        ("The two runs were not made alike", &diff.warnings),
        ("Not compared", &diff.only_in_one),
        ("What makes a run red", &diff.problems),
        ("Differences from ext4", &diff.differences),
        ("Cases passed/failed/skipped", &diff.outcomes),
        ("Capabilities", &diff.capabilities),
    ];
    for (title, lines) in lists.iter().filter(|(_, lines)| !lines.is_empty()) {
        let _ = writeln!(text, "\n{title}\n");
        for line in *lines {
            let _ = writeln!(text, "- {line}");
        }
    }
    for (target, speeds) in &diff.workloads {
        let _ = write!(
            text,
            "\nWorkloads on {target}\n\n{}",
            render::changes(speeds)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn a_run_is_as_itself() {
        let report = sample::red();
        let diff = diff(&report, &report);
        assert!(diff.is_same() && diff.only_in_one.is_empty(), "{diff:?}");
    }

    #[test]
    fn what_changed_is_told_by_name() {
        let before = sample::red();
        let mut after = before.clone();
        let host = after.targets.pop().unwrap();
        let target = &mut after.targets[0];
        target.kernel = "6.1.0-51".to_owned();
        target.comparisons.pop();
        let first = &mut target.comparisons[0];
        first.counts.passed -= 1;
        first.counts.failed += 1;
        let mut difference = first.differences[0].clone();
        difference.test = "chmod::new_one".to_owned();
        difference.excuse = None;
        first.differences[0] = difference;
        let mount = target.capabilities.get_mut("safe").unwrap();
        mount.capabilities[0].effective = "no".to_owned();
        mount.capabilities.pop();
        after.stale.clear();
        let bench = target.workloads.as_mut().unwrap();
        crate::bench::sample::set(bench, "create-4k", "balanced", [0.01, 0.01, 0.01]);
        assert_eq!(host.name, "host");
        insta::assert_snapshot!(text(&diff(&before, &after)));
    }
}
