//! The project's own suite: a program of its own, so that a case that hangs or crashes takes
//! nothing else with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use super::{Place, Programs, exactly, fresh_directory};
use crate::outcome::{Case, Outcome, SuiteResult};
use crate::process;
use crate::suite::Set;

/// Each case has a limit of its own; this one is for the program.
const LIMIT: Duration = Duration::from_secs(300);

/// Cases that run at a time, on however few processors: what takes longest waits for attributes to
/// expire.
const JOBS: u32 = 8;

/// Limit of one case.
const CASE_LIMIT: Duration = Duration::from_secs(30);

/// Runs all cases of a set.
///
/// # Errors
///
/// When the program does not run to its end, or reports other cases than it lists.
pub fn run(place: &Place<'_>, programs: &Programs, set: Set) -> Result<SuiteResult> {
    let result = run_chosen(place, programs, set, &[])?;
    let dir = place.root.join(set.name());
    fs::remove_dir_all(&dir).with_context(|| format!("cannot clean up {}", dir.display()))?;
    let expected = listed(place, programs, set)?;
    exactly(&expected.iter().map(String::as_str).collect(), result)
}

/// Runs some cases of a set.
///
/// # Errors
///
/// As [`run`], and when one of the names is that of no case.
pub fn run_cases(
    place: &Place<'_>,
    programs: &Programs,
    set: Set,
    names: &BTreeSet<&str>,
) -> Result<SuiteResult> {
    let choice: Vec<&str> = names.iter().flat_map(|name| ["--case", name]).collect();
    exactly(names, run_chosen(place, programs, set, &choice)?)
}

/// Runs the cases of a set that the arguments choose.
fn run_chosen(
    place: &Place<'_>,
    programs: &Programs,
    set: Set,
    choice: &[&str],
) -> Result<SuiteResult> {
    let start = Instant::now();
    let dir = place.root.join(set.name());
    fresh_directory(&dir)?;
    let mut command = Command::new(&programs.suite);
    command
        .args(["--set", set.name()])
        .arg("--dir")
        .arg(&dir)
        .arg("--backing")
        .arg(place.backing.join(set.name()))
        .args(["--attr-ttl", &format!("{}ms", place.attr_ttl.as_millis())])
        .args(["--patience", &place.patience.to_string()])
        .args(["--jobs", &JOBS.to_string()])
        .args([
            "--timeout",
            &format!("{}s", CASE_LIMIT.as_secs() * u64::from(place.patience)),
        ])
        .arg("--json")
        .args(choice);
    let finished = process::run(&mut command, LIMIT * place.patience)?;
    // 1 says that a case failed, which its line says too.
    if !matches!(finished.code, Some(0 | 1)) {
        bail!(
            "dynamicfs-suite: {}: {}",
            finished.ending(),
            finished.stderr.trim()
        );
    }
    Ok(SuiteResult {
        cases: parse(&finished.stdout)?,
        elapsed: start.elapsed(),
    })
}

/// The names of all cases of a set.
fn listed(place: &Place<'_>, programs: &Programs, set: Set) -> Result<BTreeSet<String>> {
    let mut command = Command::new(&programs.suite);
    command.args(["--list", "--set", set.name()]);
    let finished = process::run(&mut command, LIMIT * place.patience)?;
    let names: BTreeSet<String> = finished
        .stdout
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect();
    if !finished.success() || names.is_empty() {
        bail!(
            "dynamicfs-suite --list: {}: {}",
            finished.ending(),
            finished.stderr.trim()
        );
    }
    Ok(names)
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    Passed,
    Failed,
    Skipped,
    TimedOut,
}

#[derive(Deserialize)]
struct Line {
    name: String,
    outcome: Word,
    #[serde(default)]
    detail: Option<String>,
    #[serde(default)]
    observations: BTreeMap<String, Value>,
}

fn parse(output: &str) -> Result<BTreeMap<String, Case>> {
    let mut cases = BTreeMap::new();
    for text in output.lines().filter(|line| !line.trim().is_empty()) {
        let line: Line = serde_json::from_str(text)
            .with_context(|| format!("dynamicfs-suite printed {text:?}"))?;
        let detail = line.detail.unwrap_or_default();
        let outcome = match line.outcome {
            Word::Passed => Outcome::Passed,
            Word::Failed => Outcome::Failed(detail),
            Word::Skipped => Outcome::Skipped(detail),
            Word::TimedOut => Outcome::TimedOut,
        };
        let case = Case {
            outcome,
            observations: line.observations,
        };
        if cases.insert(line.name.clone(), case).is_some() {
            bail!("dynamicfs-suite reported {} twice", line.name);
        }
    }
    if cases.is_empty() {
        bail!("dynamicfs-suite reported no case");
    }
    Ok(cases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_line_per_case() {
        let output = r#"{"name":"a/x","outcome":"passed","detail":"","observations":{"errno":"ENOENT"},"millis":3}
{"name":"a/y","outcome":"timed-out","detail":"30 s","observations":{},"millis":30000}
"#;
        let cases = parse(output).unwrap();
        assert_eq!(cases["a/x"].observations["errno"], "ENOENT");
        assert_eq!(cases["a/y"].outcome, Outcome::TimedOut);
    }

    #[test]
    fn silence_repetition_and_noise_are_errors() {
        let line = r#"{"name":"a","outcome":"passed"}"#;
        assert!(parse("").is_err());
        assert!(parse(&format!("{line}\n{line}\n")).is_err());
        assert!(parse("panicked\n").is_err());
    }
}
