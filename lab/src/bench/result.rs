//! What a run found, as it is written to JSON. Every figure that a report shows is here or follows
//! from what is here; `docs/BENCH.md` describes the fields.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::statistics::Spread;
use crate::meter::Cpu;
use crate::workload::{Caches, Group, Percentiles, Sample};

/// Version of the format. Raised when a field changes its meaning or goes away.
pub const FORMAT: u32 = 1;

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bench {
    /// [`FORMAT`].
    pub format: u32,
    /// When it began, UTC, as RFC 3339.
    pub started: String,
    /// How long it took, without builds and installs.
    pub seconds: f64,
    /// The command line that made it.
    pub command: String,
    /// The machine.
    pub environment: Environment,
    /// The physical limits beside which the figures stand.
    pub calibration: Calibration,
    /// How it was measured.
    pub settings: Settings,
    /// Who took part, ext4 first.
    pub contestants: Vec<Contestant>,
    /// A row for each workload.
    pub rows: Vec<Row>,
}

/// The machine and what else was going on there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Release of the kernel.
    pub kernel: String,
    /// Model of the processor.
    pub processor: String,
    /// Processors that may be used.
    pub cpus: usize,
    /// Bytes of memory.
    pub memory: u64,
    /// Frequency governor of the first processor; `None` where the kernel exposes none (virtual
    /// machines).
    pub governor: Option<String>,
    /// Whether a hypervisor is below.
    pub virtual_machine: bool,
    /// Load average over one minute when the run began.
    pub load: f64,
    /// Part of the processors' time that the hypervisor gave to others during the run, 0 to 1.
    pub steal: f64,
    /// Where the ext4 file system lies: "image in memory", or "directory" and which.
    pub storage: String,
    /// Version of dynamicfs, with the commit where known.
    pub dynamicfs: String,
}

/// Taken before and after the run: if the two differ, the machine changed meanwhile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Before the run.
    pub before: Limits,
    /// After it.
    pub after: Limits,
}

/// What no file system can be faster than.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// A system call that does nothing, nanoseconds.
    pub system_call_ns: f64,
    /// There and back between two threads on one processor, microseconds.
    pub switch_same_cpu_us: f64,
    /// There and back between two threads on two processors, microseconds; `None` with one only.
    pub switch_other_cpu_us: Option<f64>,
    /// Copying memory that no cache holds, GB/s.
    pub memory_copy_gb_s: f64,
    /// How much longer the slowest hundredth of equal pieces of pure computation took than the
    /// median one, as a part of it: what interruptions cost.
    pub jitter: f64,
}

/// How it was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Repetitions of each workload.
    pub repetitions: usize,
    /// Repetitions that a noisy row has at most in addition.
    pub more_if_noisy: usize,
    /// Milliseconds that a turn takes at most (work that is a whole takes as long as it takes).
    pub turn_ms: u64,
    /// Whether this was the quick set.
    pub quick: bool,
}

/// What a contestant is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The reference.
    Ext4,
    /// This project without optimisation.
    Baseline,
    /// A preset of this project.
    Preset,
    /// Another file system.
    Peer,
}

/// One who took part, or was to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contestant {
    /// Its name in rows.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Version, and where it is from.
    pub version: String,
    /// How it was mounted.
    pub command: String,
    /// Why it did not take part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_run: Option<String>,
}

/// One workload on all contestants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The workload.
    pub workload: String,
    /// Its group.
    pub group: Group,
    /// What one operation is.
    pub operation: String,
    /// What was cached.
    pub caches: Caches,
    /// In the order of [`Bench::contestants`], without those that did not take part.
    pub cells: Vec<Cell>,
}

/// One workload on one contestant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The contestant.
    pub contestant: String,
    /// One for each repetition, in order; when it failed, those before the failure.
    pub samples: Vec<Sample>,
    /// Why it has no result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// Its figures; `None` when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figures: Option<Figures>,
}

/// What the samples say together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Seconds for one operation.
    pub seconds: Spread,
    /// Speed relative to ext4, taken within each repetition: 1.00 is as fast, 0.50 takes twice as
    /// long. `None` when ext4 has no result.
    pub to_ext4: Option<Spread>,
    /// Likewise to `baseline`, if that took part.
    pub to_baseline: Option<Spread>,
    /// Likewise to the peer with the highest median of `to_ext4`, after its name.
    pub to_best_peer: Option<(String, Spread)>,
    /// The ratio to ext4 (for ext4 itself: the time) spreads so much that a small difference says
    /// little.
    pub noisy: bool,
    /// CPU seconds for one operation, median of the repetitions.
    pub cpu: Cpu,
    /// Largest memory of the daemons during the turns, bytes; `None` without a daemon.
    pub daemon_memory: Option<u64>,
    /// Median over the repetitions of each percentile.
    pub latency: Option<Percentiles>,
    /// Requests to the daemon for one operation, by the kernel's name without `FUSE_`; those that
    /// did not occur are left out. `None` where they could not be counted.
    pub requests: Option<BTreeMap<String, f64>>,
}

impl Bench {
    /// The contestant of that name.
    pub fn contestant(&self, name: &str) -> Option<&Contestant> {
        self.contestants.iter().find(|one| one.name == name)
    }

    /// The row of that workload.
    pub fn row(&self, workload: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.workload == workload)
    }
}

impl Row {
    /// The cell of that contestant.
    pub fn cell(&self, contestant: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.contestant == contestant)
    }
}
