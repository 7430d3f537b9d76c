//! What stands around the results: the run, its targets, what they took.

use super::model::{PowerCuts, Report, Target};
use crate::bench::render::format;
use crate::compare::Comparison;
use crate::suites::Suite;

/// What the run was. The command is the last.
pub(super) fn run(report: &Report) -> Vec<(&'static str, String)> {
    let host = &report.host;
    vec![
        ("started", report.started.clone()),
        ("took", format::duration(report.seconds)),
        ("profile", report.profile.clone()),
        ("dynamicfs", report.dynamicfs.to_string()),
        (
            "host",
            format!(
                "Linux {}, {} × {}, {}",
                host.kernel,
                host.cpus,
                host.cpu,
                format::bytes(host.memory_bytes)
            ),
        ),
        ("command", report.command.clone()),
    ]
}

/// What a target was.
pub(super) fn target(target: &Target) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("for", target.purpose.clone()),
        ("kernel", format!("Linux {}", target.kernel)),
        ("run by", target.machine().to_owned()),
        ("took", format::duration(target.seconds)),
    ];
    if !target.image.is_empty() {
        facts.push(("image", target.image.clone()));
    }
    if let Some(bench) = &target.workloads {
        let settings = &bench.settings;
        let measured = format!(
            "{}, {} repetitions of each workload",
            format::duration(bench.seconds),
            settings.repetitions
        );
        facts.push(("workloads", measured));
    }
    facts
}

/// Who had power cuts, in the order of the run.
pub(super) fn cut_contestants(report: &Report) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for cuts in report.targets.iter().flat_map(|target| &target.power_cuts) {
        if !names.contains(&cuts.contestant.as_str()) {
            names.push(&cuts.contestant);
        }
    }
    names
}

/// What came of the power cuts.
pub(super) fn power_cuts(cuts: &PowerCuts) -> String {
    if cuts.broken.is_empty() {
        return "nothing lost".to_owned();
    }
    format!("not kept: {}", cuts.broken.join(", "))
}

/// Whether every promise that was not kept is an accepted difference.
pub(super) fn is_accepted(target: &Target, cuts: &PowerCuts) -> bool {
    let of = |comparison: &&Comparison| {
        comparison.suite == Suite::PowerCut && comparison.preset == cuts.contestant
    };
    let accepted: Vec<&str> = target
        .comparisons
        .iter()
        .filter(of)
        .flat_map(|comparison| &comparison.differences)
        .filter(|difference| difference.excuse.is_some())
        .map(|difference| difference.test.as_str())
        .collect();
    cuts.broken
        .iter()
        .all(|promise| accepted.contains(&promise.as_str()))
}

/// What all this is, for those who do not know.
pub(super) const WHAT: &str = "\
The same suites ran on native ext4 and on dynamicfs over an identical ext4, with every preset and on every \
kernel. A case that ends or observes otherwise is a difference, and fails the run unless \
lab/exceptions.toml says why it is accepted.";

/// What a power cut is.
pub(super) const POWER_CUTS: &str = "\
The machine is killed while it writes. What had been acknowledged, by fsync or alike, must be there \
afterwards.";

/// What the timings of a target are worth.
pub(super) const RATIOS: &str = "\
Speed relative to native ext4 in the same repetition inside the same target: 1.00 is as fast, 0.50 takes \
twice as long. Ratios of an emulated target (TCG) say little about a real processor.";
