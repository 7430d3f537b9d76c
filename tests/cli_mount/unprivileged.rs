//! A user who mounts by fusermount3.

use std::path::Path;

use rustix::process::Signal;

use crate::command::{NOBODY, World, available};
use crate::{Daemon, mounted, status, unmounted, wait_until, world};

fn nobody() -> Option<World> {
    let world = world()?;
    let helper = Path::new("/usr/bin/fusermount3").exists();
    available(helper, "fusermount3").then(|| world.running_as(NOBODY))
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
    let strict = std::fs::read_to_string("/etc/fuse.conf")
        .is_ok_and(|text| !text.lines().any(|line| line.trim() == "user_allow_other"));
    if available(strict, "an /etc/fuse.conf without user_allow_other") {
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
