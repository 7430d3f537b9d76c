//! fsx: random operations on one file, each read checked against a model in memory.
//!
//! fsx 0.3.2 never opens its file with O_DIRECT. Direct I/O beside a model is the cases `model` of
//! the project's own suite, and fio's verification in the suite `load`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Place, Programs, exactly, fresh_directory};
use crate::outcome::{Case, Outcome, SuiteResult};
use crate::process::{self, Finished};

/// Fixed, so that two runs issue the same operations.
const SEEDS: [u64; 4] = [1, 20, 300, 4_000];

/// Operations of one run: 0.1 to 1 s on ext4.
const OPERATIONS: u64 = 5_000;

/// Where everything takes long, the first of them: the seed decides the same.
const QUICK_OPERATIONS: u64 = 1_000;

/// Limit of one run.
const LIMIT: Duration = Duration::from_secs(120);

/// What fsx prints at the end, and only then.
const SUCCESS: &str = "All operations completed A-OK!";

/// Kinds of runs: which operations, how often, of which sizes.
const VARIANTS: [(&str, &str); 3] = [
    (
        "no-mmap",
        "[weights]\nclose_open = 1\ninvalidate = 0\nmapread = 0\nmapwrite = 0\nread = 10\nwrite = 10\n\
         truncate = 5\nfsync = 1\nfdatasync = 1\nposix_fallocate = 3\npunch_hole = 3\nsendfile = 3\n\
         posix_fadvise = 3\ncopy_file_range = 3\n",
    ),
    (
        "mmap",
        "[weights]\nclose_open = 1\ninvalidate = 2\nmapread = 10\nmapwrite = 10\nread = 10\nwrite = 10\n\
         truncate = 5\nfsync = 1\nfdatasync = 1\nposix_fallocate = 3\npunch_hole = 3\nsendfile = 3\n\
         posix_fadvise = 3\ncopy_file_range = 3\n",
    ),
    // Whole pages only, on a larger file: what databases do. Without posix_fallocate: with aligned
    // sizes fsx 0.3.2 issues calls of it that ext4 refuses.
    (
        "aligned-mmap",
        "flen = 1048576\n[opsize]\nmin = 4096\nmax = 131072\nalign = 4096\n\
         [weights]\nclose_open = 1\ninvalidate = 2\nmapread = 10\nmapwrite = 10\nread = 10\nwrite = 10\n\
         truncate = 5\nfsync = 3\nfdatasync = 3\nposix_fallocate = 0\npunch_hole = 3\nsendfile = 3\n\
         posix_fadvise = 3\ncopy_file_range = 3\n",
    ),
];

/// Runs every variant with every seed.
///
/// # Errors
///
/// When fsx cannot be started or rejects its arguments.
pub fn run(place: &Place<'_>, programs: &Programs) -> Result<SuiteResult> {
    let result = run_if(place, programs, |_| true)?;
    let dir = directory(place);
    fs::remove_dir_all(&dir).with_context(|| format!("cannot clean up {}", dir.display()))?;
    Ok(result)
}

/// Runs some cases.
///
/// # Errors
///
/// As [`run`], and when one of the names is that of no case.
pub fn run_cases(
    place: &Place<'_>,
    programs: &Programs,
    names: &BTreeSet<&str>,
) -> Result<SuiteResult> {
    let result = run_if(place, programs, |name| names.contains(name))?;
    exactly(names, result)
}

fn directory(place: &Place<'_>) -> PathBuf {
    place.root.join("fsx")
}

fn run_if(
    place: &Place<'_>,
    programs: &Programs,
    wanted: impl Fn(&str) -> bool,
) -> Result<SuiteResult> {
    let start = Instant::now();
    let dir = directory(place);
    fresh_directory(&dir)?;
    let artifacts = place.scratch.join("fsx");
    fs::create_dir_all(&artifacts)?;
    let operations = if place.quick {
        QUICK_OPERATIONS
    } else {
        OPERATIONS
    };
    let mut cases: BTreeMap<String, Case> = BTreeMap::new();
    for (variant, configuration) in VARIANTS {
        let file = place.scratch.join(format!("fsx-{variant}.toml"));
        fs::write(&file, configuration)?;
        for seed in SEEDS {
            let name = format!("{variant}::seed_{seed}");
            if !wanted(&name) {
                continue;
            }
            let mut command = Command::new(&programs.fsx);
            command.arg("-f").arg(&file).arg("-P").arg(&artifacts);
            command.args(["-N", &operations.to_string(), "-S", &seed.to_string()]);
            command.arg(dir.join(format!("{variant}-{seed}")));
            let outcome = judge(&process::run(&mut command, LIMIT * place.patience)?)
                .with_context(|| format!("fsx {variant}, seed {seed}"))?;
            cases.insert(name, outcome.into());
        }
    }
    Ok(SuiteResult {
        cases,
        elapsed: start.elapsed(),
    })
}

fn judge(finished: &Finished) -> Result<Outcome> {
    match finished.code {
        None => Ok(Outcome::TimedOut),
        Some(0) if finished.stdout.lines().any(|line| line == SUCCESS) => Ok(Outcome::Passed),
        Some(0) => bail!("ended without {SUCCESS:?}"),
        Some(2) => bail!("rejected its arguments: {}", finished.stderr.trim()),
        // The first lines name the fault, the rest is the log of operations.
        Some(_) => {
            let first: Vec<&str> = finished
                .stderr
                .lines()
                .take_while(|line| !line.contains("LOG DUMP"))
                .take(6)
                .collect();
            Ok(Outcome::Failed(format!(
                "{}: {}",
                finished.ending(),
                first.join("\n")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(code: Option<i32>, stdout: &str, stderr: &str) -> Finished {
        Finished {
            code,
            stdout: stdout.to_owned(),
            stderr: stderr.to_owned(),
        }
    }

    #[test]
    fn passes_only_with_its_last_line() {
        assert_eq!(
            judge(&finished(Some(0), "All operations completed A-OK!\n", "")).unwrap(),
            Outcome::Passed
        );
        assert!(judge(&finished(Some(0), "", "")).is_err());
        assert!(judge(&finished(Some(2), "", "error: x")).is_err());
    }

    #[test]
    fn a_failure_keeps_the_fault_and_not_the_log() {
        let stderr = "[ERROR fsx] miscompare: offset= 0x1, size = 0x2\n[ERROR fsx] LOG DUMP\n[ERROR fsx] 1 write\n";
        let Outcome::Failed(detail) = judge(&finished(Some(1), "", stderr)).unwrap() else {
            panic!("not failed");
        };
        assert_eq!(
            detail,
            "exit status 1: [ERROR fsx] miscompare: offset= 0x1, size = 0x2"
        );
        assert_eq!(judge(&finished(None, "", "")).unwrap(), Outcome::TimedOut);
    }
}
