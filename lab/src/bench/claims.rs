//! What the specification promises, beside what a run measured.

use super::result::{Bench, Kind, Row};
use super::statistics::geometric_mean;
use crate::workload::Group;

/// Whom a promise compares with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Against {
    /// FUSE without optimisation: "times faster".
    Baseline,
    /// The file system of the kernel: "a part of its speed".
    Ext4,
}

/// One promise.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// What it is about.
    pub name: &'static str,
    /// Its words.
    pub promise: &'static str,
    /// The least ratio that keeps it.
    pub least: f64,
    /// Whom it compares with.
    pub against: Against,
    /// What stands for it, in words.
    pub stands_for: &'static str,
    workloads: fn(&Row) -> bool,
}

/// What a run says about a promise on a preset.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// The ratio reaches the least one.
    Held(f64),
    /// It does not.
    NotHeld(f64),
    /// None of the workloads has a result.
    NotMeasured,
}

impl Verdict {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Held(_) => "held",
            Verdict::NotHeld(_) => "not held",
            Verdict::NotMeasured => "not measured",
        }
    }

    /// The geometric mean of the medians of the workloads.
    pub fn ratio(self) -> Option<f64> {
        match self {
            Verdict::Held(ratio) | Verdict::NotHeld(ratio) => Some(ratio),
            Verdict::NotMeasured => None,
        }
    }
}

/// One promise beside what was measured.
#[derive(Debug, Clone)]
pub struct Checked<'a> {
    /// The promise.
    pub claim: Claim,
    /// The workloads of this run that stand for it.
    pub workloads: Vec<&'a str>,
    /// Each preset that took part.
    pub presets: Vec<(&'a str, Verdict)>,
}

const CLAIMS: [Claim; 12] = [
    faster(
        "sequential reads",
        "2–3x faster",
        2.0,
        "read-seq-1m-cold",
        |row| row.workload == "read-seq-1m-cold",
    ),
    faster(
        "random reads, cached",
        "2–3x faster",
        2.0,
        "rand-psync-1t-cached, read-rand-4k-cold",
        |row| ["rand-psync-1t-cached", "read-rand-4k-cold"].contains(&row.workload.as_str()),
    ),
    faster(
        "metadata operations",
        "3–5x faster",
        3.0,
        "the group metadata",
        |row| row.group == Group::Metadata,
    ),
    faster(
        "small file creation",
        "2–3x faster",
        2.0,
        "create-4k",
        |row| row.workload == "create-4k",
    ),
    faster(
        "extended attribute lookups",
        "10x faster",
        10.0,
        "getxattr-hot",
        |row| row.workload == "getxattr-hot",
    ),
    faster("overall", "1.4–1.6x faster", 1.4, "all workloads", |_| {
        true
    }),
    part_of_kernel("reads", "all reads of data", |row| {
        row.group == Group::RandomReads || row.workload.starts_with("read-")
    }),
    part_of_kernel("writes", "all writes of data", |row| {
        row.group == Group::Data && !row.workload.starts_with("read-")
    }),
    part_of_kernel("metadata", "the group metadata", |row| {
        row.group == Group::Metadata
    }),
    part_of_kernel("listings", "the group directories", |row| {
        row.group == Group::Directories
    }),
    part_of_kernel(
        "extended attributes",
        "the group extended attributes",
        |row| row.group == Group::ExtendedAttributes,
    ),
    part_of_kernel("real work", "the group real work", |row| {
        row.group == Group::RealWork
    }),
];

const fn faster(
    name: &'static str,
    promise: &'static str,
    least: f64,
    stands_for: &'static str,
    workloads: fn(&Row) -> bool,
) -> Claim {
    Claim {
        name,
        promise,
        least,
        against: Against::Baseline,
        stands_for,
        workloads,
    }
}

const fn part_of_kernel(
    name: &'static str,
    stands_for: &'static str,
    workloads: fn(&Row) -> bool,
) -> Claim {
    let (promise, against) = ("60–80 % of the kernel", Against::Ext4);
    Claim {
        name,
        promise,
        least: 0.6,
        against,
        stands_for,
        workloads,
    }
}

/// Every promise of the specification's tables, beside this run.
pub fn view(bench: &Bench) -> Vec<Checked<'_>> {
    CLAIMS
        .into_iter()
        .map(|claim| check(bench, claim))
        .collect()
}

fn check(bench: &Bench, claim: Claim) -> Checked<'_> {
    let rows: Vec<&Row> = bench
        .rows
        .iter()
        .filter(|row| (claim.workloads)(row))
        .collect();
    let presets = bench
        .of_kind(Kind::Preset)
        .map(|preset| (preset.name.as_str(), verdict(&claim, &rows, &preset.name)))
        .collect();
    let workloads = rows.into_iter().map(|row| row.workload.as_str()).collect();
    Checked {
        claim,
        workloads,
        presets,
    }
}

fn verdict(claim: &Claim, rows: &[&Row], preset: &str) -> Verdict {
    let ratio = |row: &&Row| {
        let figures = row.figures(preset)?;
        let spread = match claim.against {
            Against::Baseline => figures.to_baseline,
            Against::Ext4 => figures.to_ext4,
        };
        Some(spread?.median)
    };
    match geometric_mean(rows.iter().filter_map(ratio)) {
        None => Verdict::NotMeasured,
        Some(ratio) if ratio >= claim.least => Verdict::Held(ratio),
        Some(ratio) => Verdict::NotHeld(ratio),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::sample;

    fn of<'a>(run: &'a Bench, name: &str) -> Checked<'a> {
        view(run)
            .into_iter()
            .find(|checked| checked.claim.name == name)
            .unwrap()
    }

    #[test]
    fn a_promise_is_held_from_its_lower_bound_on() {
        let mut run = sample::exact();
        let name = "small file creation";
        assert_eq!(of(&run, name).presets[0].1.word(), "held");
        sample::set(&mut run, "create-4k", "balanced", [0.19; 3]);
        assert_eq!(of(&run, name).presets[0].1.word(), "not held");
        sample::set(&mut run, "create-4k", "balanced", [0.2; 3]);
        assert_eq!(of(&run, name).presets[0].1.word(), "held");
    }

    #[test]
    fn the_part_of_the_kernel_is_against_ext4() {
        let run = sample::exact();
        let metadata = of(&run, "metadata");
        assert_eq!(
            metadata.presets[0].1.word(),
            "not held",
            "balanced reaches 0.5"
        );
        assert_eq!(
            metadata.presets[1].1.word(),
            "held",
            "high-performance reaches 0.8"
        );
    }

    #[test]
    fn what_was_not_run_is_not_measured() {
        let run = sample::exact();
        let reads = of(&run, "sequential reads");
        assert!(reads.workloads.is_empty());
        assert_eq!(reads.presets[0].1, Verdict::NotMeasured);
    }

    #[test]
    fn several_workloads_count_by_their_geometric_mean() {
        let mut run = sample::of(&["stat-hot", "rename"]);
        sample::set(&mut run, "stat-hot", "balanced", [0.2; 3]);
        sample::set(&mut run, "rename", "balanced", [0.8; 3]);
        let ratio = of(&run, "metadata operations").presets[0]
            .1
            .ratio()
            .unwrap();
        assert!((ratio - 4.0).abs() < 1e-9, "{ratio}");
    }

    #[test]
    fn the_words_name_the_workloads() {
        let run = sample::full();
        for checked in view(&run) {
            assert!(!checked.workloads.is_empty(), "{}", checked.claim.name);
            if checked.workloads.len() > 1 && checked.claim.stands_for.contains(", ") {
                for name in &checked.workloads {
                    assert!(checked.claim.stands_for.contains(name), "{name}");
                }
            }
        }
    }
}
