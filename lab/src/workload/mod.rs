//! Small measured loops, as ratios to native ext4 and to the `baseline` preset.
//!
//! What makes the ratios fair:
//! - All contestants work on one ext4 image, each in a directory of its own beside the others, and
//!   in a fresh one for each repetition.
//! - A repetition is as many timed rounds as take 150 ms together. The contestants take turns
//!   round by round, so that a busy moment of the machine falls on all of them; each repetition
//!   begins with another one, and every second one goes backwards.
//! - Before a repetition, and before each round that writes, everything dirty is written out.
//! - The median of the rounds is the sample of a repetition, the median of the repetitions counts,
//!   and their range is shown.

mod data;
mod metadata;
mod sample;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

pub use self::sample::Times;
use crate::progress::Progress;
use crate::target::Mount;

/// The rounds of a repetition take at least this long together: the clock interrupt, a write-out or
/// another process cost milliseconds.
const LEAST: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 150 });

/// More rounds than these would make what is not timed take too long.
const MOST_ROUNDS: u32 = 20;

/// One loop.
pub struct Workload {
    /// Its name in the report.
    pub name: &'static str,
    /// What is cached when the clock starts, and how that is arranged.
    pub caches: &'static str,
    /// Makes the files; once per repetition, not timed.
    prepare: fn(&Room) -> Result<()>,
    /// Before each round, not timed: brings files and caches back to where they were.
    before: fn(&Room) -> Result<()>,
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

/// The directory of one repetition; removed when dropped.
struct Room {
    dir: PathBuf,
    backing: PathBuf,
}

impl Room {
    fn new(contestant: &Contestant, name: &str) -> Result<Self> {
        let room = Room {
            dir: contestant.dir.join(name),
            backing: contestant.backing.join(name),
        };
        fs::create_dir(&room.dir)?;
        Ok(room)
    }

    fn is_mounted(&self) -> bool {
        self.dir != self.backing
    }

    /// Writes out all that is dirty, so that one round does not pay for another.
    fn settle(&self) -> Result<()> {
        rustix::fs::syncfs(File::open(&self.dir)?)?;
        if self.is_mounted() {
            rustix::fs::syncfs(File::open(&self.backing)?)?;
        }
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // What cannot be removed is seen by the next repetition, which cannot make its directory.
        let _ = fs::remove_dir_all(&self.dir);
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
    /// Seconds per round.
    pub times: Times,
    /// Speed relative to ext4: 1.00 is as fast, 0.50 takes twice as long.
    pub to_ext4: f64,
    /// Least and greatest of the same ratio within one repetition.
    pub to_ext4_range: (f64, f64),
    /// Speed relative to `baseline`, if that took part.
    pub to_baseline: Option<f64>,
    /// Requests to the daemon in the first timed round of each repetition, by operation; those
    /// that did not occur are left out.
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

/// What one contestant did so far.
#[derive(Default)]
struct Score {
    rounds: u32,
    samples: Vec<f64>,
    requests: BTreeMap<String, u64>,
}

fn measure_one(
    workload: &Workload,
    contestants: &[Contestant],
    repetitions: usize,
) -> Result<Vec<Measurement>> {
    let mut scores = Vec::new();
    for contestant in contestants {
        let rounds =
            rounds_needed(workload, contestant).with_context(|| contestant.name.clone())?;
        scores.push(Score {
            rounds,
            ..Score::default()
        });
    }
    for repetition in 0..repetitions {
        repeat(workload, contestants, &mut scores, repetition)?;
    }
    Ok(judge(workload, contestants, scores))
}

/// The order of a repetition: each begins with another contestant, and every second one goes
/// backwards, so that nobody always follows the same one.
fn turns(repetition: usize, contestants: usize) -> impl Iterator<Item = usize> {
    (0..contestants).map(move |turn| {
        let turn = if repetition.is_multiple_of(2) {
            turn
        } else {
            contestants - 1 - turn
        };
        (repetition + turn) % contestants
    })
}

/// One untimed repetition of one round: how many a timed one needs. It also warms what all
/// share, such as the file of the image.
fn rounds_needed(workload: &Workload, contestant: &Contestant) -> Result<u32> {
    let room = Room::new(contestant, "calibration")?;
    (workload.prepare)(&room)?;
    let time = round(workload, &room)?;
    let rounds = LEAST.as_secs_f64() / time.as_secs_f64().max(1e-6);
    Ok((rounds.ceil() as u32).clamp(1, MOST_ROUNDS))
}

fn round(workload: &Workload, room: &Room) -> Result<Duration> {
    (workload.before)(room)?;
    let start = Instant::now();
    (workload.run)(&room.dir)?;
    Ok(start.elapsed())
}

fn repeat(
    workload: &Workload,
    contestants: &[Contestant],
    scores: &mut [Score],
    repetition: usize,
) -> Result<()> {
    let mut rooms = Vec::new();
    for contestant in contestants {
        let room = Room::new(contestant, &format!("repetition-{repetition}"))?;
        (workload.prepare)(&room).with_context(|| contestant.name.clone())?;
        room.settle()?;
        rooms.push(room);
    }
    let mut times = vec![Vec::new(); contestants.len()];
    let most = scores.iter().map(|score| score.rounds).max().unwrap_or(0);
    for number in 0..most {
        for index in turns(repetition, contestants.len()) {
            if number >= scores[index].rounds {
                continue;
            }
            let contestant = &contestants[index];
            let time = if number == 0 {
                counted_round(
                    workload,
                    contestant,
                    &rooms[index],
                    &mut scores[index].requests,
                )
            } else {
                round(workload, &rooms[index])
            };
            let time = time.with_context(|| contestant.name.clone())?;
            times[index].push(time.as_secs_f64());
        }
    }
    for (score, times) in scores.iter_mut().zip(times) {
        score.samples.push(Times::of(times).median);
    }
    Ok(())
}

/// A round whose requests are added to `total`. Asking for them is not timed.
fn counted_round(
    workload: &Workload,
    contestant: &Contestant,
    room: &Room,
    total: &mut BTreeMap<String, u64>,
) -> Result<Duration> {
    (workload.before)(room)?;
    let before = requests(contestant)?;
    let start = Instant::now();
    (workload.run)(&room.dir)?;
    let time = start.elapsed();
    for (operation, count) in requests(contestant)? {
        let count = count - before.get(&operation).copied().unwrap_or(0).min(count);
        if count > 0 {
            *total.entry(operation).or_default() += count;
        }
    }
    Ok(time)
}

fn judge(workload: &Workload, contestants: &[Contestant], scores: Vec<Score>) -> Vec<Measurement> {
    let times: Vec<Times> = scores
        .iter()
        .map(|score| Times::of(score.samples.clone()))
        .collect();
    let baseline = contestants
        .iter()
        .position(|contestant| contestant.name == "baseline");
    let ext4 = scores[0].samples.clone();
    contestants
        .iter()
        .zip(scores)
        .zip(&times)
        .map(|((contestant, score), &own)| Measurement {
            workload: workload.name.to_owned(),
            caches: workload.caches.to_owned(),
            contestant: contestant.name.clone(),
            times: own,
            to_ext4: times[0].median / own.median,
            to_ext4_range: sample::range(ext4.iter().zip(&score.samples).map(|(e, s)| e / s)),
            to_baseline: baseline.map(|baseline| times[baseline].median / own.median),
            requests: score.requests,
        })
        .collect()
}

fn requests(contestant: &Contestant) -> Result<BTreeMap<String, u64>> {
    contestant
        .mount
        .as_ref()
        .map_or_else(|| Ok(BTreeMap::new()), Mount::requests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_a_turn_and_nobody_always_the_same_neighbour() {
        let orders: Vec<Vec<usize>> = (0..4).map(|r| turns(r, 3).collect()).collect();
        assert_eq!(orders, [[0, 1, 2], [0, 2, 1], [2, 0, 1], [2, 1, 0]]);
    }

    #[test]
    fn every_workload_runs_on_a_directory_and_is_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let contestant = |name: &str| {
            let path = dir.path().join(name);
            fs::create_dir(&path).unwrap();
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
        assert_eq!(fs::read_dir(&contestants[0].dir).unwrap().count(), 0);
    }
}
