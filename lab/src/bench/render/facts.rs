//! What stands around the figures: the machine, its limits, how it was measured.

use super::format;
use crate::bench::result::{Bench, Limits};

/// What a ratio is.
pub(crate) const RATIO: &str = "\
Speed relative to native ext4 in the same repetition: 1.00 is as fast, 0.50 takes twice as long.";

/// What stands beside the ratios to ext4.
pub(crate) const LEAD: &str = "\
÷ best peer: the fastest preset's speed relative to the fastest peer, in the same repetition.";

/// Before and after may differ by this part; more, and the machine changed during the run.
const DRIFT: f64 = 0.10;

/// The run in one line.
pub(crate) fn headline(bench: &Bench) -> String {
    format!(
        "`{}` on {}: Linux {}, {}, {} CPUs, ext4: {}; dynamicfs {}",
        bench.command,
        day(bench),
        bench.environment.kernel,
        bench.environment.processor,
        bench.environment.cpus,
        bench.environment.storage,
        bench.environment.dynamicfs
    )
}

/// The day of the run.
pub(crate) fn day(bench: &Bench) -> &str {
    bench.started.split('T').next().unwrap_or(&bench.started)
}

/// Names and values.
pub(crate) fn environment(bench: &Bench) -> Vec<(&'static str, String)> {
    let environment = &bench.environment;
    let governor = environment.governor.as_deref();
    vec![
        ("kernel", environment.kernel.clone()),
        (
            "processor",
            format!(
                "{} × {}{}",
                environment.cpus,
                environment.processor,
                if environment.virtual_machine {
                    ", virtual machine"
                } else {
                    ""
                }
            ),
        ),
        ("memory", format::bytes(environment.memory)),
        (
            "frequency governor",
            governor.unwrap_or("not shown by the kernel").to_owned(),
        ),
        (
            "other load",
            format!(
                "{:.2} at the start; {} of the processors' time given to other machines",
                environment.load,
                format::percent(environment.steal)
            ),
        ),
        ("ext4", environment.storage.clone()),
        ("dynamicfs", environment.dynamicfs.clone()),
        ("settings", settings(bench)),
        (
            "run",
            format!(
                "`{}`, {}, {}",
                bench.command,
                bench.started,
                format::duration(bench.seconds)
            ),
        ),
    ]
}

fn settings(bench: &Bench) -> String {
    let settings = &bench.settings;
    format!(
        "{} repetitions, {} more where noisy, turns of at most {} ms{}",
        settings.repetitions,
        settings.more_if_noisy,
        settings.turn_ms,
        if settings.quick { ", quick set" } else { "" }
    )
}

/// One physical limit.
pub(crate) struct Limit {
    pub(crate) name: &'static str,
    pub(crate) before: String,
    pub(crate) after: String,
    /// The machine was another one after the run than before.
    pub(crate) drifted: bool,
}

/// The physical limits, before and after.
pub(crate) fn calibration(bench: &Bench) -> Vec<Limit> {
    let (before, after) = (&bench.calibration.before, &bench.calibration.after);
    let limit = |name, get: fn(&Limits) -> Option<f64>, show: fn(f64) -> String| {
        let text = |value: Option<f64>| value.map_or(format::NOTHING.to_owned(), show);
        let (before, after) = (get(before), get(after));
        Limit {
            name,
            before: text(before),
            after: text(after),
            drifted: before
                .zip(after)
                .is_some_and(|(a, b)| (a - b).abs() > DRIFT * a.min(b)),
        }
    };
    let jitter = |limits: &Limits| format!("{} longer", format::percent(limits.jitter));
    vec![
        limit(
            "empty system call",
            |it| Some(it.system_call_ns * 1e-9),
            format::time,
        ),
        limit(
            "there and back between two threads, same CPU",
            |it| Some(it.switch_same_cpu_us * 1e-6),
            format::time,
        ),
        limit(
            "there and back between two threads, two CPUs",
            |it| Some(it.switch_other_cpu_us? * 1e-6),
            format::time,
        ),
        limit(
            "memory copy",
            |it| Some(it.memory_copy_gb_s),
            |value| format!("{value:.1} GB/s"),
        ),
        Limit {
            name: "slowest hundredth of equal work",
            before: jitter(before),
            after: jitter(after),
            // A spread itself: that it varies says nothing about the machine.
            drifted: false,
        },
    ]
}
