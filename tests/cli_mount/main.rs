//! The command with real mounts. They need root and `/dev/fuse`.

#[path = "../command/mod.rs"]
mod command;
mod daemon;
mod figures;
mod given;
mod helper;
mod options;
mod signals;
mod stale;
mod unprivileged;

use std::path::Path;
use std::time::{Duration, Instant};

use command::{Said, World, available, root};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::Value;

/// A world with a file to serve, on a machine that can mount; none where it cannot.
#[track_caller]
fn world() -> Option<World> {
    if !root() || !available(Path::new("/dev/fuse").exists(), "/dev/fuse") {
        return None;
    }
    let world = World::new();
    std::fs::write(world.path("src/file"), "content").expect("a file");
    // Of what surrounds the test, the one thing that is passed on: `cargo xtask test` runs these tests
    // with each transport.
    Some(match std::env::var("DYNAMICFS_TRANSPORT") {
        Ok(transport) => world.with("DYNAMICFS_TRANSPORT", &transport),
        Err(_) => world,
    })
}

/// Waits until `condition` holds.
#[track_caller]
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The daemon of a mount.
struct Daemon(OwnedFd);

impl Daemon {
    #[track_caller]
    fn of(world: &World, mountpoint: &str) -> Daemon {
        Daemon::with_pid(status(world, mountpoint)["pid"].as_i64().expect("a pid"))
    }

    #[track_caller]
    fn with_pid(pid: i64) -> Daemon {
        let pid = Pid::from_raw(pid as i32).expect("a pid");
        Daemon(pidfd_open(pid, PidfdFlags::empty()).expect("it lives"))
    }

    fn signal(&self, signal: Signal) {
        pidfd_send_signal(&self.0, signal).expect("it lives");
    }

    fn is_gone(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&now)).expect("poll") == 1
    }
}

/// What the daemon says of a mount.
#[track_caller]
fn status(world: &World, mountpoint: &str) -> Value {
    let text = world.run(&["status", "--json", mountpoint]).ok();
    serde_json::from_str(&text).expect("JSON")
}

/// A mount in the background that succeeds without a word.
#[track_caller]
fn mounted(world: &World, args: &[&str]) {
    let said: Said = world.run(&[&["mount"], args].concat());
    assert_eq!(
        (said.code, said.out.as_str(), said.err.as_str()),
        (Some(0), "", "")
    );
}

/// Unmounts and waits for the daemon, once nothing uses the mount: programs that other tests start have this one's
/// open files, too, until execve(2).
#[track_caller]
fn unmount_when_idle(world: &World, mountpoint: &str) {
    wait_until("the end of all use", || {
        let said: Said = world.run(&["umount", "--wait", mountpoint]);
        if said.code == Some(6) && said.err.contains("is in use") {
            return false;
        }
        said.ok();
        true
    });
}

/// Unmounts, waits for the daemon, and finds nothing left.
#[track_caller]
fn unmounted(world: &World, mountpoint: &str) {
    let daemon = Daemon::of(world, mountpoint);
    unmount_when_idle(world, mountpoint);
    assert!(
        daemon.is_gone(),
        "umount --wait returned before the daemon ended"
    );
    world.nothing_left();
}
