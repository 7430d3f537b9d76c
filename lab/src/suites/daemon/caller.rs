//! A caller as whoever started it sees it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::process::Signal;

use super::call::{Call, Said};
use crate::process::poll_until;

/// A caller. Killed when dropped.
pub(super) struct Caller {
    pub(super) call: Call,
    child: Child,
    stdin: ChildStdin,
    said: Receiver<Said>,
    durable: usize,
    failed: Option<i32>,
}

/// How a caller ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// A call failed.
    Error(Errno),
    /// A signal.
    Signal(i32),
}

impl End {
    /// Whether that is how callers of a dead daemon end.
    pub(super) fn is_expected(self, call: Call) -> bool {
        match self {
            End::Error(error) => [Errno::NOTCONN, Errno::CONNABORTED, Errno::IO].contains(&error),
            // A page that cannot be read (mmap(2)).
            End::Signal(signal) => call == Call::Mmap && signal == Signal::BUS.as_raw(),
        }
    }
}

impl Caller {
    /// Starts `program`, the suite's, as a caller in `directory`, and waits until it is ready.
    pub(super) fn start(
        program: &Path,
        call: Call,
        directory: &Path,
        limit: Duration,
    ) -> Result<Self> {
        let mut child = Command::new(program)
            .args(["--call", call.name(), "--dir"])
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (sender, said) = channel();
        thread::spawn(move || {
            let lines = stdout
                .into_iter()
                .flat_map(|out| BufReader::new(out).lines());
            for line in lines.map_while(Result::ok) {
                let Ok(said) = serde_json::from_str(&line) else {
                    return;
                };
                if sender.send(said).is_err() {
                    return;
                }
            }
        });
        let caller = Caller {
            call,
            child,
            stdin: stdin.context("no standard input")?,
            said,
            durable: 0,
            failed: None,
        };
        match caller.hear(Instant::now() + limit)? {
            Some(Said::Ready) => Ok(caller),
            other => bail!("the caller {} is not ready but {other:?}", call.name()),
        }
    }

    /// Lets it call.
    pub(super) fn go(&mut self) -> Result<()> {
        Ok(self.stdin.write_all(b"\n")?)
    }

    /// Whether its process runs, without a call that failed.
    pub(super) fn is_calling(&mut self) -> Result<bool> {
        while let Ok(said) = self.said.try_recv() {
            self.note(said);
        }
        Ok(self.failed.is_none() && self.child.try_wait()?.is_none())
    }

    /// How many blocks it said are durable.
    pub(super) fn durable(&mut self) -> Result<usize> {
        self.is_calling()?;
        Ok(self.durable)
    }

    /// How it ends, at the latest at `deadline`.
    pub(super) fn end(&mut self, deadline: Instant) -> Result<Option<End>> {
        while self.failed.is_none() {
            match self.hear(deadline)? {
                Some(said) => self.note(said),
                // It says no more: it is ending, or the time is up.
                None => break,
            }
        }
        if let Some(number) = self.failed {
            return Ok(Some(End::Error(Errno::from_raw_os_error(number))));
        }
        if !poll_until(deadline, || Ok(self.child.try_wait()?.is_some()))? {
            return Ok(None);
        }
        let status = self.child.wait()?;
        match status.signal() {
            Some(signal) => Ok(Some(End::Signal(signal))),
            None => bail!("the caller {} ended by itself: {status}", self.call.name()),
        }
    }

    fn note(&mut self, said: Said) {
        match said {
            Said::Durable(durable) => self.durable = durable,
            Said::Failed(number) => self.failed = Some(number),
            Said::Ready => {}
        }
    }

    /// What it says next; `None` when it says no more, or not by `deadline`.
    fn hear(&self, deadline: Instant) -> Result<Option<Said>> {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.said.recv_timeout(left) {
            Ok(said) => Ok(Some(said)),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Ok(None),
        }
    }

    /// Kills it; false when it is still there at `deadline`.
    pub(super) fn kill(&mut self, deadline: Instant) -> Result<bool> {
        // It may have ended by itself.
        let _ = self.child.kill();
        poll_until(deadline, || Ok(self.child.try_wait()?.is_some()))
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let _ = self.kill(Instant::now() + crate::process::GRACE);
    }
}
