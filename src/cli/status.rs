//! `dynamicfs status`.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use crate::mount::registry::{MountStatus, Registered, RuntimeDir};
use crate::mount::table;
use anyhow::Context;
use comfy_table::{Table, presets::NOTHING};
use serde::Serialize;

use super::arguments::StatusArgs;
use super::exit::{Exit, Failure};
use super::{print, print_json};

/// All there is to say.
#[derive(Debug, Serialize)]
struct Overview {
    mounts: Vec<MountStatus>,
    /// Those of the mounts that are not in the mount table: detached and still in use, or mounted in
    /// another mount namespace.
    detached: Vec<PathBuf>,
    /// Mountpoints whose daemon is dead.
    stale: Vec<PathBuf>,
    /// Daemons that live and did not answer, and why.
    silent: Vec<String>,
}

pub(crate) fn run(args: &StatusArgs) -> Result<(), Failure> {
    if let Some(mountpoint) = &args.mountpoint {
        let status = one(mountpoint)?;
        return match args.json {
            true => print_json(&status),
            false => print(&details(&status)),
        };
    }
    let overview = overview()?;
    if args.json {
        return print_json(&overview);
    }
    let mut text = String::new();
    for status in &overview.mounts {
        text += &details(status);
        text.push('\n');
    }
    for path in &overview.detached {
        text += &format!(
            "{}: detached and still in use, or in another mount namespace\n",
            path.display()
        );
    }
    for path in &overview.stale {
        text += &format!(
            "{0}: stale, its daemon is dead; clear it with 'dynamicfs umount --lazy {0}'\n",
            path.display()
        );
    }
    for silent in &overview.silent {
        text += &format!("{silent}\n");
    }
    if text.is_empty() {
        text.push_str("no dynamicfs mounts\n");
    }
    print(&text)
}

/// The mount at a path that the user gave.
pub(super) fn find(mountpoint: &Path) -> Result<Registered, Failure> {
    let shown = mountpoint.display();
    let path = table::resolve_mountpoint(mountpoint)
        .map_err(|error| Failure::new(Exit::NotMounted, format_args!("{shown}: {error}")))?;
    if let Some(found) = RuntimeDir::of_this_user().mount_at(&path) {
        return Ok(found);
    }
    let message = match table::mounted_at(&path).context("/proc/self/mountinfo")? {
        Some(_) if table::is_stale(&path) => format!(
            "{shown}: stale, its daemon is dead; clear it with 'dynamicfs umount --lazy {shown}'"
        ),
        Some(entry) if entry.is_ours() => format!(
            "{shown}: no daemon of this user serves it; ask as the user who mounted it, with the same \
             DYNAMICFS_RUNTIME_DIR"
        ),
        _ => format!("{shown}: not a dynamicfs mount; 'dynamicfs status' lists the mounts"),
    };
    Err(Failure::new(Exit::NotMounted, message))
}

fn one(mountpoint: &Path) -> Result<MountStatus, Failure> {
    find(mountpoint)?
        .status
        .map_err(|error| Failure::new(Exit::Failed, error))
}

fn overview() -> Result<Overview, Failure> {
    let runtime = RuntimeDir::of_this_user();
    let found = runtime
        .mounts()
        .with_context(|| runtime.path().display().to_string())?;
    let mut overview = Overview {
        mounts: Vec::new(),
        detached: Vec::new(),
        stale: Vec::new(),
        silent: Vec::new(),
    };
    for mount in found {
        match mount.status {
            Ok(status) => overview.mounts.push(status),
            Err(error) => overview.silent.push(error.to_string()),
        }
    }
    let entries = table::table().context("/proc/self/mountinfo")?;
    let is_mounted = |path: &Path| entries.iter().any(|entry| entry.mountpoint == path);
    let known = overview.mounts.iter().map(|mount| &mount.mountpoint);
    overview.detached = known.filter(|path| !is_mounted(path)).cloned().collect();
    let answered = |path: &Path| overview.mounts.iter().any(|m| m.mountpoint == path);
    overview.stale = entries
        .into_iter()
        .filter(|entry| entry.is_ours() && !answered(&entry.mountpoint) && entry.is_stale())
        .map(|entry| entry.mountpoint)
        .collect();
    Ok(overview)
}

fn details(status: &MountStatus) -> String {
    let started = UNIX_EPOCH + Duration::from_secs(status.started);
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "{} on {}\n  pid {}, since {}\n  preset {} ({})\n  options {}\n  kernel {}, FUSE ABI {}, transport {}\n  io mode {}\n\n",
        status.source,
        status.mountpoint.display(),
        status.pid,
        humantime::format_rfc3339_seconds(started),
        status.preset,
        status.preset_origin,
        status.options,
        status.report.kernel,
        status.report.abi,
        status.report.transport,
        status.report.io_mode,
    );
    let mut settings = plain(["setting", "value", "from"]);
    for setting in &status.settings {
        settings.add_row([&setting.name, &setting.value, &setting.origin]);
    }
    let mut capabilities = plain(["capability", "asked", "granted", "in force", "why not"]);
    for item in &status.report.capabilities {
        let why = item.why.clone().unwrap_or_default();
        capabilities.add_row([
            &item.name,
            &item.asked,
            &item.granted,
            &item.effective,
            &why,
        ]);
    }
    text + &settings.trim_fmt() + "\n\n" + &capabilities.trim_fmt() + "\n"
}

/// A table without lines, which grep and awk like.
pub(super) fn plain<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header);
    table
}
