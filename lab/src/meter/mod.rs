//! CPU time and memory of a contestant: of the loop (this process and the programs that it waited
//! for) and of the daemons that serve the mount.

mod sys;

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

/// A daemon that is still at work after this time does more than tidy up.
const IDLE_LIMIT: Duration = Duration::from_secs(20);

/// How long the clocks of the daemons must stand still.
const IDLE: Duration = Duration::from_millis(2);

/// CPU seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    /// Of this process and the programs that it waited for.
    pub client: f64,
    /// Of the daemons.
    pub daemon: f64,
}

impl Cpu {
    /// What was spent since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Cpu) -> Cpu {
        Cpu {
            client: self.client - earlier.client,
            daemon: self.daemon - earlier.daemon,
        }
    }

    /// Of both.
    pub fn total(self) -> f64 {
        self.client + self.daemon
    }
}

/// Reads the clocks of this process and of the daemons.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    daemons: Vec<Pid>,
}

impl Meter {
    /// For a mount that these processes serve; none for a native directory.
    pub fn new(daemons: Vec<Pid>) -> Self {
        Meter { daemons }
    }

    /// For several mounts together.
    pub fn of_all<'a>(meters: impl IntoIterator<Item = &'a Meter>) -> Self {
        Meter {
            daemons: meters
                .into_iter()
                .flat_map(|meter| meter.daemons.iter().copied())
                .collect(),
        }
    }

    /// The processes.
    pub fn daemons(&self) -> &[Pid] {
        &self.daemons
    }

    /// CPU time so far.
    ///
    /// # Errors
    ///
    /// When a daemon is gone.
    pub fn cpu(&self) -> Result<Cpu> {
        let own = sys::cpu_time(rustix::process::getpid())? + sys::cpu_time_of_children()?;
        Ok(Cpu {
            client: own.as_secs_f64(),
            daemon: self.daemon_time()?.as_secs_f64(),
        })
    }

    fn daemon_time(&self) -> Result<Duration> {
        self.daemons
            .iter()
            .map(|&pid| {
                sys::cpu_time(pid)
                    .with_context(|| format!("daemon {} is gone", pid.as_raw_nonzero()))
            })
            .sum()
    }

    /// Waits until the daemons have nothing left to do: what the kernel told them to forget, what
    /// they close behind an answer.
    ///
    /// # Errors
    ///
    /// When they are still at work after 20 s, or one is gone.
    pub fn wait_until_idle(&self) -> Result<()> {
        if !stands_still(|| self.daemon_time())? {
            bail!("a daemon is still at work {IDLE_LIMIT:?} after its last request");
        }
        Ok(())
    }

    /// The same where it is about the daemons of others: one that is gone is quiet, and one that is
    /// never quiet is waited for in vain, because the reason is told in a turn of its own.
    pub fn wait_until_quiet(&self) {
        let clocks = self.daemons.iter();
        let time = || {
            Ok(clocks
                .clone()
                .filter_map(|&pid| sys::cpu_time(pid).ok())
                .sum())
        };
        let _ = stands_still(time);
    }

    /// Begins the measuring of [`Meter::peak_memory`] anew.
    ///
    /// # Errors
    ///
    /// When a daemon is gone.
    pub fn reset_peak_memory(&self) -> Result<()> {
        for pid in &self.daemons {
            // 5 resets the peak of the resident set (proc_pid_clear_refs(5)).
            fs::write(format!("/proc/{}/clear_refs", pid.as_raw_nonzero()), "5")?;
        }
        Ok(())
    }

    /// Largest resident set of the daemons together since the last reset, bytes; `None` without a
    /// daemon.
    ///
    /// # Errors
    ///
    /// When a daemon is gone.
    pub fn peak_memory(&self) -> Result<Option<u64>> {
        let mut total = None;
        for pid in &self.daemons {
            let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()))?;
            let kib = high_water_mark(&status).context("no VmHWM in the status of a process")?;
            *total.get_or_insert(0) += kib * 1024;
        }
        Ok(total)
    }
}

/// Waits until a clock stands still; false when it still runs after [`IDLE_LIMIT`].
fn stands_still(time: impl Fn() -> Result<Duration>) -> Result<bool> {
    let deadline = Instant::now() + IDLE_LIMIT;
    let mut last = time()?;
    while Instant::now() <= deadline {
        std::thread::sleep(IDLE);
        let now = time()?;
        if now == last {
            return Ok(true);
        }
        last = now;
    }
    Ok(false)
}

/// The field `VmHWM`, KiB (proc_pid_status(5)).
fn high_water_mark(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn computing_costs_cpu_time_of_the_client_and_of_children() {
        let meter = Meter::default();
        let start = meter.cpu().unwrap();
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(20) {
            std::hint::spin_loop();
        }
        let own = meter.cpu().unwrap();
        assert!(own.since(start).client > 0.001, "{start:?} {own:?}");
        let script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done";
        Command::new("sh").args(["-c", script]).status().unwrap();
        let all = meter.cpu().unwrap();
        assert!(all.since(own).client > 0.001, "{own:?} {all:?}");
        assert_eq!(all.daemon, 0.0);
        assert_eq!(meter.peak_memory().unwrap(), None);
    }

    #[test]
    fn a_daemon_is_idle_when_its_clock_stands_still() {
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let meter = Meter::new(vec![Pid::from_child(&child)]);
        meter.wait_until_idle().unwrap();
        assert!(meter.cpu().unwrap().daemon > 0.0);
        assert!(meter.peak_memory().unwrap() > Some(1 << 12));
        child.kill().unwrap();
        child.wait().unwrap();
        let error = meter.cpu().unwrap_err().to_string();
        assert!(error.contains("is gone"), "{error}");
    }

    #[test]
    fn reads_the_high_water_mark() {
        let status = "Name:\tx\nVmHWM:\t    1234 kB\nVmRSS:\t 1 kB\n";
        assert_eq!(high_water_mark(status), Some(1234));
        assert_eq!(high_water_mark("Name:\tx\n"), None);
    }
}
