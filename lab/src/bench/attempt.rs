//! One turn, with a deadline: a contestant that hangs must not hang the run.

use std::fs;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::cpu_latency;
use super::gate::gate;
use super::mounted::Mounted;
use super::requests::{Counts, RequestCounter, Requests, Tracer};
use crate::meter::Meter;
use crate::workload::{Budget, Caches, Room, Sample, Turn, Watcher, Workload};

/// The longest turn is a whole build on the slowest contestant: some 20 s here.
const LIMIT: Duration = Duration::from_secs(180);

/// A turn whose mount is gone gets errors and ends.
const GRACE: Duration = Duration::from_secs(20);

/// One turn of a contestant.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) workload: Workload,
    pub(super) room: Room,
    pub(super) budget: Budget,
    /// Of this contestant.
    pub(super) meter: Meter,
    /// Of all contestants: what cools one mount makes the daemons of the others forget.
    pub(super) everybody: Meter,
}

impl Attempt {
    /// Brings the caches to where the workload wants them, and waits until nobody is at work.
    pub(super) fn prepare(&self) -> Result<()> {
        let attempt = self.clone();
        self.with_deadline("preparing", move || {
            (attempt.workload.before)(&attempt.room).context("preparing the turn")?;
            attempt.room.settle()?;
            if attempt.workload.caches == Caches::ColdNames {
                // What a mount drops, its daemon is told to forget, and only then lets go of what is
                // behind it.
                drop_names()?;
                attempt.everybody.wait_until_quiet();
                drop_names()?;
            }
            attempt.everybody.wait_until_quiet();
            attempt.meter.wait_until_idle()?;
            cpu_latency::wait_until_lifted();
            Ok(())
        })
    }

    /// The timed part.
    pub(super) fn run(&self) -> Result<Sample> {
        let attempt = self.clone();
        self.with_deadline("the turn", move || attempt.turn(None))
    }

    /// The timed part, with the requests that it cost; `None` where they cannot be counted. What a
    /// workload does between timed parts does not count.
    pub(super) fn run_counted(
        &self,
        mounted: &Mounted,
        tracer: &mut Tracer,
    ) -> Result<(Sample, Option<Counts>)> {
        let (gate, door) = gate();
        let attempt = self.clone();
        let turn = self.start(move || attempt.turn(Some(Box::new(gate))))?;
        let mut total = Some(Counts::new());
        // Ends when the turn drops its side of the gate.
        while door.wait_for_begin(LIMIT) {
            let counter = RequestCounter::start(mounted, tracer)?;
            door.open();
            if !door.wait_for_end(LIMIT) {
                break;
            }
            // Releases follow the operation that caused them.
            self.meter.wait_until_idle()?;
            total = add(total, counter.finish()?);
            door.open();
        }
        // A turn that is late may wait at the gate.
        drop(door);
        Ok((self.end("the turn", &turn)?, total))
    }

    fn turn(&self, watcher: Option<Box<dyn Watcher>>) -> Result<Sample> {
        let mut turn = Turn::new(self.budget, &self.meter);
        if let Some(watcher) = watcher {
            turn = turn.watched_by(watcher);
        }
        (self.workload.run)(&self.room, &mut turn)?;
        turn.finish()
    }

    fn with_deadline<T: Send + 'static>(
        &self,
        what: &str,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.end(what, &self.start(work)?)
    }

    /// On a thread of its own: a system call on a mount that does not answer cannot be interrupted,
    /// but ends with an error when the daemon is killed.
    fn start<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<Receiver<Result<T>>> {
        let (sender, receiver) = mpsc::channel();
        thread::Builder::new()
            .name(self.workload.name.to_owned())
            .spawn(move || sender.send(work()))?;
        Ok(receiver)
    }

    fn end<T>(&self, what: &str, receiver: &Receiver<Result<T>>) -> Result<T> {
        match receiver.recv_timeout(LIMIT) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Disconnected) => bail!("{what} panicked"),
            Err(RecvTimeoutError::Timeout) => {}
        }
        for &daemon in self.meter.daemons() {
            kill(daemon);
        }
        match receiver.recv_timeout(GRACE) {
            Err(RecvTimeoutError::Timeout) => bail!("{what} hangs, also without its daemon"),
            _ => bail!("{what} did not end within {LIMIT:?}; its daemon was killed"),
        }
    }
}

/// 2 drops dentries and inodes and keeps pages (proc_sys_vm(5)).
fn drop_names() -> Result<()> {
    fs::write("/proc/sys/vm/drop_caches", "2").context("cannot drop names")
}

/// Both counts together; none when one of them is not certain.
fn add(total: Option<Counts>, requests: Requests) -> Option<Counts> {
    let mut total = total?;
    for (name, count) in requests.counts()? {
        *total.entry(name).or_default() += count;
    }
    Some(total)
}

fn kill(pid: Pid) {
    // It may have died of what it hung in.
    let _ = kill_process(pid, Signal::KILL);
}
