//! The run: rounds of load, and what is looked at during and between them.

use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rustix::mount::{MountFlags, mount_remount};
use rustix::process::Pid;

use super::big::BLOCK;
use super::evidence::{Evidence, Pause, Rest, Sample};
use super::shared;
use super::verdict::{OPERATION_LIMIT, verdicts};
use super::watch::Board;
use super::worker::Worker;
use super::{Settings, Site, Verdict};
use crate::bench::render::format::bytes;
use crate::cgroup::{MemoryCgroup, Unavailable};
use crate::fusectl::{Fusectl, connection_of};
use crate::process::poll_until;
use crate::progress::Progress;
use crate::suite::util;
use crate::suites::tree::Tree;
use crate::target::{Mount, Permissions};

/// Rounds of a run that is long enough for them.
const ROUNDS: u32 = 6;

/// A round is not longer: what is wrong shall be found soon.
const LONGEST_ROUND: Duration = Duration::from_secs(120);

/// How often a long run looks at the daemon; a short one looks 80 times.
const LONGEST_INTERVAL: Duration = Duration::from_secs(5);

/// How often a run that nobody watches on a terminal says how it goes.
const SAYING: Duration = Duration::from_secs(10);

/// By then the kernel has sent, and the daemon answered, what the last of the load left behind.
const REST_LIMIT: Duration = Duration::from_secs(30);

/// How many rounds a run has.
pub fn rounds(duration: Duration) -> u32 {
    let needed = duration.as_secs().div_ceil(LONGEST_ROUND.as_secs());
    ROUNDS.max(needed as u32)
}

/// Mounts, loads, looks, unmounts, and judges. The first thing that is wrong ends the load.
///
/// # Errors
///
/// When it cannot be set up, or the daemon cannot be asked. What is wrong with the mount is in the verdicts.
pub fn run(settings: &Settings, site: &Site<'_>, progress: &Progress) -> Result<Vec<Verdict>> {
    let cgroup = MemoryCgroup::new(&site.work.join("cgroup"), settings.memory)?;
    // The daemon is started from within, so that all of its memory counts.
    let inside = match &cgroup {
        Ok(cgroup) => Some(cgroup.enter()?),
        Err(_) => None,
    };
    let fusectl = Fusectl::mount(&site.work.join("fusectl"))?;
    let mount = site.command.mount(
        site.source,
        site.mountpoint,
        settings.preset,
        Permissions::Kernel,
    )?;
    let scene = Scene {
        settings,
        site,
        daemon: mount.daemon()?,
        connection: connection_of(mount.path())?,
        mount: &mount,
        fusectl: &fusectl,
        cgroup: cgroup.as_ref().ok(),
        progress,
    };
    let mut evidence = scene.run()?;
    evidence.pressure = Some(match &cgroup {
        Ok(cgroup) => cgroup.pressure().map_err(|error| format!("{error:#}")),
        Err(Unavailable(reason)) => Err(reason.clone()),
    });
    evidence.end = Some(mount.unmount().map_err(|error| format!("{error:#}")));
    drop(inside);
    Ok(verdicts(&evidence))
}

/// What all parts of a run have in common.
struct Scene<'a> {
    settings: &'a Settings,
    site: &'a Site<'a>,
    mount: &'a Mount,
    daemon: Pid,
    fusectl: &'a Fusectl,
    connection: u32,
    cgroup: Option<&'a MemoryCgroup>,
    progress: &'a Progress,
}

impl Scene<'_> {
    fn run(&self) -> Result<Evidence> {
        let untouched = self.mount.statistics()?.inodes;
        let mut workers = self.furnish()?;
        let mut evidence = Evidence {
            baseline: self.rest(&Rest {
                inodes: untouched,
                descriptors: u64::MAX,
                ..Rest::default()
            })?,
            ..Evidence::default()
        };
        let rounds = rounds(self.settings.duration);
        let board = Board::new(self.settings.threads);
        for round in 1..=rounds {
            self.round(
                &format!("round {round} of {rounds}"),
                &mut workers,
                &board,
                &mut evidence,
            )?;
            evidence.operations = board.done();
            evidence.slowest = board.slowest();
            if !evidence.stuck.is_empty() {
                // The daemon was cut off.
                break;
            }
            self.progress.step(&format!("pause {round} of {rounds}"));
            evidence.pauses.push(self.pause(&evidence.baseline)?);
            self.progress.advance();
            if !evidence.faults.is_empty() {
                break;
            }
        }
        Ok(evidence)
    }

    /// The subtrees of the threads.
    fn furnish(&self) -> Result<Vec<Worker>> {
        let Settings {
            threads,
            memory,
            seed,
            ..
        } = *self.settings;
        util::mkdir(self.mount.path().join(shared::DIRECTORY))?;
        // Together twice the memory.
        let blocks = (2 * memory as usize / threads / BLOCK).max(4);
        let worker = |number| Worker::new(number, seed, self.mount.path(), blocks);
        (0..threads).map(worker).collect()
    }

    fn round(
        &self,
        name: &str,
        workers: &mut [Worker],
        board: &Board,
        evidence: &mut Evidence,
    ) -> Result<()> {
        let start = Instant::now();
        let end = start + self.settings.duration / rounds(self.settings.duration);
        let stop = AtomicBool::new(false);
        let watched = thread::scope(|scope| {
            let stop = &stop;
            let start_one = |worker: &mut Worker| {
                let result = worker.work(end, || stop.load(Ordering::Relaxed), board);
                if result.is_err() {
                    stop.store(true, Ordering::Relaxed);
                }
                result
            };
            let threads: Vec<_> = workers
                .iter_mut()
                .map(|worker| scope.spawn(move || start_one(worker)))
                .collect();
            let watched = self.watch(name, &threads, board, evidence);
            // Who watches may have failed, and then nobody would cut off a daemon that does not answer.
            stop.store(true, Ordering::Relaxed);
            let watched = watched.inspect_err(|_| {
                let _ = self.fusectl.abort(self.connection);
            });
            for thread in threads {
                let result = thread
                    .join()
                    .unwrap_or_else(|_| Err(anyhow!("a thread panicked")));
                let fault = result.err().map(|error| format!("{error:#}"));
                evidence.faults.extend(fault);
            }
            watched
        });
        evidence.elapsed += start.elapsed();
        watched
    }

    /// Looks at the daemon and at the board until all threads have ended. Cuts the daemon off when one is
    /// stuck.
    fn watch(
        &self,
        name: &str,
        threads: &[ScopedJoinHandle<'_, Result<()>>],
        board: &Board,
        evidence: &mut Evidence,
    ) -> Result<()> {
        let interval = (self.settings.duration / 80).min(LONGEST_INTERVAL);
        let mut said: Option<Instant> = None;
        loop {
            let sample = self.sample()?;
            evidence.samples.push(sample);
            if said.is_none_or(|said| said.elapsed() >= SAYING) {
                said = Some(Instant::now());
                self.progress.step(&format!(
                    "{name}: {} operations, {} inodes, {} descriptors, own memory {}",
                    board.done(),
                    sample.inodes,
                    sample.descriptors,
                    bytes(sample.anonymous)
                ));
            }
            let ended = poll_until(Instant::now() + interval, || {
                Ok(threads.iter().all(ScopedJoinHandle::is_finished))
            })?;
            if ended {
                return Ok(());
            }
            evidence.stuck = board.stuck(OPERATION_LIMIT);
            if !evidence.stuck.is_empty() {
                return self.fusectl.abort(self.connection);
            }
        }
    }

    fn sample(&self) -> Result<Sample> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.daemon))
            .context("the daemon is gone")?;
        let memory = |field| kibibytes(&status, field).map(|kib| kib << 10);
        Ok(Sample {
            inodes: self.mount.statistics()?.inodes,
            descriptors: self.descriptors()?,
            anonymous: memory("RssAnon:").context("no RssAnon")?,
            resident: memory("VmRSS:").context("no VmRSS")?,
        })
    }

    /// Descriptors of the daemon, without those of the pipe that each of its workers may keep from its first
    /// spliced answer on.
    fn descriptors(&self) -> Result<u64> {
        let directory = fs::read_dir(format!("/proc/{}/fd", self.daemon));
        let (pipes, others): (Vec<_>, Vec<_>) = directory
            .context("the daemon is gone")?
            .flatten()
            // One that has just been closed is none.
            .filter_map(|entry| fs::read_link(entry.path()).ok())
            .partition(|target| target.to_string_lossy().starts_with("pipe:"));
        let kept = 2 * self.workers()?;
        Ok(others.len() as u64 + (pipes.len() as u64).saturating_sub(kept))
    }

    /// Threads of the daemon that serve requests.
    fn workers(&self) -> Result<u64> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.daemon));
        let names = tasks.context("the daemon is gone")?.map(|task| {
            let name = fs::read_to_string(task?.path().join("comm"));
            // One that has just ended is none.
            io::Result::Ok(name.unwrap_or_default())
        });
        let names: Vec<_> = names.collect::<io::Result<_>>()?;
        let number = |name: &String| name.trim().strip_prefix("dynamicfs-")?.parse::<u32>().ok();
        Ok(names.iter().filter_map(number).count() as u64)
    }

    /// Compares the trees, and then sees what is left when nobody uses the mount.
    fn pause(&self, baseline: &Rest) -> Result<Pause> {
        let idle = poll_until(Instant::now() + REST_LIMIT, || {
            Ok(self.fusectl.waiting(self.connection)? == 0)
        })?;
        if !idle {
            // Who reads the tree could wait as well.
            return Ok(Pause {
                rest: self.rest_now()?,
                difference: Some("not compared: requests are waiting".to_owned()),
                entries: 0,
            });
        }
        let mut pause = self.compare()?;
        pause.rest = self.rest(baseline)?;
        Ok(pause)
    }

    fn compare(&self) -> Result<Pause> {
        let [seen, behind] = [self.mount.path(), self.site.source].map(Tree::read_with_xattrs);
        let behind = behind.context("the directory behind the mount")?;
        let difference = match &seen {
            Ok(seen) if seen.hash() == behind.hash() => {
                seen.difference(&behind, ["through the mount", "behind it"])
            }
            Ok(seen) => Some(
                seen.difference(&behind, ["through the mount", "behind it"])
                    .unwrap_or_else(|| "the hashes differ".to_owned()),
            ),
            Err(error) => Some(format!("through the mount: {error:#}")),
        };
        Ok(Pause {
            entries: behind.len(),
            difference,
            rest: Rest::default(),
        })
    }

    /// Makes the kernel drop what it caches of the mount, and waits until all is as it was `before`, or will
    /// not be.
    fn rest(&self, before: &Rest) -> Result<Rest> {
        let mut rest = Rest::default();
        poll_until(Instant::now() + REST_LIMIT, || {
            if let Some(cgroup) = self.cgroup {
                // An inode whose pages are cached stays.
                cgroup.reclaim();
            }
            // A remount shrinks the caches of names and inodes of this file system, and of no other.
            mount_remount(self.mount.path(), MountFlags::empty(), "")
                .context("cannot make the kernel drop its caches of the mount")?;
            rest = self.rest_now()?;
            Ok(rest.waiting == 0
                && rest.inodes <= before.inodes
                && rest.open_files <= before.open_files
                && rest.descriptors <= before.descriptors)
        })?;
        Ok(rest)
    }

    fn rest_now(&self) -> Result<Rest> {
        let statistics = self.mount.statistics()?;
        Ok(Rest {
            waiting: self.fusectl.waiting(self.connection)?,
            inodes: statistics.inodes,
            open_files: statistics.open_files,
            descriptors: self.descriptors()?,
        })
    }
}

/// A figure of `/proc/PID/status` (proc_pid_status(5)).
fn kibibytes(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_memory_of_a_process() {
        let status = "Name:\tx\nVmRSS:\t  3000 kB\nRssAnon:\t 1024 kB\n";
        assert_eq!(kibibytes(status, "RssAnon:"), Some(1024));
        assert_eq!(kibibytes(status, "RssFile:"), None);
    }

    #[test]
    fn long_runs_have_more_rounds() {
        assert_eq!(rounds(Duration::from_secs(6)), 6);
        assert_eq!(rounds(Duration::from_secs(1800)), 15);
    }
}
