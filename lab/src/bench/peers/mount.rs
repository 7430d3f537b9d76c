//! A mount that a peer's own command made.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tempfile::TempDir;

use super::command::{EMPTY, MOUNTPOINT, SOURCE, WORK};
use super::{Peer, Ready};
use crate::bench::daemons::{Daemons, POLL};
use crate::process::{self, GRACE};
use crate::target::filesystem_at;

/// A mount appears within milliseconds; a machine under load takes longer.
const LIMIT: Duration = Duration::from_secs(10);

/// Exit status of umount(8) when the mount is in use, among other failures to unmount.
const UNMOUNT_FAILED: i32 = 32;

/// A mount, and the process that made it. Both are gone when dropped.
#[derive(Debug)]
pub(in crate::bench) struct PeerMount {
    child: Child,
    /// What the command prints.
    output: File,
    mountpoint: PathBuf,
    mounted: bool,
    /// Directories of its own beside the source.
    _beside: Vec<(&'static str, TempDir)>,
}

impl PeerMount {
    /// Runs the peer's command, and waits until its mount answers.
    pub(in crate::bench) fn new(
        peer: &Peer,
        ready: &Ready,
        source: &Path,
        mountpoint: &Path,
    ) -> Result<Self> {
        fs::create_dir_all(mountpoint)?;
        let (source, mountpoint) = (source.canonicalize()?, mountpoint.canonicalize()?);
        ensure!(
            !mountpoint.starts_with(&source),
            "{} cannot be mounted within the directory that it serves, {}",
            mountpoint.display(),
            source.display()
        );
        let beside = directories_beside(peer, &source)?;
        let mut paths: Vec<(&str, &Path)> = vec![(SOURCE, &source), (MOUNTPOINT, &mountpoint)];
        paths.extend(beside.iter().map(|(name, dir)| (*name, dir.path())));
        let output = tempfile::tempfile()?;
        let child = Command::new(&ready.program)
            .args(peer.command.arguments(&paths)?)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output.try_clone()?)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", ready.program.display()))?;
        // Guards the mount from here on.
        let mut mount = PeerMount {
            child,
            output,
            mountpoint,
            mounted: true,
            _beside: beside,
        };
        mount.wait_for_mount()?;
        mount.wait_for_answer()?;
        Ok(mount)
    }

    /// The served directory.
    pub(in crate::bench) fn dir(&self) -> &Path {
        &self.mountpoint
    }

    /// The process that made the mount.
    pub(in crate::bench) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    fn wait_for_mount(&mut self) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let mountinfo = fs::read_to_string("/proc/self/mountinfo")?;
            match filesystem_at(&mountinfo, &self.mountpoint) {
                Some(kind) if kind.starts_with("fuse") => return Ok(()),
                _ => {}
            }
            // Ended without a fault, it may have left the mounting to another process.
            if let Some(status) = self.child.try_wait()?
                && !status.success()
            {
                return Err(self.failure(format!("it ended ({status}) without a mount")));
            }
            if Instant::now() > deadline {
                return Err(self.failure(format!("no FUSE mount appeared within {LIMIT:?}")));
            }
            thread::sleep(POLL);
        }
    }

    /// In a process of its own: nothing else can be given up when a mount does not answer.
    fn wait_for_answer(&mut self) -> Result<()> {
        let asked = process::run(
            Command::new("stat")
                .arg("--file-system")
                .arg(&self.mountpoint),
            LIMIT,
        )?;
        if asked.success() {
            return Ok(());
        }
        let ending = asked.ending();
        Err(self.failure(format!(
            "the mount does not answer: stat {ending} {}",
            asked.stderr.trim()
        )))
    }

    fn failure(&mut self, what: impl Display) -> anyhow::Error {
        let mut printed = String::new();
        let read = self
            .output
            .rewind()
            .and_then(|()| self.output.read_to_string(&mut printed));
        match read {
            Ok(1..) => anyhow::anyhow!("{what}; it printed: {}", printed.trim()),
            _ => anyhow::anyhow!("{what}"),
        }
    }

    /// Waits for the process that made the mount: it ends by itself when that is gone, or is killed
    /// with its children.
    fn end_child(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let pid = Pid::from_child(&self.child);
        let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else {
            return;
        };
        let ended = |limit| process::ends_within(&pidfd, limit).unwrap_or(false);
        if self.mounted || !ended(GRACE) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        if ended(GRACE) {
            let _ = self.child.wait();
        }
    }

    /// Unmounts, and waits until `daemons`, which serve it, have ended.
    pub(in crate::bench) fn unmount(mut self, daemons: &Daemons) -> Result<()> {
        let outcome = self.umount().and_then(|()| daemons.wait_for_end());
        if outcome.is_err() {
            daemons.kill();
        }
        outcome
    }

    /// As long as it is in use, tries again for ten seconds.
    fn umount(&mut self) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        loop {
            // A process of its own: unmounting writes dirty data, which a daemon may never take.
            // Without helpers, so that all peers are unmounted the same way.
            let mut umount = Command::new("umount");
            let finished = process::run(
                umount.arg("--internal-only").arg(&self.mountpoint),
                Duration::from_secs(60),
            )?;
            if finished.success() {
                self.mounted = false;
                return Ok(());
            }
            if finished.code != Some(UNMOUNT_FAILED) || Instant::now() > deadline {
                bail!("umount {}: {}", finished.ending(), finished.stderr.trim());
            }
            thread::sleep(POLL);
        }
    }
}

impl Drop for PeerMount {
    fn drop(&mut self) {
        // Before the unmounting, which would wait for a daemon that hangs.
        self.end_child();
        if self.mounted {
            let _ = unmount(&self.mountpoint, UnmountFlags::DETACH);
        }
    }
}

/// The empty directories that the command has places for, on the same file system as the source.
fn directories_beside(peer: &Peer, source: &Path) -> Result<Vec<(&'static str, TempDir)>> {
    let parent = source.parent().context("/ cannot be served")?;
    [EMPTY, WORK]
        .into_iter()
        .filter(|placeholder| peer.command.mentions(placeholder))
        .map(|placeholder| {
            let directory = tempfile::Builder::new()
                .prefix(&format!("{}-", peer.name()))
                .tempdir_in(parent)?;
            Ok((placeholder, directory))
        })
        .collect()
}
