//! A run as one Markdown document, and its pieces for other documents.

use std::fmt::Write as _;

use super::{facts, format, table};
use crate::bench::claims::{self, Verdict};
use crate::bench::result::{Bench, Figures, Row};
use crate::bench::statistics::{NOISY_MEANS, Spread};

/// How to read the tables of ratios.
fn legend() -> String {
    format!(
        "{} Median of the repetitions (least–greatest). `{}`: {NOISY_MEANS}. **Bold**: the fastest \
         peer. {}",
        facts::RATIO,
        format::NOISY,
        facts::LEAD
    )
}

/// All of a run.
pub fn document(bench: &Bench) -> String {
    let sections = [
        ("Machine", machine(bench)),
        ("Contestants", contestants(bench)),
        (
            "Speed relative to ext4",
            format!("{}\n\n{}", legend(), ratios(bench)),
        ),
        ("Claims", claims(bench)),
        ("Requests per operation", requests(bench)),
        ("Latency", latency(bench)),
        ("CPU per operation", cpu(bench)),
        ("Memory of the daemons", memory(bench)),
        ("Workloads", workloads(bench)),
        ("Noise and failures", troubles(bench)),
    ];
    let mut text = format!(
        "# dynamicfs beside ext4 and its peers\n\n{}\n",
        facts::headline(bench)
    );
    for (title, body) in sections.iter().filter(|(_, body)| !body.is_empty()) {
        let _ = write!(text, "\n## {title}\n\n{body}");
    }
    text
}

/// A table of ratios for each group.
pub(crate) fn ratios(bench: &Bench) -> String {
    let others: Vec<&str> = others(bench);
    let mut text = String::new();
    for (group, rows) in bench.groups() {
        let header = ["workload", "ext4"]
            .into_iter()
            .chain(others.iter().copied())
            .chain(["÷ best peer"]);
        let lines = rows.iter().map(|row| ratio_line(bench, row, &others));
        let gap = if text.is_empty() { "" } else { "\n" };
        let _ = write!(
            text,
            "{gap}### {}\n\n{}",
            format::group(group),
            table::markdown(header, lines)
        );
    }
    text
}

fn ratio_line(bench: &Bench, row: &Row, contestants: &[&str]) -> Vec<String> {
    let best = bench.best_peer(row).map(|(name, _)| name);
    let ext4 = row
        .figures("ext4")
        .map(|figures| format::time(figures.seconds.median));
    let cell = |name: &&str| {
        let text = ratio(row, name);
        if best == Some(*name) {
            format!("**{text}**")
        } else {
            text
        }
    };
    [row.workload.clone(), ext4.unwrap_or_else(nothing)]
        .into_iter()
        .chain(contestants.iter().map(cell))
        .chain([lead(bench, row, format::spread)])
        .collect()
}

/// The fastest preset beside the best peer: `1.20 (1.10–1.30) balanced`.
fn lead(bench: &Bench, row: &Row, show: fn(&Spread) -> String) -> String {
    bench.lead(row).map_or_else(nothing, |(preset, ratio)| {
        format!("{} {preset}", show(ratio))
    })
}

/// Likewise without the range.
pub(crate) fn median_lead(bench: &Bench, row: &Row) -> String {
    lead(bench, row, median_of)
}

/// The ratio with its range and noise; that it failed.
pub(crate) fn ratio(row: &Row, contestant: &str) -> String {
    shown(row, contestant, format::spread)
}

/// Likewise without the range.
pub(crate) fn median(row: &Row, contestant: &str) -> String {
    shown(row, contestant, median_of)
}

fn median_of(spread: &Spread) -> String {
    format::ratio(spread.median)
}

fn shown(row: &Row, contestant: &str, show: fn(&Spread) -> String) -> String {
    match (row.figures(contestant), row.cell(contestant)) {
        (Some(figures), _) => {
            let noisy = if figures.noisy { format::NOISY } else { "" };
            figures.to_ext4.as_ref().map_or_else(nothing, show) + noisy
        }
        (None, Some(_)) => "failed".to_owned(),
        (None, None) => nothing(),
    }
}

/// The specification's promises: promised, measured, held or not.
pub(crate) fn claims(bench: &Bench) -> String {
    let checked = claims::view(bench);
    let presets = checked
        .first()
        .map_or(Vec::new(), |first| first.presets.clone());
    let header = ["claim", "promised", "against", "measured by"]
        .into_iter()
        .chain(presets.iter().map(|(name, _)| *name));
    let rows = checked.iter().map(|checked| {
        let claim = &checked.claim;
        let against = claim.against.name();
        [claim.name, claim.promise, against, claim.stands_for]
            .map(str::to_owned)
            .into_iter()
            .chain(checked.presets.iter().map(|(_, it)| verdict(*it)))
    });
    let table = table::markdown(header, rows);
    format!("{}\n\n{table}", claims::HOW)
}

/// A verdict with its figure: `4.20: held`, `0.55: not held (3 of 15)`.
pub(crate) fn verdict(verdict: Verdict) -> String {
    let ratio = verdict
        .ratio
        .map(|ratio| format!("{}: ", format::ratio(ratio)))
        .unwrap_or_default();
    let is_part = verdict.held.is_some() && verdict.counted < verdict.of;
    let share = match is_part {
        true => format!(" ({} of {})", verdict.counted, verdict.of),
        false => String::new(),
    };
    format!("{ratio}{}{share}", verdict.word())
}

fn machine(bench: &Bench) -> String {
    let mut text = String::new();
    for (name, value) in facts::environment(bench) {
        let _ = writeln!(text, "- {name}: {value}");
    }
    let rows = facts::calibration(bench).into_iter().map(|limit| {
        let note = if limit.drifted {
            "the machine changed"
        } else {
            ""
        };
        [
            limit.name.to_owned(),
            limit.before,
            limit.after,
            note.to_owned(),
        ]
    });
    let table = table::markdown(["physical limit", "before the run", "after it", ""], rows);
    format!("{text}\n{table}")
}

/// Who took part and who did not.
pub(crate) fn contestants(bench: &Bench) -> String {
    let rows = bench.contestants.iter().map(|one| {
        let not_run = one
            .not_run
            .as_ref()
            .map(|reason| format!("not run: {reason}"));
        [
            one.name.clone(),
            format::kind(one.kind).to_owned(),
            one.version.clone(),
            not_run.unwrap_or_else(|| format!("`{}`", one.command)),
        ]
    });
    table::markdown(["contestant", "kind", "version", "mounted by"], rows)
}

/// A line for each way in which a workload was served.
pub(crate) fn requests(bench: &Bench) -> String {
    let rows = bench.rows.iter().flat_map(|row| {
        alike(bench, row)
            .into_iter()
            .map(|(requests, who)| [row.workload.clone(), who.join(", "), requests])
    });
    table::markdown(
        ["workload", "contestants", "requests for one operation"],
        rows,
    )
}

/// Contestants that cost the same requests, together.
fn alike<'a>(bench: &'a Bench, row: &Row) -> Vec<(String, Vec<&'a str>)> {
    let mut ways: Vec<(String, Vec<&str>)> = Vec::new();
    for name in others(bench) {
        let Some(figures) = row.figures(name) else {
            continue;
        };
        let requests = format::requests(figures.requests.as_ref());
        match ways.iter_mut().find(|(known, _)| *known == requests) {
            Some((_, who)) => who.push(name),
            None => ways.push((requests, vec![name])),
        }
    }
    ways
}

fn latency(bench: &Bench) -> String {
    let rows: Vec<_> = bench
        .cells()
        .filter_map(|(row, cell)| {
            let at = cell.figures.as_ref()?.latency?;
            let times = [at.p50, at.p90, at.p99, at.p999].map(|us| format::time(us * 1e-6));
            let names = [row.workload.clone(), cell.contestant.clone()];
            Some(names.into_iter().chain(times))
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    table::markdown(
        ["workload", "contestant", "p50", "p90", "p99", "p99.9"],
        rows,
    )
}

fn cpu(bench: &Bench) -> String {
    let names: Vec<&str> = bench.running().map(|one| one.name.as_str()).collect();
    let header = ["workload"].into_iter().chain(names.iter().copied());
    let rows = bench.rows.iter().map(|row| {
        let cell = |name: &&str| {
            row.figures(name)
                .map_or_else(nothing, |figures: &Figures| format::cpu(figures.cpu))
        };
        [row.workload.clone()]
            .into_iter()
            .chain(names.iter().map(cell))
            .collect::<Vec<_>>()
    });
    format!("Client + daemon.\n\n{}", table::markdown(header, rows))
}

fn memory(bench: &Bench) -> String {
    let rows = bench.running().filter_map(|one| {
        let (bytes, workload) = bench.peak_memory(&one.name)?;
        Some([one.name.clone(), format::bytes(bytes), workload.to_owned()])
    });
    table::markdown(["contestant", "most in any turn", "workload"], rows)
}

fn workloads(bench: &Bench) -> String {
    let rows = bench.rows.iter().map(|row| {
        [
            row.workload.as_str(),
            &row.operation,
            format::caches(row.caches),
        ]
    });
    table::markdown(["workload", "one operation", "when the clock starts"], rows)
}

/// What failed, and what is noisy.
pub(crate) fn troubles(bench: &Bench) -> String {
    let mut text = String::new();
    for (row, cell, reason) in bench.failed() {
        let _ = writeln!(
            text,
            "- {} on {} failed: {reason}",
            row.workload, cell.contestant
        );
    }
    for (row, noisy) in bench.noisy() {
        let _ = writeln!(text, "- {} is noisy on {}", row.workload, noisy.join(", "));
    }
    text
}

/// Who took part beside ext4.
pub(crate) fn others(bench: &Bench) -> Vec<&str> {
    bench
        .running()
        .map(|one| one.name.as_str())
        .filter(|name| *name != "ext4")
        .collect()
}

fn nothing() -> String {
    format::NOTHING.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::sample;

    #[test]
    fn ratios_with_their_range_their_noise_and_the_best_peer() {
        let mut run = sample::of(&["setxattr"]);
        run.contestants
            .retain(|one| !one.name.starts_with("libfuse"));
        sample::set(&mut run, "setxattr", "bindfs", [0.1, 0.2, 0.3]);
        sample::figures(&mut run, "setxattr", "bindfs").noisy = true;
        sample::set(&mut run, "setxattr", "fuse-backend-rs", [0.3; 3]);
        sample::set(&mut run, "setxattr", "baseline", [0.002, 0.0021, 0.0022]);
        insta::assert_snapshot!(ratios(&run));
    }

    #[test]
    fn the_document_tells_all_that_the_run_knows() {
        let text = document(&sample::full());
        for expected in [
            "Example CPU 3000",
            "the machine changed",
            "not run: the package cannot be installed: no network",
            "`mergerfs {src} {mnt} -o a\\|b`",
            "| create-4k",
            "| latency-lookup",
            "LOOKUP 1, RELEASE 1",
            "small file creation",
            "9.00 MiB",
            "- setxattr on mergerfs failed: setxattr: ENOTSUP",
        ] {
            assert!(text.contains(expected), "no {expected:?}");
        }
    }

    #[test]
    fn contestants_with_the_same_requests_share_a_line() {
        let run = sample::of(&["create-4k"]);
        let text = requests(&run);
        assert!(
            text.contains("| balanced, high-performance, safe "),
            "{text}"
        );
        assert_eq!(
            text.lines().count(),
            4,
            "header, rule, and two ways\n{text}"
        );
    }
}
