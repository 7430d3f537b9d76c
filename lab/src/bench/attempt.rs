//! One turn, with a deadline: a contestant that hangs must not hang the run.

use std::fs;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::meter::Meter;
use crate::workload::{Budget, Caches, Room, Sample, Turn, Workload};

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
                // 2 drops dentries and inodes and keeps pages (proc_sys_vm(5)).
                fs::write("/proc/sys/vm/drop_caches", "2").context("cannot drop names")?;
            }
            attempt.everybody.wait_until_idle()
        })
    }

    /// The timed part.
    pub(super) fn run(&self) -> Result<Sample> {
        let attempt = self.clone();
        self.with_deadline("the turn", move || {
            let mut turn = Turn::new(attempt.budget, &attempt.meter);
            (attempt.workload.run)(&attempt.room, &mut turn)?;
            turn.finish()
        })
    }

    /// On a thread of its own: a system call on a mount that does not answer cannot be interrupted,
    /// but ends with an error when the daemon is killed.
    fn with_deadline<T: Send + 'static>(
        &self,
        what: &str,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, receiver) = mpsc::channel();
        thread::Builder::new()
            .name(self.workload.name.to_owned())
            .spawn(move || sender.send(work()))?;
        if let Ok(result) = receiver.recv_timeout(LIMIT) {
            return result;
        }
        for &daemon in self.meter.daemons() {
            kill(daemon);
        }
        if receiver.recv_timeout(GRACE).is_err() {
            bail!("{what} hangs, also without its daemon: the run cannot go on");
        }
        bail!("{what} did not end within {LIMIT:?}; its daemon was killed")
    }
}

fn kill(pid: Pid) {
    // It may have died of what it hung in.
    let _ = kill_process(pid, Signal::KILL);
}
