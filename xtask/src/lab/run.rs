//! `cargo xtask lab run`

use anyhow::Result;
use dynamicfs_lab::bench::{self, Site};
use dynamicfs_lab::conformance;
use dynamicfs_lab::paths::Paths;
use dynamicfs_lab::progress::Progress;
use dynamicfs_lab::report::Report;
use dynamicfs_lab::{exceptions, namespace, report, tools, workload};

use crate::bench::plan_of_presets;
use crate::conformance::{Args as Conformance, PresetChoice, SuiteChoice};
use crate::terminal::{self, paint};

/// Runs every suite on ext4 and on each preset, measures workloads against ext4 and `baseline`, and
/// compares the part without times with tests/snapshots/lab__host.snap. Exit status: 0 when
/// all is as accepted, 1 when something differs or was not run, 2 when nothing could be run.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    conformance: Conformance,
}

pub(super) fn run(args: &Args) -> Result<bool> {
    let paths = Paths::discover();
    let exceptions = exceptions::load(&paths.exceptions())?;
    if !namespace::is_isolated() {
        args.conformance.prepare(&paths)?;
        if !args.conformance.quick {
            tools::ensure_packages(tools::BENCH_PACKAGES)?;
        }
    }
    namespace::isolate()?;
    let plan = args.conformance.plan();
    let workloads = if args.conformance.quick {
        None
    } else {
        Some(workloads(&paths, &plan)?)
    };
    let steps = workloads.as_ref().map_or(0, bench::Plan::steps);
    let progress = Progress::new(plan.cells().len() + steps);
    let mut report = Report {
        kernel: rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned(),
        conformance: args
            .conformance
            .compare(&plan, &paths, &exceptions, &progress)?,
        workloads: None,
    };
    if let Some(workloads) = workloads {
        match Site::image(&paths).and_then(|site| workloads.run(&site, &progress)) {
            Ok(measured) => report.workloads = Some(measured),
            Err(error) => report
                .conformance
                .errors
                .push(format!("workloads: {error:#}")),
        }
    }
    report.note_failed_workloads();
    progress.finish();
    report.write(&paths.lab())?;
    summary(&report, &paths);
    let mut clean = report.conformance.is_clean();
    if is_everything(args) {
        if let Err(difference) = report::review(&paths) {
            eprintln!("{difference:#}");
            clean = false;
        }
    } else {
        println!("not compared with the accepted report: this was not a full run");
    }
    Ok(clean)
}

/// The workloads that say most, on ext4, `baseline` and the presets. All workloads, and other file
/// systems: `cargo xtask bench`.
fn workloads(paths: &Paths, conformance: &conformance::Plan) -> Result<bench::Plan> {
    let chosen = workload::all().into_iter().filter(|one| one.quick);
    plan_of_presets(paths, &conformance.presets, chosen.collect(), true)
}

/// Only a full run can be compared with the accepted report.
fn is_everything(args: &Args) -> bool {
    let conformance = &args.conformance;
    !conformance.quick
        && conformance.preset == PresetChoice::All
        && conformance.suite == SuiteChoice::All
        && conformance.permissions.is_none()
        && conformance.command.is_none()
}

fn summary(report: &Report, paths: &Paths) {
    println!("{}", report::table(&report.conformance.comparisons));
    print!("{}", report::details(&report.conformance));
    if let Some(bench) = &report.workloads {
        print!("{}", terminal::bench(bench));
    }
    let verdict = if report.conformance.is_clean() {
        paint("32", "no difference from ext4 beyond the accepted ones")
    } else {
        paint(
            "31",
            "differences from ext4, or parts that were not run: see above",
        )
    };
    println!(
        "{verdict}\nreport: {}",
        paths.lab().join("report.md").display()
    );
}
