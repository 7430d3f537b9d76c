//! A mount to break, and what must hold after it broke.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::call::{BLOCK, Call, make_files};
use super::caller::Caller;
use crate::fusectl::{Fusectl, connection_of};
use crate::process::{self, poll_until};
use crate::suites::{Mounted, fresh_directory};
use crate::target::{Mount, mount_options};

/// What all scenes have in common.
pub(super) struct Setting<'a> {
    pub(super) mounted: Mounted<'a>,
    /// The program that is a caller when told so.
    pub(super) program: &'a Path,
    pub(super) fusectl: Fusectl,
    /// Where the served directories are.
    pub(super) sources: &'a Path,
    /// Where they are mounted.
    pub(super) work: &'a Path,
    pub(super) limit: Duration,
}

impl Setting<'_> {
    fn mount(&self, source: &Path, mountpoint: &Path) -> Result<Mount> {
        let Mounted {
            command,
            preset,
            permissions,
        } = self.mounted;
        // Who waits for a lock of the kernel waits for its holder, and not for the daemon.
        let options = format!("{},lock_mode=daemon", mount_options(permissions));
        command.mount_with(source, mountpoint, preset, &options)
    }
}

/// A mount and its daemon, which is killed when dropped.
pub(super) struct Scene<'a> {
    setting: &'a Setting<'a>,
    source: PathBuf,
    mountpoint: PathBuf,
    mount: Option<Mount>,
    pub(super) daemon: Pid,
    pidfd: OwnedFd,
    connection: u32,
}

impl<'a> Scene<'a> {
    pub(super) fn new(setting: &'a Setting<'a>, name: &str) -> Result<Self> {
        let (source, mountpoint) = (setting.sources.join(name), setting.work.join(name));
        fresh_directory(&source)?;
        make_files(&source)?;
        let mount = setting.mount(&source, &mountpoint)?;
        let daemon = mount.daemon()?;
        let connection = connection_of(&mountpoint)?;
        Ok(Scene {
            setting,
            source,
            mountpoint,
            mount: Some(mount),
            daemon,
            pidfd: pidfd_open(daemon, PidfdFlags::empty())?,
            connection,
        })
    }

    /// Gives the log, behind the mount, its blocks beforehand, so that an fsync(2) of a daemon that has no memory
    /// adds none. When the kernel killed one within `ext4_ext_insert_extent`, ext4 had miscounted the blocks that
    /// it had set aside for the file, and said so (`ext4_mb_release_inode_pa`, Linux 7.3): a fault of its own.
    pub(super) fn reserve(&self, bytes: u64) -> Result<()> {
        let log = fs::File::options()
            .write(true)
            .open(self.source.join("log"))?;
        fallocate(&log, FallocateFlags::KEEP_SIZE, 0, bytes).context("cannot reserve the log")
    }

    /// Something that happens from now on has to happen by then.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.setting.limit
    }

    /// How long the kernel may answer a caller itself from what it has cached: a listing is no request as long
    /// as its names live.
    pub(super) fn kept(&self, call: Call) -> Duration {
        match call {
            Call::Readdir => self.setting.mounted.preset.config().entry_timeout(),
            _ => Duration::ZERO,
        }
    }

    /// A caller that is ready.
    pub(super) fn caller(&self, call: Call) -> Result<Caller> {
        let limit = 2 * self.setting.limit;
        Caller::start(self.setting.program, call, &self.mountpoint, limit)
    }

    /// Fails when `condition` does not hold in time.
    pub(super) fn until(&self, what: &str, condition: impl FnMut() -> Result<bool>) -> Result<()> {
        let limit = self.setting.limit;
        ensure!(
            poll_until(self.deadline(), condition)?,
            "not within {limit:?}: {what}"
        );
        Ok(())
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        pidfd_send_signal(&self.pidfd, signal)
            .with_context(|| format!("signal {signal:?} to the daemon {}", self.daemon))
    }

    /// Stops the daemon: it answers nobody, and what is asked stays in flight.
    pub(super) fn stop(&self) -> Result<()> {
        self.signal(Signal::STOP)?;
        let tasks = format!("/proc/{}/task", self.daemon);
        self.until("every thread of the daemon stands still", || {
            let tasks = fs::read_dir(&tasks)?.flatten();
            Ok(tasks
                .map(|task| process::task_state(&task.path()))
                .all(|state| state == Some('T')))
        })
    }

    /// Requests without an answer.
    pub(super) fn waiting(&self) -> Result<u64> {
        self.setting.fusectl.waiting(self.connection)
    }

    /// Cuts the daemon off.
    pub(super) fn abort(&self) -> Result<()> {
        self.setting.fusectl.abort(self.connection)
    }

    /// Whether its daemon has ended.
    pub(super) fn is_gone(&self) -> Result<bool> {
        process::ends_within(&self.pidfd, Duration::ZERO)
    }

    /// Whether it is in the mount table.
    pub(super) fn is_mounted(&self) -> Result<bool> {
        self.mount.as_ref().map_or(Ok(false), Mount::is_mounted)
    }

    /// What must hold when the daemon is to be gone and its callers are: no task hangs, the mountpoint is
    /// stale or clear, and after clearing it is mounted again, with the `durable` blocks in the log.
    pub(super) fn aftermath(mut self, callers: Vec<Caller>, durable: usize) -> Result<()> {
        self.until("the daemon ends", || self.is_gone())?;
        self.nothing_hangs()?;
        let deadline = self.deadline();
        for mut caller in callers {
            ensure!(
                caller.kill(deadline)?,
                "the caller {} cannot be killed",
                caller.call.name()
            );
        }
        if self.is_mounted()? {
            // Its own attributes may be answered from the kernel's cache.
            let name = self.mountpoint.join("never-seen");
            let found = within(self.setting.limit, move || rustix::fs::stat(&name))?;
            ensure!(
                matches!(found, Err(Errno::NOTCONN)),
                "a name in the stale mountpoint gives {:?} instead of ENOTCONN",
                found.err()
            );
        }
        if let Some(mount) = self.mount.take() {
            mount.clear()?;
        }
        check_log(&self.source, durable).context("in the directory that was served")?;
        self.mounted_again(durable).context("mounted again")
    }

    fn mounted_again(&self, durable: usize) -> Result<()> {
        let mount = self.setting.mount(&self.source, &self.mountpoint)?;
        let at = self.mountpoint.clone();
        within(2 * self.setting.limit, move || {
            check_log(&at, durable)?;
            fs::write(at.join("new"), "x").context("cannot create a file")
        })??;
        mount.unmount()?;
        let new = fs::read(self.source.join("new"))?;
        ensure!(new == b"x", "what was written is {new:?}");
        Ok(())
    }

    /// No task waits in the kernel, where nothing interrupts it, all the time.
    fn nothing_hangs(&self) -> Result<()> {
        let mut hanging = uninterruptible();
        poll_until(self.deadline(), || {
            let now = uninterruptible();
            hanging.retain(|task, _| now.contains_key(task));
            Ok(hanging.is_empty())
        })?;
        let names: Vec<&str> = hanging.values().map(|name| name.trim()).collect();
        ensure!(hanging.is_empty(), "tasks hang in the kernel: {names:?}");
        Ok(())
    }
}

impl Drop for Scene<'_> {
    fn drop(&mut self) {
        // Most often it has ended. Before the mount, which would wait for it.
        let _ = self.signal(Signal::KILL);
    }
}

/// The tasks in state D, with their names.
fn uninterruptible() -> BTreeMap<PathBuf, String> {
    process::tasks()
        .filter(|task| process::task_state(task) == Some('D'))
        .map(|task| {
            let name = fs::read_to_string(task.join("comm")).unwrap_or_default();
            (task, name)
        })
        .collect()
}

/// Fails unless the log has `durable` blocks, each as it was written.
fn check_log(directory: &Path, durable: usize) -> Result<()> {
    let log = fs::read(directory.join("log"))?;
    let blocks = log.chunks_exact(BLOCK);
    ensure!(
        blocks.len() >= durable,
        "{durable} blocks of the log were acknowledged, and {} are there",
        blocks.len()
    );
    for (number, block) in blocks.take(durable).enumerate() {
        let as_written = block.iter().all(|byte| *byte == number as u8);
        ensure!(
            as_written,
            "block {number} of the log is not as it was written"
        );
    }
    Ok(())
}

/// What may hang, in a thread that can be left behind.
fn within<T: Send + 'static>(
    limit: Duration,
    action: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let (sender, result) = mpsc::channel();
    thread::spawn(move || sender.send(action()));
    result
        .recv_timeout(limit)
        .map_err(|_| anyhow!("the mount does not answer within {limit:?}"))
}
