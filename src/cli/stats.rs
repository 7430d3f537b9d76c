//! `dynamicfs stats`.

use std::path::PathBuf;

use crate::mount::registry::{Registered, RuntimeDir};
use crate::stats::{Snapshot, prometheus, text};
use anyhow::Context;
use serde::Serialize;

use super::arguments::StatsArgs;
use super::exit::{Exit, Failure};
use super::{complain, print, print_json, status};

/// The figures of a mount.
#[derive(Debug, Serialize)]
struct Figures {
    mountpoint: PathBuf,
    #[serde(flatten)]
    snapshot: Snapshot,
}

#[derive(Debug, Serialize)]
struct All {
    mounts: Vec<Figures>,
}

pub(crate) fn run(args: &StatsArgs) -> Result<(), Failure> {
    let mut figures = match &args.mountpoint {
        Some(mountpoint) => vec![ask(status::find(mountpoint)?)?],
        None => all()?,
    };
    if args.prometheus {
        let mounts: Vec<_> = figures
            .into_iter()
            .map(|one| (one.mountpoint.display().to_string(), one.snapshot))
            .collect();
        return print(&prometheus(&mounts));
    }
    match (args.json, figures.len()) {
        (true, 1) => print_json(&figures.remove(0)),
        (true, _) => print_json(&All { mounts: figures }),
        (false, 1) => print(&text(&figures[0].snapshot)),
        (false, _) => {
            let each = figures.iter().map(|one| {
                format!(
                    "mountpoint {}\n{}",
                    one.mountpoint.display(),
                    text(&one.snapshot)
                )
            });
            print(&each.collect::<Vec<_>>().join("\n"))
        }
    }
}

fn ask(mount: Registered) -> Result<Figures, Failure> {
    let failed = |error| Failure::new(Exit::Failed, error);
    let snapshot = mount.statistics().map_err(failed)?;
    let status = mount.status.map_err(failed)?;
    Ok(Figures {
        mountpoint: status.mountpoint,
        snapshot,
    })
}

/// The figures of every mount; one that goes away or is silent does not hide the others.
fn all() -> Result<Vec<Figures>, Failure> {
    let runtime = RuntimeDir::of_this_user();
    let mounts = runtime
        .mounts()
        .with_context(|| runtime.path().display().to_string())?;
    if mounts.is_empty() {
        return Err(Failure::new(
            Exit::NotMounted,
            "no dynamicfs mounts; mount one with 'dynamicfs mount SRC MNT'",
        ));
    }
    let (mut figures, mut failures) = (Vec::new(), Vec::new());
    for mount in mounts {
        match ask(mount) {
            Ok(one) => figures.push(one),
            Err(failure) => failures.push(failure),
        }
    }
    match (figures.is_empty(), failures.pop()) {
        (true, Some(failure)) => Err(failure),
        (_, last) => {
            failures.extend(last);
            failures
                .iter()
                .for_each(|failure| complain(&failure.message));
            Ok(figures)
        }
    }
}
