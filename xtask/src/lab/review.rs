//! `cargo xtask lab review`

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use dynamicfs_lab::paths::Paths;
use dynamicfs_lab::report::snapshot::review;
use dynamicfs_lab::report::{Report, runs};

/// Compares names, outcomes and capabilities of a run with tests/snapshots/TARGET, as far as the run
/// goes. Exit status 1 when something is not as accepted, or has no result.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A name below target/lab/runs, a directory, or a report.json [default: the last run]
    #[arg(long)]
    run: Option<PathBuf>,
    /// Make what the run found the accepted result
    #[arg(long)]
    accept: bool,
}

pub(crate) fn run(args: &Args) -> Result<bool> {
    let paths = Paths::discover();
    let json = runs::find(&paths, args.run.as_deref())?;
    if args.accept {
        return accept(&json);
    }
    compare(&Report::read(&json)?, &paths)
}

/// insta takes this from the environment, when it is first used.
fn accept(json: &Path) -> Result<bool> {
    let status = Command::new(env::current_exe()?)
        .args(["lab", "review", "--run"])
        .arg(json)
        .env("INSTA_UPDATE", "always")
        .env("INSTA_FORCE_PASS", "1")
        .status()?;
    Ok(status.success())
}

/// Prints what is not as accepted.
pub(super) fn compare(report: &Report, paths: &Paths) -> Result<bool> {
    let review = review(report, paths)?;
    for cell in &review.not_run {
        println!("not reviewed, because it has no result: {cell}");
    }
    if !review.changed.is_empty() {
        println!(
            "not as accepted: {}; where it should be, run `cargo xtask lab review --accept` and commit \
             tests/snapshots",
            review.changed.join(", ")
        );
    }
    println!("{} reviewed files are as accepted", review.same);
    Ok(review.is_clean())
}
