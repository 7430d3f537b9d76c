//! Speed beside ext4: a small plot for each workload on each preset.

use maud::{Markup, html};

use crate::bench::render::format;
use crate::bench::result::{Bench, Contestant, Figures, Kind, Row};
use crate::bench::statistics::{NOISY_MEANS, Spread};
use crate::machine::Accelerator;
use crate::page::{self, Axis};
use crate::report::facts;
use crate::report::model::{Report, Target};

pub(super) fn section(report: &Report) -> Markup {
    let measured = report.targets.iter();
    let mut measured: Vec<(&Target, &Bench)> = measured
        .filter_map(|target| Some((target, target.workloads.as_ref()?)))
        .collect();
    // What a real processor did says more.
    measured.sort_by_key(|(target, _)| target.accelerator == Some(Accelerator::Tcg));
    html! {
        @if !measured.is_empty() {
            p {
                (facts::RATIOS) " Medians; the bar reaches from the least to the greatest repetition, the line is at \
                 1.00. " (format::NOISY) ": " (NOISY_MEANS) "."
            }
            @for (index, (target, bench)) in measured.iter().enumerate() {
                details open[index == 0] {
                    summary { strong { (target.name) } " " span.tag { (target.machine()) } }
                    (page::scroll(&format!("Workloads on {}", target.name), table(bench)))
                    (failures(bench))
                }
            }
        }
    }
}

fn table(bench: &Bench) -> Markup {
    let others: Vec<&Contestant> = bench
        .running()
        .filter(|one| one.kind != Kind::Ext4)
        .collect();
    let spreads = bench
        .cells()
        .filter_map(|(_, cell)| cell.figures.as_ref()?.to_ext4);
    let axis = Axis::of(spreads);
    html! {
        table.map.speeds {
            thead {
                tr {
                    th scope="col" { "workload" }
                    th scope="col" { "ext4" }
                    @for one in &others { th scope="col" { (one.name) } }
                }
            }
            @for (group, rows) in bench.groups() {
                tbody {
                    tr.group { th scope="rowgroup" { (format::group(group)) } td colspan=(others.len() + 1) {} }
                    @for row in rows { (line(row, &others, &axis)) }
                }
            }
        }
    }
}

fn line(row: &Row, others: &[&Contestant], axis: &Axis) -> Markup {
    let ext4 = row
        .figures("ext4")
        .map(|it| format::time(it.seconds.median));
    html! {
        tr {
            th scope="row" title={ "one operation: " (row.operation) } { (row.workload) }
            td.none { (ext4.as_deref().unwrap_or(format::NOTHING)) }
            @for one in others {
                @let figures = row.figures(&one.name);
                @match figures.and_then(|figures| Some((figures, figures.to_ext4?))) {
                    Some((figures, spread)) => (plot(one, figures, &spread, axis)),
                    None => td.none { (if row.cell(&one.name).is_some() { "failed" } else { format::NOTHING }) },
                }
            }
        }
    }
}

fn plot(one: &Contestant, figures: &Figures, spread: &Spread, axis: &Axis) -> Markup {
    let words = format!("{}: {}", one.name, format::spread(spread));
    let (low, high) = (axis.at(spread.min), axis.at(spread.max));
    html! {
        td class=(page::shade(spread.median)) title=(words) {
            (format::ratio(spread.median)) @if figures.noisy { (format::NOISY) }
            svg class=(format::kind(one.kind)) viewBox="-4 0 108 10" role="img" aria-label=(words) {
                line.one x1=(place(axis.at(1.0))) x2=(place(axis.at(1.0))) y1="0" y2="10" {}
                line.range x1=(place(low)) x2=(place(high)) y1="5" y2="5" {}
                circle cx=(place(axis.at(spread.median))) cy="5" r="3" {}
            }
        }
    }
}

fn place(percent: f64) -> String {
    format!("{percent:.1}")
}

fn failures(bench: &Bench) -> Markup {
    let failed = bench
        .failed()
        .map(|(row, cell, why)| format!("{} on {} failed: {why}", row.workload, cell.contestant));
    let absent = bench.contestants.iter().filter_map(|one| {
        let why = one.not_run.as_ref()?;
        Some(format!("{} did not take part: {why}", one.name))
    });
    let lines: Vec<String> = failed.chain(absent).collect();
    html! { @if !lines.is_empty() { ul { @for line in &lines { li { (line) } } } } }
}
