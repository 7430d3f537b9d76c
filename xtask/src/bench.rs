//! `cargo xtask bench`

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Subcommand, ValueEnum};
use dynamicfs::config::Preset;
use dynamicfs_lab::bench::{self, Plan, Site};
use dynamicfs_lab::bench::result::{Bench, Settings};
use dynamicfs_lab::paths::Paths;
use dynamicfs_lab::progress::Progress;
use dynamicfs_lab::{namespace, tools, workload};

/// Measures native ext4, `baseline`, the presets and other file systems in turn, on one ext4 image
/// in memory, and writes bench.json, bench.md and bench.html. The full set takes up to 40 minutes on
/// 2 processors, `--quick` up to 6. Exit status: 0 when every preset has a result in every workload,
/// 1 when one has none, 2 when nothing could be measured.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    measure: Measure,
}

#[derive(Subcommand)]
enum Verb {
    /// Tell what changed between two runs beyond their noise; exit status 1 when something did
    Compare {
        /// bench.json of the earlier run
        before: PathBuf,
        /// bench.json of the later run
        after: PathBuf,
    },
    /// Show a run again
    Show {
        /// A bench.json
        file: PathBuf,
        /// As what
        #[arg(long, value_enum, default_value = "terminal")]
        format: Format,
    },
    /// Write the figures of docs/bench/linux-6.18.json into README.md and the tuning guide
    Quote {
        /// Change nothing; exit status 1 when a document shows other figures
        #[arg(long)]
        check: bool,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Terminal,
    Markdown,
    Html,
}

#[derive(clap::Args)]
struct Measure {
    /// A preset to measure, beside ext4 and `baseline`; may be repeated [default: all]
    #[arg(long = "preset", value_name = "PRESET")]
    presets: Vec<Preset>,
    /// Another file system to measure: one of those that `--list` names, `none`, or any other as
    /// NAME='COMMAND {src} {mnt}'; may be repeated [default: all that --list names]
    #[arg(long = "peer", value_name = "PEER")]
    peers: Vec<String>,
    /// A workload to run, `*` stands for anything; may be repeated [default: all]
    #[arg(long = "workload", value_name = "NAME")]
    workloads: Vec<String>,
    /// Repetitions [default: 5, with --quick 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    reps: Option<u32>,
    /// The workloads that say most, fewer files, shorter turns, three repetitions
    #[arg(long)]
    quick: bool,
    /// Work in this directory of an ext4 file system on a real disk, instead of an image in memory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Where to write bench.json, bench.md and bench.html
    /// [default: target/bench/ and the time of the run]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// List workloads and peers, and measure nothing
    #[arg(long)]
    list: bool,
}
