//! The project's verbs. One module a verb; what they do is in the crate `dynamicfs-lab`.

mod bench;
mod build;
mod conformance;
mod deny;
mod lab;
mod platforms;
mod soak;
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
    /// Load a mount for a long time with too little memory, and look for leaks, hangs and differences
    /// (needs root)
    ///
    /// Threads do random operations on a mount of the release command over a fresh ext4 image on the disk: each in a
    /// subtree of its own, which it compares with a model, and all in one that they share. A memory cgroup
    /// around the load and the daemon makes the kernel free and read again pages of files all the time.
    /// At each pause, at least every 2 minutes, no request may wait, inodes and descriptors of the daemon are
    /// back where they were before the load, and the tree through the mount is the one behind it. Any
    /// operation that takes over 60 s is named and ends the run. `--minutes 3` is enough to see whether a
    /// change holds, 30 to find slow leaks. Exit status: 0 when all is good, 1 when something is bad or could
    /// not be judged, 2 when it could not be run.
    Soak(soak::Args),
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
        Verb::Soak(args) => soak::run(&args),
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
