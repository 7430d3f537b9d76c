//! The project's verbs. One module a verb; what they do is in the crate `dynamicfs-lab`.

mod bench;
mod build;
mod conformance;
mod deny;
mod lab;
mod terminal;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's verbs: tests, and the lab that compares dynamicfs with native ext4.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run all tests of the workspace; installs the Debian packages they need when root
    Test(test::Args),
    /// Compare presets with native ext4 by conformance suites (needs root)
    Conformance(conformance::Args),
    /// Conformance and workloads of all presets, with a report
    #[command(subcommand)]
    Lab(lab::Verb),
    /// Measure presets beside native ext4, `baseline` and other FUSE file systems (needs root)
    Bench(bench::Args),
    /// Check licences, bans and sources of the dependencies with cargo-deny
    Deny,
}

fn main() -> ExitCode {
    let result = match Args::parse().verb {
        Verb::Test(args) => test::run(&args),
        Verb::Conformance(args) => conformance::run(&args),
        Verb::Lab(verb) => lab::run(&verb),
        Verb::Bench(args) => bench::run(&args),
        Verb::Deny => deny::run(),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
