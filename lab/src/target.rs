//! What a suite runs on: a native directory, or a mount made by the command as a user makes it.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use dynamicfs::config::{Preset, TransportChoice};
use dynamicfs::stats::Snapshot;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::process::{self, Finished, poll_until};

/// The command answers, or it hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// What is in use at its end is so for a moment, or a fault.
const IN_USE_LIMIT: Duration = Duration::from_secs(10);

/// The exit code of `dynamicfs umount` for a mount in use.
const IN_USE: i32 = 6;

/// Who decides what a caller may do on a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Permissions {
    /// The kernel, from mode and ACL (`default_permissions`).
    Kernel,
    /// The storage, as the caller.
    Storage,
}

impl Permissions {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Permissions::Kernel => "kernel",
            Permissions::Storage => "storage",
        }
    }
}

/// The command under test.
#[derive(Debug, Clone)]
pub struct Dynamicfs {
    program: PathBuf,
    runtime_dir: PathBuf,
    /// Handed to the program beside the environment of this process.
    variables: Vec<(String, String)>,
    /// An imitation for the tests of the lab may mount something other than FUSE.
    imitation: bool,
}

impl Dynamicfs {
    /// `program` is the command, `runtime_dir` the private directory for its sockets.
    pub fn new(program: &Path, runtime_dir: &Path) -> Self {
        Dynamicfs {
            program: program.to_owned(),
            runtime_dir: runtime_dir.to_owned(),
            variables: Vec::new(),
            imitation: false,
        }
    }

    /// Hands the program an environment variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Mounts by this transport; [`TransportChoice::Auto`] leaves it to the presets.
    #[must_use]
    pub fn by_transport(self, choice: TransportChoice) -> Self {
        match choice {
            TransportChoice::Auto => self,
            chosen => self.variable("DYNAMICFS_TRANSPORT", chosen.name()),
        }
    }

    /// The program, for those that mount by mount(8), and the directory of its sockets.
    pub(crate) fn program(&self) -> (&Path, &Path) {
        (&self.program, &self.runtime_dir)
    }

    /// A stand-in with the same command line that need not mount FUSE: the lab tests itself with
    /// bind mounts.
    #[must_use]
    pub fn imitation(mut self) -> Self {
        self.imitation = true;
        self
    }

    /// Mounts `source` at `mountpoint`, which is created.
    ///
    /// # Errors
    ///
    /// When the command fails, hangs, or reports success without a mount.
    pub fn mount(
        &self,
        source: &Path,
        mountpoint: &Path,
        preset: Preset,
        permissions: Permissions,
    ) -> Result<Mount> {
        self.mount_with(source, mountpoint, preset, &mount_options(permissions))
    }

    /// [`Dynamicfs::mount`] with these options, as after `-o`.
    ///
    /// # Errors
    ///
    /// The same.
    pub(crate) fn mount_with(
        &self,
        source: &Path,
        mountpoint: &Path,
        preset: Preset,
        options: &str,
    ) -> Result<Mount> {
        fs::create_dir_all(mountpoint)?;
        self.call(|command| {
            command.arg("mount").arg(source).arg(mountpoint);
            command.args(["--preset", preset.name(), "-o", options]);
        })?;
        // Guards the mount from here on, so that the checks below leave nothing behind.
        let mount = Mount {
            command: self.clone(),
            mountpoint: mountpoint.to_owned(),
            mounted: true,
        };
        let mountinfo = fs::read_to_string("/proc/self/mountinfo")?;
        match filesystem_at(&mountinfo, mountpoint) {
            None => bail!(
                "dynamicfs mount succeeded, but nothing is mounted at {}",
                mountpoint.display()
            ),
            Some(kind) if !self.imitation && !kind.starts_with("fuse") => {
                bail!(
                    "dynamicfs mount left a {kind} file system at {}",
                    mountpoint.display()
                )
            }
            Some(_) => Ok(mount),
        }
    }

    fn call(&self, arguments: impl FnOnce(&mut Command)) -> Result<Finished> {
        self.call_allowing(None, arguments)
    }

    /// As [`call`](Self::call), with a code that is no fault.
    fn call_allowing(
        &self,
        code: Option<i32>,
        arguments: impl FnOnce(&mut Command),
    ) -> Result<Finished> {
        let mut command = Command::new(&self.program);
        // The preset is under test, not the settings of whoever runs the lab.
        for (name, _) in env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"DYNAMICFS_") {
                command.env_remove(name);
            }
        }
        command
            .env("DYNAMICFS_RUNTIME_DIR", &self.runtime_dir)
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        arguments(&mut command);
        let finished = process::run(&mut command, LIMIT)?;
        if !finished.success() && (code.is_none() || finished.code != code) {
            bail!(
                "{command:?}: {}: {}",
                finished.ending(),
                finished.stderr.trim()
            );
        }
        Ok(finished)
    }
}

/// What `dynamicfs mount -o` is given.
pub(crate) fn mount_options(permissions: Permissions) -> String {
    format!(
        // As mount(8) mounts ext4: set-user-id bits and devices count.
        "suid,dev,allow_other=true,default_permissions={}",
        permissions == Permissions::Kernel
    )
}

/// A mount of the command under test; unmounted when dropped.
#[derive(Debug)]
pub struct Mount {
    command: Dynamicfs,
    mountpoint: PathBuf,
    mounted: bool,
}

impl Mount {
    /// Its root directory.
    pub fn path(&self) -> &Path {
        &self.mountpoint
    }

    /// Everything that is counted of it.
    ///
    /// # Errors
    ///
    /// When `dynamicfs stats` fails or answers something else.
    pub(crate) fn statistics(&self) -> Result<Snapshot> {
        let finished = self.command.call(|command| {
            command.args(["stats", "--json"]).arg(&self.mountpoint);
        })?;
        serde_json::from_str(&finished.stdout).context("dynamicfs stats --json: other figures")
    }

    /// Requests so far, by operation.
    ///
    /// # Errors
    ///
    /// When `dynamicfs stats` fails or its answer lacks the counts.
    pub fn requests(&self) -> Result<BTreeMap<String, u64>> {
        let finished = self.command.call(|command| {
            command.args(["stats", "--json"]).arg(&self.mountpoint);
        })?;
        parse_requests(&finished.stdout)
    }

    /// What `dynamicfs status` says about the mounts.
    ///
    /// # Errors
    ///
    /// When the command fails or does not answer JSON.
    pub fn status(&self) -> Result<Value> {
        let finished = self.command.call(|command| {
            command.args(["status", "--json"]);
        })?;
        serde_json::from_str(&finished.stdout).context("dynamicfs status --json: not JSON")
    }

    /// The process that serves it.
    ///
    /// # Errors
    ///
    /// When `dynamicfs status` does not tell.
    pub fn daemon(&self) -> Result<Pid> {
        let finished = self.command.call(|command| {
            command.args(["status", "--json"]).arg(&self.mountpoint);
        })?;
        let status: Value = serde_json::from_str(&finished.stdout)?;
        let pid = status["pid"]
            .as_i64()
            .and_then(|pid| i32::try_from(pid).ok());
        pid.and_then(Pid::from_raw)
            .context("dynamicfs status --json: no number \"pid\"")
    }

    /// Whether it is in the mount table.
    ///
    /// # Errors
    ///
    /// When the mount table cannot be read.
    pub fn is_mounted(&self) -> Result<bool> {
        let mountinfo = fs::read_to_string("/proc/self/mountinfo")?;
        Ok(filesystem_at(&mountinfo, &self.mountpoint).is_some())
    }

    /// Clears the mountpoint of a daemon that is dead, unless it is clear.
    ///
    /// # Errors
    ///
    /// When the command fails, or something is mounted there still.
    pub fn clear(mut self) -> Result<()> {
        if self.is_mounted()? {
            self.command.call(|command| {
                command.args(["umount", "--lazy"]).arg(&self.mountpoint);
            })?;
            ensure!(
                !self.is_mounted()?,
                "dynamicfs umount --lazy succeeded, but {} is still mounted",
                self.mountpoint.display()
            );
        }
        self.mounted = false;
        Ok(())
    }

    /// Unmounts and waits until the daemon is gone. As long as the mount is in use, tries again for ten
    /// seconds: a program that another thread of this process has just started holds a copy of every
    /// descriptor until execve(2).
    ///
    /// # Errors
    ///
    /// When the command fails: a mount that cannot be unmounted is a fault of its own.
    pub fn unmount(mut self) -> Result<()> {
        let idle = poll_until(Instant::now() + IN_USE_LIMIT, || {
            let finished = self.command.call_allowing(Some(IN_USE), |command| {
                command.args(["umount", "--wait"]).arg(&self.mountpoint);
            })?;
            Ok(finished.success())
        })?;
        ensure!(
            idle,
            "{} is still in use after {IN_USE_LIMIT:?}",
            self.mountpoint.display()
        );
        self.mounted = false;
        Ok(())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.mounted {
            let _ = unmount(&self.mountpoint, UnmountFlags::DETACH);
        }
    }
}

fn parse_requests(json: &str) -> Result<BTreeMap<String, u64>> {
    #[derive(Deserialize)]
    struct Op {
        name: String,
        count: u64,
    }
    #[derive(Deserialize)]
    struct Stats {
        ops: Vec<Op>,
    }
    let stats: Stats = serde_json::from_str(json)
        .context("dynamicfs stats --json: no list \"ops\" of name and count")?;
    Ok(stats
        .ops
        .into_iter()
        .map(|op| (op.name, op.count))
        .collect())
}

/// The type of the file system mounted last at `mountpoint` (proc_pid_mountinfo(5)).
pub(crate) fn filesystem_at<'a>(mountinfo: &'a str, mountpoint: &Path) -> Option<&'a str> {
    mountinfo
        .lines()
        .filter_map(|line| {
            let (mount, filesystem) = line.split_once(" - ")?;
            let at = mount.split(' ').nth(4)?;
            (Path::new(at) == mountpoint).then(|| filesystem.split(' ').next())?
        })
        .next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_last_mount_at_a_place() {
        let mountinfo = "22 1 0:5 / /a rw - tmpfs none rw\n\
                         23 1 0:6 / /b rw,nosuid shared:4 - ext4 /dev/loop0 rw\n\
                         24 23 0:7 / /b rw - fuse.dynamicfs /src rw\n";
        assert_eq!(
            filesystem_at(mountinfo, Path::new("/b")),
            Some("fuse.dynamicfs")
        );
        assert_eq!(filesystem_at(mountinfo, Path::new("/a")), Some("tmpfs"));
        assert_eq!(filesystem_at(mountinfo, Path::new("/c")), None);
    }

    #[test]
    fn counts_requests_by_operation() {
        let requests =
            parse_requests(r#"{"ops":[{"name":"READ","count":3,"p50":1}],"x":1}"#).unwrap();
        assert_eq!(requests["READ"], 3);
        assert!(parse_requests("{}").is_err());
    }
}
