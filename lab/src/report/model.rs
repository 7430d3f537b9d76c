//! What a run of the lab found, as it is written to `report.json`. Every report is made of this
//! alone; `docs/LAB.md` describes the fields.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};
use dynamicfs::mount::MountReport;
use serde::{Deserialize, Serialize};

use crate::bench::json;
use crate::bench::result::Bench;
use crate::cell::{Cell, Contestant};
use crate::compare::{Comparison, stale};
use crate::exceptions::Exception;
use crate::images::Backend;
use crate::machine::Accelerator;
use crate::machine::alarms::Alarm;
use crate::outcome::Outcome;
use crate::power::cut::Cuts;

/// Version of the format. Raised when a field changes its meaning or goes away.
pub const FORMAT: u32 = 1;

/// What lies deeper in the JSON is written on one line: the inside of a difference, or of a cell of the
/// workloads.
const DEEPEST_LINE: usize = 7;

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// Name of the run, which is that of its directory.
    pub run: String,
    /// When it began, UTC, as RFC 3339.
    pub started: String,
    /// How long it took.
    pub seconds: f64,
    /// The profile: how much was to be run.
    pub profile: String,
    /// The command line that made it.
    pub command: String,
    /// What was tested.
    pub dynamicfs: Revision,
    /// The machine that the lab ran on.
    pub host: Host,
    /// What it was tested on, in the order of the run.
    pub targets: Vec<Target>,
    /// Exceptions that no target needed any more.
    pub stale: Vec<Exception>,
    /// What went wrong and belongs to no target.
    pub errors: Vec<String>,
}

/// A version of this project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Version of the package.
    pub version: String,
    /// The commit, abbreviated; `None` where there is no repository, or no git.
    pub commit: Option<String>,
    /// Whether all tracked files are as in that commit.
    pub clean: bool,
}

/// The machine that the lab ran on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Release of the kernel.
    pub kernel: String,
    /// Model of the processor.
    pub cpu: String,
    /// Processors that may be used.
    pub cpus: usize,
    /// Bytes of memory.
    pub memory_bytes: u64,
}

/// One kernel, and what was found there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Its name, that of its declaration.
    pub name: String,
    /// What it is for, in a sentence.
    pub purpose: String,
    /// How it was run.
    pub backend: Backend,
    /// Who executed its instructions; `None` without a virtual machine.
    pub accelerator: Option<Accelerator>,
    /// Release of its kernel.
    pub kernel: String,
    /// Identifier of its image; empty where there is none.
    pub image: String,
    /// Packages of its root file system, name and version.
    pub packages: Vec<(String, String)>,
    /// How long it took, all its steps together.
    pub seconds: f64,
    /// Whether all of [`Target::plan`], the workloads and the power cuts came to their end.
    pub complete: bool,
    /// What was to be run.
    pub plan: Vec<Cell>,
    /// By preset, permissions by the kernel: what the mount asked, what it was granted, what was in
    /// force (what `dynamicfs status --json` says).
    pub capabilities: BTreeMap<String, MountReport>,
    /// One for each suite on each preset with each permissions.
    pub comparisons: Vec<Comparison>,
    /// Speed beside ext4; `None` where it was not measured.
    pub workloads: Option<Bench>,
    /// Machines that were killed while they wrote; empty where none was.
    pub power_cuts: Vec<PowerCuts>,
    /// What the kernel complained of on its console, whatever the suites said.
    pub alarms: Vec<Alarm>,
    /// What was not run, and why.
    pub errors: Vec<String>,
}

/// The power cuts of one contestant whose machine was killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PowerCuts {
    /// `ext4`, or the preset.
    pub contestant: String,
    /// How many there were.
    pub cuts: u32,
    /// Writes that had been acknowledged, in all cuts together.
    pub acknowledged: u64,
    /// Promises that were not kept, which are cases of the suite `power-cut`.
    pub broken: Vec<String>,
}

impl PowerCuts {
    /// Of a cell.
    pub fn of(cell: Cell, cuts: u32, found: &Cuts) -> Self {
        let cases = found.result.cases.iter();
        PowerCuts {
            contestant: match cell.contestant {
                Contestant::Ext4 => "ext4".to_owned(),
                Contestant::Preset { preset, .. } => preset.name().to_owned(),
            },
            cuts,
            acknowledged: found.acknowledged,
            broken: cases
                .filter(|(_, case)| case.outcome != Outcome::Passed)
                .map(|(name, _)| name.clone())
                .collect(),
        }
    }
}

impl Report {
    /// From JSON.
    ///
    /// # Errors
    ///
    /// When it is not a report, or one of a format that this program does not know.
    pub fn from_json(text: &str) -> Result<Report> {
        json::read(text, FORMAT, "a report of `cargo xtask lab run`")
    }

    /// Reads `report.json`.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or as [`Report::from_json`].
    pub fn read(path: &Path) -> Result<Report> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Report::from_json(&text).with_context(|| path.display().to_string())
    }

    /// As JSON; fractions have five significant digits.
    ///
    /// # Errors
    ///
    /// When it cannot be expressed in JSON.
    pub fn to_json(&self) -> Result<String> {
        json::write(self, DEEPEST_LINE)
    }

    /// Every comparison, with the name of its target.
    pub fn comparisons(&self) -> Vec<(&str, &Comparison)> {
        let mut all = Vec::new();
        for target in &self.targets {
            all.extend(
                target
                    .comparisons
                    .iter()
                    .map(|it| (target.name.as_str(), it)),
            );
        }
        all
    }

    /// Looks for exceptions that no target needs any more. Only where the comparisons were made by this
    /// process: JSON does not say which cases were run.
    pub fn find_stale(&mut self, exceptions: &[Exception]) {
        let found = stale(exceptions, &self.comparisons());
        self.stale = found.into_iter().cloned().collect();
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.version)?;
        match &self.commit {
            None => Ok(()),
            Some(commit) if self.clean => write!(f, " ({commit})"),
            Some(commit) => write!(f, " ({commit}, dirty)"),
        }
    }
}

impl Target {
    /// What its instructions were executed by: timings of different ones do not compare.
    pub fn machine(&self) -> &'static str {
        match (self.backend, self.accelerator) {
            (Backend::Qemu, Some(Accelerator::Kvm)) => "QEMU, KVM",
            (Backend::Qemu, Some(Accelerator::Tcg)) => "QEMU, TCG",
            (Backend::Qemu, None) => "QEMU",
            (Backend::Uml, _) => "UML",
            (Backend::Host, _) => "host",
        }
    }
}
