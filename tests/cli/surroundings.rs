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
    let world = World::new().running_as(NOBODY).with("PATH", "/none");
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
fn a_user_may_not_ask_for_others() {
    let allowed = std::fs::read_to_string("/etc/fuse.conf")
        .is_ok_and(|text| text.lines().any(|line| line.trim() == "user_allow_other"));
    let helper = Path::new("/usr/bin/fusermount3").exists();
    if !root()
        || !available(
            helper && !allowed,
            "fusermount3 and a strict /etc/fuse.conf",
        )
    {
        return;
    }
    let world = World::new().running_as(NOBODY);
    for way in [&["--allow-other"][..], &["-o", "allow_other"]] {
        let all = [&["mount"], way, &["@src", "@mnt"]].concat();
        world.run(&all).refused(
            4,
            &["allow_other (-", "user_allow_other", "--allow-other=false"],
        );
    }
    world.nothing_left();
}
