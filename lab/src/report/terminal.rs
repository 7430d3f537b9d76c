//! A run on a terminal: what must be known at its end, and what `cargo xtask conformance` shows.

use std::fmt::Write as _;

use comfy_table::presets::{NOTHING, UTF8_FULL_CONDENSED};
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table};

use super::model::Report;
use super::view::{Column, Verdict, counts};
use crate::compare::Comparison;
use crate::conformance::Conformance;
use crate::target::Permissions;

/// The lines of one kind of problem that are shown; the report has them all.
const LINES: usize = 20;

/// How a run ended: the matrix, and everything that makes it red.
///
/// `colour` only where the reader has a terminal and has not set `NO_COLOR`; `width` in columns.
pub fn summary(report: &Report, colour: bool, width: u16) -> String {
    let mut text = format!("{}\n", matrix(report, colour, width));
    for problem in report.problems() {
        let _ = writeln!(text, "\n{}", paint(&problem.title(), Color::Red, colour));
        for line in problem.lines.iter().take(LINES) {
            let _ = writeln!(text, "  {line}");
        }
        if let Some(more) = problem
            .lines
            .len()
            .checked_sub(LINES)
            .filter(|more| *more > 0)
        {
            let _ = writeln!(text, "  … and {more} more");
        }
    }
    let verdict = if report.is_clean() {
        Color::Green
    } else {
        Color::Red
    };
    let _ = writeln!(text, "\n{}", paint(&report.headline(), verdict, colour));
    text
}

fn paint(text: &str, colour: Color, wanted: bool) -> String {
    let code = match colour {
        Color::Red => 31,
        _ => 32,
    };
    match wanted {
        true => format!("\x1b[1;{code}m{text}\x1b[0m"),
        false => text.to_owned(),
    }
}

fn matrix(report: &Report, colour: bool, width: u16) -> Table {
    let columns = report.columns();
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width);
    if colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    let names = columns.iter().map(|column| short(*column));
    table.set_header(
        ["target", "preset"]
            .map(str::to_owned)
            .into_iter()
            .chain(names),
    );
    for target in &report.targets {
        for (index, preset) in target.presets().into_iter().enumerate() {
            let name = if index == 0 { target.name.as_str() } else { "" };
            let cells = columns
                .iter()
                .map(|at| painted(target.verdict(preset, *at)));
            let names = [
                Cell::new(name).add_attribute(Attribute::Bold),
                Cell::new(preset),
            ];
            table.add_row(names.into_iter().chain(cells));
        }
    }
    table
}

fn short(column: Column) -> String {
    match column.permissions {
        Permissions::Kernel => column.suite.name().to_owned(),
        Permissions::Storage => format!("{} (storage)", column.suite.name()),
    }
}

fn painted(verdict: Verdict) -> Cell {
    let cell = Cell::new(verdict.words());
    match verdict {
        Verdict::Same => cell.fg(Color::DarkGreen),
        Verdict::Accepted(_) => cell.fg(Color::DarkYellow),
        Verdict::Different(_) | Verdict::NotRun => cell.fg(Color::Red),
        Verdict::NotPlanned => cell,
    }
}

/// The table of the suites of one target.
pub fn table(comparisons: &[Comparison]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header([
        "suite",
        "preset",
        "permissions",
        "ext4 pass/fail/skip",
        "preset pass/fail/skip",
        "differences",
        "seconds",
    ]);
    for comparison in comparisons {
        table.add_row([
            comparison.suite.name().to_owned(),
            comparison.preset.clone(),
            comparison.permissions.name().to_owned(),
            counts(comparison.reference),
            counts(comparison.counts),
            Verdict::of(comparison).words(),
            format!(
                "{:.1} ({:.1})",
                comparison.seconds, comparison.reference_seconds
            ),
        ]);
    }
    table
}

/// Each difference, error and stale exception, a line each.
pub fn details(conformance: &Conformance) -> String {
    let mut text = String::new();
    for comparison in &conformance.comparisons {
        for difference in &comparison.differences {
            let verdict = match &difference.excuse {
                Some(excuse) => format!("accepted: {}", excuse.reason),
                None => "differs from ext4".to_owned(),
            };
            let _ = writeln!(
                text,
                "{} {} on {} ({}): ext4 {}, here {} [{verdict}]",
                comparison.suite.name(),
                difference.test,
                comparison.preset,
                comparison.permissions.name(),
                difference.reference,
                difference.preset
            );
        }
    }
    for error in &conformance.errors {
        let _ = writeln!(text, "NOT RUN: {error}");
    }
    for exception in &conformance.stale {
        let _ = writeln!(
            text,
            "STALE EXCEPTION: {exception} no longer differs; remove it from lab/exceptions.toml"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_summary_has_the_matrix_and_all_that_makes_the_run_red() {
        insta::assert_snapshot!(summary(&sample::red(), false, 100));
    }

    #[test]
    fn the_matrix_fits() {
        for width in [80, 100, 160] {
            let table = matrix(&sample::red(), false, width).to_string();
            for line in table.lines() {
                assert!(line.chars().count() <= width.into(), "{width}: {line}");
            }
        }
    }

    #[test]
    fn colours_only_when_wanted() {
        let run = sample::clean();
        assert!(!summary(&run, false, 120).contains('\x1b'));
        assert!(summary(&run, true, 120).contains("\x1b[1;32m"));
    }
}
