//! `cargo xtask lab selftest`

use anyhow::{Context, Result};
use dynamicfs::config::TransportChoice;
use dynamicfs_lab::paths::Paths;
use dynamicfs_lab::progress::Progress;
use dynamicfs_lab::selftest::{self, Plan, Plant, Selftest};
use dynamicfs_lab::suites::Programs;
use dynamicfs_lab::volumes::{Manner, Volumes};
use dynamicfs_lab::{exceptions, images, namespace, report, tools};

use crate::build::build;

/// Mounts a preset with one fault after the other planted in its storage, and runs the cases that must
/// find it. Tries every entry of lab/exceptions.toml as well: one that is needed and removed, or not
/// needed and added, must fail a run. Exit status: 0 when all is noticed, 1 when something is not,
/// 2 when nothing could be run.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this plant (repeatable)
    #[arg(long, value_name = "NAME", value_parser = find)]
    plant: Vec<&'static Plant>,
    /// Print the plants and exit
    #[arg(long)]
    list: bool,
    /// Let all cases look for each plant, not only those that must find it, and tell which do:
    /// up to a minute for each
    #[arg(long)]
    all_cases: bool,
}

fn find(name: &str) -> Result<&'static Plant, String> {
    selftest::find(name).ok_or_else(|| "no such plant; --list shows what there is".to_owned())
}

pub(super) fn run(args: &Args) -> Result<bool> {
    if args.list {
        for plant in selftest::all() {
            println!("{:<36} {}", plant.name, plant.what);
        }
        return Ok(true);
    }
    let paths = Paths::discover();
    let exceptions = exceptions::load(
        &paths.exceptions(),
        &images::names(&paths)?,
        TransportChoice::Auto,
    )?;
    if !namespace::is_isolated() {
        prepare(&paths)?;
    }
    namespace::isolate()?;
    let plan = Plan {
        plants: match args.plant.is_empty() {
            true => selftest::all().collect(),
            false => args.plant.clone(),
        },
        all_cases: args.all_cases,
    };
    let program = paths.debug("dynamicfs-planted");
    let program = program
        .canonicalize()
        .with_context(|| format!("no command to test at {}", program.display()))?;
    let manner = Manner {
        quick: true,
        patience: 1,
        cuts: 1,
    };
    let mut volumes = Volumes::in_files(&paths, &program, false, manner)?;
    let progress = Progress::new(plan.steps());
    let programs = Programs::of(&paths);
    let result = plan.run(&program, &mut volumes, &programs, &exceptions, &progress)?;
    progress.finish();
    print(&result);
    Ok(result.is_clean())
}

/// Installs and builds what is needed. Outside the namespaces: these must outlive them.
fn prepare(paths: &Paths) -> Result<()> {
    tools::ensure_packages(tools::LAB_PACKAGES)?;
    tools::ensure_tool(paths, tools::PJDFSTEST)?;
    tools::ensure_tool(paths, tools::FSX)?;
    build(
        paths,
        &[
            "--package=dynamicfs-lab",
            "--bin=dynamicfs-suite",
            "--bin=dynamicfs-planted",
        ],
    )
}

fn print(result: &Selftest) {
    println!("{}", selftest::table(result));
    if !result.control.conformance.is_clean() {
        print!(
            "without a plant:\n{}",
            report::details(&result.control.conformance)
        );
    }
    println!("{}", selftest::summary(result));
}
