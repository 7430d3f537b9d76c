//! `cargo xtask lab diff`

use std::path::PathBuf;

use anyhow::Result;
use dynamicfs_lab::paths::Paths;
use dynamicfs_lab::report::diff::{diff, text};
use dynamicfs_lab::report::{Report, runs};

/// What changed between two runs, by name: outcomes, differences from ext4, capabilities, and
/// speeds beyond their noise. Exit status 1 when something did.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The earlier run: a name below target/lab/runs, a directory, or a report.json
    before: PathBuf,
    /// The later run
    after: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<bool> {
    let paths = Paths::discover();
    let read = |run| Report::read(&runs::find(&paths, Some(run))?);
    let found = diff(&read(&args.before)?, &read(&args.after)?);
    print!("{}", text(&found));
    Ok(found.is_same())
}
