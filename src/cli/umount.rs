//! `dynamicfs umount`.

use std::path::Path;

use crate::mount::registry::{Registered, RuntimeDir};
use crate::mount::{UnmountError, UnmountMode, table, unmount};
use crate::platform::Process;
use anyhow::Context;
use rustix::process::Pid;

use super::arguments::UmountArgs;
use super::exit::{Exit, Failure};

pub(crate) fn run(args: &UmountArgs) -> Result<(), Failure> {
    let shown = args.mountpoint.display();
    let not_mounted = |what: &str| {
        Failure::new(
            Exit::NotMounted,
            format_args!("{shown}: {what}; 'dynamicfs status' lists the mounts"),
        )
    };
    let path = table::resolve_mountpoint(&args.mountpoint)
        .map_err(|error| not_mounted(&error.to_string()))?;
    let entry = table::mounted_at(&path)
        .context("/proc/self/mountinfo")?
        .ok_or_else(|| not_mounted("nothing is mounted there"))?;
    let registered = RuntimeDir::of_this_user().mount_at(&path);
    // The type says so, unless the user gave another with -o subtype.
    if !entry.is_ours() && registered.is_none() {
        let what = format!("not a dynamicfs mount, but one of type {}", entry.fs_type);
        return Err(not_mounted(&what));
    }
    let daemon = registered.filter(|_| args.wait).and_then(process);
    let mode = if args.lazy {
        UnmountMode::Lazy
    } else {
        UnmountMode::Normal
    };
    unmount(&path, mode).map_err(|error| explain(&args.mountpoint, error))?;
    daemon.map_or(Ok(()), |daemon| wait(&daemon))
}

fn explain(path: &Path, error: UnmountError) -> Failure {
    let shown = path.display();
    match error {
        UnmountError::Busy { .. } => Failure::new(
            Exit::Busy,
            format_args!(
                "{shown} is in use: close what is open there ('fuser -vm {shown}' shows it), or detach \
                 it with 'dynamicfs umount --lazy {shown}'"
            ),
        ),
        UnmountError::NotMounted { .. } => Failure::new(Exit::NotMounted, error),
        _ => Failure::new(Exit::Failed, error),
    }
}

/// The process behind a mount.
fn process(daemon: Registered) -> Option<Process> {
    let pid = Pid::from_raw(daemon.status.ok()?.pid)?;
    Process::of(pid)
}

/// Waits until the process has ended.
fn wait(daemon: &Process) -> Result<(), Failure> {
    daemon.wait().map_err(|error| {
        Failure::new(
            Exit::Failed,
            format_args!("unmounted, but cannot wait for the daemon: {error}"),
        )
    })
}
