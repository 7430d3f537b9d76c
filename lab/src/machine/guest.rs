//! A machine that runs.

use std::fmt;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use anyhow::Result;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::process::{GRACE, ends_within};

/// Name of the file with what a guest prints, in its room. One that starts there again goes on in it.
pub const CONSOLE: &str = "console.log";

/// The way to an agent and back.
pub struct Stream {
    /// Commands go in here.
    pub to: Box<dyn Write + Send>,
    /// Events come out here.
    pub from: Box<dyn Read + Send>,
}

impl Stream {
    /// To a machine without an agent.
    pub(super) fn nowhere() -> Self {
        Stream {
            to: Box::new(std::io::sink()),
            from: Box::new(std::io::empty()),
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream")
    }
}

/// A machine that runs. Killed when dropped, with all that it started.
#[derive(Debug)]
pub struct Guest {
    child: Child,
    console: PathBuf,
    stream: Option<Stream>,
}

impl Guest {
    /// `child` leads a process group of its own.
    pub fn new(child: Child, stream: Stream, console: &Path) -> Self {
        Guest {
            child,
            console: console.to_owned(),
            stream: Some(stream),
        }
    }

    /// The way to the agent. Handed over once.
    pub(super) fn take_stream(&mut self) -> Option<Stream> {
        self.stream.take()
    }

    /// What the kernel and the first processes printed so far.
    pub fn console(&self) -> String {
        let bytes = std::fs::read(&self.console).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until it has turned itself off; says how it ended.
    ///
    /// # Errors
    ///
    /// When it has not within `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<String> {
        let pidfd = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty())?;
        if !ends_within(&pidfd, limit)? {
            anyhow::bail!("still running after {limit:?}");
        }
        Ok(self.child.wait()?.to_string())
    }

    /// How it ended, when it has.
    pub(super) fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok()??;
        Some(status.to_string())
    }

    /// Ends it at once, as a power failure would.
    pub fn kill(&mut self) {
        if self.ended().is_some() {
            return;
        }
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.wait(GRACE);
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.kill();
    }
}
