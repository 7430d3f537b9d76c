//! The part of a report that is the same on every machine and in every run: names, outcomes,
//! capabilities; no times. It is reviewed: `tests/snapshots/TARGET/` has a file for each suite and one
//! for the capabilities, each with a section for every preset.
//!
//! A run that has less than that is reviewed as far as it goes: sections that it does not have stay as
//! they were accepted, and so do files and targets.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use anyhow::{Context, Result};
use dynamicfs::mount::MountReport;

use super::model::{Report, Target};
use super::view::{counts, rank};
use crate::compare::{Comparison, Difference};
use crate::paths::Paths;

/// The file of a target that is not a suite's.
const CAPABILITIES: &str = "capabilities";

/// What is in force by the processors of the machine and how they idle, not by its kernel's release.
const OF_THE_PROCESSORS: &str = "cpu_latency_qos";

/// What separates the sections of a file.
const INDENT: &str = "    ";

/// What a review found.
#[derive(Debug, Default)]
pub struct Review {
    /// Files that are as accepted.
    pub same: usize,
    /// Files that are not, or are new; the differences have been printed.
    pub changed: Vec<String>,
    /// What was to be run and has no result: nothing can be said of it.
    pub not_run: Vec<String>,
}

impl Review {
    /// Whether all of the run was reviewed and is as accepted.
    pub fn is_clean(&self) -> bool {
        self.same > 0 && self.changed.is_empty() && self.not_run.is_empty()
    }
}

/// Compares the stable part of a run with the accepted one, and prints what differs.
/// `INSTA_UPDATE=always` with `INSTA_FORCE_PASS=1` accepts it.
///
/// # Errors
///
/// When an accepted file cannot be read.
pub fn review(report: &Report, paths: &Paths) -> Result<Review> {
    let mut review = Review::default();
    for target in &report.targets {
        let directory = paths.snapshots().join(&target.name);
        for (name, sections) in stable(target) {
            let accepted = accepted(&directory.join(format!("{name}.snap")))?;
            let text = document(merged(accepted, sections));
            if holds(&directory, &name, &text) {
                review.same += 1;
            } else {
                review.changed.push(format!("{}/{name}", target.name));
            }
        }
        let missing = target
            .missing()
            .map(|cell| format!("{}: {cell}", target.name));
        review.not_run.extend(missing);
    }
    Ok(review)
}

/// A heading and the lines under it.
type Section = (String, String);

/// The files of a target: name and sections.
fn stable(target: &Target) -> Vec<(String, Vec<Section>)> {
    let mut files: Vec<(String, Vec<Section>)> = Vec::new();
    let mut add = |name: &str, section: Section| match files.iter_mut().find(|it| it.0 == name) {
        Some((_, sections)) => sections.push(section),
        None => files.push((name.to_owned(), vec![section])),
    };
    for comparison in &target.comparisons {
        add(comparison.suite.name(), suite(comparison));
    }
    for (preset, mount) in &target.capabilities {
        add(CAPABILITIES, (preset.clone(), capabilities(mount)));
    }
    files
}

fn suite(comparison: &Comparison) -> Section {
    let heading = format!(
        "{}, permissions by the {}",
        comparison.preset,
        comparison.permissions.name()
    );
    let here = counts(comparison.counts);
    let mut text = match comparison.suite.has_reference() {
        true => format!(
            "ext4 {}, here {here} (passed/failed/skipped)\n",
            counts(comparison.reference)
        ),
        false => format!("{here} (passed/failed/skipped)\n"),
    };
    for difference in &comparison.differences {
        let verdict = match &difference.excuse {
            Some(excuse) => format!("accepted ({})", excuse.class.name()),
            None => "NOT ACCEPTED".to_owned(),
        };
        let _ = writeln!(
            text,
            "{}: {}: {verdict}",
            difference.test,
            outcomes(difference)
        );
    }
    (heading, text)
}

/// How a case ended, without what is told with it.
fn outcomes(difference: &Difference) -> String {
    let word = |text: &str| text.split(" (").next().unwrap_or_default().to_owned();
    let (ext4, here) = (word(&difference.reference), word(&difference.preset));
    match ["passed", "failed", "skipped", "timed out"].contains(&ext4.as_str()) {
        true => format!("{ext4} on ext4, {here} here"),
        false => "observes otherwise than on ext4".to_owned(),
    }
}

fn capabilities(mount: &MountReport) -> String {
    let mut text = format!("io_mode: {}\n", mount.io_mode);
    let items = mount.capabilities.iter();
    for item in items.filter(|item| item.name != OF_THE_PROCESSORS) {
        let _ = write!(
            text,
            "{}: asked {}, granted {}, in force {}",
            item.name, item.asked, item.granted, item.effective
        );
        let _ = match &item.why {
            Some(why) => writeln!(text, " ({why})"),
            None => writeln!(text),
        };
    }
    text
}

/// The sections of an accepted file; none where there is no file.
fn accepted(path: &Path) -> Result<Vec<Section>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(sections(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// The sections of a snapshot, whose own head ends with the second line of dashes.
fn sections(snapshot: &str) -> Vec<Section> {
    let body = snapshot.splitn(3, "---\n").nth(2).unwrap_or_default();
    let mut sections: Vec<Section> = Vec::new();
    for line in body.lines() {
        match (line.strip_prefix(INDENT), sections.last_mut()) {
            (Some(line), Some((_, text))) => {
                let _ = writeln!(text, "{line}");
            }
            _ => sections.push((line.to_owned(), String::new())),
        }
    }
    sections
}

/// What was accepted, with the sections that the run has in their place.
fn merged(accepted: Vec<Section>, run: Vec<Section>) -> Vec<Section> {
    let is_old = |section: &Section| run.iter().all(|(heading, _)| *heading != section.0);
    let old: Vec<Section> = accepted.into_iter().filter(is_old).collect();
    let mut sections: Vec<Section> = old.into_iter().chain(run).collect();
    let preset = |heading: &str| heading.split(',').next().unwrap_or_default().to_owned();
    sections.sort_by(|(x, _), (y, _)| (rank(&preset(x)).0, x).cmp(&(rank(&preset(y)).0, y)));
    sections
}

fn document(sections: Vec<Section>) -> String {
    let mut text = String::new();
    for (heading, lines) in sections {
        let _ = writeln!(text, "{heading}");
        for line in lines.lines() {
            let _ = writeln!(text, "{INDENT}{line}");
        }
    }
    text
}

fn holds(directory: &Path, name: &str, text: &str) -> bool {
    let mut settings = insta::Settings::new();
    settings.set_snapshot_path(directory);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    // insta reports by panicking, after it has printed the difference: nobody wants to see where.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let same = catch_unwind(AssertUnwindSafe(|| {
        settings.bind(|| insta::assert_snapshot!(name, text));
    }));
    std::panic::set_hook(hook);
    same.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_stable_part_has_names_and_no_times() {
        let report = sample::red();
        let mut text = String::new();
        for target in &report.targets {
            for (name, sections) in stable(target) {
                let sections = merged(Vec::new(), sections);
                let _ = write!(text, "== {}/{name}\n{}", target.name, document(sections));
            }
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_partial_run_leaves_the_rest_as_it_was_accepted() {
        let section = |heading: &str, line: &str| (heading.to_owned(), format!("{line}\n"));
        let accepted = vec![
            section("balanced, permissions by the kernel", "old"),
            section("safe, permissions by the kernel", "old"),
        ];
        let snapshot = format!("---\nsource: x\n---\n{}", document(accepted.clone()));
        assert_eq!(sections(&snapshot), accepted);
        let run = vec![section("safe, permissions by the kernel", "new")];
        assert_eq!(
            document(merged(accepted, run)),
            "balanced, permissions by the kernel\n    old\nsafe, permissions by the kernel\n    new\n"
        );
    }

    #[test]
    fn a_run_is_compared_with_what_was_accepted() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths {
            root: root.path().to_owned(),
            target: root.path().join("target"),
        };
        let mut report = sample::red();
        for target in &report.targets {
            let directory = paths.snapshots().join(&target.name);
            fs::create_dir_all(&directory).unwrap();
            for (name, sections) in stable(target) {
                let text = document(merged(Vec::new(), sections));
                let file = directory.join(format!("{name}.snap"));
                fs::write(file, format!("---\nsource: x\n---\n{text}")).unwrap();
            }
        }
        let found = review(&report, &paths).unwrap();
        assert_eq!((found.same, found.changed.len()), (15, 0));
        assert_eq!(
            found.not_run,
            ["host: programs on safe, permissions by the kernel"]
        );
        report.targets.truncate(1);
        assert!(review(&report, &paths).unwrap().is_clean());
        report.targets[0].comparisons[0].differences.clear();
        let found = review(&report, &paths).unwrap();
        assert_eq!(found.changed, ["linux-6.1/pjdfstest"]);
    }
}
