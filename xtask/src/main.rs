//! The project's verbs. One module a verb; what they do is in the crate `dynamicfs-lab`.

mod bench;
mod build;
mod conformance;
mod deny;
mod lab;
mod platforms;
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
    ///
    /// All take turns on one ext4 image in memory; installs and builds what is missing. Writes
    /// bench.json, bench.md and bench.html (docs/BENCH.md tells how to read them). The full set takes up
    /// to 40 minutes on 2 processors, `--quick` up to 6. Exit status: 0 when every preset has a result
    /// in every workload, 1 when one has none or a peer asked for by name cannot be had, 2 when nothing
    /// could be measured.
    Bench(bench::Args),
    /// Check that library and command compile for macOS, FreeBSD, musl and ARM (rustup installs their
    /// standard libraries)
    CheckPlatforms,
    /// Check licences, bans and sources of the dependencies with cargo-deny
    Deny,
}

fn main() -> ExitCode {
    let result = match Args::parse().verb {
        Verb::Test(args) => test::run(&args),
        Verb::Conformance(args) => conformance::run(&args),
        Verb::Lab(verb) => lab::run(&verb),
        Verb::Bench(args) => bench::run(&args),
        Verb::CheckPlatforms => platforms::run(),
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Args;

    #[test]
    fn the_verbs_and_their_options_make_sense() {
        Args::command().debug_assert();
    }
}
