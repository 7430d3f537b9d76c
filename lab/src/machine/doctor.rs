//! Which machines work here, and why the others do not.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::fs::StatVfsMountFlags;

use super::qemu::kvm_obstacle;
use crate::process;
use crate::tools::find_program;

/// A first build of all images takes this much.
const ROOM_FOR_IMAGES: u64 = 8 << 30;

/// unshare(1) answers at once.
const LIMIT: Duration = Duration::from_secs(10);

/// A machine, and whether it works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// `host`, `qemu` or `uml`.
    pub backend: &'static str,
    /// What is to be known of it where it works.
    pub note: String,
    /// Why it does not work, each with the way out.
    pub obstacles: Vec<String>,
}

/// Looks at this machine. Images are to be kept in `images`.
pub fn examine(images: &Path) -> Vec<Finding> {
    let common = [root(), namespaces()];
    let building = [bootstrap(), keyring(), room(images)];
    let finding = |backend, note: &str, own: Vec<Option<String>>| Finding {
        backend,
        note: note.to_owned(),
        obstacles: common.iter().cloned().chain(own).flatten().collect(),
    };
    let accelerated = match kvm_obstacle() {
        None => "with KVM, if a kernel comes up on it: the run tries".to_owned(),
        Some(obstacle) => format!("with TCG, which takes 15 to 20 times as long: {obstacle}"),
    };
    vec![
        finding("host", "the running kernel", vec![fuse(), loops()]),
        finding("qemu", &accelerated, building.to_vec()),
        finding(
            "uml",
            "a kernel as a process, about 4 times as slow as the host",
            building.iter().cloned().chain([shared_memory()]).collect(),
        ),
    ]
}

fn root() -> Option<String> {
    (!rustix::process::geteuid().is_root())
        .then(|| "not root: run the same command as root (for example with sudo -E)".to_owned())
}

fn namespaces() -> Option<String> {
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--pid", "--fork", "true"]);
    match process::run(&mut unshare, LIMIT) {
        Ok(finished) if finished.success() => None,
        Ok(finished) => Some(format!(
            "unshare(1) cannot make namespaces ({}): in a container, give it CAP_SYS_ADMIN",
            finished.stderr.trim()
        )),
        Err(error) => Some(format!("{error:#}: install the package util-linux")),
    }
}

fn fuse() -> Option<String> {
    let error = File::options()
        .read(true)
        .write(true)
        .open("/dev/fuse")
        .err()?;
    Some(format!(
        "/dev/fuse: {error}: load the module (modprobe fuse), or give the container the device"
    ))
}

fn loops() -> Option<String> {
    let error = File::options()
        .read(true)
        .write(true)
        .open("/dev/loop-control")
        .err()?;
    Some(format!(
        "/dev/loop-control: {error}: load the module (modprobe loop), or give the container the device"
    ))
}

fn bootstrap() -> Option<String> {
    let missing = ["mmdebstrap", "apt-get"].map(|program| find_program(program).is_none());
    match missing {
        // It is installed when it is needed.
        [_, false] => None,
        [_, true] => Some(
            "images are made of Debian packages, and there is no apt-get here: run the lab on Debian \
             or a derivative"
                .to_owned(),
        ),
    }
}

fn keyring() -> Option<String> {
    let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    (!Path::new(keyring).exists())
        .then(|| format!("no {keyring}: install the package debian-archive-keyring"))
}

fn room(images: &Path) -> Option<String> {
    let existing = images.ancestors().find(|path| path.exists())?;
    let statvfs = rustix::fs::statvfs(existing).ok()?;
    let free = statvfs.f_bavail * statvfs.f_frsize;
    (free < ROOM_FOR_IMAGES).then(|| {
        format!(
            "{} MiB are free at {}, and images take up to {} MiB: make room, or set CARGO_TARGET_DIR",
            free >> 20,
            existing.display(),
            ROOM_FOR_IMAGES >> 20
        )
    })
}

/// The memory of a user-mode Linux is a mapped file in `/dev/shm`, part of it executable.
fn shared_memory() -> Option<String> {
    let flags = rustix::fs::statvfs("/dev/shm").map(|statvfs| statvfs.f_flag);
    match flags {
        Ok(flags) if !flags.contains(StatVfsMountFlags::NOEXEC) => None,
        Ok(_) => Some("/dev/shm is mounted noexec: mount -o remount,exec /dev/shm".to_owned()),
        Err(error) => Some(format!("no /dev/shm: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_backend_is_told_of_and_each_obstacle_names_a_way_out() {
        let findings = examine(Path::new("/nonexistent/images"));
        let names: Vec<&str> = findings.iter().map(|finding| finding.backend).collect();
        assert_eq!(names, ["host", "qemu", "uml"]);
        for obstacle in findings.iter().flat_map(|finding| &finding.obstacles) {
            assert!(obstacle.contains(": "), "{obstacle}");
        }
    }
}
