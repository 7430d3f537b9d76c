//! Changes behind a mount that watches for them: seen at once, however long things are cached.

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use dynamicfs::OptimizedFUSEConfig;
use dynamicfs::storage::{LocalStorage, MemoryStorage};
use rustix::process::Signal;
use support::helper::{self, Helper};
use support::{DEADLINE, Mounted, TestMount, can_mount, is_mountpoint, test_dir, wait_for};

/// Far beyond any test: what is seen earlier was told of.
const LIFETIME: u64 = 3_600;

/// What a loaded machine may need. (Measured on a quiet one: 2 ms.)
const SOON: Duration = Duration::from_secs(5);

fn watching() -> OptimizedFUSEConfig {
    let mut config = OptimizedFUSEConfig::balanced();
    config.attr_timeout_secs = LIFETIME;
    config.entry_timeout_secs = LIFETIME;
    config.negative_timeout_secs = LIFETIME;
    config.xattr_cache_ttl_secs = LIFETIME;
    config.watch = true;
    config
}

/// A mount of a directory with a few files, watched in the way that the storage settings lead to.
fn mounted(config: OptimizedFUSEConfig, handles: bool) -> TestMount {
    let dir = test_dir();
    let backing = dir.path().join("backing");
    fs::create_dir_all(backing.join("dir/below")).unwrap();
    for name in ["dir/grows", "dir/removed", "dir/replaced", "dir/below/deep"] {
        fs::write(backing.join(name), "old").unwrap();
    }
    let storage = LocalStorage::builder(&backing).file_handles(handles);
    TestMount::over(dir, Box::new(storage.build().unwrap()), config)
}

/// Another process: what the daemon's own does is no change behind the mount.
fn elsewhere(mount: &TestMount, script: &str) {
    let mut shell = Command::new("sh");
    let status = shell
        .args(["-ec", script])
        .current_dir(mount.backing("dir"))
        .status();
    assert!(status.unwrap().success(), "{script}");
}

fn changes_show_at_once(handles: bool, method: &str) {
    if !can_mount("watch") {
        return;
    }
    let mount = mounted(watching(), handles);
    let report = mount.handle().report();
    let row = report.capabilities.iter().find(|item| item.name == "watch");
    assert_eq!(row.map(|row| row.effective.as_str()), Some(method));

    let (grows, below) = (mount.path("dir/grows"), mount.path("dir/below/deep"));
    let length = || fs::metadata(&grows).unwrap().len();
    let names = || fs::read_dir(mount.path("dir")).unwrap().count();
    for _ in 0..2 {
        assert_eq!(length(), 3);
        assert_eq!(names(), 4);
        assert_eq!(fs::read(&below).unwrap(), b"old");
        assert!(mount.path("dir/removed").exists());
        assert!(!mount.path("dir/appears").exists());
        assert_eq!(fs::read(mount.path("dir/replaced")).unwrap(), b"old");
    }
    let shows = |what: &str, script: &str, condition: &mut dyn FnMut() -> bool| {
        elsewhere(&mount, script);
        let changed = Instant::now();
        wait_for(what, SOON, condition);
        eprintln!("{method}: {what} after {:?}", changed.elapsed());
    };
    shows("size", "echo longer >> grows", &mut || length() == 10);
    shows("mode", "chmod 640 grows", &mut || {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(&grows).unwrap().permissions().mode() & 0o777 == 0o640
    });
    shows("a new name", "echo > appears", &mut || {
        mount.path("dir/appears").exists()
    });
    shows("a removed name", "rm removed", &mut || {
        !mount.path("dir/removed").exists()
    });
    shows("another file", "echo new > x; mv x replaced", &mut || {
        fs::read(mount.path("dir/replaced")).unwrap() == b"new\n"
    });
    shows("the listing", "touch fifth", &mut || names() == 5);
    shows("a moved tree", "mv below moved", &mut || {
        !below.exists() && mount.path("dir/moved/deep").exists()
    });
    shows("a deep change", "rm moved/deep", &mut || {
        !mount.path("dir/moved/deep").exists()
    });
}

#[test]
fn a_mark_on_the_file_system_shows_changes_at_once() {
    changes_show_at_once(true, "fanotify");
}

#[test]
fn watches_of_directories_show_changes_at_once() {
    changes_show_at_once(false, "inotify");
}

#[test]
fn extended_attributes_expire_too() {
    if !can_mount("watch of attributes") {
        return;
    }
    // Watches of directories, to which this process is like any other.
    let mount = mounted(watching(), false);
    let set = |value: &str| {
        let flags = rustix::fs::XattrFlags::empty();
        let path = mount.backing("dir/grows");
        rustix::fs::setxattr(path, "user.test", value.as_bytes(), flags).unwrap();
    };
    let get = || {
        let mut value = [0; 8];
        let path = mount.path("dir/grows");
        let length = rustix::fs::getxattr(path, "user.test", &mut value).unwrap_or(0);
        value[..length].to_vec()
    };
    set("old");
    wait_for("the first value", SOON, || get() == b"old");
    set("new");
    wait_for("the new value", SOON, || get() == b"new");
}

#[test]
fn many_changes_at_a_time_all_show() {
    if !can_mount("watch under load") {
        return;
    }
    const FILES: usize = 1_000;
    let mount = mounted(watching(), true);
    fs::create_dir_all(mount.backing("dir/many")).unwrap();
    fs::create_dir(mount.backing("from")).unwrap();
    let name = |i: usize| format!("dir/many/{i}");
    for i in 0..FILES {
        fs::write(mount.backing(name(i)), "").unwrap();
        fs::write(mount.backing(format!("from/{i}")), "filled").unwrap();
    }
    let have = |size: u64| {
        let mut sizes = (0..FILES).map(|i| fs::metadata(mount.path(name(i))).unwrap().len());
        sizes.all(|now| now == size)
    };
    assert!(have(0));
    elsewhere(&mount, "cp ../from/* many/");
    wait_for("all sizes", SOON, || have(6));
}

#[test]
fn helper_process() {
    helper::run(&[("daemon", daemon)]);
}

/// Mounts `arguments[0]` at `arguments[1]`, watched with handles or without, and tells by which transport.
fn daemon(arguments: &[String]) {
    let [source, mountpoint, handles] = arguments else {
        panic!("three arguments");
    };
    let storage = LocalStorage::builder(source).file_handles(handles == "true");
    let storage = Box::new(storage.build().unwrap());
    let handle = support::serve(storage, watching(), Path::new(mountpoint)).unwrap();
    helper::say(handle.report().transport);
    handle.wait().unwrap();
}

/// More changes than the kernel keeps, while the daemon stands still: those behind them are lost.
fn lost_events_expire_everything(handles: bool, queue: &str) {
    if !can_mount("watch, lost events") {
        return;
    }
    let events: usize = fs::read_to_string(format!("/proc/sys/fs/{queue}/max_queued_events"))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let dir = test_dir();
    let (backing, mountpoint) = (dir.path().join("backing"), dir.path().join("mnt"));
    fs::create_dir_all(backing.join("dir")).unwrap();
    fs::create_dir_all(backing.join("many")).unwrap();
    fs::create_dir(&mountpoint).unwrap();
    fs::write(backing.join("dir/grows"), "old").unwrap();
    fs::write(backing.join("dir/removed"), "old").unwrap();
    let arguments = [backing.to_str().unwrap(), mountpoint.to_str().unwrap()];
    let mut daemon = Helper::start(
        "daemon",
        &[&arguments[..], &[&handles.to_string()]].concat(),
    );
    let transport = daemon.hear();
    let mounted = Mounted(mountpoint);
    let path = |name: &str| mounted.0.join(name);
    let exists = |name: &str| path(name).exists();
    let length = || fs::metadata(path("dir/grows")).unwrap().len();
    let inside = Mounted::tmpfs(path("dir/inside"), 1);
    for _ in 0..2 {
        assert!(exists("many") && exists("dir/removed"));
        assert!(!exists("dir/appears") && !exists("appears"));
        assert_eq!(length(), 3);
    }

    daemon.signal(Signal::STOP);
    wait_for("the daemon stands still", SOON, || daemon.has_stopped());
    for i in 0..events + 100 {
        fs::write(backing.join(format!("many/{i}")), "").unwrap();
    }
    fs::write(backing.join("dir/grows"), "longer").unwrap();
    fs::write(backing.join("dir/appears"), "").unwrap();
    fs::write(backing.join("appears"), "").unwrap();
    fs::remove_file(backing.join("dir/removed")).unwrap();
    daemon.signal(Signal::CONT);

    wait_for("the size", DEADLINE, || length() == 6);
    wait_for("the removed name", DEADLINE, || !exists("dir/removed"));
    wait_for("the new name", DEADLINE, || exists("dir/appears"));
    wait_for("the new name of the root", DEADLINE, || exists("appears"));
    // The crate fuser drops names instead of expiring them, and with them what is mounted there.
    if transport == "linux" {
        assert!(is_mountpoint(&inside.0));
    }
    drop(inside);
    support::unmount_when_idle(&mounted.0);
    wait_for("the daemon ends", DEADLINE, || daemon.has_ended());
}

#[test]
fn lost_events_of_the_file_system_expire_everything() {
    lost_events_expire_everything(true, "fanotify");
}

#[test]
fn lost_events_of_directories_expire_everything() {
    lost_events_expire_everything(false, "inotify");
}

#[test]
fn a_storage_that_nothing_else_changes_is_not_watched_and_keeps_everything() {
    if !can_mount("exclusive storage") {
        return;
    }
    let mut config = OptimizedFUSEConfig::balanced();
    config.watch = true;
    let mount = TestMount::of(Box::new(MemoryStorage::new()), config);
    let report = mount.handle().report();
    let row = |name: &str| {
        let row = report.capabilities.iter().find(|item| item.name == name);
        row.map(|row| row.effective.clone())
    };
    assert_eq!(row("watch").as_deref(), Some("no"));
    assert_eq!(row("attr_ttl").as_deref(), Some("unlimited"));
}

#[test]
fn what_is_exclusive_is_asked_once() {
    if !can_mount("exclusive") {
        return;
    }
    let mut config = OptimizedFUSEConfig::balanced();
    (config.attr_timeout_secs, config.attr_timeout_millis) = (0, 1);
    (config.entry_timeout_secs, config.entry_timeout_millis) = (0, 1);
    config.exclusive = true;
    let mount = TestMount::prepared(config, |root| fs::write(root.join("file"), "x").unwrap());
    let stat = || fs::metadata(mount.path("file")).unwrap().len();
    assert_eq!(stat(), 1);
    let asked = || mount.ops("LOOKUP") + mount.ops("GETATTR");
    let before = asked();
    // Long after the lifetimes that were asked for.
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(50) {
        assert_eq!(stat(), 1);
    }
    assert_eq!(asked(), before);
    // A change through the mount is another matter.
    fs::write(mount.path("file"), "longer").unwrap();
    assert_eq!(stat(), 6);
}
