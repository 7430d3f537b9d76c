//! A run as one Markdown document.

use std::fmt::Write as _;

use dynamicfs::transport::Negotiated;

use super::facts;
use super::model::{Report, Target};
use super::view::{Entry, Kernels, State, Verdict, counts, entries, io_mode, kernels, reasons};
use crate::bench::render::table::markdown as table;
use crate::bench::render::{format, markdown as speeds};
use crate::bench::result::Bench;
use crate::bench::statistics::NOISY_MEANS;

/// The document.
pub fn markdown(report: &Report) -> String {
    let comparisons = report.comparisons();
    let (open, accepted): (Vec<_>, Vec<_>) =
        entries(&comparisons).into_iter().partition(Entry::is_open);
    let sections = [
        ("What to look at", problems(report)),
        ("Suites", matrix(report)),
        ("Differences that nothing accepts", differences(&open)),
        ("Accepted differences", differences(&accepted)),
        ("Capabilities", capabilities(report)),
        ("Workloads", workloads(report)),
        ("Power cuts", power_cuts(report)),
        ("Targets", targets(report)),
        ("Run", list(&facts::run(report))),
    ];
    let mut text = format!(
        "# dynamicfs beside native ext4\n\n**{}**\n\n{}\n",
        report.headline(),
        facts::WHAT
    );
    for (title, body) in sections.iter().filter(|(_, body)| !body.is_empty()) {
        let _ = write!(text, "\n## {title}\n\n{body}");
    }
    text
}

fn problems(report: &Report) -> String {
    let mut text = String::new();
    for problem in report.problems() {
        let _ = writeln!(text, "- {}", problem.title());
        for line in &problem.lines {
            let _ = writeln!(text, "  - {line}");
        }
    }
    text
}

fn matrix(report: &Report) -> String {
    let columns = report.columns();
    let names = columns.iter().map(|column| column.name());
    let header = ["target", "on"].map(str::to_owned).into_iter().chain(names);
    let mut rows = Vec::new();
    for target in &report.targets {
        let ext4 = columns
            .iter()
            .map(|at| target.reference(*at).map_or_else(nothing, counts));
        rows.push(row(&target.name, "ext4", ext4));
        for preset in target.presets() {
            let cells = columns.iter().map(|at| {
                let verdict = target.verdict(preset, *at);
                match target.comparison(preset, *at) {
                    Some(found) => format!("{} {}", counts(found.counts), verdict.words()),
                    None => verdict.words(),
                }
            });
            rows.push(row(&target.name, preset, cells));
        }
    }
    if columns.is_empty() {
        return String::new();
    }
    format!(
        "Cases passed/failed/skipped, and how they compare with ext4's.\n\n{}",
        table(header, rows)
    )
}

fn row(target: &str, on: &str, cells: impl Iterator<Item = String>) -> Vec<String> {
    [target.to_owned(), on.to_owned()]
        .into_iter()
        .chain(cells)
        .collect()
}

fn differences(entries: &[Entry<'_>]) -> String {
    let mut text = String::new();
    for entry in entries {
        let _ = writeln!(text, "- {} `{}`", entry.suite.name(), entry.test);
        for way in &entry.ways {
            let _ = write!(
                text,
                "  - {}: ext4 {}, here {}. ",
                way.places, way.reference, way.preset
            );
            let _ = match way.excuse {
                Some(excuse) => writeln!(text, "*{}*: {}", excuse.class.name(), excuse.reason),
                None => writeln!(text, "**Not accepted.**"),
            };
        }
    }
    text
}

fn capabilities(report: &Report) -> String {
    let groups = kernels(report);
    if groups.is_empty() {
        return String::new();
    }
    let mut text = State::ALL
        .map(|state| format!("{} {}", state.mark(), state.words()))
        .join(", ")
        + ".\n";
    for group in &groups {
        let presets: Vec<&str> = group.presets.iter().map(|(preset, _)| *preset).collect();
        let header = ["capability"].into_iter().chain(presets);
        let modes = group
            .presets
            .iter()
            .map(|(_, mount)| io_mode(mount).to_owned());
        let mut rows = vec![line("I/O mode", modes)];
        for name in Kernels::names(std::slice::from_ref(group)) {
            rows.push(line(
                name,
                group
                    .presets
                    .iter()
                    .map(|(_, mount)| mark(mount.capabilities.iter().find(|it| it.name == name))),
            ));
        }
        let _ = write!(
            text,
            "\n### {}\n\n{}",
            group.targets.join(", "),
            table(header, rows)
        );
    }
    text.push('\n');
    for reason in reasons(report) {
        let _ = writeln!(
            text,
            "- {}: {} ({}): {}",
            reason.name, reason.what, reason.places, reason.why
        );
    }
    text
}

fn line(name: &str, cells: impl Iterator<Item = String>) -> Vec<String> {
    [name.to_owned()].into_iter().chain(cells).collect()
}

/// The mark of a capability; of a limit the value as well.
fn mark(item: Option<&Negotiated>) -> String {
    let Some(item) = item else {
        return nothing();
    };
    let mark = State::of(item).mark();
    match item.effective.as_str() {
        "yes" | "no" => mark.to_owned(),
        value => format!("{mark} {value}"),
    }
}

fn workloads(report: &Report) -> String {
    let mut text = String::new();
    for target in &report.targets {
        if let Some(bench) = &target.workloads {
            let _ = write!(
                text,
                "\n### {} ({})\n\n{}",
                target.name,
                target.machine(),
                ratios(bench)
            );
        }
    }
    if text.is_empty() {
        return text;
    }
    format!(
        "{} Median (least–greatest). `{}`: {NOISY_MEANS}.\n{text}",
        facts::RATIOS,
        format::NOISY
    )
}

fn ratios(bench: &Bench) -> String {
    let others = speeds::others(bench);
    let header = ["workload", "ext4"]
        .into_iter()
        .chain(others.iter().copied());
    let rows = bench.rows.iter().map(|row| {
        let ext4 = row
            .figures("ext4")
            .map(|it| format::time(it.seconds.median));
        let cells = others.iter().map(|name| speeds::ratio(row, name));
        line(
            &row.workload,
            [ext4.unwrap_or_else(nothing)].into_iter().chain(cells),
        )
    });
    let troubles = speeds::troubles(bench);
    let gap = if troubles.is_empty() { "" } else { "\n" };
    format!("{}{gap}{troubles}", table(header, rows))
}

fn power_cuts(report: &Report) -> String {
    let contestants = facts::cut_contestants(report);
    if contestants.is_empty() {
        return String::new();
    }
    let cell = |target: &Target, name: &str| {
        let found = target.power_cuts.iter().find(|it| it.contestant == name);
        found.map_or_else(nothing, |of| {
            let result = facts::power_cuts(of);
            format!("{result} ({} cuts, {} writes)", of.cuts, of.acknowledged)
        })
    };
    let cut = report.targets.iter().filter(|it| !it.power_cuts.is_empty());
    let rows = cut.map(|target| {
        line(
            &target.name,
            contestants.iter().map(|name| cell(target, name)),
        )
    });
    let header = ["target"].into_iter().chain(contestants.iter().copied());
    format!("{}\n\n{}", facts::POWER_CUTS, table(header, rows))
}

fn targets(report: &Report) -> String {
    let mut text = String::new();
    for target in &report.targets {
        let gap = if text.is_empty() { "" } else { "\n" };
        let _ = write!(
            text,
            "{gap}### {}\n\n{}{}",
            target.name,
            list(&facts::target(target)),
            packages(target)
        );
    }
    text
}

fn packages(target: &Target) -> String {
    if target.packages.is_empty() {
        return String::new();
    }
    let packages = target
        .packages
        .iter()
        .map(|(name, version)| format!("{name} {version}"));
    format!(
        "\n<details><summary>{} packages</summary>\n\n{}\n\n</details>\n",
        target.packages.len(),
        packages.collect::<Vec<_>>().join(", ")
    )
}

fn list(facts: &[(&str, String)]) -> String {
    let lines = facts
        .iter()
        .map(|(name, value)| format!("- {name}: {value}\n"));
    lines.collect()
}

fn nothing() -> String {
    Verdict::NotPlanned.words()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_document_tells_all_that_the_run_knows() {
        insta::assert_snapshot!(markdown(&sample::red()));
    }

    #[test]
    fn a_clean_run_has_nothing_to_look_at() {
        let text = markdown(&sample::clean());
        assert!(text.contains("**Every preset is as ext4 on all 2 targets"));
        for section in ["What to look at", "Differences that nothing accepts"] {
            assert!(!text.contains(section));
        }
    }
}
