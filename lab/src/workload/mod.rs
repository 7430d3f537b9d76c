//! Small measured loops, as ratios to native ext4 and to the `baseline` preset.
//!
//! The contestants alternate within each repetition, so that whatever else the machine does
//! falls on all of them; the median of the repetitions counts, and their range is shown.

mod data;
mod metadata;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::progress::Progress;
use crate::target::Mount;

/// One loop.
pub struct Workload {
    /// Its name in the report.
    pub name: &'static str,
    /// What is cached when the clock starts, and how that is arranged.
    pub caches: &'static str,
    /// Makes the files; once per contestant, not timed.
    prepare: fn(&Path) -> Result<()>,
    /// Before each repetition, not timed.
    before: fn(&Contestant) -> Result<()>,
    /// The timed part.
    run: fn(&Path) -> Result<()>,
}

/// All of them.
pub fn all() -> Vec<Workload> {
    let mut workloads = data::workloads();
    workloads.extend(metadata::workloads());
    workloads
}

/// A directory that takes part.
pub struct Contestant {
    /// Its name in the report.
    pub name: String,
    /// Where the loop runs.
    pub dir: PathBuf,
    /// The same directory without the mount; for a native directory, that directory itself.
    pub backing: PathBuf,
    /// The mount, for its counts of requests.
    pub mount: Option<Mount>,
}

/// How long the repetitions took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// Median, seconds.
    pub median: f64,
    /// Fastest, seconds.
    pub min: f64,
    /// Slowest, seconds.
    pub max: f64,
}

impl Times {
    fn of(mut samples: Vec<Duration>) -> Self {
        samples.sort_unstable();
        let seconds = |index: usize| samples[index].as_secs_f64();
        let last = samples.len() - 1;
        Times {
            median: seconds(samples.len() / 2),
            min: seconds(0),
            max: seconds(last),
        }
    }
}

/// One workload on one contestant.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Measurement {
    /// The workload.
    pub workload: String,
    /// What was cached.
    pub caches: String,
    /// The contestant.
    pub contestant: String,
    /// Seconds.
    pub times: Times,
    /// Speed relative to ext4: 1.00 is as fast, 0.50 takes twice as long.
    pub to_ext4: f64,
    /// Speed relative to `baseline`, if that took part.
    pub to_baseline: Option<f64>,
    /// Requests to the daemon in all repetitions, by operation; those that did not occur are left
    /// out.
    pub requests: BTreeMap<String, u64>,
}

/// Measures every workload on every contestant. The first contestant is ext4.
///
/// # Errors
///
/// When a workload fails on a contestant.
pub fn measure(
    contestants: &[Contestant],
    repetitions: usize,
    progress: &Progress,
) -> Result<Vec<Measurement>> {
    let mut measurements = Vec::new();
    for workload in all() {
        progress.step(&format!("workload {}", workload.name));
        measurements.extend(
            measure_one(&workload, contestants, repetitions)
                .with_context(|| format!("workload {}", workload.name))?,
        );
        progress.advance();
    }
    Ok(measurements)
}

fn measure_one(
    workload: &Workload,
    contestants: &[Contestant],
    repetitions: usize,
) -> Result<Vec<Measurement>> {
    let mut samples: Vec<Vec<Duration>> = vec![Vec::new(); contestants.len()];
    let mut requests: Vec<BTreeMap<String, u64>> = vec![BTreeMap::new(); contestants.len()];
    for contestant in contestants {
        (workload.prepare)(&contestant.dir).with_context(|| contestant.name.clone())?;
    }
    for repetition in 0..repetitions {
        for turn in 0..contestants.len() {
            // Each repetition begins with another contestant: the first pays for what the last
            // left dirty.
            let index = (repetition + turn) % contestants.len();
            let contestant = &contestants[index];
            let (time, counts) =
                once(workload, contestant).with_context(|| contestant.name.clone())?;
            samples[index].push(time);
            for (operation, count) in counts {
                *requests[index].entry(operation).or_default() += count;
            }
        }
    }
    for contestant in contestants {
        clear(&contestant.dir)?;
    }
    let times: Vec<Times> = samples.into_iter().map(Times::of).collect();
    let baseline = contestants
        .iter()
        .position(|contestant| contestant.name == "baseline");
    Ok(contestants
        .iter()
        .enumerate()
        .map(|(index, contestant)| Measurement {
            workload: workload.name.to_owned(),
            caches: workload.caches.to_owned(),
            contestant: contestant.name.clone(),
            times: times[index],
            to_ext4: times[0].median / times[index].median,
            to_baseline: baseline.map(|baseline| times[baseline].median / times[index].median),
            requests: std::mem::take(&mut requests[index]),
        })
        .collect())
}

fn once(workload: &Workload, contestant: &Contestant) -> Result<(Duration, BTreeMap<String, u64>)> {
    (workload.before)(contestant)?;
    let before = requests(contestant)?;
    let start = Instant::now();
    (workload.run)(&contestant.dir)?;
    let time = start.elapsed();
    let mut counts = requests(contestant)?;
    counts.retain(|operation, count| {
        *count -= before.get(operation).copied().unwrap_or(0).min(*count);
        *count > 0
    });
    Ok((time, counts))
}

fn requests(contestant: &Contestant) -> Result<BTreeMap<String, u64>> {
    contestant
        .mount
        .as_ref()
        .map_or_else(|| Ok(BTreeMap::new()), Mount::requests)
}

fn clear(dir: &Path) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_and_the_range() {
        let times = Times::of([5, 1, 3, 2, 4].map(Duration::from_secs).to_vec());
        assert_eq!(
            times,
            Times {
                median: 3.0,
                min: 1.0,
                max: 5.0
            }
        );
    }

    #[test]
    fn every_workload_runs_on_a_directory_and_is_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let contestant = |name: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir(&path).unwrap();
            Contestant {
                name: name.to_owned(),
                dir: path.clone(),
                backing: path,
                mount: None,
            }
        };
        let contestants = [contestant("ext4"), contestant("baseline")];
        let measurements = measure(&contestants, 1, &Progress::new(0)).unwrap();
        assert_eq!(measurements.len(), 2 * all().len());
        for measurement in &measurements {
            assert!(measurement.times.median > 0.0);
            assert!(measurement.to_baseline.is_some());
        }
        assert_eq!(std::fs::read_dir(&contestants[0].dir).unwrap().count(), 0);
    }
}
