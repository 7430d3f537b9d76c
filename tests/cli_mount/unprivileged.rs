//! A user who mounts by fusermount3.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
use rustix::process::Signal;
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::command::{NOBODY, World, available};
use crate::{Daemon, mounted, status, unmounted, wait_until, world};

/// A world of a user without rights, in a mount namespace of this test's thread, where `/dev/fuse`
/// has its usual mode whatever it is on this machine.
fn nobody() -> Option<World> {
    let world = world()?;
    let helper = Path::new("/usr/bin/fusermount3").exists();
    if !available(helper, "fusermount3") {
        return None;
    }
    // SAFETY: neither memory nor descriptors are unshared, and nothing in this process relies on
    // one root or working directory for all threads. The namespace ends with this test's thread.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::FS) }.expect("root may");
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
    .expect("private");
    let device = std::fs::metadata("/dev/fuse").expect("it exists").rdev();
    let node = world.path("fuse");
    let mode = Mode::from_raw_mode(0o666);
    mknodat(CWD, &node, FileType::CharacterDevice, mode, device).expect("a device");
    std::fs::set_permissions(&node, Permissions::from_mode(0o666)).expect("mode");
    mount_bind(&node, "/dev/fuse").expect("mounted");
    Some(world.for_user(NOBODY))
}

#[test]
fn it_mounts_and_says_what_it_gave_up() {
    let Some(world) = nobody() else { return };
    mounted(&world, &["@src", "@mnt"]);
    let cat = world.run_program(Path::new("/bin/cat"), &[world.path("mnt/file")]);
    assert_eq!(cat.ok(), "content");
    let status = status(&world, "@mnt");
    let capabilities = status["report"]["capabilities"]
        .as_array()
        .expect("capabilities");
    let item = |name: &str| capabilities.iter().find(|item| item["name"] == name);
    let options = status["options"].as_str().expect("options");
    if available(is_strict(), "an /etc/fuse.conf without user_allow_other") {
        let given_up = item("allow_other").expect("it was asked");
        assert_eq!(
            (&given_up["asked"], &given_up["granted"]),
            (&"yes".into(), &"no".into())
        );
        assert!(
            given_up["why"]
                .as_str()
                .expect("a reason")
                .contains("user_allow_other")
        );
        assert!(!options.contains("allow_other"), "{options}");
    }
    let passthrough = item("PASSTHROUGH").expect("it was asked");
    assert_ne!(passthrough["effective"], "yes", "{passthrough}");
    unmounted(&world, "@mnt");
}

fn is_strict() -> bool {
    let text = std::fs::read_to_string("/etc/fuse.conf").unwrap_or_default();
    !text.lines().any(|line| line.trim() == "user_allow_other")
}

#[test]
fn it_may_not_ask_for_others() {
    let Some(world) = nobody() else { return };
    if !available(is_strict(), "an /etc/fuse.conf without user_allow_other") {
        return;
    }
    for way in [&["--allow-other"][..], &["-o", "allow_other"]] {
        let all = [&["mount"], way, &["@src", "@mnt"]].concat();
        let fragments = [
            "allow_other (-",
            "no line user_allow_other",
            "--allow-other=false",
        ];
        world.run(&all).refused(4, &fragments);
    }
    world.nothing_left();
}

#[test]
fn it_ends_by_a_signal() {
    let Some(world) = nobody() else { return };
    mounted(&world, &["@src", "@mnt"]);
    let daemon = Daemon::of(&world, "@mnt");
    daemon.signal(Signal::TERM);
    wait_until("the daemon's end", || daemon.is_gone());
    world.nothing_left();
}

#[test]
fn a_stale_mount_is_cleared_by_its_user() {
    let Some(world) = nobody() else { return };
    mounted(&world, &["@src", "@mnt"]);
    let daemon = Daemon::of(&world, "@mnt");
    daemon.signal(Signal::KILL);
    wait_until("the daemon's end", || daemon.is_gone());
    world.run(&["umount", "--lazy", "@mnt"]).ok();
    world.nothing_left();
}

#[test]
fn auto_unmount_is_refused_where_the_helper_would_not_do_it() {
    let Some(world) = nobody() else { return };
    if !available(is_strict(), "an /etc/fuse.conf without user_allow_other") {
        return;
    }
    let world = world.with("DYNAMICFS_TRANSPORT", "linux");
    world
        .run(&["mount", "-o", "auto_unmount", "@src", "@mnt"])
        .refused(2, &["auto_unmount without allow_other", "leave it out"]);
    world.nothing_left();
}

#[test]
fn root_may_not_look_into_it_but_may_unmount_it() {
    let Some(world) = nobody() else { return };
    mounted(&world, &["@src", "@mnt"]);
    let daemon = Daemon::of(&world, "@mnt");
    let by_root = std::process::Command::new(world.binary())
        .args(["umount", &world.text("mnt")])
        .status()
        .expect("it starts");
    assert!(by_root.success());
    wait_until("the daemon's end", || daemon.is_gone());
    world.nothing_left();
}
