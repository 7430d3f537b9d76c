//! This machine: the agent as a child, in namespaces of its own.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::guest::{CONSOLE, Guest, Stream};
use crate::namespace::STAGE;

/// This machine.
#[derive(Debug, Clone)]
pub struct Host {
    /// The agent.
    pub agent: PathBuf,
    /// The command under test.
    pub command: PathBuf,
}

impl Host {
    /// Starts the agent. Its standard error is the console, in `room`.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start(&self, room: &Path) -> Result<Guest> {
        let console = room.join(CONSOLE);
        let mut child = Command::new(&self.agent)
            .arg("--host")
            .arg(&self.command)
            // Namespaces within those of the lab.
            .env_remove(STAGE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&console)?)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", self.agent.display()))?;
        let stream = Stream {
            to: Box::new(child.stdin.take().context("no way to the agent")?),
            from: Box::new(child.stdout.take().context("no way from the agent")?),
        };
        Ok(Guest::new(child, stream, &console))
    }
}
