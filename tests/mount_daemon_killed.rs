//! A daemon that is killed: everybody who uses the mount gets an error soon, nothing hangs, what
//! was made durable is there, and the directory can be mounted again.

mod support;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use dynamicfs::mount::UnmountMode;
use dynamicfs::{IoMode, LockMode};
use rustix::process::Signal;
use support::helper::{self, Helper};
use support::sys::{self, Lock};
use support::{DEADLINE, Mounted, can_mount, is_mountpoint, wait_for};

/// What the issue allows from the death of the daemon to the error.
const LIMIT: Duration = Duration::from_secs(5);
const BLOCK: usize = 40_000;

#[test]
fn helper_process() {
    helper::run(&[("daemon", daemon)]);
}

/// Mounts `arguments[0]` at `arguments[1]` in the mode `arguments[2]`, until it is killed.
fn daemon(arguments: &[String]) {
    let [source, mountpoint, io_mode] = arguments else {
        panic!("three arguments");
    };
    let mut config = support::with_io_mode(io_mode.parse().expect("a mode"));
    config.lock_mode = LockMode::Daemon;
    let storage = Box::new(support::local_storage(Path::new(source), &config));
    let handle = support::serve(storage, config, Path::new(mountpoint)).unwrap();
    helper::say("mounted");
    handle.wait().unwrap();
}

struct Scene {
    daemon: Helper,
    // Before the directory in which it is.
    mounted: Mounted,
    backing: PathBuf,
    _dir: tempfile::TempDir,
}

impl Scene {
    fn new(io_mode: IoMode) -> Scene {
        let dir = support::test_dir();
        let (backing, mountpoint) = (dir.path().join("backing"), dir.path().join("mnt"));
        fs::create_dir(&backing).unwrap();
        fs::create_dir(&mountpoint).unwrap();
        Scene {
            daemon: start_daemon(&backing, &mountpoint, io_mode),
            mounted: Mounted(mountpoint),
            backing,
            _dir: dir,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.mounted.0.join(name)
    }
}

fn start_daemon(backing: &Path, mountpoint: &Path, io_mode: IoMode) -> Helper {
    let arguments = [
        backing.to_str().unwrap(),
        mountpoint.to_str().unwrap(),
        &io_mode.to_string(),
    ];
    let daemon = Helper::start("daemon", &arguments);
    assert_eq!(daemon.hear(), "mounted");
    daemon
}

/// Runs `action` in a thread of that name (at most 15 bytes, `TASK_COMM_LEN`) and tells the error it ends with, and when.
fn in_background(
    name: &str,
    action: impl FnOnce() -> io::Error + Send + 'static,
) -> (String, Receiver<(io::Error, Instant)>) {
    let (sender, receiver) = channel();
    let caller = std::thread::Builder::new().name(name.to_owned());
    caller
        .spawn(move || {
            let error = action();
            // The receiver is gone only when the test has failed already.
            let _ = sender.send((error, Instant::now()));
        })
        .unwrap();
    (name.to_owned(), receiver)
}

fn expect_errors(callers: Vec<(String, Receiver<(io::Error, Instant)>)>, killed: Instant) {
    for (name, caller) in callers {
        let left = (killed + LIMIT).saturating_duration_since(Instant::now());
        let (error, when) = caller
            .recv_timeout(left)
            .unwrap_or_else(|_| panic!("{name}: no error within {LIMIT:?}"));
        assert!(
            when >= killed,
            "{name}: {error} before the daemon was killed"
        );
        let expected = [libc::ENOTCONN, libc::ECONNABORTED, libc::EIO];
        let number = error.raw_os_error().expect("an error of the kernel");
        assert!(expected.contains(&number), "{name}: {error}");
    }
}

/// Repeats `step` until it fails.
fn until_error(mut step: impl FnMut() -> io::Result<()>) -> io::Error {
    loop {
        if let Err(error) = step() {
            return error;
        }
    }
}

/// Appends blocks, each opened, made durable and closed; counts them in `durable`.
fn append_blocks(path: &Path, durable: &AtomicUsize) -> io::Error {
    until_error(|| {
        let mut file = OpenOptions::new().append(true).create(true).open(path)?;
        let number = durable.load(Ordering::SeqCst);
        file.write_all(&[number as u8; BLOCK])?;
        file.sync_all()?;
        durable.fetch_add(1, Ordering::SeqCst);
        Ok(())
    })
}

fn killed_during_writes(io_mode: IoMode) {
    let mut scene = Scene::new(io_mode);
    fs::write(scene.backing.join("large"), vec![7; 8 << 20]).unwrap();
    let durable: [&'static AtomicUsize; 2] =
        std::array::from_fn(|_| &*Box::leak(Box::new(AtomicUsize::new(0))));
    let mut callers = Vec::new();
    for (n, durable) in durable.into_iter().enumerate() {
        let path = scene.path(&format!("log{n}"));
        callers.push(in_background("append, fsync", move || {
            append_blocks(&path, durable)
        }));
    }
    let large = scene.path("large");
    callers.push(in_background("open, read", move || {
        let mut buffer = vec![0; 1 << 20];
        until_error(|| File::open(&large)?.read_exact(&mut buffer))
    }));
    let root = scene.mounted.0.clone();
    callers.push(in_background("create, remove", move || {
        until_error(|| {
            File::create(root.join("short"))?;
            fs::remove_file(root.join("short"))
        })
    }));
    wait_for("some blocks are durable", DEADLINE, || {
        durable.iter().all(|n| n.load(Ordering::SeqCst) >= 10)
    });
    let killed = Instant::now();
    scene.daemon.signal(Signal::KILL);
    expect_errors(callers, killed);
    wait_for("the daemon is gone", LIMIT, || scene.daemon.has_ended());
    stale_then_mounted_again(&scene, io_mode);
    for (n, durable) in durable.iter().enumerate() {
        let found = fs::read(scene.backing.join(format!("log{n}"))).unwrap();
        let blocks = durable.load(Ordering::SeqCst);
        assert!(
            found.len() >= blocks * BLOCK,
            "{io_mode}: durable data are lost"
        );
        for (number, block) in found.chunks_exact(BLOCK).take(blocks).enumerate() {
            assert!(
                block.iter().all(|byte| *byte == number as u8),
                "block {number}"
            );
        }
    }
}

/// The stale mountpoint says `ENOTCONN`, goes away lazily, and the next mount works.
fn stale_then_mounted_again(scene: &Scene, io_mode: IoMode) {
    let mountpoint = &scene.mounted.0;
    let stale = fs::metadata(mountpoint.join("any")).unwrap_err();
    assert_eq!(stale.raw_os_error(), Some(libc::ENOTCONN));
    assert!(is_mountpoint(mountpoint));
    dynamicfs::mount::unmount(mountpoint, UnmountMode::Lazy).unwrap();
    assert!(!is_mountpoint(mountpoint));
    let _daemon = start_daemon(&scene.backing, mountpoint, io_mode);
    for name in ["log0", "log1"] {
        let through = fs::read(mountpoint.join(name)).unwrap();
        assert!(through == fs::read(scene.backing.join(name)).unwrap());
    }
    fs::write(mountpoint.join("new"), "x").unwrap();
    support::unmount_when_idle(mountpoint);
    assert_eq!(fs::read(scene.backing.join("new")).unwrap(), b"x");
}

#[test]
fn killed_during_writes_with_passthrough() {
    if can_mount("kill, passthrough") {
        killed_during_writes(IoMode::Passthrough);
    }
}

#[test]
fn killed_during_writes_with_write_through() {
    if can_mount("kill, write-through") {
        killed_during_writes(IoMode::WriteThrough);
    }
}

#[test]
fn killed_during_writes_with_the_writeback_cache() {
    if can_mount("kill, writeback cache") {
        killed_during_writes(IoMode::WritebackCache);
    }
}

/// A stopped daemon answers nobody: every caller is inside a request when the daemon is killed.
#[test]
fn callers_blocked_in_requests_are_released() {
    if !can_mount("kill, blocked callers") {
        return;
    }
    for io_mode in [IoMode::WriteThrough, IoMode::WritebackCache, IoMode::Direct] {
        let mut scene = Scene::new(io_mode);
        for name in [
            "read", "write", "fsync", "close", "lock", "open", "stat", "name",
        ] {
            fs::write(scene.backing.join(name), vec![1; 1 << 20]).unwrap();
        }
        let opened = |name: &str| {
            let mut options = OpenOptions::new();
            options
                .read(true)
                .write(true)
                .open(scene.path(name))
                .unwrap()
        };
        let (read, mut write, fsync, lock) = (
            opened("read"),
            opened("write"),
            opened("fsync"),
            opened("lock"),
        );
        (&fsync).write_all(&[2; 100]).unwrap();
        let held = Lock {
            kind: libc::F_WRLCK,
            start: 0,
            len: 0,
            pid: 0,
        };
        let holder = opened("lock");
        sys::lock(&holder, libc::F_OFD_SETLK, held).unwrap();
        let waits = in_background("waiting lock", move || {
            sys::lock(&lock, libc::F_OFD_SETLKW, held).expect_err("held by another")
        });
        wait_for("the daemon has the lock request", DEADLINE, || {
            all_are_blocked(std::slice::from_ref(&waits.0))
        });
        scene.daemon.signal(Signal::STOP);
        wait_for("the daemon stands still", DEADLINE, || {
            scene.daemon.has_stopped()
        });
        let (open, name, list) = (
            scene.path("open"),
            scene.path("new"),
            scene.mounted.0.clone(),
        );
        let callers = vec![
            waits,
            in_background("read", move || {
                let mut buffer = vec![0; 1 << 20];
                (&read).read_exact(&mut buffer).expect_err("no daemon")
            }),
            in_background("write", move || {
                let written = write.write_all(&[3; 1 << 20]);
                written
                    .and_then(|()| write.sync_all())
                    .expect_err("no daemon")
            }),
            in_background("fsync", move || fsync.sync_all().expect_err("no daemon")),
            in_background("open", move || File::open(open).expect_err("no daemon")),
            in_background("create", move || File::create(name).expect_err("no daemon")),
            in_background("list", move || fs::read_dir(list).expect_err("no daemon")),
        ];
        let blocked = all_are_blocked(
            &callers
                .iter()
                .map(|(name, _)| name.clone())
                .collect::<Vec<_>>(),
        );
        let killed = Instant::now();
        scene.daemon.signal(Signal::KILL);
        assert!(blocked, "{io_mode}: not every caller waited for the daemon");
        expect_errors(callers, killed);
        wait_for("the daemon is gone", LIMIT, || scene.daemon.has_ended());
    }
}

/// Whether the threads of these names come to wait inside a system call, for an answer or for each
/// other.
fn all_are_blocked(names: &[String]) -> bool {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
        let waiting = tasks.filter(|task| {
            let read = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default();
            // Not running, and not waiting for another thread of this process.
            let place = read("wchan");
            names.iter().any(|name| read("comm").trim() == name)
                && place != "0"
                && !place.contains("futex")
        });
        if waiting.count() >= names.len() || Instant::now() > deadline {
            return Instant::now() <= deadline;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// With passthrough an open file is the kernel's own affair: its reads and writes go on without a
/// daemon, and nothing of them is lost.
#[test]
fn files_open_in_passthrough_outlive_the_daemon() {
    if !can_mount("kill, open file") {
        return;
    }
    let mut scene = Scene::new(IoMode::Passthrough);
    let mut file = File::create(scene.path("open")).unwrap();
    file.write_all(b"before ").unwrap();
    scene.daemon.signal(Signal::KILL);
    wait_for("the daemon is gone", LIMIT, || scene.daemon.has_ended());
    let file = support::within("a write without the daemon", LIMIT, move || {
        let written = file.write_all(b"after");
        (file, written)
    });
    let found = fs::read(scene.backing.join("open")).unwrap();
    match &file.1 {
        Ok(()) => assert_eq!(found, b"before after"),
        Err(_) => assert_eq!(found, b"before "),
    }
    support::within("a close without the daemon", LIMIT, move || drop(file));
}
