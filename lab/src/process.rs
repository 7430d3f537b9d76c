//! Running a program with a deadline.

use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, kill_process_group, pidfd_open, wait,
};

/// How long a killed process may take to go; longer means that it hangs in the kernel.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// What a program did.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Exit status, or 128 + signal; `None` when the deadline passed first.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Finished {
    /// Exit status 0 within the deadline.
    pub fn success(&self) -> bool {
        self.code == Some(0)
    }

    /// How it ended, in words.
    pub fn ending(&self) -> String {
        match self.code {
            None => "did not end in time".to_owned(),
            Some(code) => format!("exit status {code}"),
        }
    }
}

/// Runs `command` and kills it, with all that it started, when it takes longer than `limit`.
///
/// # Errors
///
/// When the program cannot be started, or does not go away when killed.
pub fn run(command: &mut Command, limit: Duration) -> Result<Finished> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let stdout = child.stdout.take().map(collect);
    let stderr = child.stderr.take().map(collect);
    let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    let in_time = ends_within(&pidfd, limit)?;
    if !in_time {
        // The whole group: a suite's own children hold the pipes open.
        let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
        if !ends_within(&pidfd, GRACE)? {
            bail!(
                "{} (process {}) cannot be killed: it hangs in a system call",
                command.get_program().display(),
                child.id()
            );
        }
    }
    let status = child.wait()?;
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    Ok(Finished {
        code: code.filter(|_| in_time),
        stdout: join(stdout),
        stderr: join(stderr),
    })
}

/// True when the process ended within `limit`.
pub(crate) fn ends_within(pidfd: &impl AsFd, limit: Duration) -> Result<bool> {
    let timeout = Timespec::try_from(limit).context("limit out of range")?;
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    Ok(poll(&mut fds, Some(&timeout))? > 0)
}

/// The letter for what a task does (proc_pid_stat(5)), by its directory in /proc; `None` when it is
/// gone.
pub(crate) fn task_state(task: &Path) -> Option<char> {
    let stat = fs::read_to_string(task.join("stat")).ok()?;
    // The name is in parentheses and may have blanks and parentheses of its own.
    stat.rsplit_once(") ")?.1.chars().next()
}

/// The directories in /proc of all tasks that can be seen.
pub(crate) fn tasks() -> impl Iterator<Item = PathBuf> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.flat_map(|process| {
        let tasks = fs::read_dir(process.path().join("task"));
        tasks
            .into_iter()
            .flatten()
            .flatten()
            .map(|task| task.path())
    })
}

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(2);

/// Waits until `condition` holds; false when it does not by `deadline`.
pub(crate) fn poll_until(
    deadline: Instant,
    mut condition: impl FnMut() -> Result<bool>,
) -> Result<bool> {
    loop {
        if condition()? {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        thread::sleep(POLL);
    }
}

/// Waits for all children, those that it got as orphans included, until this one has ended: the work of the
/// first process of a PID namespace.
///
/// # Errors
///
/// When there is no child left before.
pub(crate) fn reap_until_end_of(child: &Child) -> Result<WaitStatus> {
    let child = Pid::from_child(child);
    loop {
        if let Some((pid, status)) = wait(WaitOptions::empty())?
            && pid == child
        {
            return Ok(status);
        }
    }
}

fn collect(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn join(reader: Option<JoinHandle<String>>) -> String {
    reader
        .and_then(|reader| reader.join().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn collects_both_streams_and_the_status() {
        let finished = run(
            Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]),
            Duration::from_secs(10),
        )
        .unwrap();
        assert_eq!(finished.code, Some(3));
        assert_eq!(
            (finished.stdout.as_str(), finished.stderr.as_str()),
            ("out\n", "err\n")
        );
    }

    #[test]
    fn kills_what_is_late_with_its_children() {
        let start = Instant::now();
        let finished = run(
            Command::new("sh").args(["-c", "sleep 60 & echo begun; wait"]),
            Duration::from_millis(300),
        )
        .unwrap();
        assert_eq!(finished.code, None);
        assert_eq!(finished.stdout, "begun\n");
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}
