//! A daemon that was killed.

use std::path::Path;

use rustix::io::Errno;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::command::{World, available};
use crate::{Daemon, mounted, unmounted, wait_until, world};

/// A mount whose daemon is dead.
fn stale() -> Option<World> {
    let world = world()?;
    mounted(&world, &["@src", "@mnt"]);
    let daemon = Daemon::of(&world, "@mnt");
    daemon.signal(Signal::KILL);
    wait_until("the daemon's end", || daemon.is_gone());
    let stat = rustix::fs::statfs(world.path("mnt"));
    assert_eq!(stat.err(), Some(Errno::NOTCONN));
    Some(world)
}

#[test]
fn it_is_named_cleared_and_mounted_again() {
    let Some(world) = stale() else { return };
    let way_out = "dynamicfs umount --lazy";
    world
        .run(&["mount", "@src", "@mnt"])
        .refused(3, &["daemon is dead", way_out]);
    world
        .run(&["mount", "@mnt", "@src"])
        .refused(3, &["source", "daemon is dead", way_out]);
    world
        .run(&["status", "@mnt"])
        .refused(5, &["stale", way_out]);
    world.run(&["stats"]).refused(5, &["no dynamicfs mounts"]);
    let text = world.run(&["status"]).ok();
    assert!(
        text.contains(&format!("{}: stale", world.text("mnt"))),
        "{text}"
    );
    let overview: Value =
        serde_json::from_str(&world.run(&["status", "--json"]).ok()).expect("JSON");
    let listed = overview["stale"].as_array().expect("a list");
    assert!(listed.contains(&json!(world.text("mnt"))), "{overview}");
    world.run(&["umount", "--lazy", "@mnt"]).ok();
    world.nothing_left();
    mounted(&world, &["@src", "@mnt"]);
    assert_eq!(
        std::fs::read(world.path("mnt/file")).expect("it answers"),
        b"content"
    );
    unmounted(&world, "@mnt");
}

#[test]
fn a_socket_left_behind_does_not_hinder_the_next_mount() {
    let Some(world) = stale() else { return };
    // umount(8) knows nothing of the socket.
    world
        .run_program("/bin/umount".as_ref(), &[world.path("mnt")])
        .ok();
    assert_eq!(std::fs::read_dir(world.path("run")).expect("it").count(), 1);
    mounted(&world, &["@src", "@mnt"]);
    unmounted(&world, "@mnt");
}

#[test]
fn waiting_for_a_dead_daemon_ends_at_once() {
    let Some(world) = stale() else { return };
    world.run(&["umount", "--wait", "@mnt"]).ok();
    world.nothing_left();
}

#[test]
fn with_auto_unmount_the_helper_takes_the_mount_of_a_dead_daemon_away() {
    let Some(world) = world() else { return };
    if !available(Path::new("/usr/bin/fusermount3").exists(), "fusermount3") {
        return;
    }
    let world = world.with("DYNAMICFS_TRANSPORT", "linux");
    mounted(&world, &["-o", "auto_unmount", "@src", "@mnt"]);
    let content = std::fs::read(world.path("mnt/file")).expect("it answers");
    assert_eq!(content, b"content");
    let daemon = Daemon::of(&world, "@mnt");
    daemon.signal(Signal::KILL);
    let point = world.text("mnt");
    wait_until("the end of the mount", || {
        let table = std::fs::read_to_string("/proc/thread-self/mountinfo").expect("/proc");
        !table.contains(&point)
    });
    // The place is free again, and when it is unmounted by hand, the helper ends too.
    mounted(&world, &["-o", "auto_unmount", "@src", "@mnt"]);
    unmounted(&world, "@mnt");
}
