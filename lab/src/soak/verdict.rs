//! What follows from what was seen.

use std::time::Duration;

use super::evidence::{Evidence, Pause, Sample};
use crate::bench::render::format::{bytes, duration};
use crate::outcome::Outcome;

/// An operation that takes longer is stuck: under pressure an fsync of a busy disk takes seconds, not this.
pub(super) const OPERATION_LIMIT: Duration = Duration::from_secs(60);

/// How much the daemon's own memory may grow after it has warmed up: this part of what it was, but at least
/// [`GROWTH`].
const GROWTH_PART: u64 = 10;

/// Arenas of the allocator, one for each thread, fill up by this much in their own time; and the kernel
/// counts resident pages in batches. A leak of 3 bytes an operation is more in half an hour.
const GROWTH: u64 = 8 << 20;

/// Samples that a quarter of the run needs to be judged by.
const SAMPLES: usize = 3;

/// One thing that must hold.
#[derive(Debug)]
pub struct Verdict {
    /// What.
    pub name: &'static str,
    /// Whether it holds, and if not, why.
    pub outcome: Outcome,
    /// The figures.
    pub figures: String,
}

/// All of them.
pub(super) fn verdicts(evidence: &Evidence) -> Vec<Verdict> {
    vec![
        inodes(evidence),
        descriptors(evidence),
        memory(evidence),
        requests(evidence),
        operations(evidence),
        trees(evidence),
        contents(evidence),
        pressure(evidence),
        end(evidence),
    ]
}

fn verdict(name: &'static str, figures: String, bad: Option<String>) -> Verdict {
    Verdict {
        name,
        outcome: bad.map_or(Outcome::Passed, Outcome::Failed),
        figures,
    }
}

/// A verdict about pauses: `bad` tells what is wrong with one.
fn at_pauses(
    evidence: &Evidence,
    name: &'static str,
    figures: String,
    bad: impl Fn(&Pause) -> Option<String>,
) -> Verdict {
    if evidence.pauses.is_empty() {
        return not_run(name, "there was no pause");
    }
    let pauses = (1..).zip(&evidence.pauses);
    let mut bad = pauses.filter_map(|(number, pause)| Some((number, bad(pause)?)));
    let bad = bad.next().map(|(n, bad)| format!("pause {n}: {bad}"));
    verdict(name, figures, bad)
}

fn not_run(name: &'static str, why: &str) -> Verdict {
    Verdict {
        name,
        outcome: Outcome::Skipped(why.to_owned()),
        figures: String::new(),
    }
}

fn most(evidence: &Evidence, figure: impl Fn(&Sample) -> u64) -> u64 {
    evidence.samples.iter().map(figure).max().unwrap_or(0)
}

fn inodes(evidence: &Evidence) -> Verdict {
    let before = evidence.baseline.inodes;
    let at_most = most(evidence, |sample| sample.inodes);
    let at_pauses_most = evidence.pauses.iter().map(|one| one.rest.inodes).max();
    let figures = format!(
        "{before} before, at most {at_most}, at pauses at most {}",
        at_pauses_most.unwrap_or(0)
    );
    at_pauses(evidence, "inode table", figures, |pause| {
        let inodes = pause.rest.inodes;
        (inodes > before).then(|| format!("{inodes} inodes are held, and {before} before the load"))
    })
}

fn descriptors(evidence: &Evidence) -> Verdict {
    let before = &evidence.baseline;
    let at_most = most(evidence, |sample| sample.descriptors);
    let at_pauses_most = evidence.pauses.iter().map(|one| one.rest.descriptors).max();
    let figures = format!(
        "{} before, at most {at_most}, at pauses at most {}",
        before.descriptors,
        at_pauses_most.unwrap_or(0)
    );
    at_pauses(evidence, "descriptors", figures, |pause| {
        let (open, descriptors) = (pause.rest.open_files, pause.rest.descriptors);
        if open > before.open_files {
            return Some(format!("{open} files are open, and nobody has any"));
        }
        (descriptors > before.descriptors).then(|| {
            format!(
                "{descriptors} descriptors, and {} before the load",
                before.descriptors
            )
        })
    })
}

/// The second quarter of the run against the last.
fn memory(evidence: &Evidence) -> Verdict {
    const NAME: &str = "memory";
    let samples = &evidence.samples;
    let quarter = samples.len() / 4;
    if quarter < SAMPLES {
        return not_run(NAME, "too short: a quarter of it has no 3 samples");
    }
    let early = median(&samples[quarter..2 * quarter]);
    let late = median(&samples[samples.len() - quarter..]);
    let allowed = (early / GROWTH_PART).max(GROWTH);
    let resident = most(evidence, |sample| sample.resident);
    let figures = format!(
        "own {} in the second quarter, {} in the last (may grow by {}); resident at most {}",
        bytes(early),
        bytes(late),
        bytes(allowed),
        bytes(resident)
    );
    let bad = (late > early + allowed)
        .then(|| format!("it grew by {}", bytes(late.saturating_sub(early))));
    verdict(NAME, figures, bad)
}

fn median(samples: &[Sample]) -> u64 {
    let mut figures: Vec<u64> = samples.iter().map(|sample| sample.anonymous).collect();
    figures.sort_unstable();
    figures.get(figures.len() / 2).copied().unwrap_or(0)
}

fn requests(evidence: &Evidence) -> Verdict {
    let waiting = evidence.pauses.iter().map(|one| one.rest.waiting).max();
    let figures = format!(
        "at most {} waiting at {} pauses",
        waiting.unwrap_or(0),
        evidence.pauses.len()
    );
    at_pauses(evidence, "requests", figures, |pause| {
        let waiting = pause.rest.waiting;
        (waiting > 0).then(|| format!("{waiting} requests without an answer"))
    })
}

fn operations(evidence: &Evidence) -> Verdict {
    let slowest = evidence.slowest.as_ref().map_or_else(String::new, |slow| {
        format!(", the slowest {:.1?} ({})", slow.took, slow.what)
    });
    let figures = format!("{} in {}{slowest}", evidence.operations, seconds(evidence));
    let stuck: Vec<String> = evidence
        .stuck
        .iter()
        .map(|slow| {
            format!(
                "thread {}: {} has no answer after {:.0?}",
                slow.thread, slow.what, slow.took
            )
        })
        .collect();
    let too_slow = evidence
        .slowest
        .as_ref()
        .filter(|slow| slow.took > OPERATION_LIMIT)
        .map(|slow| {
            format!(
                "thread {}: {} took {:.0?}",
                slow.thread, slow.what, slow.took
            )
        });
    let bad = (!stuck.is_empty()).then(|| stuck.join("; ")).or(too_slow);
    match evidence.operations {
        0 if bad.is_none() => not_run("operations", "there was none"),
        _ => verdict("operations", figures, bad),
    }
}

fn seconds(evidence: &Evidence) -> String {
    duration(evidence.elapsed.as_secs_f64())
}

fn trees(evidence: &Evidence) -> Verdict {
    let entries = evidence.pauses.last().map_or(0, |pause| pause.entries);
    let figures = format!(
        "{entries} entries, compared at {} pauses",
        evidence.pauses.len()
    );
    at_pauses(evidence, "trees", figures, |pause| pause.difference.clone())
}

fn contents(evidence: &Evidence) -> Verdict {
    let bad = evidence.faults.first().map(|first| {
        let more = evidence.faults.len() - 1;
        format!("{first}{}", plus(more))
    });
    let figures = match &bad {
        None => "what each thread read was what it had written",
        Some(_) => "",
    };
    verdict("contents", figures.to_owned(), bad)
}

fn plus(more: usize) -> String {
    match more {
        0 => String::new(),
        more => format!(" … and {more} more"),
    }
}

fn pressure(evidence: &Evidence) -> Verdict {
    const NAME: &str = "pressure";
    let pressure = match &evidence.pressure {
        Some(Ok(pressure)) => pressure,
        Some(Err(why)) => return not_run(NAME, why),
        None => return not_run(NAME, "it ended before"),
    };
    let figures = format!(
        "full {} times, {} pages of files read again, {} processes killed",
        pressure.reclaims, pressure.refaults, pressure.kills
    );
    let bad = if pressure.kills > 0 {
        Some("there was too little memory to go on: give it more with --memory".to_owned())
    } else if pressure.reclaims == 0 && evidence.ended_early() {
        return not_run(NAME, "the load ended before the memory was full");
    } else if pressure.reclaims == 0 {
        Some("the memory was never full: give it less with --memory".to_owned())
    } else {
        None
    };
    verdict(NAME, figures, bad)
}

fn end(evidence: &Evidence) -> Verdict {
    match &evidence.end {
        None => not_run("end", "it ended before"),
        Some(end) => verdict(
            "end",
            "unmounted, and the daemon is gone".to_owned(),
            end.clone().err(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::evidence::Rest;
    use super::super::watch::Slow;
    use super::*;
    use crate::cgroup::Pressure;

    /// Two rounds without a fault.
    fn good() -> Evidence {
        let sample = Sample {
            inodes: 900,
            descriptors: 40,
            anonymous: 20 << 20,
            resident: 30 << 20,
        };
        let rest = Rest {
            waiting: 0,
            inodes: 1,
            open_files: 0,
            descriptors: 20,
        };
        let pause = Pause {
            rest: rest.clone(),
            entries: 500,
            difference: None,
        };
        Evidence {
            samples: vec![sample; 40],
            baseline: rest,
            pauses: vec![pause; 2],
            operations: 1000,
            pressure: Some(Ok(Pressure {
                reclaims: 10,
                refaults: 5,
                kills: 0,
            })),
            end: Some(Ok(())),
            ..Evidence::default()
        }
    }

    /// The names of those that are not passed after a change.
    fn bad(change: impl FnOnce(&mut Evidence)) -> Vec<&'static str> {
        let mut evidence = good();
        change(&mut evidence);
        let verdicts = verdicts(&evidence).into_iter();
        verdicts
            .filter(|verdict| verdict.outcome != Outcome::Passed)
            .map(|verdict| verdict.name)
            .collect()
    }

    fn slow(took: Duration) -> Slow {
        Slow {
            thread: 3,
            what: "Sync w3/d0/f7".to_owned(),
            took,
        }
    }

    #[test]
    fn nothing_is_wrong_with_a_good_run() {
        assert!(bad(|_| ()).is_empty());
    }

    #[test]
    fn leaks_are_found() {
        assert_eq!(bad(|e| e.pauses[1].rest.inodes = 2), ["inode table"]);
        assert_eq!(bad(|e| e.pauses[1].rest.open_files = 1), ["descriptors"]);
        assert_eq!(bad(|e| e.pauses[1].rest.descriptors = 21), ["descriptors"]);
        let leak = |per_sample: u64| {
            bad(|e| {
                for (number, sample) in (0..).zip(&mut e.samples) {
                    sample.anonymous += number * per_sample;
                }
            })
        };
        assert_eq!(leak(1 << 20), ["memory"]);
        assert!(leak(64 << 10).is_empty());
    }

    #[test]
    fn what_is_stuck_is_found_and_named() {
        assert_eq!(bad(|e| e.pauses[0].rest.waiting = 1), ["requests"]);
        let late = OPERATION_LIMIT + Duration::from_secs(1);
        assert_eq!(bad(|e| e.slowest = Some(slow(late))), ["operations"]);
        let mut evidence = good();
        evidence.stuck = vec![slow(late)];
        let Outcome::Failed(text) = operations(&evidence).outcome else {
            panic!("passed");
        };
        assert!(
            text.contains("thread 3") && text.contains("w3/d0/f7"),
            "{text}"
        );
    }

    #[test]
    fn other_trees_and_contents_are_found() {
        let differ = |e: &mut Evidence| e.pauses[1].difference = Some("a: missing".to_owned());
        assert_eq!(bad(differ), ["trees"]);
        assert_eq!(bad(|e| e.faults.push("byte 0".to_owned())), ["contents"]);
        assert_eq!(bad(|e| e.end = Some(Err("busy".to_owned()))), ["end"]);
    }

    #[test]
    fn what_was_not_seen_is_no_pass() {
        let pauses = ["inode table", "descriptors", "requests", "trees"];
        assert_eq!(bad(|e| e.pauses.clear()), pauses);
        assert_eq!(bad(|e| e.samples.truncate(11)), ["memory"]);
        assert_eq!(bad(|e| e.operations = 0), ["operations"]);
        for pressure in [
            None,
            Some(Err("none".to_owned())),
            Some(Ok(Pressure::default())),
        ] {
            assert_eq!(bad(|e| e.pressure = pressure.clone()), ["pressure"]);
        }
        let ended_early = |e: &mut Evidence| {
            e.pressure = Some(Ok(Pressure::default()));
            e.faults.push("byte 0".to_owned());
        };
        let mut evidence = good();
        ended_early(&mut evidence);
        assert!(matches!(pressure(&evidence).outcome, Outcome::Skipped(_)));
        assert_eq!(bad(|e| e.end = None), ["end"]);
    }
}
