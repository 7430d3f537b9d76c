//! A place of the lab's own: private mounts, private process ids.
//!
//! Everything that a run mounts or starts lives in a mount namespace and a PID namespace that die
//! with it, even when it is killed with SIGKILL: the kernel kills the daemons when the first
//! process of the PID namespace ends, the mounts go with the last process, and the loop devices
//! (`LO_FLAGS_AUTOCLEAR`) go with the mounts. See namespaces(7), pid_namespaces(7), unshare(1),
//! setpriv(1).

use std::env;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, exit};

use anyhow::{Context, Result, bail};
use rustix::mount::{MountFlags, mount};

use crate::process::reap_until_end_of;

/// Where the run works: a tmpfs that only the run sees. The same short path on every machine,
/// because pjdfstest depends on the length of the path it works in.
pub const WORKPLACE: &str = "/run/dynamicfs-lab";

/// Where a run keeps files that no contestant serves: a directory of [`WORKPLACE`].
pub fn scratch() -> PathBuf {
    Path::new(WORKPLACE).join("run")
}

/// In the environment: which part a process plays.
pub(crate) const STAGE: &str = "LAB_NAMESPACE_STAGE";

/// In the environment: the process id of the one that waits outside.
const WAITER: &str = "LAB_NAMESPACE_WAITER";

/// The process outside that waits for this one to end, where its id is that of no other run; this one
/// when it is not isolated.
pub(crate) fn waiter() -> u32 {
    let outside = env::var(WAITER).ok().and_then(|id| id.parse().ok());
    outside.unwrap_or_else(std::process::id)
}

/// True in the processes that [`isolate`] starts: what is to be done outside has been done.
pub fn is_isolated() -> bool {
    env::var_os(STAGE).is_some()
}

/// Starts this program again, with the same arguments, in namespaces of its own. Returns only
/// there, with an empty [`WORKPLACE`]; outside, this process becomes the one that waits.
///
/// # Errors
///
/// Without root, without setpriv(1), or when the kernel refuses.
pub fn isolate() -> Result<()> {
    match env::var(STAGE).as_deref() {
        Ok("worker") => prepare_workplace(),
        Ok("init") => exit(init()?),
        _ => exit(enter()?),
    }
}

fn enter() -> Result<i32> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "the lab mounts ext4 images, which needs root; run the same command as root \
             (for example with sudo -E)"
        );
    }
    fs::create_dir_all(WORKPLACE).with_context(|| format!("cannot create {WORKPLACE}"))?;
    // unshare ignores SIGINT and SIGTERM while it waits, this process does not. Whatever ends it, SIGKILL
    // too, ends unshare, and --kill-child the rest.
    let status = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .args(["unshare", "--mount", "--propagation", "private"])
        .args(["--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        .arg(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env(STAGE, "init")
        .env(WAITER, std::process::id().to_string())
        .status()
        .context("cannot run setpriv(1) from the package util-linux")?;
    Ok(code(status))
}

/// As a shell tells it: the exit status, or 128 and the signal.
fn code(status: ExitStatus) -> i32 {
    let by_signal = status.signal().map(|signal| 128 + signal);
    status.code().or(by_signal).unwrap_or(1)
}

/// The first process of the PID namespace: daemons become its children, and somebody has to wait
/// for them, or they would look alive for ever.
fn init() -> Result<i32> {
    let worker = Command::new(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env(STAGE, "worker")
        .spawn()
        .context("cannot start the worker")?;
    let status = reap_until_end_of(&worker)?;
    let by_signal = status.terminating_signal().map(|signal| 128 + signal);
    Ok(status.exit_status().or(by_signal).unwrap_or(1))
}

/// Makes an empty [`WORKPLACE`], on a tmpfs.
///
/// # Errors
///
/// When it cannot be mounted.
pub(crate) fn prepare_workplace() -> Result<()> {
    fs::create_dir_all(WORKPLACE)?;
    mount(
        "dynamicfs-lab",
        WORKPLACE,
        "tmpfs",
        MountFlags::empty(),
        None,
    )
    .with_context(|| format!("cannot mount a tmpfs on {WORKPLACE}"))?;
    for dir in ["images", "run"] {
        fs::create_dir(Path::new(WORKPLACE).join(dir))?;
    }
    Ok(())
}
