//! The agent's work: reads jobs, does them, tells.

use std::fs;
use std::io::{BufRead, Write};
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::protocol::{Command, Event, Job, PROTOCOL, Step, StepOutcome, Workloads, hear, say};
use super::{power, stuck, xfstests};
use crate::bench::result::Bench;
use crate::bench::{Plan, Site};
use crate::image::Image;
use crate::namespace::{self, WORKPLACE};
use crate::paths::Paths;
use crate::progress::Progress;
use crate::suites::Programs;
use crate::volumes::{Manner, Volumes};
use crate::workload;

/// How often the agent says that it lives.
const ALIVE: Duration = Duration::from_secs(5);

/// Where the file systems and the programs are.
#[derive(Debug, Clone)]
pub enum Ground {
    /// This machine: the file systems are made in files.
    Host {
        /// The command under test.
        command: PathBuf,
    },
    /// A guest: the file systems are on disks.
    Disks {
        /// For ext4, behind the mounts, and to cross to.
        disks: [PathBuf; 3],
        /// The directory with the command under test and the suites.
        programs: PathBuf,
        /// With a tree of xfstests, if a job is to run that.
        xfstests: PathBuf,
    },
}

type Stream = Arc<Mutex<Box<dyn Write + Send>>>;

fn tell(stream: &Stream, event: &Event) -> Result<()> {
    let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
    say(stream.as_mut(), event)
}

/// Does the jobs that it reads. Returns when there are no more.
///
/// # Errors
///
/// When the lab is gone, or speaks another language.
pub fn serve(
    mut from: impl BufRead + Send + 'static,
    to: impl Write + Send + 'static,
    ground: Ground,
) -> Result<()> {
    let to: Stream = Arc::new(Mutex::new(Box::new(to)));
    let kernel = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    tell(
        &to,
        &Event::Hello {
            protocol: PROTOCOL,
            kernel,
        },
    )?;
    let Some(Command::Job(first)) = hear(&mut from)? else {
        bail!("the first thing said was no job");
    };
    ensure!(
        first.protocol == PROTOCOL,
        "the lab speaks version {} of the language, this agent {PROTOCOL}",
        first.protocol
    );
    let jobs = listen(from, Arc::clone(&to));
    beat(Arc::clone(&to));
    if let Ground::Disks { .. } = ground {
        namespace::prepare_workplace()?;
    }
    let worker = Worker::new(&first, ground, &to)?;
    for job in iter::once(first).chain(jobs) {
        for step in &job.steps {
            worker.tell_of(step)?;
        }
        tell(&to, &Event::Done)?;
    }
    Ok(())
}

/// Answers what the lab says during the work, and passes on further jobs, until there are no more.
fn listen(mut from: impl BufRead + Send + 'static, to: Stream) -> Receiver<Job> {
    let (sender, jobs) = channel();
    thread::spawn(move || {
        while let Ok(Some(command)) = hear(&mut from) {
            match command {
                Command::Dump => {
                    let text = stuck::report();
                    let _ = tell(&to, &Event::Log { text });
                }
                Command::Job(job) => {
                    if sender.send(job).is_err() {
                        return;
                    }
                }
                Command::Off => return,
            }
        }
    });
    jobs
}

fn beat(to: Stream) {
    thread::spawn(move || {
        let mut before = processor_time();
        loop {
            thread::sleep(ALIVE);
            let now = processor_time();
            let busy = busy_share(before, now);
            before = now;
            if tell(&to, &Event::Alive { busy }).is_err() {
                return;
            }
        }
    });
}

/// Idle and total time of all processors, in ticks (proc_stat(5)).
fn processor_time() -> (u64, u64) {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<u64> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .filter_map(|word| word.parse().ok())
        .collect();
    // Idle, and idle while a disk works.
    let idle = fields.iter().skip(3).take(2).sum();
    (idle, fields.iter().take(8).sum())
}

fn busy_share(before: (u64, u64), now: (u64, u64)) -> f64 {
    let total = now.1.saturating_sub(before.1);
    let idle = now.0.saturating_sub(before.0);
    if total == 0 {
        return 0.0;
    }
    1.0 - idle as f64 / total as f64
}

struct Worker {
    volumes: Volumes,
    programs: Programs,
    ground: Ground,
    to: Stream,
}

impl Worker {
    fn new(job: &Job, ground: Ground, to: &Stream) -> Result<Self> {
        let manner = Manner {
            quick: job.quick,
            patience: job.patience,
            cuts: job.cuts,
        };
        let (volumes, mut programs) = match &ground {
            Ground::Host { command } => {
                let paths = Paths::discover();
                (
                    Volumes::in_files(&paths, command, false, manner)?,
                    Programs::of(&paths),
                )
            }
            Ground::Disks {
                disks, programs, ..
            } => {
                let disks = disks.each_ref().map(PathBuf::as_path);
                (
                    Volumes::on_disks(disks, &programs.join("dynamicfs"), manner)?,
                    Programs::in_directory(programs),
                )
            }
        };
        programs.xfstests.clone_from(&job.xfstests);
        if let (Some(given), Ground::Disks { xfstests, .. }) = (&mut programs.xfstests, &ground) {
            given.tree = xfstests::set_up(xfstests)?;
        }
        Ok(Worker {
            volumes,
            programs,
            ground,
            to: Arc::clone(to),
        })
    }

    /// Does a step, and tells of its begin and its end.
    fn tell_of(&self, step: &Step) -> Result<()> {
        tell(&self.to, &Event::Started { step: step.key() })?;
        let start = Instant::now();
        let outcome = self
            .perform(step)
            .unwrap_or_else(|error| StepOutcome::Failed(format!("{error:#}")));
        let finished = Event::Finished {
            step: step.key(),
            outcome,
            seconds: start.elapsed().as_secs_f64(),
        };
        tell(&self.to, &finished)
    }

    fn perform(&self, step: &Step) -> Result<StepOutcome> {
        Ok(match step {
            Step::Capabilities(preset) => {
                StepOutcome::Capabilities(self.volumes.capabilities(*preset)?)
            }
            Step::Cell(cell) => StepOutcome::Suite(self.volumes.run(cell, &self.programs)?),
            Step::Workloads(loops) => StepOutcome::Workloads(Box::new(self.workloads(loops)?)),
            Step::PowerWrite(write) => {
                let told = |event| tell(&self.to, &Event::Power(event));
                match power::write(&self.volumes, write, &told)? {}
            }
            Step::PowerVerify(verify) => StepOutcome::Losses(power::verify(&self.volumes, verify)?),
        })
    }

    fn workloads(&self, loops: &Workloads) -> Result<Bench> {
        let site = match &self.ground {
            Ground::Host { .. } => Site::image(&Paths::discover())?,
            // The disk of the presets, mounted a second time: all contestants work on one file system.
            Ground::Disks { disks, .. } => {
                let work = Path::new(WORKPLACE);
                let image = Image::mount(&disks[1], &work.join("bench"))?;
                Site::of(image, &work.join("mnt"), "a virtual disk")
            }
        };
        let mut plan = Plan::new(
            self.volumes.command(),
            &loops.presets,
            workload::select(&loops.names)?,
            loops.settings.quick,
            &namespace::scratch(),
        )?;
        plan.settings = loops.settings.clone();
        plan.version.clone_from(&loops.version);
        plan.command.clone_from(&loops.command);
        plan.run(&site, &Progress::new(plan.steps()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_is_what_is_not_idle() {
        assert!((busy_share((100, 200), (150, 300)) - 0.5).abs() < 1e-9);
        assert!(busy_share((1, 2), (1, 2)).abs() < 1e-9);
    }
}
