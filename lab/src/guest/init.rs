//! The first process in the initramfs: loads modules, mounts the disks, and hands over to the agent on
//! them.

use std::convert::Infallible;
use std::env;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::mount::{MountFlags, mount, mount_move};
use rustix::process::{chdir, chroot};

use super::modules;
use super::root::{DISKS, LAB, STAGE};
use crate::process::poll_until;

/// The root file system before it becomes the root.
const ROOT: &str = "/root";

/// Disks are there within a second or two of their driver, even where the processor is emulated.
const DISKS_APPEAR: Duration = Duration::from_secs(60);

/// Boots as far as the agent on the root file system, which takes this process over.
///
/// # Errors
///
/// When a module, a disk or a mount fails; the caller cannot but end the guest.
pub(super) fn boot() -> Result<Infallible> {
    for (kind, at) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        fs::create_dir_all(at)?;
        mount(kind, at, kind, MountFlags::empty(), None)
            .with_context(|| format!("cannot mount {at}"))?;
    }
    modules::load()?;
    let disks = disks(&fs::read_to_string("/proc/cmdline")?)?;
    let lab = format!("{ROOT}{LAB}");
    mount_disk(&disk(&disks, 0), Path::new(ROOT), MountFlags::NOATIME)?;
    mount_disk(&disk(&disks, 1), Path::new(&lab), MountFlags::RDONLY)?;
    for at in ["/proc", "/sys", "/dev"] {
        let there = format!("{ROOT}{at}");
        fs::create_dir_all(&there)?;
        mount_move(at, &there).with_context(|| format!("cannot move {at}"))?;
    }
    // As switch_root(8): the new root is moved over the old one.
    chdir(ROOT)?;
    mount_move(".", "/").context("cannot move the root")?;
    chroot(".")?;
    chdir("/")?;
    let error = Command::new(format!("{LAB}/bin/dynamicfs-agent"))
        .env(STAGE, "root")
        .env(DISKS, &disks)
        .exec();
    Err(error).context("cannot start the agent of the programs' disk")
}

/// The beginning of the disks' names: `vd` on virtio, `ubd` in user mode.
fn disks(command_line: &str) -> Result<String> {
    let disks = command_line
        .split_whitespace()
        .find_map(|word| word.strip_prefix("lab.disks="))
        .context("no lab.disks= on the kernel's command line")?;
    Ok(disks.to_owned())
}

/// The device of a disk, by its number.
pub(super) fn disk(disks: &str, number: u8) -> PathBuf {
    PathBuf::from(format!("/dev/{disks}{}", char::from(b'a' + number)))
}

fn mount_disk(device: &Path, at: &Path, flags: MountFlags) -> Result<()> {
    let appears = poll_until(Instant::now() + DISKS_APPEAR, || Ok(device.exists()))?;
    ensure!(
        appears,
        "no disk {} after {DISKS_APPEAR:?}: is its driver among the modules?",
        device.display()
    );
    fs::create_dir_all(at)?;
    mount(device, at, "ext4", flags, None)
        .with_context(|| format!("cannot mount {} at {}", device.display(), at.display()))
}

/// True for the first process of a guest that has nothing mounted yet.
pub(super) fn is_initramfs() -> bool {
    rustix::process::getpid().is_init() && env::var_os(STAGE).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_named_on_the_command_line() {
        assert_eq!(disks("quiet lab.disks=vd panic=-1").unwrap(), "vd");
        assert!(disks("quiet").is_err());
        assert_eq!(disk("ubd", 3), Path::new("/dev/ubdd"));
    }
}
