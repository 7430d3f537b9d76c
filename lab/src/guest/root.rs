//! The first process on the root file system of a guest: gives the agent what a Linux system has, waits
//! for it and for orphans, and turns the guest off.

use std::env;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::BufReader;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, reboot, sethostname};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use super::init::{disk, is_initramfs};
use super::sys::loopback_up;
use super::work::{Ground, serve};
use crate::process::{poll_until, reap_until_end_of};

/// Where the disk with the programs is mounted.
pub(super) const LAB: &str = "/opt/lab";

/// On the kernel's command line, with the name of a preset: a person's shell instead of a job.
pub const SHELL: &str = "lab.shell";

/// In the environment: which part of the boot a process is.
pub(super) const STAGE: &str = "LAB_AGENT_STAGE";

/// In the environment: how the disks' names begin.
pub(super) const DISKS: &str = "LAB_AGENT_DISKS";

/// Name of the port that leads to the lab.
const PORT: &str = "lab";

/// What the lab's end of the stream is, where there are no ports: the first serial line.
const SERIAL: &str = "/dev/ttyS0";

/// A port is there with its driver, or comes a moment later.
const PORT_APPEARS: Duration = Duration::from_secs(30);

/// What a system of Debian's has mounted, and where.
const MOUNTS: &[(&str, &str, &str)] = &[
    ("tmpfs", "/run", "mode=755"),
    ("tmpfs", "/tmp", "mode=1777"),
    ("devpts", "/dev/pts", "ptmxmode=666"),
    ("tmpfs", "/dev/shm", "mode=1777"),
    ("cgroup2", "/sys/fs/cgroup", ""),
    ("tracefs", "/sys/kernel/tracing", ""),
];

/// A task that waits longer than this in the kernel is reported on the console.
const HUNG_TASK_SECONDS: u32 = 120;

/// Plays the part of the boot that this process is; `false` when it is none.
///
/// # Errors
///
/// When the guest cannot go on.
pub fn run_root() -> Result<bool> {
    if is_initramfs() {
        super::init::boot()?;
    }
    match env::var(STAGE).as_deref() {
        Ok("root") => first_process().map(|()| true),
        Ok("work") => work().map(|()| true),
        _ => Ok(false),
    }
}

fn first_process() -> Result<()> {
    let result = prepare().and_then(|()| match shell_preset()? {
        Some(preset) => shell(&preset),
        None => wait_for_worker(),
    });
    if let Err(error) = &result {
        eprintln!("dynamicfs-agent: {error:#}");
    }
    rustix::fs::sync();
    reboot(RebootCommand::PowerOff)?;
    result
}

fn prepare() -> Result<()> {
    for (kind, at, options) in MOUNTS {
        // Not every kernel has all: a suite that needs one says so.
        if let Err(error) = mount_at(kind, at, options) {
            eprintln!("dynamicfs-agent: no {kind} at {at}: {error:#}");
        }
    }
    for (link, to) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "fd/0"),
        ("stdout", "fd/1"),
        ("stderr", "fd/2"),
    ] {
        let _ = symlink(to, Path::new("/dev").join(link));
    }
    sethostname(b"lab")?;
    loopback_up().context("no loopback interface")?;
    let hung = Path::new("/proc/sys/kernel/hung_task_timeout_secs");
    if hung.exists() {
        fs::write(hung, HUNG_TASK_SECONDS.to_string())?;
    }
    Ok(())
}

fn mount_at(kind: &str, at: &str, options: &str) -> Result<()> {
    fs::create_dir_all(at)?;
    let options = CString::new(options)?;
    mount(kind, at, kind, MountFlags::empty(), options.as_c_str())?;
    Ok(())
}

/// The preset that a person wants a shell for.
fn shell_preset() -> Result<Option<String>> {
    let words = fs::read_to_string("/proc/cmdline")?;
    let mut words = words.split_whitespace();
    let preset = words.find_map(|word| word.strip_prefix(SHELL)?.strip_prefix('='));
    Ok(preset.map(str::to_owned))
}

/// Mounts ext4 and the preset, and runs a shell on the console.
fn shell(preset: &str) -> Result<()> {
    let disks = env::var(DISKS).context("disks unknown")?;
    for (number, name) in [(2, "ext4"), (3, "back")] {
        let at = format!("/mnt/{name}");
        fs::create_dir_all(&at)?;
        mount(disk(&disks, number), &at, "ext4", MountFlags::empty(), None)?;
    }
    let mountpoint = format!("/mnt/{preset}");
    fs::create_dir_all(&mountpoint)?;
    let mounted = Command::new(format!("{LAB}/bin/dynamicfs"))
        .args(["mount", "/mnt/back", &mountpoint, "--preset", preset])
        .args(["-o", "allow_other"])
        .status()?;
    if !mounted.success() {
        eprintln!("dynamicfs-agent: cannot mount {preset}: {mounted}");
    }
    // A session of its own on the console, so that Ctrl-C reaches what runs in the shell.
    Command::new("setsid")
        .args(["--ctty", "--wait", "/bin/bash", "--login"])
        .env("PATH", path())
        .env("HOME", "/root")
        .env("TERM", "linux")
        .current_dir("/mnt")
        .status()
        .context("cannot start a shell")?;
    Ok(())
}

fn path() -> String {
    format!("{LAB}/bin:/usr/local/bin:/usr/sbin:/usr/bin")
}

fn wait_for_worker() -> Result<()> {
    let worker = Command::new(env::current_exe()?)
        .env(STAGE, "work")
        .env("PATH", path())
        .env("HOME", "/root")
        .spawn()
        .context("cannot start the worker")?;
    let status = reap_until_end_of(&worker)?;
    if status.exit_status() != Some(0) {
        bail!("the worker ended with {status:?}");
    }
    Ok(())
}

/// The agent proper.
fn work() -> Result<()> {
    let disks = env::var(DISKS).context("disks unknown")?;
    let stream = stream()?;
    let from = BufReader::new(stream.try_clone()?);
    let ground = Ground::Disks {
        disks: [2, 3, 4].map(|number| disk(&disks, number)),
        programs: Path::new(LAB).join("bin"),
        xfstests: disk(&disks, 5),
    };
    serve(from, stream, ground)
}

fn stream() -> Result<File> {
    let leads = || Ok(port().is_some() || has_only_serial());
    if !poll_until(Instant::now() + PORT_APPEARS, leads)? {
        bail!("neither a port named {PORT:?} nor {SERIAL} leads to the lab");
    }
    let Some(port) = port() else {
        return serial();
    };
    File::options()
        .read(true)
        .write(true)
        .open(&port)
        .with_context(|| format!("cannot open {}", port.display()))
}

/// A kernel without ports of virtio.
fn has_only_serial() -> bool {
    Path::new(SERIAL).exists() && !Path::new("/sys/class/virtio-ports").exists()
}

fn port() -> Option<PathBuf> {
    let ports = fs::read_dir("/sys/class/virtio-ports").ok()?;
    ports.flatten().find_map(|port| {
        let name = fs::read_to_string(port.path().join("name")).ok()?;
        (name.trim() == PORT).then(|| Path::new("/dev").join(port.file_name()))
    })
}

/// A line without a terminal's habits: no echo, no translation.
fn serial() -> Result<File> {
    let serial = File::options().read(true).write(true).open(SERIAL)?;
    let mut settings = tcgetattr(&serial)?;
    settings.make_raw();
    tcsetattr(&serial, OptionalActions::Now, &settings)?;
    Ok(serial)
}
