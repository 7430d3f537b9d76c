//! What changed between two runs, beyond what chance does.

use std::collections::{BTreeMap, BTreeSet};

use super::result::{Bench, Kind, Row};
use super::statistics::Spread;
use crate::workload::Group;

/// Medians that differ less than this are the same, however narrow their ranges.
const NOTABLE: f64 = 0.05;

/// Counts of requests that differ less, in requests or as a part of the larger count, are the same.
const COUNT: f64 = 0.05;

/// The same for programs and for threads beside each other: lifetimes that end meanwhile, and who comes
/// first, change how much they ask for.
const COUNT_OF_REAL_WORK: f64 = 0.5;

/// What changed from one run to another.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Comparison {
    /// Why the two may differ without a change of any file system.
    pub warnings: Vec<String>,
    /// Slower beyond noise, the worst first.
    pub slower: Vec<Change>,
    /// Faster beyond noise, the most first.
    pub faster: Vec<Change>,
    /// Requests for one operation that became notably more or fewer.
    pub requests: Vec<RequestChange>,
    /// What has a result in one run only, although both ran it.
    pub outcomes: Vec<String>,
    /// What only one run has: whole workloads and contestants.
    pub only_in_one: Vec<String>,
    /// Pairs of workload and contestant whose speed is the same.
    pub unchanged: usize,
}

/// A speed that changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The workload.
    pub workload: String,
    /// The contestant.
    pub contestant: String,
    /// Relative to ext4, in the first run.
    pub before: Spread,
    /// In the second.
    pub after: Spread,
}

impl Change {
    /// 1.10 is a tenth faster.
    pub fn factor(&self) -> f64 {
        self.after.median / self.before.median
    }
}

/// A count that changed.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestChange {
    /// The workload.
    pub workload: String,
    /// The contestant.
    pub contestant: String,
    /// The request, by the kernel's name.
    pub request: String,
    /// For one operation, in the first run.
    pub before: f64,
    /// In the second.
    pub after: f64,
}

impl Comparison {
    /// Whether something was compared and nothing changed.
    pub fn is_same(&self) -> bool {
        self.unchanged > 0 && !self.has_changes()
    }

    /// Whether the runs have nothing in common.
    pub fn is_empty(&self) -> bool {
        self.unchanged == 0 && !self.has_changes()
    }

    fn has_changes(&self) -> bool {
        let speeds = self.slower.len() + self.faster.len();
        speeds + self.requests.len() + self.outcomes.len() > 0
    }
}

/// Compares what both runs have, by the ratios to ext4. A speed changed when the ranges of the two
/// runs have no value in common and the medians differ by more than 5 %.
pub fn compare(a: &Bench, b: &Bench) -> Comparison {
    let mut comparison = Comparison {
        warnings: warnings(a, b),
        only_in_one: only_in_one(a, b),
        ..Comparison::default()
    };
    for before in &a.rows {
        let Some(after) = b.row(&before.workload) else {
            continue;
        };
        for contestant in a.running().filter(|one| one.kind != Kind::Ext4) {
            if b.running().any(|other| other.name == contestant.name) {
                comparison.cell(before, after, &contestant.name);
            }
        }
    }
    let size = |change: &Change| change.factor();
    comparison
        .slower
        .sort_by(|x, y| size(x).total_cmp(&size(y)));
    comparison
        .faster
        .sort_by(|x, y| size(y).total_cmp(&size(x)));
    comparison
}

impl Comparison {
    fn cell(&mut self, before: &Row, after: &Row, contestant: &str) {
        match (before.to_ext4(contestant), after.to_ext4(contestant)) {
            (Some(x), Some(y)) => self.speed(&before.workload, contestant, *x, *y),
            (None, None) => {}
            (Some(_), None) => self.outcome(after, contestant, "second"),
            (None, Some(_)) => self.outcome(before, contestant, "first"),
        }
        self.requests(before, after, contestant);
    }

    fn speed(&mut self, workload: &str, contestant: &str, before: Spread, after: Spread) {
        let (workload, contestant) = (workload.to_owned(), contestant.to_owned());
        let change = Change {
            workload,
            contestant,
            before,
            after,
        };
        let factor = change.factor();
        let notable = (factor - 1.0).abs() > NOTABLE;
        match notable && !before.overlaps(&after) {
            false => self.unchanged += 1,
            true if factor < 1.0 => self.slower.push(change),
            true => self.faster.push(change),
        }
    }

    fn outcome(&mut self, lacking: &Row, contestant: &str, run: &str) {
        let reason = lacking
            .cell(contestant)
            .and_then(|cell| cell.failed.as_deref())
            .unwrap_or("no reason is given");
        self.outcomes.push(format!(
            "{} on {contestant}: no result in the {run} run: {reason}",
            lacking.workload
        ));
    }

    fn requests(&mut self, before: &Row, after: &Row, contestant: &str) {
        let counts = |row: &Row| row.figures(contestant)?.requests.clone();
        let (Some(x), Some(y)) = (counts(before), counts(after)) else {
            return;
        };
        let names: BTreeSet<&String> = x.keys().chain(y.keys()).collect();
        let count = |counts: &BTreeMap<String, f64>, name| counts.get(name).copied().unwrap_or(0.0);
        let notable = match before.group {
            Group::RealWork => COUNT_OF_REAL_WORK,
            _ => COUNT,
        };
        for name in names {
            let (earlier, later) = (count(&x, name), count(&y, name));
            if (later - earlier).abs() > notable * earlier.max(later).max(1.0) {
                self.requests.push(RequestChange {
                    workload: before.workload.clone(),
                    contestant: contestant.to_owned(),
                    request: name.clone(),
                    before: earlier,
                    after: later,
                });
            }
        }
    }
}

fn warnings(a: &Bench, b: &Bench) -> Vec<String> {
    let facts = |run: &Bench| {
        let machine = &run.environment;
        [
            ("kernel", machine.kernel.clone()),
            ("processor", machine.processor.clone()),
            ("CPUs", machine.cpus.to_string()),
            ("storage", machine.storage.clone()),
            (
                "frequency governor",
                machine
                    .governor
                    .clone()
                    .unwrap_or_else(|| "unknown".to_owned()),
            ),
            (
                "quick set",
                if run.settings.quick { "yes" } else { "no" }.to_owned(),
            ),
            ("repetitions", run.settings.repetitions.to_string()),
            ("milliseconds of a turn", run.settings.turn_ms.to_string()),
        ]
    };
    let mut warnings: Vec<String> = facts(a)
        .into_iter()
        .zip(facts(b))
        .filter(|((_, x), (_, y))| x != y)
        .map(|((name, x), (_, y))| format!("{name}: {x} in the first run, {y} in the second"))
        .collect();
    for before in a.running() {
        if let Some(after) = b
            .contestant(&before.name)
            .filter(|it| it.version != before.version)
        {
            warnings.push(format!(
                "{}: version {} in the first run, {} in the second",
                before.name, before.version, after.version
            ));
        }
    }
    warnings
}

fn only_in_one(a: &Bench, b: &Bench) -> Vec<String> {
    let mut only = Vec::new();
    for (run, other, which) in [(a, b, "first"), (b, a, "second")] {
        let absent = run
            .running()
            .filter(|one| other.running().all(|two| two.name != one.name));
        for one in absent {
            let reason = other
                .contestant(&one.name)
                .and_then(|it| it.not_run.as_deref());
            let reason = reason
                .map(|reason| format!(": {reason}"))
                .unwrap_or_default();
            only.push(format!("{}: only in the {which} run{reason}", one.name));
        }
        let rows: Vec<&str> = run
            .rows
            .iter()
            .filter(|row| other.row(&row.workload).is_none())
            .map(|row| row.workload.as_str())
            .collect();
        if !rows.is_empty() {
            only.push(format!("only in the {which} run: {}", rows.join(", ")));
        }
    }
    only
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::sample;

    /// The sample, with these ratios of `balanced` on `create-4k`.
    fn with(ratios: [f64; 3]) -> Bench {
        let mut run = sample::exact();
        sample::set(&mut run, "create-4k", "balanced", ratios);
        run
    }

    #[test]
    fn a_run_is_the_same_as_itself() {
        let run = sample::full();
        let comparison = compare(&run, &run);
        assert!(comparison.is_same());
        assert!(comparison.warnings.is_empty() && comparison.only_in_one.is_empty());
    }

    #[test]
    fn ranges_that_meet_and_small_steps_are_noise() {
        let before = with([0.48, 0.50, 0.52]);
        assert!(
            compare(&before, &with([0.52, 0.60, 0.61])).is_same(),
            "0.52 is in both"
        );
        let narrow = with([0.5; 3]);
        assert!(compare(&narrow, &with([0.52; 3])).is_same(), "4 % only");
    }

    #[test]
    fn beyond_noise_the_largest_change_comes_first() {
        let before = with([0.48, 0.50, 0.52]);
        let mut after = with([0.60, 0.61, 0.62]);
        sample::set(&mut after, "create-4k", "high-performance", [1.6; 3]);
        sample::set(&mut after, "create-4k", "baseline", [0.05; 3]);
        let comparison = compare(&before, &after);
        let names = |changes: &[Change]| -> Vec<String> {
            changes
                .iter()
                .map(|change| change.contestant.clone())
                .collect()
        };
        assert_eq!(names(&comparison.faster), ["high-performance", "balanced"]);
        assert_eq!(names(&comparison.slower), ["baseline"]);
        assert_eq!((comparison.unchanged, comparison.is_same()), (0, false));
        assert!((comparison.faster[0].factor() - 2.0).abs() < 1e-9);
    }

    #[test]
    fn one_request_more_is_a_change() {
        let before = sample::exact();
        let mut after = before.clone();
        let requests = &mut sample::figures(&mut after, "create-4k", "balanced").requests;
        requests.as_mut().unwrap().insert("GETATTR".to_owned(), 1.0);
        let comparison = compare(&before, &after);
        assert!(!comparison.is_same());
        let change = &comparison.requests[0];
        assert_eq!(
            (change.request.as_str(), change.before, change.after),
            ("GETATTR", 0.0, 1.0)
        );
        let requests = &mut sample::figures(&mut after, "create-4k", "balanced").requests;
        requests
            .as_mut()
            .unwrap()
            .insert("GETATTR".to_owned(), 0.04);
        assert!(compare(&before, &after).is_same());
    }

    #[test]
    fn many_requests_may_vary_by_a_part_of_them() {
        let with = |count: f64| {
            let mut run = sample::exact();
            let requests = &mut sample::figures(&mut run, "create-4k", "balanced").requests;
            requests.as_mut().unwrap().insert("READ".to_owned(), count);
            run
        };
        assert!(compare(&with(100.0), &with(104.0)).is_same());
        assert!(!compare(&with(100.0), &with(106.0)).is_same());
    }

    #[test]
    fn what_fails_now_is_a_change() {
        let before = sample::exact();
        let mut after = before.clone();
        let cell = after.rows[0]
            .cells
            .iter_mut()
            .find(|cell| cell.contestant == "balanced")
            .unwrap();
        (cell.figures, cell.failed) = (None, Some("create: EIO".to_owned()));
        let comparison = compare(&before, &after);
        assert!(!comparison.is_same());
        assert_eq!(
            comparison.outcomes,
            ["create-4k on balanced: no result in the second run: create: EIO"]
        );
    }

    #[test]
    fn other_machines_and_other_work_are_named() {
        let before = sample::full();
        let mut after = sample::of(&["create-4k"]);
        after.environment.kernel = "6.19.0".to_owned();
        after.contestants[7].not_run = Some("no compiler".to_owned());
        let comparison = compare(&before, &after);
        assert_eq!(
            comparison.warnings,
            ["kernel: 6.18.0 in the first run, 6.19.0 in the second"]
        );
        assert_eq!(
            comparison.only_in_one[0],
            "libfuse-passthrough-ll: only in the first run: no compiler"
        );
        assert!(comparison.only_in_one[1].starts_with("only in the first run: read-seq-128k-cold"));
        assert!(comparison.is_same(), "what both have is the same");
    }

    #[test]
    fn nothing_in_common_is_not_the_same() {
        let comparison = compare(&sample::of(&["rename"]), &sample::of(&["unlink"]));
        assert!(!comparison.is_same() && comparison.is_empty());
    }
}
