//! How a daemon ends.

use std::time::Duration;

use rustix::process::Signal;

use crate::{Daemon, mounted, unmounted, wait_until, world};

#[test]
fn a_signal_unmounts() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let Some(world) = world() else { return };
        mounted(&world, &["@src", "@mnt"]);
        let daemon = Daemon::of(&world, "@mnt");
        daemon.signal(signal);
        wait_until("the daemon's end", || daemon.is_gone());
        world.nothing_left();
        mounted(&world, &["@src", "@mnt"]);
        unmounted(&world, "@mnt");
    }
}

/// Whoever stops a service does so once.
#[test]
fn what_is_in_use_for_a_moment_is_waited_for() {
    let Some(world) = world() else { return };
    mounted(&world, &["@src", "@mnt"]);
    let daemon = Daemon::of(&world, "@mnt");
    let file = std::fs::File::open(world.path("mnt/file")).expect("opened");
    daemon.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(world.mounts().len(), 1, "it stays while it is in use");
    drop(file);
    wait_until("the daemon's end", || daemon.is_gone());
    world.nothing_left();
}

#[test]
fn the_second_signal_detaches_what_is_in_use() {
    let Some(world) = world() else { return };
    mounted(&world, &["@src", "@mnt", "--log-file", "log"]);
    let daemon = Daemon::of(&world, "@mnt");
    let file = std::fs::File::open(world.path("mnt/file")).expect("opened");
    daemon.signal(Signal::TERM);
    wait_until("the refusal in the log", || {
        std::fs::read_to_string(world.path("log")).is_ok_and(|log| log.contains("in use"))
    });
    assert_eq!(world.mounts().len(), 1, "it stays while it is in use");
    daemon.signal(Signal::TERM);
    wait_until("the mount to go", || world.mounts().is_empty());
    assert_eq!(std::io::read_to_string(&file).expect("data"), "content");
    drop(file);
    wait_until("the daemon's end", || daemon.is_gone());
    world.nothing_left();
}

#[test]
fn an_unmount_by_umount_8_ends_the_daemon() {
    let Some(world) = world() else { return };
    mounted(&world, &["@src", "@mnt"]);
    let daemon = Daemon::of(&world, "@mnt");
    world
        .run_program("/bin/umount".as_ref(), &[world.path("mnt")])
        .ok();
    wait_until("the daemon's end", || daemon.is_gone());
    world.nothing_left();
}
