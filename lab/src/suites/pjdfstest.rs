//! pjdfstest: 398 cases of single system calls.
//!
//! It runs twice. The cases about read-only file systems remount the one under test, and the
//! others leave descriptors of unlinked files open, which makes that remount fail with EBUSY even
//! on ext4. So the first run leaves remounting off, and a second process runs just those cases.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Place, Programs, exactly, fresh_directory};
use crate::outcome::{Case, Outcome, SuiteResult};
use crate::process;
use crate::tools;

/// A run takes 3 s on ext4 and a few times that on a slow mount.
const LIMIT: Duration = Duration::from_secs(180);

/// Cases that remount.
const REMOUNTING: &str = "erofs";

/// What its own names of the cases begin with; it prints them without.
const MODULE: &str = "pjdfstest::tests::";

/// Length of the path that pjdfstest works in, the same for each target: it miscounts the longest
/// possible path for some lengths (31 modulo 127), and then fails on ext4 too. Short, because the
/// path of a socket has at most 108 bytes (unix(7)), and the names of the cases come on top.
const PATH_LENGTH: usize = 44;

/// `naptime` separates time stamps: the granularity of the kernel's clock is 10 ms at most.
const CONFIGURATION: &str = r#"
[features]
posix_fallocate = {}
rename_ctime = {}
stat_st_birthtime = {}
utime_now = {}
utimensat = {}

[settings]
naptime = 0.02
allow_remount = REMOUNT

[dummy_auth]
entries = [["nobody", "nogroup"], ["daemon", "daemon"]]
"#;

/// What pjdfstest runs as `mount`. The helper of FUSE (`mount.fuse3`) would start a second daemon
/// on a remount, so helpers are off (`-i`); option strings of a FUSE mount are accepted on a
/// remount by mount(2) alone, not by the newer calls.
const MOUNT: &str = "#!/bin/sh\nLIBMOUNT_FORCE_MOUNT2=always exec MOUNT -i \"$@\"\n";

/// Runs all cases.
///
/// # Errors
///
/// When a run does not end, or its summary disagrees with its lines.
pub fn run(place: &Place<'_>, programs: &Programs) -> Result<SuiteResult> {
    let start = Instant::now();
    let dir = place.root.join(padding(place.root)?);
    fresh_directory(&dir)?;
    let mut cases = pass(place, programs, &dir, Choice::All)?;
    for (name, case) in pass(place, programs, &dir, Choice::Remounting)? {
        if !cases.contains_key(&name) {
            bail!("pjdfstest ran {name} only when remounting");
        }
        cases.insert(name, case);
    }
    fs::remove_dir_all(&dir).with_context(|| format!("cannot clean up {}", dir.display()))?;
    Ok(SuiteResult {
        cases,
        elapsed: start.elapsed(),
    })
}

/// Runs some cases, none of those that remount.
///
/// # Errors
///
/// As [`run`], and when one of the names is that of no case.
pub fn run_cases(
    place: &Place<'_>,
    programs: &Programs,
    names: &BTreeSet<&str>,
) -> Result<SuiteResult> {
    let start = Instant::now();
    let dir = place.root.join(padding(place.root)?);
    fresh_directory(&dir)?;
    let result = SuiteResult {
        cases: pass(place, programs, &dir, Choice::Named(names))?,
        elapsed: start.elapsed(),
    };
    exactly(names, result)
}

/// Which cases a process runs.
#[derive(Debug, Clone, Copy)]
enum Choice<'a> {
    /// All; those that remount skip themselves.
    All,
    /// Those that remount.
    Remounting,
    /// Those of these names.
    Named(&'a BTreeSet<&'a str>),
}

impl Choice<'_> {
    fn arguments(self) -> Vec<String> {
        match self {
            Choice::All => Vec::new(),
            Choice::Remounting => vec![REMOUNTING.to_owned()],
            Choice::Named(names) => ["--exact".to_owned()]
                .into_iter()
                .chain(names.iter().map(|name| format!("{MODULE}{name}")))
                .collect(),
        }
    }
}

fn pass(
    place: &Place<'_>,
    programs: &Programs,
    dir: &Path,
    choice: Choice<'_>,
) -> Result<BTreeMap<String, Case>> {
    let remount = matches!(choice, Choice::Remounting);
    let configuration = place.scratch.join("pjdfstest.toml");
    fs::write(
        &configuration,
        CONFIGURATION.replace("REMOUNT", &remount.to_string()),
    )?;
    let mut command = Command::new(&programs.pjdfstest);
    command
        .arg("-c")
        .arg(&configuration)
        .arg("-p")
        .arg(dir)
        .arg("-s")
        .arg(place.secondary)
        .env("NO_COLOR", "1")
        .env("PATH", path_with_mount(place.scratch)?);
    command.args(choice.arguments());
    let limit = LIMIT * place.patience;
    let finished = process::run(&mut command, limit)?;
    if finished.code.is_none() {
        let last = finished.stdout.lines().last().unwrap_or("none");
        bail!("pjdfstest did not end within {limit:?}; last line: {last}");
    }
    parse(&finished.stdout)
        .with_context(|| format!("pjdfstest: {}: {}", finished.ending(), finished.stderr))
}

/// `PATH` with a directory in front in which `mount` is [`MOUNT`].
fn path_with_mount(scratch: &Path) -> Result<OsString> {
    let mount = tools::find_program("mount").context("no mount(8)")?;
    let bin = scratch.join("bin");
    fs::create_dir_all(&bin)?;
    let text = MOUNT.replace("MOUNT -i", &format!("{} -i", mount.display()));
    tools::script(&bin.join("mount"), &text)?;
    Ok(tools::path_with(&bin))
}

fn padding(root: &Path) -> Result<String> {
    let used = root.as_os_str().len() + "/".len();
    match PATH_LENGTH.checked_sub(used) {
        Some(length) if length > 0 => Ok("p".repeat(length)),
        _ => bail!(
            "{} is too long for pjdfstest to be comparable",
            root.display()
        ),
    }
}

/// Reads `name ok|FAILED|skipped`, each followed by indented lines of detail, and the summary.
fn parse(output: &str) -> Result<BTreeMap<String, Case>> {
    let mut cases: BTreeMap<String, Outcome> = BTreeMap::new();
    let mut current: Option<String> = None;
    let mut summary = None;
    for line in output.lines() {
        if let Some(figures) = line.strip_prefix("Summary: ") {
            summary = Some(parse_summary(figures)?);
        } else if let Some((name, outcome)) = parse_case(line) {
            if cases.insert(name.to_owned(), outcome).is_some() {
                bail!("two cases are called {name}");
            }
            current = Some(name.to_owned());
        } else if let Some(outcome) = current.as_ref().and_then(|name| cases.get_mut(name))
            && let Outcome::Failed(detail) | Outcome::Skipped(detail) = outcome
            && !line.trim().is_empty()
        {
            if !detail.is_empty() {
                detail.push('\n');
            }
            detail.push_str(line.trim());
        }
    }
    let result = SuiteResult {
        cases: cases
            .into_iter()
            .map(|(name, outcome)| (name, outcome.into()))
            .collect(),
        elapsed: Duration::ZERO,
    };
    let counts = result.counts();
    match summary {
        None => bail!("no summary after {} cases", result.cases.len()),
        Some(figures) if figures != [counts.failed, counts.skipped, counts.passed] => {
            bail!("the summary says {figures:?} failed, skipped, passed, the lines say {counts:?}")
        }
        Some(_) => Ok(result.cases),
    }
}

fn parse_case(line: &str) -> Option<(&str, Outcome)> {
    let (name, word) = line.rsplit_once(' ')?;
    let name = name.trim_end();
    if name.contains(char::is_whitespace) || !name.contains("::") {
        return None;
    }
    let outcome = match word {
        "ok" => Outcome::Passed,
        "FAILED" => Outcome::Failed(String::new()),
        "skipped" => Outcome::Skipped(String::new()),
        _ => return None,
    };
    Some((name, outcome))
}

/// Failed, skipped, passed.
fn parse_summary(figures: &str) -> Result<[usize; 3]> {
    let figure = |word: &str| {
        figures
            .split(", ")
            .find_map(|part| part.strip_suffix(word)?.trim().parse().ok())
            .with_context(|| format!("no number of {word} in the summary {figures:?}"))
    };
    Ok([figure("failed")?, figure("skipped")?, figure("passed")?])
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "unlink::remove_type::fifo            ok\n\
        chmod::erofs_named        skipped\n\tRemounts (allow_remount) are not allowed\n\
        open::uid_gid_eq_euid_egid     FAILED\n\tassertion `left == right` failed\n  left: 0\n right: 1\n\
        \nSummary: 1 failed, 1 skipped, 1 passed, 0 expected failures, 3 total\n";

    #[test]
    fn reads_cases_with_their_details() {
        let cases = parse(SAMPLE).unwrap();
        assert_eq!(cases["unlink::remove_type::fifo"].outcome, Outcome::Passed);
        assert_eq!(
            cases["chmod::erofs_named"].outcome,
            Outcome::Skipped("Remounts (allow_remount) are not allowed".to_owned())
        );
        assert_eq!(
            cases["open::uid_gid_eq_euid_egid"].outcome,
            Outcome::Failed("assertion `left == right` failed\nleft: 0\nright: 1".to_owned())
        );
    }

    #[test]
    fn a_run_without_its_summary_is_an_error() {
        let cut = SAMPLE.split("Summary").next().unwrap();
        assert!(
            parse(cut)
                .unwrap_err()
                .to_string()
                .contains("no summary after 3 cases")
        );
    }

    #[test]
    fn a_summary_that_disagrees_is_an_error() {
        assert!(parse(&SAMPLE.replace("1 passed", "2 passed")).is_err());
    }

    #[test]
    fn the_path_has_one_length_for_every_root() {
        for root in ["/run/x", "/run/dynamicfs-lab/high-performance"] {
            let root = Path::new(root);
            let full = root.join(padding(root).unwrap());
            assert_eq!(full.as_os_str().len(), PATH_LENGTH);
        }
        assert_ne!(PATH_LENGTH % 127, 31);
    }
}
