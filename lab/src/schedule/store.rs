//! What a run leaves in `target/lab/runs`: a directory with what was planned, and a file for each step
//! that has ended. What is missing there is what `--resume` does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::guest::protocol::{Step, StepOutcome};
use crate::images::HOST;
use crate::machine::Accelerator;
use crate::machine::alarms::Alarm;
use crate::paths::write_whole;
use crate::report::{PowerCuts, Revision};
use crate::suites::Suite;
use crate::suites::xfstests::Xfstests;

/// What a run is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunPlan {
    /// When it was begun, as RFC 3339.
    pub started: String,
    /// Name of the profile.
    pub profile: String,
    /// The command line.
    pub command: String,
    /// What is tested.
    pub version: Revision,
    /// Where.
    pub targets: Vec<TargetPlan>,
    /// For the suite of that name.
    pub xfstests: Option<Xfstests>,
}

/// What a run is to do on a target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetPlan {
    /// Name of the target.
    pub name: String,
    /// In this order.
    pub steps: Vec<Step>,
    /// Smaller amounts in the suites that have such.
    pub quick: bool,
    /// How often the power is cut.
    pub cuts: u32,
    /// Steps that measure, so that nothing else may run beside them: after all others, alone.
    pub alone: Vec<Step>,
}

impl RunPlan {
    /// The suites that it has on the host. Guests bring what theirs need.
    pub fn suites_on_host(&self) -> Vec<Suite> {
        let host = self.targets.iter().filter(|target| target.name == HOST);
        let steps = host.flat_map(TargetPlan::all);
        let suites: BTreeSet<Suite> = steps
            .filter_map(|step| match step {
                Step::Cell(cell) => Some(cell.suite),
                _ => None,
            })
            .collect();
        suites.into_iter().collect()
    }
}

impl TargetPlan {
    /// All steps.
    pub fn all(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().chain(&self.alone)
    }
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// How.
    pub outcome: StepOutcome,
    /// How long it took.
    pub seconds: f64,
}

/// What is known of a target besides its steps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Release of its kernel.
    pub kernel: String,
    /// How it is executed; `None` where nothing is virtual.
    pub accelerator: Option<Accelerator>,
    /// Identifier of its image; empty where there is none.
    pub image: String,
    /// Packages of its root file system, name and version.
    pub packages: Vec<(String, String)>,
    /// What its kernel complained of.
    pub alarms: Vec<Alarm>,
    /// Why guests did not come to their end.
    pub breaks: Vec<String>,
    /// Seconds that its guests ran.
    pub seconds: f64,
    /// How many guests were started.
    pub guests: u32,
    /// What came of power cuts, by step.
    pub cuts: BTreeMap<String, PowerCuts>,
}

/// The directory of a run.
#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
}

const PLAN: &str = "run.json";
const FACTS: &str = "target.json";

impl Store {
    /// A new run in `runs`, named by its time.
    ///
    /// # Errors
    ///
    /// When the directory cannot be made.
    pub fn create(runs: &Path, plan: &RunPlan) -> Result<Self> {
        let name = plan.started.replace(':', "-");
        fs::create_dir_all(runs).with_context(|| format!("cannot create {}", runs.display()))?;
        let directory = (0..100)
            .map(|number| match number {
                0 => runs.join(&name),
                _ => runs.join(format!("{name}-{number}")),
            })
            .find_map(|directory| match fs::create_dir(&directory) {
                Ok(()) => Some(Ok(directory)),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => None,
                Err(error) => Some(Err(error)),
            })
            .context("too many runs in one second")?
            .with_context(|| format!("cannot create a directory in {}", runs.display()))?;
        let store = Store { directory };
        store.write(Path::new(PLAN), plan)?;
        Ok(store)
    }

    /// An earlier run, by its name in `runs` or its directory.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn open(runs: &Path, run: &Path) -> Result<Self> {
        let candidates = [run.to_owned(), runs.join(run)];
        let found = candidates
            .into_iter()
            .find(|directory| directory.join(PLAN).is_file());
        match found {
            Some(directory) => Ok(Store { directory }),
            None => bail!(
                "{} is not a run of the lab: it has no {PLAN}, here or in {}",
                run.display(),
                runs.display()
            ),
        }
    }

    /// The newest run in `runs`.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn last(runs: &Path) -> Result<Self> {
        let mut names: Vec<PathBuf> = fs::read_dir(runs)
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.join(PLAN).is_file())
            .collect();
        // Named by their times, so the last by name is the newest.
        names.sort();
        match names.pop() {
            Some(directory) => Ok(Store { directory }),
            None => bail!(
                "no run in {}: `cargo xtask lab run` makes one",
                runs.display()
            ),
        }
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its name.
    pub fn name(&self) -> String {
        let name = self.directory.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// What it is to do.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn plan(&self) -> Result<RunPlan> {
        self.read(Path::new(PLAN))?
            .with_context(|| format!("no {PLAN} in {}", self.directory.display()))
    }

    /// How a step ended; `None` when it has not.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn record(&self, target: &str, step: &str) -> Result<Option<Record>> {
        self.read(&record_path(target, step))
    }

    /// Keeps how a step ended.
    ///
    /// # Errors
    ///
    /// When it cannot be written: a full disk ends a run, and what was kept before stays.
    pub fn keep(&self, target: &str, step: &str, record: &Record) -> Result<()> {
        self.write(&record_path(target, step), record)
    }

    /// The steps of `steps` that have not been done: those without a result, and those that could not
    /// be done to their end.
    ///
    /// # Errors
    ///
    /// When a result cannot be read.
    pub fn missing(&self, target: &str, steps: &[Step]) -> Result<Vec<Step>> {
        let mut missing = Vec::new();
        for step in steps {
            match self.record(target, &step.key())? {
                Some(record) if !matches!(record.outcome, StepOutcome::Failed(_)) => {}
                _ => missing.push(step.clone()),
            }
        }
        Ok(missing)
    }

    /// What is known of a target.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn facts(&self, target: &str) -> Result<Facts> {
        let facts = self.read(&Path::new(target).join(FACTS))?;
        Ok(facts.unwrap_or_default())
    }

    /// Keeps what is known of a target.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn keep_facts(&self, target: &str, facts: &Facts) -> Result<()> {
        self.write(&Path::new(target).join(FACTS), facts)
    }

    /// Keeps what a guest printed.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn keep_console(&self, target: &str, guest: u32, console: &str) -> Result<()> {
        let name = format!("console-{guest}.log");
        let path = self.directory.join(target).join(name);
        write_whole(&path, |file| Ok(file.write_all(console.as_bytes())?))
    }

    fn read<T: DeserializeOwned>(&self, name: &Path) -> Result<Option<T>> {
        let path = self.directory.join(name);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        let value = serde_json::from_str(&text)
            .with_context(|| format!("{} is not of this version of the lab", path.display()))?;
        Ok(Some(value))
    }

    fn write(&self, name: &Path, value: &impl Serialize) -> Result<()> {
        let path = self.directory.join(name);
        write_whole(&path, |file| Ok(serde_json::to_writer(file, value)?))
    }
}

fn record_path(target: &str, step: &str) -> PathBuf {
    Path::new(target).join("steps").join(format!("{step}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::Cell;
    use crate::outcome::SuiteResult;

    fn plan() -> RunPlan {
        RunPlan {
            started: "2026-01-02T03:04:05Z".to_owned(),
            profile: "quick".to_owned(),
            command: "cargo xtask lab run".to_owned(),
            version: Revision {
                version: "0.1.0".to_owned(),
                commit: None,
                clean: true,
            },
            xfstests: None,
            targets: Vec::new(),
        }
    }

    #[test]
    fn what_is_missing_is_what_did_not_end_well() {
        let runs = tempfile::tempdir().unwrap();
        let store = Store::create(runs.path(), &plan()).unwrap();
        let steps = [Suite::Fsx, Suite::Suite, Suite::Programs]
            .map(|suite| Step::Cell(Cell::reference(suite)));
        let record = |outcome| Record {
            outcome,
            seconds: 1.0,
        };
        let done = record(StepOutcome::Suite(SuiteResult::default()));
        let failed = record(StepOutcome::Failed("the guest died".to_owned()));
        store.keep("t", &steps[0].key(), &done).unwrap();
        store.keep("t", &steps[1].key(), &failed).unwrap();
        assert_eq!(store.missing("t", &steps).unwrap(), steps[1..]);
        assert_eq!(store.missing("other", &steps).unwrap(), steps);
        assert_eq!(store.record("t", "ext4/fsx").unwrap(), Some(done));
    }

    #[test]
    fn the_newest_run_is_the_last_and_two_in_one_second_are_two() {
        let runs = tempfile::tempdir().unwrap();
        assert!(Store::last(runs.path()).is_err());
        let first = Store::create(runs.path(), &plan()).unwrap();
        let second = Store::create(runs.path(), &plan()).unwrap();
        assert_ne!(first.name(), second.name());
        assert_eq!(Store::last(runs.path()).unwrap().name(), second.name());
        assert_eq!(
            Store::open(runs.path(), Path::new(&first.name()))
                .unwrap()
                .plan()
                .unwrap(),
            plan()
        );
        let by_directory = Store::open(Path::new("/nowhere"), first.directory());
        assert_eq!(by_directory.unwrap().name(), first.name());
        assert!(Store::open(runs.path(), Path::new("another")).is_err());
    }
}
