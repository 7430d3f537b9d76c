//! `cargo xtask lab`, a module a verb.

mod build;
mod diff;
mod doctor;
mod image;
mod list;
mod report;
mod review;
mod run;
mod selftest;
mod shell;

use anyhow::Result;
use clap::Subcommand;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Run suites and workloads, and write target/lab/runs/RUN/report.html, .md and .json
    Run(run::Args),
    /// Show the report of a run again
    Report(report::Args),
    /// Show how a run differs from what was accepted in tests/snapshots, or accept it
    Review(review::Args),
    /// Tell what changed between two runs
    Diff(diff::Args),
    /// Plant faults in the storage of a mount, and see each found by the suites (needs root)
    Selftest(selftest::Args),
    /// Tell which machines work here, and why the others do not
    Doctor,
    /// A console in a guest, with a preset mounted
    Shell(shell::Args),
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
        Verb::Report(args) => report::run(args),
        Verb::Review(args) => review::run(args),
        Verb::Diff(args) => diff::run(args),
        Verb::Selftest(args) => selftest::run(args),
        Verb::Doctor => doctor::run(),
        Verb::Shell(args) => shell::run(args),
        Verb::List => list::run(),
        Verb::Build(args) => build::run(args),
        Verb::Image(verb) => image::run(verb),
    }
}
