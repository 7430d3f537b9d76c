//! What a run leaves: a report to read, the same as JSON, and a stable part to review.

use std::fmt::Write as _;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use anyhow::{Context, Result, bail};
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use serde::{Deserialize, Serialize};

use crate::bench::render;
use crate::bench::result::Bench;
use crate::compare::Comparison;
use crate::conformance::Conformance;
use crate::paths::Paths;

/// All of one run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    /// Release of the kernel.
    pub kernel: String,
    /// The suites.
    pub conformance: Conformance,
    /// The workloads; `None` in a quick run, or when they could not be run.
    pub workloads: Option<Bench>,
}

const MARK: &str = "differs from ext4";

/// The table of the suites, for a terminal.
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
        let (left, right) = (comparison.reference, comparison.counts);
        table.add_row([
            comparison.suite.name().to_owned(),
            comparison.preset.clone(),
            comparison.permissions.name().to_owned(),
            format!("{}/{}/{}", left.passed, left.failed, left.skipped),
            format!("{}/{}/{}", right.passed, right.failed, right.skipped),
            differences_word(comparison),
            format!(
                "{:.1} ({:.1})",
                comparison.seconds, comparison.reference_seconds
            ),
        ]);
    }
    table
}

fn differences_word(comparison: &Comparison) -> String {
    let (all, open) = (comparison.differences.len(), comparison.unexcused().count());
    match (all, open) {
        (0, _) => "none".to_owned(),
        (all, 0) => format!("{all} accepted"),
        (all, open) => format!("{open} NOT accepted of {all}"),
    }
}

/// Each difference, error and stale exception, a line each.
pub fn details(conformance: &Conformance) -> String {
    let mut text = String::new();
    for comparison in &conformance.comparisons {
        for difference in &comparison.differences {
            let verdict = match &difference.excuse {
                Some(reason) => format!("accepted: {reason}"),
                None => MARK.to_owned(),
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
            "STALE EXCEPTION: {} {} on {} no longer differs; remove it from lab/exceptions.toml",
            exception.suite, exception.test, exception.preset
        );
    }
    text
}

/// The part that is the same on every machine and run: counts and names, no times.
pub fn stable(conformance: &Conformance) -> String {
    let mut text = String::new();
    for comparison in &conformance.comparisons {
        let (left, right) = (comparison.reference, comparison.counts);
        let _ = writeln!(
            text,
            "{} | {} | permissions: {} | ext4 {}/{}/{} | here {}/{}/{} (passed/failed/skipped)",
            comparison.preset,
            comparison.suite.name(),
            comparison.permissions.name(),
            left.passed,
            left.failed,
            left.skipped,
            right.passed,
            right.failed,
            right.skipped
        );
        for difference in &comparison.differences {
            let verdict = if difference.excuse.is_some() {
                "accepted"
            } else {
                MARK
            };
            let _ = writeln!(text, "    {}: {verdict}", difference.test);
        }
    }
    for error in &conformance.errors {
        let _ = writeln!(text, "not run: {error}");
    }
    for exception in &conformance.stale {
        let _ = writeln!(
            text,
            "stale exception: {} {}",
            exception.suite, exception.test
        );
    }
    text
}

fn markdown(report: &Report) -> String {
    let mut text = format!(
        "# dynamicfs beside native ext4\n\nKernel {}.\n\n## Conformance\n\n{}\n",
        report.kernel,
        render::as_markdown(table(&report.conformance.comparisons))
    );
    let details = details(&report.conformance);
    for line in details.lines() {
        let _ = writeln!(text, "- {line}");
    }
    if let Some(bench) = &report.workloads {
        let _ = write!(text, "\n## Workloads\n\n{}", render::section(bench));
    }
    text
}

impl Report {
    /// A workload that fails on a preset is as bad as a suite that could not be run.
    pub fn note_failed_workloads(&mut self) {
        let failed = self.workloads.iter().flat_map(Bench::failed_presets);
        self.conformance
            .errors
            .extend(failed.map(|(row, cell, reason)| {
                format!("workload {} on {}: {reason}", row.workload, cell.contestant)
            }));
    }

    /// Writes `report.md`, `report.json` and `stable.txt`.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn write(&self, directory: &Path) -> Result<()> {
        fs::create_dir_all(directory)?;
        let json = serde_json::to_string_pretty(self)?;
        for (name, text) in [
            ("report.md", markdown(self)),
            ("report.json", json),
            ("stable.txt", stable(&self.conformance)),
        ] {
            let path = directory.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

/// Compares the stable part of the last run with the accepted one in `tests/snapshots`.
/// `INSTA_UPDATE=always` accepts it.
///
/// # Errors
///
/// When no run was made, or its stable part differs (the difference has then been printed).
pub fn review(paths: &Paths) -> Result<()> {
    let path = paths.lab().join("stable.txt");
    let text = fs::read_to_string(&path)
        .with_context(|| format!("no {}: run `cargo xtask lab run` first", path.display()))?;
    let mut settings = insta::Settings::new();
    settings.set_snapshot_path(paths.snapshots());
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    // insta reports by panicking, after it has printed the difference: nobody wants to see where.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let same = catch_unwind(AssertUnwindSafe(|| {
        settings.bind(|| insta::assert_snapshot!("lab__host", text));
    }));
    std::panic::set_hook(hook);
    if same.is_err() {
        bail!(
            "the result is not the accepted one; when it should be, run \
             `cargo xtask lab review --accept` and commit tests/snapshots/lab__host.snap"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::Difference;
    use crate::outcome::Counts;
    use crate::suites::Suite;
    use crate::target::Permissions;

    fn sample() -> Conformance {
        let difference = |test: &str, excuse: Option<&str>| Difference {
            test: test.to_owned(),
            reference: "passed".to_owned(),
            preset: "failed (EIO)".to_owned(),
            excuse: excuse.map(str::to_owned),
        };
        Conformance {
            comparisons: vec![Comparison {
                suite: Suite::Pjdfstest,
                preset: "safe".to_owned(),
                permissions: Permissions::Storage,
                reference: Counts {
                    passed: 398,
                    failed: 0,
                    skipped: 0,
                },
                counts: Counts {
                    passed: 396,
                    failed: 2,
                    skipped: 0,
                },
                reference_seconds: 2.25,
                seconds: 4.5,
                differences: vec![
                    difference("chmod::a", Some("the kernel does it")),
                    difference("open::b", None),
                ],
                tests: ["chmod::a".to_owned(), "open::b".to_owned()].into(),
            }],
            errors: vec!["fsx on ext4: cannot start fsx".to_owned()],
            stale: Vec::new(),
        }
    }

    #[test]
    fn the_stable_part_has_names_and_no_times() {
        insta::assert_snapshot!(stable(&sample()));
    }

    #[test]
    fn the_report_names_each_difference() {
        let report = Report {
            kernel: "6.18.0".to_owned(),
            conformance: sample(),
            workloads: None,
        };
        insta::assert_snapshot!(markdown(&report));
    }

    #[test]
    fn a_run_is_clean_only_without_open_differences_errors_and_stale_entries() {
        let mut conformance = sample();
        assert!(!conformance.is_clean());
        conformance.comparisons[0].differences.truncate(1);
        assert!(!conformance.is_clean(), "an error remains");
        conformance.errors.clear();
        assert!(conformance.is_clean());
    }
}
