//! What callers see of a daemon that dies, is cut off, starves or is told to end, with requests of every
//! kind in flight: they get an error soon, no task hangs in the kernel, the mountpoint can be cleared and
//! mounted again, and what fsync(2) acknowledged is there.
//!
//! Each case of a scenario is a kind of caller; `aftermath` is what comes after them.

pub mod call;
mod caller;
mod scenarios;
mod scene;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use self::scene::Setting;
use super::{Place, Programs, fresh_directory, outcome};
use crate::fusectl::Fusectl;
use crate::outcome::{Case, Outcome, SuiteResult};

/// From the end of a daemon to the last error, and for whatever else has to happen soon.
const LIMIT: Duration = Duration::from_secs(5);

/// Outcomes of a scenario, by name of the case.
type Outcomes = BTreeMap<String, Outcome>;

/// Runs every scenario, each on a mount of its own made as that of `place` was.
///
/// # Errors
///
/// Without a mount, or when a scenario cannot be set up.
pub fn run(place: &Place<'_>, programs: &Programs) -> Result<SuiteResult> {
    let start = Instant::now();
    let mounted = place
        .mounted
        .context("the suite daemon needs a mount, and a native directory has no daemon")?;
    let (sources, work) = (place.backing.join("daemon"), place.scratch.join("daemon"));
    fresh_directory(&sources)?;
    fresh_directory(&work)?;
    let setting = Setting {
        mounted,
        program: &programs.suite,
        fusectl: Fusectl::mount(&work.join("fusectl"))?,
        sources: &sources,
        work: &work,
        limit: LIMIT * place.patience,
    };
    let mut cases = BTreeMap::new();
    for (name, scenario) in scenarios::ALL {
        let outcomes = scenario(&setting).with_context(|| format!("daemon, scenario {name}"))?;
        for (case, outcome) in outcomes {
            cases.insert(format!("{name}::{case}"), Case::from(outcome));
        }
    }
    drop(setting);
    for directory in [&sources, &work] {
        std::fs::remove_dir_all(directory)
            .with_context(|| format!("cannot clean up {}", directory.display()))?;
    }
    Ok(SuiteResult {
        cases,
        elapsed: start.elapsed(),
    })
}
