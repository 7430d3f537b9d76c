//! `cargo xtask lab`, a module a verb.

mod build;
mod image;
mod list;
mod review;
mod run;

use anyhow::Result;
use clap::Subcommand;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Run suites and workloads, and write target/lab/report.md and report.json
    Run(run::Args),
    /// Show how the last run differs from the accepted one in tests/snapshots
    Review(review::Args),
    /// List the targets, with their kernels and what of them is built
    List,
    /// Build the images of guests (needs root)
    Build(build::Args),
    /// Look after the images of guests
    #[command(subcommand)]
    Image(image::Verb),
}

pub(crate) fn run(verb: &Verb) -> Result<bool> {
    match verb {
        Verb::Run(args) => run::run(args),
        Verb::Review(args) => review::run(args),
        Verb::List => list::run(),
        Verb::Build(args) => build::run(args),
        Verb::Image(verb) => image::run(verb),
    }
}
