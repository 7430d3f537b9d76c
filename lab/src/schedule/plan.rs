//! What a run is to do on which target.

use anyhow::{Result, bail};
use dynamicfs::config::Preset;

use super::store::TargetPlan;
use crate::bench::result::Settings;
use crate::conformance::Plan;
use crate::guest::protocol::{Step, Workloads};
use crate::images::{Backend, Profile, Target};
use crate::report::Revision;
use crate::suites::Suite;
use crate::target::Permissions;
use crate::workload;

/// The loops of a guest: one of each kind, without programs that the root file system lacks.
const GUEST_LOOPS: &[&str] = &[
    "create-4k",
    "stat-hot",
    "stat-cold",
    "rename",
    "unlink",
    "open-read-close-hot",
    "readdir-hot",
    "walk-hot",
    "getxattr-hot",
    "read-seq-1m-cold",
    "write-seq-4k",
    "untar",
];

/// What somebody asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// How much.
    pub profile: Profile,
    /// The presets.
    pub presets: Vec<Preset>,
    /// Only these suites; `None`: all that the profile has.
    pub suites: Option<Vec<Suite>>,
    /// Who checks permissions; `None`: as the profile has it.
    pub permissions: Option<Vec<Permissions>>,
    /// Whether to measure.
    pub workloads: bool,
    /// What is tested.
    pub version: Revision,
    /// The command line, for the report.
    pub command: String,
}

/// What is to be done on each of `targets`.
///
/// # Errors
///
/// When a suite that was asked for by name runs on none of them.
pub fn plan(request: &Request, targets: &[Target]) -> Result<Vec<TargetPlan>> {
    for suite in request.suites.iter().flatten() {
        if !targets
            .iter()
            .any(|target| suites_of(target).contains(suite))
        {
            let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
            bail!(
                "the suite {} runs on none of the targets {}; `cargo xtask lab list --suites` says where it does",
                suite.name(),
                names.join(", ")
            );
        }
    }
    Ok(targets.iter().map(|target| request.on(target)).collect())
}

/// The suites that a target can run.
pub(super) fn suites_of(target: &Target) -> Vec<Suite> {
    let more = target.suites.iter().filter_map(|name| Suite::by_name(name));
    Suite::EVERYWHERE.into_iter().chain(more).collect()
}

impl Request {
    fn on(&self, target: &Target) -> TargetPlan {
        let mut suites = suites_of(target);
        match &self.suites {
            Some(wanted) => suites.retain(|suite| wanted.contains(suite)),
            None if self.is_quick() => suites.retain(|suite| suite.is_quick()),
            None => {}
        }
        let permissions = match &self.permissions {
            None if self.is_quick() && target.backend != Backend::Host => {
                Some(vec![Permissions::Kernel])
            }
            given => given.clone(),
        };
        let conformance = Plan {
            presets: self.presets.clone(),
            suites,
            permissions,
        };
        let capabilities = self.presets.iter().copied().map(Step::Capabilities);
        let cells = conformance.cells().into_iter().map(Step::Cell);
        let mut steps: Vec<Step> = capabilities.chain(cells).collect();
        let mut alone = Vec::new();
        if self.workloads {
            // Ratios within a guest compare what is emulated alike; only this machine's own figures
            // must not be disturbed.
            match target.backend {
                Backend::Host => alone.push(self.loops(target)),
                Backend::Qemu | Backend::Uml => steps.push(self.loops(target)),
            }
        }
        TargetPlan {
            name: target.name.clone(),
            steps,
            quick: self.is_quick() && target.backend != Backend::Host,
            alone,
        }
    }

    fn is_quick(&self) -> bool {
        self.profile == Profile::Quick
    }

    fn loops(&self, target: &Target) -> Step {
        let host = target.backend == Backend::Host;
        let names = if host {
            let quick = workload::all().into_iter().filter(|one| one.quick);
            quick.map(|one| one.name.to_owned()).collect()
        } else {
            GUEST_LOOPS.iter().map(|&name| name.to_owned()).collect()
        };
        Step::Workloads(Workloads {
            presets: self.presets.clone(),
            names,
            settings: Settings {
                repetitions: if host { 5 } else { 3 },
                more_if_noisy: usize::from(host),
                turn_ms: if host { 50 } else { 150 },
                quick: true,
            },
            version: self.version.to_string(),
            command: self.command.clone(),
        })
    }
}
