//! `cargo xtask lab report`

use std::path::PathBuf;

use anyhow::{Context, Result};
use dynamicfs_lab::paths::Paths;
use dynamicfs_lab::report::{Report, runs};

use crate::terminal;

/// The report of a run, made again from its report.json: a summary on the terminal, or the path of a
/// file. Exit status 1 when that run was not clean.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A name below target/lab/runs, a directory, or a report.json [default: the last run]
    #[arg(long)]
    run: Option<PathBuf>,
    /// Write report.html and report.md again, and print the path of the HTML
    #[arg(long, conflicts_with_all = ["markdown", "json"])]
    html: bool,
    /// Likewise, and print the path of the Markdown
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Print the path of the JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    fn file(&self) -> Option<&'static str> {
        match (self.html, self.markdown, self.json) {
            (true, _, _) => Some(runs::HTML),
            (_, true, _) => Some(runs::MARKDOWN),
            (_, _, true) => Some(runs::JSON),
            _ => None,
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<bool> {
    let json = runs::find(&Paths::discover(), args.run.as_deref())?;
    let report = Report::read(&json)?;
    match args.file() {
        None => print!("{}", terminal::report(&report)),
        Some(runs::JSON) => println!("{}", json.display()),
        Some(name) => {
            let directory = json.parent().context("a file without a directory")?;
            report.write_pages(directory)?;
            println!("{}", directory.join(name).display());
        }
    }
    Ok(report.is_clean())
}
