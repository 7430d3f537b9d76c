//! A server that runs while a suite talks to it.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::process::{GRACE, ends_within, poll_until};

/// A running server. Killed when dropped, with all processes of its group.
#[derive(Debug)]
pub(crate) struct Service {
    child: Child,
    log: PathBuf,
}

impl Service {
    /// Starts `command`, which stays in the foreground and leaves its children in its process group, and
    /// waits until it listens on `port` of the loopback. What it prints goes to the file `log`.
    ///
    /// # Errors
    ///
    /// When it cannot be started, ends, or does not listen within `limit`; with the end of the log.
    pub(crate) fn start(
        command: &mut Command,
        port: u16,
        log: &Path,
        limit: Duration,
    ) -> Result<Self> {
        let name = command.get_program().display().to_string();
        let file = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let mut service = Service {
            child,
            log: log.to_owned(),
        };
        let listens = poll_until(Instant::now() + limit, || {
            if TcpStream::connect(loopback(port)).is_ok() {
                return Ok(true);
            }
            if let Some(status) = service.child.try_wait()? {
                bail!("{name} ended ({status}): {}", service.said());
            }
            Ok(false)
        })?;
        if !listens {
            bail!(
                "{name} does not listen on port {port} after {limit:?}: {}",
                service.said()
            );
        }
        Ok(service)
    }

    fn said(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.trim_end().lines().collect();
        lines[lines.len().saturating_sub(5)..].join("; ")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let pid = Pid::from_child(&self.child);
        let pidfd = pidfd_open(pid, PidfdFlags::empty());
        for signal in [Signal::TERM, Signal::KILL] {
            let _ = kill_process_group(pid, signal);
            let ended = pidfd.as_ref().map(|pidfd| ends_within(pidfd, GRACE));
            if matches!(ended, Ok(Ok(true))) {
                break;
            }
        }
        // Children of its own outlive a server that ends first; the group is not reused before the
        // server is waited for.
        let _ = kill_process_group(pid, Signal::KILL);
        let _ = self.child.try_wait();
    }
}

/// A port of the loopback that nothing listens on.
///
/// # Errors
///
/// When there is none.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(loopback(0)).context("no port of the loopback is free")?;
    Ok(listener.local_addr()?.port())
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn a_server_that_ends_is_an_error_with_what_it_said() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no configuration >&2; exit 3"]);
        let port = free_port().unwrap();
        let error = Service::start(&mut command, port, &dir.path().join("log"), LIMIT);
        let text = error.unwrap_err().to_string();
        assert!(text.contains("no configuration"), "{text}");
    }

    #[test]
    fn children_of_a_server_end_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind(loopback(0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & echo $!; wait"]);
        let log = dir.path().join("log");
        let service = Service::start(&mut command, port, &log, LIMIT).unwrap();
        let child = || std::fs::read_to_string(&log).unwrap().trim().parse();
        assert!(poll_until(Instant::now() + LIMIT, || Ok(child().is_ok())).unwrap());
        let child = Pid::from_raw(child().unwrap()).unwrap();
        let child = pidfd_open(child, PidfdFlags::empty()).unwrap();
        drop(service);
        assert!(ends_within(&child, LIMIT).unwrap());
    }
}
