//! The processes that serve a mount: who they are, and waiting for their end.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::process::{self, GRACE};

/// What daemons read requests from.
const DEVICE: &str = "/dev/fuse";

/// A process that mounts and leaves the serving to another one has ended this long after the first
/// answer.
const SETTLING: Duration = Duration::from_secs(1);

/// How often a condition is looked at.
pub(super) const POLL: Duration = Duration::from_millis(2);

/// The processes that serve one mount.
#[derive(Debug, Default)]
pub(super) struct Daemons(Vec<(Pid, OwnedFd)>);

impl Daemons {
    /// Of a mount that answers, made since `before`. `starter` is the process that made it, if that
    /// may still run: either it serves the mount itself, or it is about to end.
    ///
    /// # Errors
    ///
    /// When no process holds the device for this mount.
    pub(super) fn find(
        connection: u32,
        before: &[Holder],
        mut starter: Option<&mut Child>,
    ) -> Result<Self> {
        let deadline = Instant::now() + SETTLING;
        loop {
            let pids = serving(&holders()?, connection, before);
            let settled = match &mut starter {
                Some(child) if pids.contains(&Pid::from_child(child)) => {
                    pids.len() == 1 && child.try_wait()?.is_none()
                }
                _ => !pids.is_empty(),
            };
            let late = Instant::now() > deadline;
            if late && pids.is_empty() {
                bail!("the mount answers, but no process holds {DEVICE} open for it");
            }
            if settled || late {
                return Daemons::open(&pids);
            }
            thread::sleep(POLL);
        }
    }

    fn open(pids: &[Pid]) -> Result<Self> {
        pids.iter()
            .map(|&pid| {
                let pidfd = pidfd_open(pid, PidfdFlags::empty())
                    .with_context(|| format!("daemon {pid} is gone"))?;
                Ok((pid, pidfd))
            })
            .collect::<Result<_>>()
            .map(Daemons)
    }

    /// Their numbers.
    pub(super) fn pids(&self) -> Vec<Pid> {
        self.0.iter().map(|(pid, _)| *pid).collect()
    }

    /// Waits until all have ended, as they do when their mount is gone.
    ///
    /// # Errors
    ///
    /// When one is still there after 10 s; it is killed.
    pub(super) fn wait_for_end(&self) -> Result<()> {
        let deadline = Instant::now() + GRACE;
        for (pid, pidfd) in &self.0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if !process::ends_within(pidfd, left)? {
                self.kill();
                bail!("process {pid} was still there {GRACE:?} after the unmount, and was killed");
            }
        }
        Ok(())
    }

    /// Ends those that are left, and waits for it.
    pub(super) fn kill(&self) {
        for (_, pidfd) in &self.0 {
            // Most often it has ended by itself.
            let _ = pidfd_send_signal(pidfd, Signal::KILL);
        }
        for (_, pidfd) in &self.0 {
            let _ = process::ends_within(pidfd, GRACE);
        }
    }
}

/// A process with the device open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holder {
    pid: Pid,
    /// Device number of the mount, where the kernel tells it and there is a mount.
    connection: Option<u32>,
}

/// All that have the device open, once for each descriptor.
pub(super) fn holders() -> io::Result<Vec<Holder>> {
    holders_of(Path::new(DEVICE))
}

fn holders_of(device: &Path) -> io::Result<Vec<Holder>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(parse_pid) else {
            continue;
        };
        // A process that ends meanwhile holds nothing.
        let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
            continue;
        };
        for descriptor in descriptors.flatten() {
            if fs::read_link(descriptor.path()).is_ok_and(|path| path == device) {
                let number = descriptor.file_name();
                let info = Path::new("/proc")
                    .join(format!("{pid}/fdinfo"))
                    .join(number);
                let connection = parse_connection(&fs::read_to_string(info).unwrap_or_default());
                found.push(Holder { pid, connection });
            }
        }
    }
    Ok(found)
}

fn parse_pid(name: &str) -> Option<Pid> {
    Pid::from_raw(name.parse().ok()?)
}

/// The line `fuse_connection` of newer kernels (`fuse_dev_show_fdinfo` in `fs/fuse/dev.c`).
fn parse_connection(fdinfo: &str) -> Option<u32> {
    fdinfo
        .lines()
        .find_map(|line| line.strip_prefix("fuse_connection:"))?
        .trim()
        .parse()
        .ok()
}

/// Those that serve `connection`, or may as far as the kernel tells. Who had it open `before` the
/// mount does not: a daemon may outlive its mount, whose number is given to the next one.
fn serving(holders: &[Holder], connection: u32, before: &[Holder]) -> Vec<Pid> {
    let mut pids = Vec::new();
    for holder in holders {
        let serves = holder.connection.is_none_or(|told| told == connection);
        let pid = holder.pid;
        if serves && !before.contains(holder) && !pids.contains(&pid) && !is_fusermount(pid) {
            pids.push(pid);
        }
    }
    pids
}

/// fusermount hands the device over to the daemon, and may stay in order to unmount.
fn is_fusermount(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("fusermount"))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::process::{Command, Stdio};

    use super::*;

    fn pid(raw: i32) -> Pid {
        Pid::from_raw(raw).unwrap()
    }

    #[test]
    fn finds_who_has_a_file_open() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().canonicalize().unwrap();
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(File::options().append(true).open(&path).unwrap())
            .spawn()
            .unwrap();
        let holder = Holder {
            pid: Pid::from_child(&child),
            connection: None,
        };
        let found = holders_of(&path).unwrap();
        assert!(found.contains(&holder), "{found:?}");
        let daemons = Daemons::open(&[holder.pid]).unwrap();
        daemons.kill();
        daemons.wait_for_end().unwrap();
        child.wait().unwrap();
        assert!(!holders_of(&path).unwrap().contains(&holder));
    }

    #[test]
    fn a_process_serves_what_the_kernel_says_or_what_is_new() {
        // Numbers beyond the kernel's greatest (2^22): no such process has a name.
        let holder = |raw, connection| Holder {
            pid: pid(raw),
            connection,
        };
        let (ours, other, unknown, earlier) = (5_000_001, 5_000_002, 5_000_003, 5_000_004);
        let before = [holder(earlier, None), holder(earlier, Some(45))];
        let mut now = vec![
            holder(ours, Some(45)),
            holder(ours, Some(45)),
            holder(other, Some(46)),
            holder(unknown, None),
        ];
        now.extend(before);
        assert_eq!(serving(&now, 45, &before), [pid(ours), pid(unknown)]);
    }

    #[test]
    fn reads_the_connection() {
        assert_eq!(
            parse_connection("pos:\t0\nfuse_connection:\t39\n"),
            Some(39)
        );
        assert_eq!(parse_connection("pos:\t0\n"), None);
    }
}
