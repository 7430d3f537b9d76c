//! What the specification promises, beside what a run measured.

use super::result::{Bench, Kind, Row};
use super::statistics::geometric_mean;
use crate::workload::{self, Group};

/// How a claim is judged, in the words of the reports.
pub(crate) const HOW: &str = "\
Several workloads count by the geometric mean of their medians. A claim is held from its lower bound \
on, when none of its workloads failed. \"n of m\": how many of its workloads have a result, where that \
is not all.";

/// Whom a promise compares with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Against {
    /// FUSE without optimisation: "times faster".
    Baseline,
    /// The file system of the kernel: "a part of its speed".
    Ext4,
}

impl Against {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Against::Baseline => "baseline",
            Against::Ext4 => "ext4",
        }
    }
}

/// Whether a workload stands for a promise, by its group and name.
type Picks = fn(Group, &str) -> bool;

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
    picks: Picks,
}

/// What a run says about a promise on a preset.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// The geometric mean of the medians of the workloads; `None` where none has a result.
    pub ratio: Option<f64>,
    /// Whether that reaches the least ratio and no workload failed; `None` where none was run.
    pub held: Option<bool>,
    /// Workloads with a result.
    pub counted: usize,
    /// Workloads that stand for the promise, also those that were not run.
    pub of: usize,
}

impl Verdict {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self.held {
            Some(true) => "held",
            Some(false) => "not held",
            None => "not measured",
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

const CLAIMS: [Claim; 13] = [
    faster(
        "sequential reads",
        "2–3x faster",
        2.0,
        "read-seq-1m-cold",
        |_, name| name == "read-seq-1m-cold",
    ),
    faster(
        "random reads, cached",
        "2–3x faster",
        2.0,
        "rand-psync-{1,2,8}t-cached",
        |_, name| name.starts_with("rand-psync-") && name.ends_with("-cached"),
    ),
    faster(
        "random reads, mount's cache cold",
        "2–3x faster",
        2.0,
        "read-rand-4k-cold",
        |_, name| name == "read-rand-4k-cold",
    ),
    faster(
        "metadata operations",
        "3–5x faster",
        3.0,
        "the group metadata",
        |group, _| group == Group::Metadata,
    ),
    faster(
        "small file creation",
        "2–3x faster",
        2.0,
        "create-4k",
        |_, name| name == "create-4k",
    ),
    faster(
        "extended attribute lookups",
        "10x faster",
        10.0,
        "getxattr-hot",
        |_, name| name == "getxattr-hot",
    ),
    faster(
        "overall",
        "1.4–1.6x faster",
        1.4,
        "all workloads",
        |_, _| true,
    ),
    part_of_kernel("reads", "all reads of data", |group, name| {
        group == Group::RandomReads || name.starts_with("read-")
    }),
    part_of_kernel("writes", "all writes of data", |group, name| {
        group == Group::Data && !name.starts_with("read-")
    }),
    part_of_kernel("metadata", "the group metadata", |group, _| {
        group == Group::Metadata
    }),
    part_of_kernel("listings", "the group directories", |group, _| {
        group == Group::Directories
    }),
    part_of_kernel(
        "extended attributes",
        "the group extended attributes",
        |group, _| group == Group::ExtendedAttributes,
    ),
    part_of_kernel("real work", "the group real work", |group, _| {
        group == Group::RealWork
    }),
];

const fn faster(
    name: &'static str,
    promise: &'static str,
    least: f64,
    stands_for: &'static str,
    picks: Picks,
) -> Claim {
    Claim {
        name,
        promise,
        least,
        against: Against::Baseline,
        stands_for,
        picks,
    }
}

const fn part_of_kernel(name: &'static str, stands_for: &'static str, picks: Picks) -> Claim {
    let (promise, against) = ("60–80 % of the kernel", Against::Ext4);
    Claim {
        name,
        promise,
        least: 0.6,
        against,
        stands_for,
        picks,
    }
}

/// Every promise of the specification's tables, beside this run.
pub fn view(bench: &Bench) -> Vec<Checked<'_>> {
    let all = workload::all();
    let check = |claim: Claim| {
        let of = all
            .iter()
            .filter(|one| (claim.picks)(one.group, one.name))
            .count();
        check(bench, claim, of)
    };
    CLAIMS.into_iter().map(check).collect()
}

fn check(bench: &Bench, claim: Claim, of: usize) -> Checked<'_> {
    let rows: Vec<&Row> = bench
        .rows
        .iter()
        .filter(|row| (claim.picks)(row.group, &row.workload))
        .collect();
    let verdict = |preset| verdict(&claim, &rows, preset, of.max(rows.len()));
    let presets = bench
        .of_kind(Kind::Preset)
        .map(|preset| (preset.name.as_str(), verdict(&preset.name)))
        .collect();
    let workloads = rows.iter().map(|row| row.workload.as_str()).collect();
    Checked {
        claim,
        workloads,
        presets,
    }
}

fn verdict(claim: &Claim, rows: &[&Row], preset: &str, of: usize) -> Verdict {
    let ratio = |row: &&Row| {
        let figures = row.figures(preset)?;
        let spread = match claim.against {
            Against::Baseline => figures.to_baseline,
            Against::Ext4 => figures.to_ext4,
        };
        Some(spread?.median)
    };
    let ratios: Vec<f64> = rows.iter().filter_map(ratio).collect();
    let failed = rows.iter().any(|row| row.figures(preset).is_none());
    let counted = ratios.len();
    let ratio = geometric_mean(ratios);
    let held = if failed {
        Some(false)
    } else {
        ratio.map(|ratio| ratio >= claim.least)
    };
    Verdict {
        ratio,
        held,
        counted,
        of,
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
        let verdict = reads.presets[0].1;
        assert_eq!((verdict.word(), verdict.ratio), ("not measured", None));
        assert_eq!((verdict.counted, verdict.of), (0, 1));
    }

    #[test]
    fn a_workload_that_failed_keeps_no_promise() {
        let mut run = sample::of(&["stat-hot", "rename"]);
        sample::set(&mut run, "stat-hot", "balanced", [0.9; 3]);
        let cell = run.rows[1]
            .cells
            .iter_mut()
            .find(|cell| cell.contestant == "balanced")
            .unwrap();
        (cell.figures, cell.failed) = (None, Some("rename: EIO".to_owned()));
        let metadata = of(&run, "metadata");
        let verdict = metadata.presets[0].1;
        assert_eq!((verdict.word(), verdict.ratio), ("not held", Some(0.9)));
        assert_eq!(verdict.counted, 1);
        assert!(verdict.of > 2, "the whole group, not what was run");
    }

    #[test]
    fn several_workloads_count_by_their_geometric_mean() {
        let mut run = sample::of(&["stat-hot", "rename"]);
        sample::set(&mut run, "stat-hot", "balanced", [0.2; 3]);
        sample::set(&mut run, "rename", "balanced", [0.8; 3]);
        let ratio = of(&run, "metadata operations").presets[0].1.ratio.unwrap();
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
