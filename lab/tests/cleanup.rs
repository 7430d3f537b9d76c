//! Nothing that the lab mounts outlives it.

mod support;

use std::fs;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dynamicfs::config::Preset;
use dynamicfs_lab::image::Image;
use dynamicfs_lab::target::{Dynamicfs, Permissions};

use self::support::{is_mounted, may_mount};

/// The files behind loop devices that lie in `directory`.
fn loop_devices_in(directory: &Path) -> usize {
    let devices = fs::read_dir("/sys/block").unwrap();
    devices
        .filter_map(|device| fs::read_to_string(device.ok()?.path().join("loop/backing_file")).ok())
        .filter(|file| Path::new(file.trim_end()).starts_with(directory))
        .count()
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "after 10 s: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_panic_leaves_neither_mount_nor_loop_device() {
    if !may_mount() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (ext4, bound) = (
        directory.path().join("ext4"),
        directory.path().join("bound"),
    );
    let imitation = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bind-command.sh");
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let image = Image::create(directory.path(), &ext4, 32 << 20).unwrap();
        let command = Dynamicfs::new(&imitation, directory.path()).imitation();
        let mount = command
            .mount(image.path(), &bound, Preset::Safe, Permissions::Kernel)
            .unwrap();
        assert!(is_mounted(image.path()) && is_mounted(mount.path()));
        assert_eq!(loop_devices_in(directory.path()), 1);
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    assert!(!is_mounted(&ext4) && !is_mounted(&bound));
    wait_for("the loop device is still there", || {
        loop_devices_in(directory.path()) == 0
    });
}

#[test]
fn a_command_that_claims_success_without_a_mount_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let command = Dynamicfs::new(Path::new("true"), directory.path());
    let mountpoint = directory.path().join("mnt");
    let error = command
        .mount(
            directory.path(),
            &mountpoint,
            Preset::Safe,
            Permissions::Kernel,
        )
        .unwrap_err();
    assert!(error.to_string().contains("nothing is mounted"), "{error}");
}

/// What `namespace::isolate` relies on: with the process that entered the namespaces killed, the
/// mounts and their loop device go.
#[test]
fn sigkill_leaves_neither_mount_nor_loop_device() {
    if !may_mount() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let script = "truncate -s 32M image && mkfs.ext4 -q image && mkdir mnt && \
                  mount -o loop image mnt && exec sleep 600";
    let mut child = Command::new("unshare")
        .args([
            "--mount",
            "--propagation",
            "private",
            "--pid",
            "--fork",
            "--kill-child",
        ])
        .args(["--mount-proc", "--", "sh", "-c", script])
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    wait_for("no loop device", || loop_devices_in(directory.path()) == 1);
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for("the loop device is still there", || {
        loop_devices_in(directory.path()) == 0
    });
}
