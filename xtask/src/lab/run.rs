//! `cargo xtask lab run`

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::exit;
use std::thread;
use std::time::Instant;

use anyhow::Result;
use clap::ValueEnum;
use dynamicfs::config::{Preset, TransportChoice};
use dynamicfs_lab::bench::environment::{now, revision};
use dynamicfs_lab::images::{self, Profile, Target};
use dynamicfs_lab::namespace::{self, WORKPLACE};
use dynamicfs_lab::paths::Paths;
use dynamicfs_lab::progress::Progress;
use dynamicfs_lab::report::runs;
use dynamicfs_lab::schedule::{self, Request, RunPlan, Sites, Store, assemble};
use dynamicfs_lab::suites::Suite;
use dynamicfs_lab::{exceptions, tools};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::build::chosen;
use super::review;
use crate::build::build;
use crate::conformance::{
    PermissionsChoice, PresetChoice, SuiteChoice, XfstestsArgs, prepare_suites,
};
use crate::terminal;

/// Runs suites and workloads on ext4 and on presets, on each target, and compares.
///
/// Without arguments: the quick profile, which is the newest kernel and Linux 6.12 in QEMU and the
/// running kernel, all presets, in under 20 minutes on 2 processors. What is missing is installed and
/// built first. Every result is kept as it comes: a run that was interrupted goes on with `--resume`.
/// Exit status: 0 when all is as accepted, 1 when something differs or was not run, 2 when nothing
/// could be run.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The target, by name (see `lab list`); may be given several times [default: those of the profile]
    #[arg(long, value_name = "TARGET")]
    target: Vec<String>,
    /// The preset; may be given several times
    #[arg(long, value_enum, default_value = "all")]
    preset: Vec<PresetChoice>,
    /// The suite; may be given several times [default: those of the profile]
    #[arg(long, value_enum)]
    suite: Vec<SuiteChoice>,
    /// How much: targets, suites, amounts
    #[arg(long, value_enum, default_value = "quick")]
    profile: ProfileChoice,
    /// Who checks permissions [default: both for pjdfstest, otherwise kernel; in guests of the quick
    /// profile kernel]
    #[arg(long, value_enum)]
    permissions: Option<PermissionsChoice>,
    #[command(flatten)]
    xfstests: XfstestsArgs,
    /// Measure nothing
    #[arg(long)]
    no_workloads: bool,
    /// How many guests run at a time
    #[arg(long, value_name = "N", default_value_t = 2)]
    guests: usize,
    /// Go on with an earlier run: the newest, or the one of this name or directory. What it was to do
    /// counts, not the other options
    #[arg(long, value_name = "RUN", num_args = 0..=1, default_missing_value = "")]
    resume: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum ProfileChoice {
    /// The targets that tell most, and what is done with them in 20 minutes
    Quick,
    /// Every target
    Full,
    /// Every target, with the load generators, 50 power cuts each, and the host's amounts in guests
    Nightly,
}

impl ProfileChoice {
    fn profile(self) -> Profile {
        match self {
            ProfileChoice::Quick => Profile::Quick,
            ProfileChoice::Full => Profile::Full,
            ProfileChoice::Nightly => Profile::Nightly,
        }
    }
}

pub(super) fn run(args: &Args) -> Result<bool> {
    let paths = Paths::discover();
    let exceptions = exceptions::load(
        &paths.exceptions(),
        &images::names(&paths)?,
        TransportChoice::Auto,
    )?;
    let plan = args.plan(&paths)?;
    let names: Vec<String> = plan.targets.iter().map(|one| one.name.clone()).collect();
    let targets = chosen(&paths, &names)?;
    if !namespace::is_isolated() {
        prepare(&paths, &plan, &targets)?;
        tell_when_interrupted()?;
    }
    namespace::isolate()?;
    let store = match &args.resume {
        Some(run) => open(&paths, run)?,
        None => Store::create(&paths.runs(), &plan)?,
    };
    let began = Instant::now();
    execute(args, &paths, &plan, &targets, &store)?;
    let seconds = began.elapsed().as_secs_f64();
    let report = assemble(&store, &plan, &targets, &exceptions, seconds)?;
    report.write(store.directory())?;
    print!("{}", terminal::report(&report));
    println!("report: {}", store.directory().join(runs::HTML).display());
    Ok(review::compare(&report, &paths)? && report.is_clean())
}

/// A run that is interrupted says how it goes on. What it started and mounted ends with this process.
fn tell_when_interrupted() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            eprintln!(
                "\ninterrupted; results are kept, and `cargo xtask lab run --resume` does what is missing"
            );
            exit(128 + signal);
        }
    });
    Ok(())
}

/// Does what is missing of the run.
fn execute(
    args: &Args,
    paths: &Paths,
    plan: &RunPlan,
    targets: &[Target],
    store: &Store,
) -> Result<()> {
    let steps = plan.targets.iter().map(|target| target.all().count()).sum();
    let progress = Progress::new(steps);
    let [rooms, shared] = ["guests", "shared"].map(|name| Path::new(WORKPLACE).join(name));
    for directory in [&rooms, &shared] {
        fs::create_dir(directory)?;
    }
    let sites = Sites::prepare(paths, targets, &shared, plan.xfstests.as_ref(), &progress)?;
    sites.describe(store)?;
    let site = |name: &str| sites.get(name);
    schedule::run(plan, &site, args.guests, &rooms, store, &progress)?;
    progress.finish();
    Ok(())
}

impl Args {
    fn plan(&self, paths: &Paths) -> Result<RunPlan> {
        if let Some(run) = &self.resume {
            return open(paths, run)?.plan();
        }
        let profile = self.profile.profile();
        let mut targets = chosen(paths, &self.target)?;
        if self.target.is_empty() {
            targets.retain(|target| target.profiles.contains(&profile));
        }
        let mut presets: Vec<Preset> = Vec::new();
        for preset in self.preset.iter().flat_map(|choice| choice.presets()) {
            if !presets.contains(&preset) {
                presets.push(preset);
            }
        }
        let suites = self
            .suite
            .iter()
            .flat_map(|choice| choice.suites())
            .collect();
        let command = format!("cargo xtask {}", shell_words::join(env::args().skip(1)));
        let version = revision(env!("CARGO_PKG_VERSION"), &paths.root);
        let request = Request {
            profile,
            presets,
            suites: Some(suites).filter(|suites: &Vec<_>| !suites.is_empty()),
            permissions: self.permissions.map(PermissionsChoice::permissions),
            workloads: !self.no_workloads,
            xfstests: self.xfstests.is_given(),
            version: version.clone(),
            command: command.clone(),
        };
        Ok(RunPlan {
            started: now(),
            profile: profile.name().to_owned(),
            command,
            version,
            targets: schedule::plan(&request, &targets)?,
            xfstests: self.xfstests.tree()?,
        })
    }
}

/// Installs and builds what the run needs. Outside the namespaces: these must outlive them.
fn prepare(paths: &Paths, plan: &RunPlan, targets: &[Target]) -> Result<()> {
    let guests: Vec<&Target> = targets.iter().filter(|one| one.guest.is_some()).collect();
    prepare_guests(paths, &guests)?;
    prepare_suites(paths, &plan.suites_on_host())?;
    if plan.targets.iter().any(|target| !target.alone.is_empty()) {
        tools::ensure_packages(tools::BENCH_PACKAGES)?;
    }
    Ok(())
}

/// Installs and builds what guests boot from, and the programs that run in them.
pub(super) fn prepare_guests(paths: &Paths, targets: &[&Target]) -> Result<()> {
    tools::ensure_packages(tools::LAB_PACKAGES)?;
    build(paths, &["--release", "--package=dynamicfs"])?;
    build(
        paths,
        &[
            "--package=dynamicfs-lab",
            "--bin=dynamicfs-agent",
            "--bin=dynamicfs-suite",
        ],
    )?;
    if !targets.is_empty() {
        // Guests bring all programs of the suites.
        prepare_suites(paths, &[Suite::Pjdfstest, Suite::Fsx])?;
    }
    let progress = Progress::new(targets.len());
    for target in targets {
        images::build(paths, target, &progress)?;
        progress.advance();
    }
    progress.finish();
    Ok(())
}

fn open(paths: &Paths, run: &Path) -> Result<Store> {
    if run.as_os_str().is_empty() {
        Store::last(&paths.runs())
    } else {
        Store::open(&paths.runs(), run)
    }
}
