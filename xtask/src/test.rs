//! `cargo xtask test`

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use dynamicfs_lab::paths::Paths;
use dynamicfs_lab::tools;

/// Runs `cargo test` for the whole workspace with all features, documentation tests included, then the
/// tests on mounts once more with the portable transport, and adds up the results.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Handed to cargo test: a filter, or `--` and options of the tests
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Total {
    passed: u64,
    failed: u64,
    skipped: u64,
}

pub(crate) fn run(args: &Args) -> Result<bool> {
    tools::ensure_packages(tools::TEST_PACKAGES)?;
    let mut total = Total::default();
    let all = cargo_test(&["--workspace"], None, args, &mut total)?;
    let mounts = ["--package=dynamicfs", "--test=mount_*", "--test=cli_mount"];
    let portable = cargo_test(&mounts, Some("fuser"), args, &mut total)?;
    println!(
        "{} passed, {} failed, {} skipped",
        total.passed, total.failed, total.skipped
    );
    if total.passed == 0 {
        bail!("no test was run");
    }
    Ok(all && portable)
}

/// Runs `cargo test` for a part of the workspace, on mounts by a transport other than that of
/// `transport=auto` if one is given. Whether all passed.
fn cargo_test(
    part: &[&str],
    transport: Option<&str>,
    args: &Args,
    total: &mut Total,
) -> Result<bool> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(Paths::discover().root)
        .arg("test")
        .args(part)
        .args(["--all-features", "--no-fail-fast"])
        .args(&args.rest)
        // With CI set, a test that needs root or FUSE fails where it would skip otherwise.
        .env("CI", "true")
        .stdout(Stdio::piped());
    if let Some(transport) = transport {
        command.env("DYNAMICFS_TRANSPORT", transport);
    }
    let mut child = command.spawn().context("cannot start cargo")?;
    let failed = total.failed;
    for line in BufReader::new(child.stdout.take().context("no output")?).lines() {
        let line = line?;
        total.add(&line);
        println!("{line}");
    }
    let status = child.wait()?;
    if !status.success() && total.failed == failed {
        bail!("cargo test: {status}, before the tests could tell");
    }
    Ok(status.success())
}

impl Total {
    /// Adds the figures of a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
    fn add(&mut self, line: &str) {
        let Some((_, figures)) = line.split_once("test result: ") else {
            return;
        };
        let figures = figures
            .split_once(". ")
            .map_or(figures, |(_, figures)| figures);
        for figure in figures.split("; ") {
            let Some((count, word)) = figure.trim().split_once(' ') else {
                continue;
            };
            let Ok(count) = count.parse::<u64>() else {
                continue;
            };
            match word {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" => self.skipped += count,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_the_binaries() {
        let mut total = Total::default();
        for line in [
            "running 3 tests",
            "test a ... ok",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.01s",
            "test result: FAILED. 2 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
        ] {
            total.add(line);
        }
        assert_eq!(
            total,
            Total {
                passed: 5,
                failed: 4,
                skipped: 1
            }
        );
    }
}
