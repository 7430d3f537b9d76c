//! `cargo xtask bench`

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Subcommand, ValueEnum};
use dynamicfs::config::Preset;
use dynamicfs_lab::bench::compare::compare;
use dynamicfs_lab::bench::environment::{now, version_of};
use dynamicfs_lab::bench::peers::{Peer, Prepared};
use dynamicfs_lab::bench::result::Bench;
use dynamicfs_lab::bench::{Plan, Site, quote, render};
use dynamicfs_lab::paths::Paths;
use dynamicfs_lab::progress::Progress;
use dynamicfs_lab::target::Dynamicfs;
use dynamicfs_lab::workload::{self, Workload};
use dynamicfs_lab::{namespace, tools};

use crate::build::build;
use crate::terminal;

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
        /// Only this workload, on a terminal: every contestant with its requests and latencies
        #[arg(long, value_name = "NAME", conflicts_with = "format")]
        workload: Option<String>,
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
    /// A preset with other mount options, beside the presets: high-performance:open=stateless; may be
    /// repeated
    #[arg(long = "variant", value_name = "PRESET:OPTIONS", value_parser = variant)]
    variants: Vec<(Preset, String)>,
    /// Another file system to measure: one of those that `--list` names, `none`, or any other as
    /// NAME='COMMAND {src} {mnt}'; may be repeated [default: all that --list names]
    #[arg(long = "peer", value_name = "PEER")]
    peers: Vec<String>,
    /// A workload to run, `*` stands for anything; may be repeated [default: all]
    #[arg(long = "workload", value_name = "NAME")]
    workloads: Vec<String>,
    /// Exactly so many repetitions [default: 5, and more of noisy rows while there is time]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    reps: Option<u32>,
    /// The workloads that say most, with fewer files and shorter turns
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

pub(crate) fn run(args: &Args) -> Result<bool> {
    match &args.verb {
        None => args.measure.run(),
        Some(Verb::Compare { before, after }) => {
            let comparison = compare(&read(before)?, &read(after)?);
            print!("{}", render::changes(&comparison));
            Ok(comparison.is_same())
        }
        Some(Verb::Show {
            file,
            format,
            workload,
        }) => {
            let bench = read(file)?;
            print!("{}", shown(&bench, *format, workload.as_deref())?);
            Ok(true)
        }
        Some(Verb::Quote { check: true }) => {
            let stale = quote::check(&Paths::discover().root);
            match &stale {
                Ok(()) => println!("the documents show the figures of {}", quote::RUN),
                Err(error) => eprintln!("{error:#}"),
            }
            Ok(stale.is_ok())
        }
        Some(Verb::Quote { check: false }) => {
            let renewed = quote::renew(&Paths::discover().root)?;
            match renewed.as_slice() {
                [] => println!("the documents show the figures of {} already", quote::RUN),
                changed => println!("renewed: {}", changed.join(", ")),
            }
            Ok(true)
        }
    }
}

fn shown(bench: &Bench, format: Format, workload: Option<&str>) -> Result<String> {
    if let Some(name) = workload {
        let row = bench.row(name).with_context(|| {
            let names: Vec<&str> = bench.rows.iter().map(|row| row.workload.as_str()).collect();
            format!(
                "the run has no workload {name:?}; it has {}",
                names.join(", ")
            )
        })?;
        return Ok(terminal::workload(bench, row));
    }
    Ok(match format {
        Format::Terminal => terminal::bench(bench),
        Format::Markdown => render::markdown(bench),
        Format::Html => render::html(bench),
    })
}

fn read(file: &Path) -> Result<Bench> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Bench::from_json(&text).with_context(|| format!("{} is no run", file.display()))
}

impl Measure {
    fn run(&self) -> Result<bool> {
        if self.list {
            list();
            return Ok(true);
        }
        // Before anything is built: a slip of the hand is answered at once.
        let workloads = self.workloads()?;
        let peers = self.peers()?;
        let variants = self.variants.iter().map(|(_, options)| options.as_str());
        if let Some(twice) = twice(variants) {
            bail!("the variant {twice} is given twice, and a variant is called by its options");
        }
        if let Some(directory) = &self.dir {
            Site::check_directory(directory)?;
        }
        let paths = Paths::discover();
        if !namespace::is_isolated() {
            tools::ensure_packages(tools::LAB_PACKAGES)?;
            tools::ensure_packages(tools::BENCH_PACKAGES)?;
            build(&paths, &["--release", "--package=dynamicfs"])?;
            Prepared::make(&paths, &peers)?;
        }
        namespace::isolate()?;
        // Before the run: its result needs a place.
        let output = self.output(&paths);
        fs::create_dir_all(&output)
            .with_context(|| format!("cannot create {}", output.display()))?;
        let plan = self.plan(&paths, workloads, &peers)?;
        let site = match &self.dir {
            Some(directory) => Site::directory(directory)?,
            None => Site::image(&paths)?,
        };
        let progress = Progress::new(plan.steps());
        let bench = plan.run(&site, &progress)?;
        progress.finish();
        print!("{}", terminal::bench(&bench));
        write(&bench, &output)?;
        println!(
            "written: bench.json, bench.md, bench.html in {}",
            output.display()
        );
        // Who asked for a peer by name wants its figures.
        let is_absent = bench.contestants.iter().any(|one| one.not_run.is_some());
        let lacks_peer = !self.peers.is_empty() && is_absent;
        Ok(bench.failed_presets().next().is_none() && !lacks_peer)
    }
}

impl Measure {
    fn workloads(&self) -> Result<Vec<Workload>> {
        let chosen = if self.workloads.is_empty() {
            workload::all()
        } else {
            workload::select(&self.workloads)?
        };
        // A workload that was asked for by name runs, also in a quick run.
        let all = !self.quick || !self.workloads.is_empty();
        Ok(chosen.into_iter().filter(|one| all || one.quick).collect())
    }

    fn peers(&self) -> Result<Vec<Peer>> {
        match self.peers.as_slice() {
            [] => Ok(Peer::all()),
            [none] if none == "none" => Ok(Vec::new()),
            chosen => {
                let peers: Vec<Peer> = chosen
                    .iter()
                    .map(|peer| peer.parse())
                    .collect::<Result<_>>()?;
                if let Some(twice) = twice(peers.iter().map(Peer::name)) {
                    bail!("the peer {twice} is given twice");
                }
                Ok(peers)
            }
        }
    }

    fn presets(&self) -> Vec<Preset> {
        let chosen = |preset: &Preset| self.presets.is_empty() || self.presets.contains(preset);
        Preset::ALL.into_iter().filter(chosen).collect()
    }

    fn plan(&self, paths: &Paths, workloads: Vec<Workload>, peers: &[Peer]) -> Result<Plan> {
        let mut plan = plan_of_presets(paths, &self.presets(), workloads, self.quick)?;
        plan.vary(&built(paths), &self.variants);
        if let Some(repetitions) = self.reps {
            plan.settings.repetitions = repetitions as usize;
            plan.settings.more_if_noisy = 0;
        }
        plan.invite(peers, &Prepared::load(paths)?);
        Ok(plan)
    }

    fn output(&self, paths: &Paths) -> PathBuf {
        self.output.clone().unwrap_or_else(|| {
            // Colons are separators elsewhere: in PATH, and in what rsync and scp are told.
            paths.target.join("bench").join(now().replace(':', "-"))
        })
    }
}

/// A name that comes more than once.
fn twice<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    let pair = names.windows(2).find(|pair| pair[0] == pair[1])?;
    Some(pair[0])
}

/// The command as it is built in this checkout.
fn built(paths: &Paths) -> Dynamicfs {
    Dynamicfs::new(&paths.release("dynamicfs"), &namespace::scratch())
}

/// A preset and what changes it. What the options mean, `dynamicfs mount` says; they are its `-o`.
fn variant(text: &str) -> Result<(Preset, String), String> {
    let (preset, options) = text
        .split_once(':')
        .filter(|(_, options)| !options.is_empty() && !options.contains('/'))
        .ok_or("a preset, a colon and mount options: high-performance:open=stateless")?;
    let preset = preset.parse().map_err(|error| format!("{error}"))?;
    Ok((preset, options.to_owned()))
}

/// ext4, `baseline` and these presets of the command as it is built in this checkout.
pub(crate) fn plan_of_presets(
    paths: &Paths,
    presets: &[Preset],
    workloads: Vec<Workload>,
    quick: bool,
) -> Result<Plan> {
    let scratch = namespace::scratch();
    let mut plan = Plan::new(&built(paths), presets, workloads, quick, &scratch)?;
    plan.version = version_of(env!("CARGO_PKG_VERSION"), &paths.root);
    plan.command = format!(
        "cargo xtask {}",
        shell_words::join(std::env::args().skip(1))
    );
    Ok(plan)
}

fn write(bench: &Bench, directory: &Path) -> Result<()> {
    for (name, text) in [
        ("bench.json", bench.to_json()?),
        ("bench.md", render::markdown(bench)),
        ("bench.html", render::html(bench)),
    ] {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn list() {
    println!("workloads (* also with --quick):");
    for workload in workload::all() {
        let mark = if workload.quick { '*' } else { ' ' };
        println!("  {mark} {:24} {}", workload.name, workload.operation);
    }
    println!("peers:");
    for peer in Peer::all() {
        println!("    {:24} {}", peer.name(), peer.command());
    }
}
