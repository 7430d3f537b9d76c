//! From what a run kept to its report.

use std::collections::BTreeMap;

use anyhow::Result;

use super::store::{Facts, RunPlan, Store, TargetPlan};
use crate::bench::environment::host;
use crate::cell::Cell;
use crate::conformance::{Ran, judge};
use crate::exceptions::Exception;
use crate::guest::protocol::{Step, StepOutcome};
use crate::images;
use crate::report::{FORMAT, PowerCuts, Report, Target};

/// Compares what a run kept, and reports. What was planned and has no result is an error of the report.
/// `seconds` is how long the run took.
///
/// # Errors
///
/// When something that was kept cannot be read.
pub fn assemble(
    store: &Store,
    plan: &RunPlan,
    targets: &[images::Target],
    exceptions: &[Exception],
    seconds: f64,
) -> Result<Report> {
    let mut report = Report {
        format: FORMAT,
        run: store.name(),
        started: plan.started.clone(),
        seconds,
        profile: plan.profile.clone(),
        command: plan.command.clone(),
        dynamicfs: plan.version.clone(),
        host: host()?,
        targets: Vec::new(),
        stale: Vec::new(),
        errors: Vec::new(),
    };
    for declared in targets {
        if let Some(planned) = plan.targets.iter().find(|one| one.name == declared.name) {
            report
                .targets
                .push(target(store, planned, declared, exceptions)?);
        }
    }
    report.find_stale(exceptions);
    Ok(report)
}

fn target(
    store: &Store,
    planned: &TargetPlan,
    declared: &images::Target,
    exceptions: &[Exception],
) -> Result<Target> {
    let facts = store.facts(&planned.name)?;
    let mut target = empty(planned, declared, facts);
    let mut ran: Vec<Ran> = Vec::new();
    for step in planned.all() {
        let record = store.record(&planned.name, &step.key())?;
        let outcome = record.map(|record| record.outcome);
        match (step, outcome) {
            (Step::Cell(cell), Some(StepOutcome::Suite(result))) => ran.push((*cell, Ok(result))),
            (Step::Cell(cell), Some(StepOutcome::Failed(why))) => ran.push((*cell, Err(why))),
            (Step::Capabilities(preset), Some(StepOutcome::Capabilities(mount))) => {
                target.capabilities.insert(preset.name().to_owned(), mount);
            }
            (Step::Workloads(_), Some(StepOutcome::Workloads(bench))) => {
                target.workloads = Some(*bench);
            }
            (step, Some(StepOutcome::Failed(why))) => target.errors.push(format!("{step}: {why}")),
            (step, None) => target.errors.push(format!("{step}: the run ended before")),
            (step, Some(_)) => target
                .errors
                .push(format!("{step}: its result is that of another step")),
        }
    }
    let judged = judge(&planned.name, &ran, exceptions);
    target.comparisons = judged.comparisons;
    target.errors.extend(judged.errors);
    target.complete = target.errors.is_empty();
    Ok(target)
}

fn empty(planned: &TargetPlan, declared: &images::Target, facts: Facts) -> Target {
    Target {
        name: planned.name.clone(),
        purpose: declared.purpose.clone(),
        backend: declared.backend,
        accelerator: facts.accelerator,
        kernel: facts.kernel,
        image: facts.image,
        packages: facts.packages,
        seconds: facts.seconds,
        complete: false,
        plan: cells(planned),
        capabilities: BTreeMap::new(),
        comparisons: Vec::new(),
        workloads: None,
        power_cuts: planned_order(planned, facts.cuts),
        alarms: facts.alarms,
        errors: Vec::new(),
    }
}

/// In the order of the plan, ext4 first.
fn planned_order(planned: &TargetPlan, mut cuts: BTreeMap<String, PowerCuts>) -> Vec<PowerCuts> {
    let steps = planned.all();
    steps.filter_map(|step| cuts.remove(&step.key())).collect()
}

fn cells(planned: &TargetPlan) -> Vec<Cell> {
    planned
        .all()
        .filter_map(|step| match step {
            Step::Cell(cell) => Some(*cell),
            _ => None,
        })
        .collect()
}
