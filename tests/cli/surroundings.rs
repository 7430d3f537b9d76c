//! Machines without FUSE, users without rights.

use std::path::Path;

use crate::command::{NOBODY, World, available, copy_binary, root};

#[test]
fn the_device_is_not_there() {
    if !root() {
        return;
    }
    let world = World::new();
    let binary = world.text("dynamicfs");
    copy_binary(&world.binary(), binary.as_ref());
    let script = "mount -t tmpfs none /dev && exec \"$@\"";
    let args = [
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        script,
        "sh",
        &binary,
    ];
    let said = |verb: &[&str]| {
        let all = [&args[..], verb].concat();
        world.run_program(Path::new("/usr/bin/unshare"), &world.expand(&all))
    };
    said(&["mount", "@src", "@mnt"]).refused(4, &["/dev/fuse does not exist", "modprobe fuse"]);
    world.nothing_left();
    let doctor = said(&["doctor"]).ok();
    assert!(doctor.contains("advice: /dev/fuse is missing"), "{doctor}");
}

#[test]
fn neither_privilege_nor_helper() {
    if !root() {
        return;
    }
    let world = World::new().for_user(NOBODY).with("PATH", "/none");
    world.run(&["mount", "@src", "@mnt"]).refused(
        4,
        &[
            "needs root or the helper fusermount3",
            "install the package fuse3",
        ],
    );
    world.nothing_left();
    let doctor = world.run(&["doctor"]).ok();
    assert!(
        doctor.contains("advice: mounting needs CAP_SYS_ADMIN"),
        "{doctor}"
    );
}

#[test]
fn a_user_may_not_open_the_device() {
    if !root() || !available(Path::new("/usr/bin/fusermount3").exists(), "fusermount3") {
        return;
    }
    let world = World::new().for_user(NOBODY);
    let binary = world.binary().display().to_string();
    // In a namespace of its own: what the mode is on this machine does not matter.
    let script = "mount -t tmpfs none /dev && mknod -m 600 /dev/fuse c 10 229 && \
                  exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"";
    let args = [
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        script,
        "sh",
        &binary,
        "mount",
        "@src",
        "@mnt",
    ];
    let args = world.expand(&args);
    let root = World::new();
    let said = root.run_program(Path::new("/usr/bin/unshare"), &args);
    said.refused(
        4,
        &[
            "/dev/fuse cannot be opened: Permission denied",
            "chmod 0666 /dev/fuse",
        ],
    );
    world.nothing_left();
}
