//! What a run is to do on which target.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use dynamicfs::config::Preset;

use super::store::TargetPlan;
use crate::bench::result::Settings;
use crate::conformance::Plan;
use crate::guest::protocol::{Step, Workloads};
use crate::images::{Backend, HOST, Profile, Target};
use crate::power::cut::{CUTS, CUTS_NIGHTLY};
use crate::report::Revision;
use crate::suites::Suite;
use crate::target::Permissions;
use crate::workload;

/// The loops of a guest of the quick profile, what tells most in the least time.
const QUICK_GUEST_LOOPS: &[&str] = &[
    "create-4k",
    "stat-cold",
    "open-read-close-hot",
    "walk-hot",
    "read-seq-1m-cold",
    "write-seq-4k",
];

/// The loops that a guest runs beyond those: one of each kind, without programs that the root file
/// system lacks.
const GUEST_LOOPS: &[&str] = &[
    "stat-hot",
    "rename",
    "unlink",
    "readdir-hot",
    "getxattr-hot",
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
    /// Whether there is a tree of xfstests.
    pub xfstests: bool,
    /// What is tested.
    pub version: Revision,
    /// The command line, for the report.
    pub command: String,
}

/// What is to be done on each of `targets`.
///
/// # Errors
///
/// When a suite that was asked for by name runs on none of them, or one of them names a suite that does not
/// exist.
pub fn plan(request: &Request, targets: &[Target]) -> Result<Vec<TargetPlan>> {
    let mut plans = Vec::new();
    let mut available = BTreeSet::new();
    for target in targets {
        let suites = request.available_on(target)?;
        available.extend(suites.iter().copied());
        plans.push(request.on(target, suites));
    }
    // The slowest first, so that none is left to run alone.
    let is_host = |plan: &TargetPlan| plan.name == HOST;
    plans.sort_by_key(is_host);
    let wanted = request.suites.iter().flatten();
    if let Some(suite) = wanted.into_iter().find(|suite| !available.contains(suite)) {
        let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
        bail!(
            "the suite {} runs on none of the targets {}; {}",
            suite.name(),
            names.join(", "),
            match suite {
                Suite::Xfstests if !request.xfstests =>
                    "it needs a tree that you built: --xfstests DIR",
                _ =>
                    "`suites` in vm-images/TARGET.toml says what a target can run beyond what all can",
            }
        );
    }
    Ok(plans)
}

impl Request {
    /// The suites that a target can run.
    fn available_on(&self, target: &Target) -> Result<Vec<Suite>> {
        let mut suites = match target.common_suites {
            true => Suite::EVERYWHERE.to_vec(),
            false => Vec::new(),
        };
        for name in &target.suites {
            let suite = Suite::by_name(name).with_context(|| {
                format!(
                    "vm-images/{}.toml: suites: there is no suite {name:?}",
                    target.name
                )
            })?;
            if suite != Suite::Xfstests || self.xfstests {
                suites.push(suite);
            }
        }
        Ok(suites)
    }

    fn on(&self, target: &Target, mut suites: Vec<Suite>) -> TargetPlan {
        let is_host = target.backend == Backend::Host;
        match &self.suites {
            Some(wanted) => suites.retain(|suite| wanted.contains(suite)),
            None => suites.retain(|&suite| self.has(suite, is_host)),
        }
        let permissions = match &self.permissions {
            None if self.is_quick() && !is_host => Some(vec![Permissions::Kernel]),
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
        if self.workloads && target.common_suites {
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
            quick: !is_host && self.profile != Profile::Nightly,
            cuts: match self.profile {
                Profile::Nightly => CUTS_NIGHTLY,
                Profile::Quick | Profile::Full => CUTS,
            },
            alone,
        }
    }

    /// Whether the profile has a suite that the target can run.
    fn has(&self, suite: Suite, is_host: bool) -> bool {
        match (self.profile, suite) {
            // Whoever gives a tree wants it run.
            (_, Suite::Xfstests) => true,
            // Programs and load generators take longest by far where the processor is emulated, and the
            // host runs them at full size.
            (Profile::Quick, Suite::Programs) | (Profile::Full, Suite::Load) => is_host,
            (Profile::Quick, _) => suite.is_quick(),
            (Profile::Full | Profile::Nightly, _) => true,
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
            let more = if self.is_quick() { &[] } else { GUEST_LOOPS };
            let names = QUICK_GUEST_LOOPS.iter().chain(more);
            names.map(|&name| name.to_owned()).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images;
    use crate::paths::Paths;

    fn request(suite: Suite) -> Request {
        Request {
            profile: Profile::Quick,
            presets: vec![Preset::Safe],
            suites: Some(vec![suite]),
            permissions: None,
            workloads: false,
            xfstests: false,
            version: Revision {
                version: String::new(),
                commit: None,
                clean: true,
            },
            command: String::new(),
        }
    }

    #[test]
    fn the_targets_of_the_project_name_suites_that_exist() {
        let targets = images::load_all(&Paths::discover()).unwrap();
        let plans = plan(&request(Suite::Afp), &targets).unwrap();
        let with = plans
            .iter()
            .filter(|plan| plan.all().any(|step| step.is_of(Suite::Afp)));
        let names: Vec<&str> = with.map(|plan| plan.name.as_str()).collect();
        assert_eq!(names, ["macos-like"]);
    }

    #[test]
    fn a_target_for_one_thing_does_nothing_else() {
        let selinux = images::load(&Paths::discover(), "selinux").unwrap();
        let mut request = request(Suite::Labels);
        request.suites = None;
        request.workloads = true;
        request.profile = Profile::Full;
        let plans = plan(&request, &[selinux]).unwrap();
        let cells: Vec<_> = plans[0]
            .all()
            .filter(|step| !step.is_of(Suite::Labels))
            .collect();
        assert_eq!(cells, [&Step::Capabilities(Preset::Safe)]);
        assert_eq!(plans[0].all().count(), 2);
    }

    #[test]
    fn xfstests_runs_where_it_is_declared_when_there_is_a_tree() {
        let targets = images::load_all(&Paths::discover()).unwrap();
        let mut request = request(Suite::Xfstests);
        let error = plan(&request, &targets).unwrap_err().to_string();
        assert!(error.contains("--xfstests"), "{error}");
        request.xfstests = true;
        request.suites = None;
        let plans = plan(&request, &targets).unwrap();
        let with = plans
            .iter()
            .filter(|plan| plan.all().any(|step| step.is_of(Suite::Xfstests)));
        let names: Vec<&str> = with.map(|plan| plan.name.as_str()).collect();
        assert_eq!(names, ["uml", "host"]);
    }

    #[test]
    fn a_suite_that_runs_nowhere_or_does_not_exist_is_an_error() {
        let mut host = images::load(&Paths::discover(), "host").unwrap();
        let error = plan(&request(Suite::Afp), std::slice::from_ref(&host)).unwrap_err();
        assert!(error.to_string().contains("afp runs on none"), "{error}");
        host.suites.push("afpp".to_owned());
        let error = plan(&request(Suite::Fsx), &[host]).unwrap_err();
        assert!(error.to_string().contains("host.toml"), "{error}");
    }
}
