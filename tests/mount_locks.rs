//! Locks through the daemon (`lock_mode = daemon`), between processes.

mod support;

use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::time::Duration;

use dynamicfs::{IoMode, LockMode, OptimizedFUSEConfig};
use rustix::process::Signal;
use support::helper::{self, Helper};
use support::sys::{self, Lock};
use support::{DEADLINE, TestMount, can_mount, wait_for};

#[test]
fn helper_process() {
    helper::run(&[("locker", locker)]);
}

/// Opens the file that it is given and obeys orders of the form `COMMAND KIND START LEN`.
fn locker(arguments: &[String]) {
    let mut file = Some(open(Path::new(&arguments[0])));
    helper::say("ready");
    for order in helper::orders() {
        let words: Vec<&str> = order.split(' ').collect();
        match words[..] {
            ["close"] => {
                file = None;
                helper::say("ok");
            }
            ["catch"] => {
                sys::catch_alarms();
                helper::say("ok");
            }
            [command, kind, start, len] => {
                let lock = lock_of(kind, start.parse().unwrap(), len.parse().unwrap());
                let done = sys::lock(file.as_ref().unwrap(), number_of(command), lock);
                match done {
                    Ok(held) if command == "get" || command == "ofd-get" => helper::say(text(held)),
                    done => helper::say(helper::outcome(done)),
                }
            }
            _ => panic!("no such order: {order}"),
        }
    }
}

fn number_of(command: &str) -> i32 {
    match command {
        "set" => libc::F_SETLK,
        "wait" => libc::F_SETLKW,
        "get" => libc::F_GETLK,
        "ofd-set" => libc::F_OFD_SETLK,
        "ofd-wait" => libc::F_OFD_SETLKW,
        "ofd-get" => libc::F_OFD_GETLK,
        _ => panic!("no such command: {command}"),
    }
}

fn lock_of(kind: &str, start: i64, len: i64) -> Lock {
    let kind = match kind {
        "read" => libc::F_RDLCK,
        "write" => libc::F_WRLCK,
        "none" => libc::F_UNLCK,
        _ => panic!("no such kind: {kind}"),
    };
    Lock {
        kind,
        start,
        len,
        pid: 0,
    }
}

fn text(held: Lock) -> String {
    match held.kind {
        libc::F_UNLCK => "free".to_owned(),
        libc::F_RDLCK => format!("read {} {} by {}", held.start, held.len, held.pid),
        _ => format!("write {} {} by {}", held.start, held.len, held.pid),
    }
}

fn errno(number: i32) -> String {
    format!("errno {number}")
}

fn open(path: &Path) -> File {
    let mut options = OpenOptions::new();
    options.read(true).write(true).open(path).unwrap()
}

/// A mount with daemon locks and a file `f`, in the ways of file data that differ in what a close
/// sends.
fn lock_mounts(case: &str) -> Vec<TestMount> {
    if !can_mount(case) {
        return Vec::new();
    }
    [IoMode::Passthrough, IoMode::WriteThrough]
        .into_iter()
        .map(|io_mode| {
            let mut config = OptimizedFUSEConfig::balanced();
            config.io_mode = io_mode;
            config.lock_mode = LockMode::Daemon;
            let mount = TestMount::local(config);
            fs::write(mount.path("f"), [0; 4096]).unwrap();
            mount
        })
        .collect()
}

fn locker_on(mount: &TestMount) -> Helper {
    let helper = Helper::start("locker", &[mount.path("f").to_str().unwrap()]);
    assert_eq!(helper.hear(), "ready");
    helper
}

/// Sends an order that must wait, and makes sure that it does: the daemon has it when the
/// thread is in the kernel and no answer has come.
fn start_waiting(helper: &mut Helper, order: &str) {
    helper.tell(order);
    let call = format!("/proc/{}/syscall", helper.role_thread());
    let fcntl = format!("{} ", libc::SYS_fcntl);
    wait_for("the helper waits in fcntl", DEADLINE, || {
        fs::read_to_string(&call).is_ok_and(|call| call.starts_with(&fcntl))
    });
    let early = helper.hear_within(Duration::from_millis(30));
    assert_eq!(early, None, "{order} did not wait");
}

#[test]
fn conflicts_are_seen_and_said_with_the_holder() {
    for mount in lock_mounts("conflicts") {
        let mut one = locker_on(&mount);
        let mut two = locker_on(&mount);
        assert_eq!(one.ask("set write 100 50"), "ok");
        assert_eq!(two.ask("set read 120 1"), errno(libc::EAGAIN));
        assert_eq!(two.ask("set write 0 0"), errno(libc::EAGAIN));
        assert_eq!(two.ask("set write 0 100"), "ok");
        assert_eq!(two.ask("set write 150 10"), "ok");
        let holder = format!("write 100 50 by {}", one.pid());
        assert_eq!(two.ask("get read 110 5"), holder);
        assert_eq!(two.ask("get write 200 5"), "free");
        assert_eq!(
            one.ask("get write 110 5"),
            "free",
            "one's own lock is no conflict"
        );
        // Unlocking the middle leaves both ends.
        assert_eq!(one.ask("set none 110 10"), "ok");
        assert_eq!(two.ask("set write 110 10"), "ok");
        assert_eq!(two.ask("set write 109 1"), errno(libc::EAGAIN));
        assert_eq!(two.ask("set write 120 1"), errno(libc::EAGAIN));
        assert!(mount.ops("SETLK") > 0, "the daemon was not asked");
        // Readers share.
        assert_eq!(one.ask("set read 1000 10"), "ok");
        assert_eq!(two.ask("set read 1000 10"), "ok");
        assert_eq!(two.ask("set write 1000 10"), errno(libc::EAGAIN));
    }
}

#[test]
fn a_waiting_lock_is_granted_when_the_holder_unlocks_closes_or_dies() {
    for mount in lock_mounts("waiting") {
        for end in ["set none 0 0", "close", "kill"] {
            let mut holder = locker_on(&mount);
            let mut waiter = locker_on(&mount);
            assert_eq!(holder.ask("set write 0 0"), "ok");
            start_waiting(&mut waiter, "wait write 10 10");
            match end {
                "kill" => holder.signal(Signal::KILL),
                order => assert_eq!(holder.ask(order), "ok"),
            }
            assert_eq!(waiter.hear_within(DEADLINE).as_deref(), Some("ok"), "{end}");
            // And it holds it now.
            let mut third = locker_on(&mount);
            assert_eq!(third.ask("set read 15 1"), errno(libc::EAGAIN), "{end}");
        }
    }
}

#[test]
fn a_waiting_process_can_be_killed() {
    for mount in lock_mounts("kill") {
        let mut holder = locker_on(&mount);
        let mut waiter = locker_on(&mount);
        assert_eq!(holder.ask("set write 0 0"), "ok");
        start_waiting(&mut waiter, "wait write 0 0");
        waiter.signal(Signal::KILL);
        wait_for("the waiter is gone", Duration::from_secs(2), || {
            waiter.has_ended()
        });
        // Nothing of it is left: neither the wait nor a lock.
        assert_eq!(holder.ask("set none 0 0"), "ok");
        let mut third = locker_on(&mount);
        wait_for("the lock is free", DEADLINE, || {
            third.ask("set write 0 0") == "ok"
        });
    }
}

#[test]
fn a_signal_with_a_handler_interrupts_the_wait() {
    for mount in lock_mounts("alarm") {
        let mut holder = locker_on(&mount);
        let mut waiter = locker_on(&mount);
        assert_eq!(holder.ask("set write 0 0"), "ok");
        assert_eq!(waiter.ask("catch"), "ok");
        start_waiting(&mut waiter, "wait write 0 0");
        sys::signal_thread(waiter.pid(), waiter.role_thread(), libc::SIGALRM).unwrap();
        let answer = waiter.hear_within(Duration::from_secs(2));
        assert_eq!(answer, Some(errno(libc::EINTR)));
        // Interrupted means not taken.
        assert_eq!(holder.ask("set none 0 0"), "ok");
        let mut third = locker_on(&mount);
        assert_eq!(third.ask("set write 0 0"), "ok");
    }
}

#[test]
fn two_waits_for_each_other_are_a_deadlock() {
    for mount in lock_mounts("deadlock") {
        let mut one = locker_on(&mount);
        let mut two = locker_on(&mount);
        assert_eq!(one.ask("set write 0 1"), "ok");
        assert_eq!(two.ask("set write 1 1"), "ok");
        start_waiting(&mut one, "wait write 1 1");
        assert_eq!(two.ask("wait write 0 1"), errno(libc::EDEADLK));
        assert_eq!(two.ask("set none 1 1"), "ok");
        assert_eq!(one.hear(), "ok");
    }
}

#[test]
fn locks_of_open_file_descriptions_belong_to_the_description() {
    for mount in lock_mounts("descriptions") {
        let (first, second) = (open(&mount.path("f")), open(&mount.path("f")));
        let write = lock_of("write", 0, 10);
        sys::lock(&first, libc::F_OFD_SETLK, write).unwrap();
        let refused = sys::lock(&second, libc::F_OFD_SETLK, write).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EAGAIN), "same process");
        let held = sys::lock(&second, libc::F_OFD_GETLK, write).unwrap();
        assert_eq!((held.kind, held.start, held.len), (libc::F_WRLCK, 0, 10));
        // A close of another description, which would end POSIX locks, leaves it.
        drop(open(&mount.path("f")));
        assert!(sys::lock(&second, libc::F_OFD_SETLK, write).is_err());
        // A duplicate keeps it, the last close ends it.
        let duplicate = first.try_clone().unwrap();
        drop(first);
        assert!(sys::lock(&second, libc::F_OFD_SETLK, write).is_err());
        drop(duplicate);
        // The release of a file is asynchronous.
        wait_for("the lock ends with its description", DEADLINE, || {
            sys::lock(&second, libc::F_OFD_SETLK, write).is_ok()
        });
    }
}

#[test]
fn a_lock_of_a_description_stands_against_other_processes() {
    for mount in lock_mounts("descriptions between processes") {
        let mut one = locker_on(&mount);
        let mut two = locker_on(&mount);
        assert_eq!(one.ask("ofd-set write 5 5"), "ok");
        assert_eq!(two.ask("set write 5 1"), errno(libc::EAGAIN));
        // A kernel file system says -1 for the holder; the FUSE protocol carries only the process
        // that took the lock and does not say what kind of lock it is.
        let holder = format!("write 5 5 by {}", one.pid());
        assert_eq!(two.ask("get write 5 1"), holder);
        start_waiting(&mut two, "ofd-wait read 0 0");
        assert_eq!(one.ask("ofd-set none 0 0"), "ok");
        assert_eq!(two.hear(), "ok");
    }
}
