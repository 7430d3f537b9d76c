//! What the native transport has beyond the portable one: each capability at work, not only granted.

mod support;

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use dynamicfs::mount::MountError;
use dynamicfs::storage::{
    Attr, Caller, CreateMode, Entry, Errno, Fh, FileKind, FilesystemInterface, Ino, Layer, Layered,
    MemoryStorage, OpenFlags, ROOT_INO, Result,
};
use dynamicfs::{IoMode, LockMode, MountOption, OpenPolicy, OptimizedFUSEConfig, TransportChoice};
use rustix::fs::{AtFlags, CWD, FlockOperation, OFlags, flock, linkat};
use support::sys::{Handle, Mapping};
use support::{
    Aligned, DEADLINE, Mounted, TestMount, can_mount, is_mountpoint, local_storage, test_dir,
    wait_for, within, writable,
};

fn native() -> OptimizedFUSEConfig {
    let mut config = OptimizedFUSEConfig::balanced();
    config.transport = TransportChoice::Linux;
    config
}

fn in_force(mount: &TestMount, name: &str) -> bool {
    let report = mount.handle().report();
    assert_eq!(report.transport, "linux");
    let item = report.capabilities.iter().find(|item| item.name == name);
    item.unwrap_or_else(|| panic!("{name} is not in the report"))
        .effective
        == "yes"
}

/// Appends a byte as a user who is not the owner.
fn append_as_other(path: &Path) {
    let mut command = Command::new("sh");
    command.args(["-c", "printf x >> \"$0\""]).arg(path);
    let status = command.uid(12_345).gid(12_345).status().expect("sh");
    assert!(status.success(), "{status}");
}

#[test]
fn a_write_asks_for_no_attribute_and_takes_set_id_bits_away() {
    if !can_mount("HANDLE_KILLPRIV_V2") {
        return;
    }
    for io_mode in [IoMode::Passthrough, IoMode::WriteThrough, IoMode::Direct] {
        let mut config = native();
        config.io_mode = io_mode;
        let mount = TestMount::local(config);
        assert!(in_force(&mount, "HANDLE_KILLPRIV_V2"));
        let file = File::create(mount.path("plain")).unwrap();
        let before = mount.ops("GETXATTR");
        for n in 0..100 {
            file.write_all_at(&[7; 4096], n * 4096).unwrap();
        }
        let asked = mount.ops("GETXATTR") - before;
        assert!(asked <= 1, "{asked} questions of 100 writes, {io_mode}");
        for (given, left) in [(0o6777, 0o777), (0o2767, 0o767)] {
            let path = mount.path(format!("set-id-{given:o}"));
            fs::write(&path, "x").unwrap();
            chown(&path, Some(1), Some(1)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(given)).unwrap();
            append_as_other(&path);
            let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
            assert_eq!(mode(&path), left, "{io_mode}, {given:o}");
            let backing = mount.backing(path.file_name().unwrap());
            assert_eq!(mode(&backing), left, "{io_mode}, {given:o}, behind");
        }
    }
}

/// In a thread of its own, whose credentials are changed first.
fn in_thread<T: Send>(change: impl FnOnce() + Send, action: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            change();
            action()
        });
        thread.join().expect("no panic")
    })
}

/// As root without `CAP_FSETID`, as containers have it.
fn as_root_without_fsetid<T: Send>(action: impl FnOnce() -> T + Send) -> T {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    let change = || {
        let mut own = capabilities(None).expect("its own");
        own.effective.remove(CapabilitySet::FSETID);
        set_capabilities(None, own).expect("fewer are always allowed");
    };
    in_thread(change, action)
}

/// As another user and the group of that number, with supplementary groups.
fn as_member<T: Send>(id: u32, groups: &[u32], action: impl FnOnce() -> T + Send) -> T {
    use rustix::process::{Gid, Uid};
    use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
    let change = || {
        let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
        let groups: Vec<Gid> = groups.iter().map(|&group| Gid::from_raw(group)).collect();
        set_thread_groups(&groups).expect("groups");
        set_thread_res_gid(gid, gid, gid).expect("a group");
        set_thread_res_uid(uid, uid, uid).expect("a user");
    };
    in_thread(change, action)
}

/// As another user and the group of that number.
fn as_user<T: Send>(id: u32, action: impl FnOnce() -> T + Send) -> T {
    as_member(id, &[], action)
}

#[test]
fn root_that_may_not_keep_set_id_bits_does_not() {
    if !can_mount("KILL_SUIDGID") {
        return;
    }
    let actions: [fn(&Path); 3] = [
        (|path| {
            let file = OpenOptions::new().write(true).open(path).unwrap();
            file.write_all_at(b"y", 0).unwrap();
        }),
        (|path| {
            File::create(path).unwrap();
        }),
        (|path| {
            let file = OpenOptions::new().write(true).open(path).unwrap();
            file.set_len(0).unwrap();
        }),
    ];
    // For each action, with and without the capability.
    let modes = |dir: &Path| {
        let modes = actions.iter().enumerate().map(|(n, action)| {
            [false, true].map(|keeps| {
                let path = dir.join(format!("{n}{keeps}"));
                fs::write(&path, "x").unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o6777)).unwrap();
                match keeps {
                    true => action(&path),
                    false => as_root_without_fsetid(|| action(&path)),
                }
                fs::metadata(&path).unwrap().mode() & 0o7777
            })
        });
        modes.collect::<Vec<_>>()
    };
    for (io_mode, open) in [
        (IoMode::Passthrough, OpenPolicy::Auto),
        (IoMode::Passthrough, OpenPolicy::Stateless),
        (IoMode::WriteThrough, OpenPolicy::Auto),
        (IoMode::Direct, OpenPolicy::Auto),
    ] {
        for default_permissions in [true, false] {
            let mut config = native();
            (config.io_mode, config.open) = (io_mode, open);
            config.default_permissions = default_permissions;
            let mount = TestMount::local(config);
            let beside = mount.backing("beside");
            fs::create_dir(&beside).unwrap();
            let expected = modes(&beside);
            assert_eq!(expected, [[0o777, 0o6777]; 3], "of the file system itself");
            let seen = modes(mount.root());
            assert_eq!(seen, expected, "{io_mode}, {open}, {default_permissions}");
        }
    }
    let memory = TestMount::of(Box::new(MemoryStorage::new()), native());
    assert_eq!(modes(memory.root()), [[0o777, 0o6777]; 3], "memory");
}

#[test]
fn a_file_without_a_name_can_be_given_one() {
    if !can_mount("TMPFILE") {
        return;
    }
    for io_mode in [IoMode::Passthrough, IoMode::WriteThrough] {
        let mut config = native();
        config.io_mode = io_mode;
        let mount = TestMount::local(config);
        let open = |extra| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).mode(0o640);
            options.custom_flags(libc::O_TMPFILE | extra);
            options.open(mount.root()).expect("a file without a name")
        };
        let name = |file: &File, name: &str| {
            let from = format!("/proc/self/fd/{}", file.as_raw_fd());
            let flags = AtFlags::SYMLINK_FOLLOW;
            linkat(CWD, from, CWD, mount.path(name), flags)
        };
        let mut file = open(0);
        file.write_all(b"contents").unwrap();
        let found = file.metadata().unwrap();
        assert_eq!((found.nlink(), found.mode() & 0o777), (0, 0o640));
        assert_eq!(fs::read_dir(mount.root()).unwrap().count(), 0);
        name(&file, "named").expect("a name");
        assert_eq!(fs::read(mount.backing("named")).unwrap(), b"contents");
        assert_eq!(file.metadata().unwrap().nlink(), 1);
        drop(file);
        assert_eq!(fs::read(mount.path("named")).unwrap(), b"contents");

        let unnameable = open(libc::O_EXCL);
        assert_eq!(name(&unnameable, "other"), Err(Errno::NOENT), "{io_mode}");
    }
}

#[test]
fn a_file_handle_outlives_the_caches_of_the_kernel() {
    if !can_mount("EXPORT_SUPPORT") {
        return;
    }
    let mut config = native();
    config.entry_timeout_secs = 600;
    let mount = TestMount::local(config);
    assert!(in_force(&mount, "EXPORT_SUPPORT"));
    let held = mount.handle().statistics().inodes;
    fs::create_dir_all(mount.path("a/b")).unwrap();
    fs::write(mount.path("a/b/file"), "contents").unwrap();
    fs::write(mount.path("a/gone"), "other contents").unwrap();
    let handle = |name| Handle::of(&mount.path(name)).expect("a handle");
    let [mut file, mut dir, mut gone] = ["a/b/file", "a/b", "a/gone"].map(handle);
    let forgotten = || {
        mount.drop_caches();
        wait_for("the kernel forgets all", DEADLINE, || {
            mount.handle().statistics().inodes == held
        });
    };
    forgotten();
    let root = File::open(mount.root()).unwrap();
    let text = std::io::read_to_string(file.open(&root).expect("the file")).unwrap();
    assert_eq!(text, "contents");
    let opened = dir.open(&root).expect("the directory").metadata().unwrap();
    assert_eq!(opened.ino(), fs::metadata(mount.path("a/b")).unwrap().ino());

    fs::remove_file(mount.path("a/gone")).unwrap();
    fs::write(mount.path("a/new"), "takes its number, perhaps").unwrap();
    forgotten();
    let stale = gone.open(&root).expect_err("no such inode any more");
    assert_eq!(stale.raw_os_error(), Some(libc::ESTALE));
}

#[test]
fn a_birth_is_told() {
    if !can_mount("STATX") {
        return;
    }
    let mount = TestMount::local(native());
    fs::write(mount.path("file"), "x").unwrap();
    let born = |path: PathBuf| fs::metadata(path).unwrap().created().expect("a birth");
    assert_eq!(born(mount.path("file")), born(mount.backing("file")));
}

#[test]
fn without_birth_times_a_stat_that_asks_for_one_costs_no_more() {
    if !can_mount("STATX, refused") {
        return;
    }
    let mut config = native();
    config.birth_time = false;
    let mount = TestMount::prepared(config, |root| {
        for name in ["first", "second"] {
            fs::write(root.join(name), "x").unwrap();
        }
    });
    // From the answer to this the kernel learns not to ask.
    assert!(
        fs::metadata(mount.path("first"))
            .unwrap()
            .created()
            .is_err()
    );
    let asked = mount.ops("GETATTR");
    let second = fs::metadata(mount.path("second")).unwrap();
    assert!(second.created().is_err());
    assert_eq!((second.len(), mount.ops("GETATTR")), (1, asked));
}

#[test]
fn locks_of_flock_are_the_daemons_and_apart_from_those_of_fcntl() {
    if !can_mount("FLOCK_LOCKS") {
        return;
    }
    let mut config = native();
    config.lock_mode = LockMode::Daemon;
    let mount = TestMount::local(config);
    assert!(in_force(&mount, "FLOCK_LOCKS"));
    fs::write(mount.path("file"), "x").unwrap();
    let open = || {
        let mut options = OpenOptions::new();
        let path = mount.path("file");
        options.read(true).write(true).open(path).unwrap()
    };
    let (one, other) = (open(), open());
    flock(&one, FlockOperation::LockExclusive).unwrap();
    let busy = flock(&other, FlockOperation::NonBlockingLockExclusive);
    assert_eq!(busy, Err(Errno::WOULDBLOCK));
    let whole = support::sys::Lock {
        kind: libc::F_WRLCK,
        start: 0,
        len: 0,
        pid: 0,
    };
    support::sys::lock(&other, libc::F_OFD_SETLK, whole).expect("another kind of lock");
    let waiting = within("a lock after the other", DEADLINE, {
        let waiter = std::thread::spawn(move || flock(&other, FlockOperation::LockExclusive));
        move || {
            drop(one);
            waiter.join().unwrap()
        }
    });
    assert_eq!(waiting, Ok(()));
    assert!(mount.ops("SETLK") >= 3, "{}", mount.ops("SETLK"));
}

#[test]
fn symbolic_links_are_not_followed_where_the_mount_says_so() {
    if !can_mount("nosymfollow") {
        return;
    }
    let (dir, config) = (support::test_dir(), native());
    let (backing, mountpoint) = (dir.path().join("backing"), dir.path().join("mnt"));
    fs::create_dir(&backing).unwrap();
    fs::create_dir(&mountpoint).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", backing.join("link")).unwrap();
    let mut options = config.to_mount_options();
    options.push(MountOption::NoSymFollow);
    let storage = Box::new(support::local_storage(&backing, &config));
    let fs = dynamicfs::DynamicFS::new_with_config(storage, config);
    let _handle = dynamicfs::mount::spawn(fs, &mountpoint, &options).expect("mounts");
    let error = File::open(mountpoint.join("link")).expect_err("not followed");
    assert_eq!(error.raw_os_error(), Some(libc::ELOOP));
}

/// A storage of one directory, in which looking up a name does what the name says.
#[derive(Default)]
struct Odd {
    waiting: Mutex<Waiting>,
    change: Condvar,
}

#[derive(Default)]
struct Waiting {
    now: usize,
    peak: usize,
    let_go: bool,
}

impl Odd {
    fn wait(&self) {
        let mut waiting = self.waiting.lock().unwrap();
        waiting.now += 1;
        waiting.peak = waiting.peak.max(waiting.now);
        while !waiting.let_go {
            waiting = self.change.wait(waiting).unwrap();
        }
        waiting.now -= 1;
    }

    fn let_go(&self) {
        self.waiting.lock().unwrap().let_go = true;
        self.change.notify_all();
    }
}

impl FilesystemInterface for Odd {
    fn lookup(&self, _: &Caller, _: Ino, name: &OsStr) -> Result<Entry> {
        match name.to_str() {
            Some("panics") => panic!("a bug in a storage (this one is the test's)"),
            Some(name) if name.starts_with("waits") => self.wait(),
            _ => {}
        }
        Err(Errno::NOENT)
    }

    fn getattr(&self, ino: Ino, _: Option<Fh>) -> Result<Attr> {
        assert_eq!(ino, ROOT_INO);
        Ok(Attr {
            perm: 0o755,
            ..Attr::new(ino, FileKind::Directory)
        })
    }

    fn create(
        &self,
        _: &Caller,
        _: Ino,
        _: &OsStr,
        _: CreateMode,
        _: OpenFlags,
    ) -> Result<(Entry, Fh)> {
        panic!("a bug in a storage (this one is the test's)")
    }
}

#[test]
fn a_panicking_storage_answers_eio_and_the_mount_lives_on() {
    if !can_mount("panics") {
        return;
    }
    let mount = TestMount::of(Box::new(Odd::default()), native());
    for _ in 0..3 {
        let error = fs::metadata(mount.path("panics")).expect_err("a bug");
        assert_eq!(error.raw_os_error(), Some(libc::EIO));
        let error = File::create(mount.path("new")).expect_err("a bug");
        assert_eq!(error.raw_os_error(), Some(libc::EIO));
        let error = fs::metadata(mount.path("absent")).expect_err("no such name");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}

#[test]
fn requests_that_take_long_hold_nobody_up_as_long_as_there_are_workers() {
    if !can_mount("workers") {
        return;
    }
    const MOST: usize = 4;
    let storage = Arc::new(Odd::default());
    let mut config = native();
    config.worker_threads = MOST;
    let mount = TestMount::of(Box::new(storage.clone()), config);
    // Names of their own: the kernel looks one name up once at a time.
    let stick = |numbers: std::ops::Range<usize>| -> Vec<_> {
        let paths = numbers.map(|n| mount.path(format!("waits-{n}")));
        let look = |path| std::thread::spawn(move || fs::metadata(path));
        paths.map(look).collect()
    };
    let mut stuck = stick(0..MOST - 1);
    let waiting = || storage.waiting.lock().unwrap().now;
    wait_for("all but one wait", DEADLINE, || waiting() == MOST - 1);
    let root = mount.root().to_owned();
    let answered = within("an answer beside them", DEADLINE, move || {
        fs::metadata(root.join("absent"))
    });
    assert_eq!(
        answered.expect_err("no such name").kind(),
        ErrorKind::NotFound
    );
    // More than there may be workers: some wait for a worker.
    stuck.extend(stick(MOST - 1..2 * MOST));
    wait_for("all wait", DEADLINE, || waiting() == MOST);
    storage.let_go();
    for thread in stuck {
        let error = thread.join().unwrap().expect_err("no such name");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    assert_eq!(storage.waiting.lock().unwrap().peak, MOST);
}

/// The kernel looks every 15 seconds, and takes no shorter limit.
#[test]
fn a_storage_that_hangs_costs_the_mount_and_not_its_callers_where_requests_have_a_limit() {
    if !can_mount("REQUEST_TIMEOUT") {
        return;
    }
    let storage = Arc::new(Odd::default());
    let mut config = native();
    config.request_timeout_secs = 1;
    let mount = TestMount::of(Box::new(storage.clone()), config);
    assert!(in_force(&mount, "REQUEST_TIMEOUT"));
    let report = mount.handle().report();
    let row = |name| report.capabilities.iter().find(|item| item.name == name);
    assert_eq!(row("request_timeout").expect("a row").effective, "15s");
    let path = mount.path("waits");
    let limit = Duration::from_secs(15 + 15) + DEADLINE;
    let ended = within("the kernel's limit", limit, move || fs::metadata(path));
    let error = ended.expect_err("no answer came").raw_os_error();
    assert!(
        matches!(error, Some(libc::ECONNABORTED | libc::ENOTCONN)),
        "{error:?}"
    );
    let error = fs::metadata(mount.root()).expect_err("the mount is dead");
    assert_eq!(error.raw_os_error(), Some(libc::ENOTCONN));
    storage.let_go();
}

#[test]
fn a_large_directory_is_listed_without_attributes_until_somebody_looks_at_them() {
    if !can_mount("READDIRPLUS_AUTO") {
        return;
    }
    const FILES: usize = 3_000;
    let mut config = native();
    config.birth_time = false;
    let mount = TestMount::prepared(config, |root| {
        fs::create_dir(root.join("large")).unwrap();
        for n in 0..FILES {
            fs::write(
                root.join(format!("large/a-name-as-long-as-most-{n:04}")),
                "x",
            )
            .unwrap();
        }
    });
    let large = mount.path("large");
    let held = || mount.handle().statistics().inodes;
    assert_eq!(fs::read_dir(&large).unwrap().count(), FILES);
    assert_eq!(held(), 2, "the root and the directory");

    // Looked at one by one while it is listed: what comes after the first part brings attributes.
    mount.drop_caches();
    let before = mount.ops("LOOKUP");
    for entry in fs::read_dir(&large).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().len(), 1);
    }
    let looked_up = mount.ops("LOOKUP") - before;
    assert!(looked_up < FILES as u64 / 2, "{looked_up} lookups");
    assert!(mount.ops("READDIRPLUS") > 2);
}

/// The daemon is in a pid namespace of its own, as in a container: it cannot look its callers up.
#[test]
fn a_member_of_the_group_of_a_directory_is_one_for_a_daemon_that_cannot_see_it() {
    if !can_mount("CREATE_SUPP_GROUP") {
        return;
    }
    const GROUP: u32 = 6_006;
    let dir = test_dir();
    let (backing, mountpoint) = (dir.path().join("backing"), dir.path().join("mnt"));
    let shared = backing.join("shared");
    fs::create_dir_all(&shared).unwrap();
    fs::create_dir(&mountpoint).unwrap();
    chown(&shared, Some(0), Some(GROUP)).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o2775)).unwrap();
    let mut daemon = Command::new("unshare")
        .args(["--pid", "--fork", "--kill-child"])
        .arg(env!("CARGO_BIN_EXE_dynamicfs"))
        .args(["mount", "--foreground", "--transport=linux"])
        .args([&backing, &mountpoint])
        .spawn()
        .expect("unshare runs");
    let _mounted = Mounted(mountpoint.clone());
    wait_for("the mount", DEADLINE, || is_mountpoint(&mountpoint));
    let created = as_member(12_345, &[GROUP], || {
        let mut options = OpenOptions::new();
        let options = options.write(true).create_new(true).mode(0o2755);
        options.open(mountpoint.join("shared/new")).map(drop)
    });
    created.expect("the group may write");
    let new = fs::metadata(shared.join("new")).unwrap();
    let owner = (new.uid(), new.gid(), new.mode() & 0o7777);
    assert_eq!(owner, (12_345, GROUP, 0o2755));
    support::unmount_when_idle(&mountpoint);
    assert!(daemon.wait().unwrap().success());
}

#[test]
fn a_mount_with_mapped_ids_shows_and_makes_what_the_mapping_says() {
    if !can_mount("ALLOW_IDMAP") {
        return;
    }
    const FIRST: u32 = 100_000;
    for io_mode in [IoMode::Passthrough, IoMode::WriteThrough] {
        let mut config = native();
        config.io_mode = io_mode;
        config.allow_idmap = true;
        let mount = TestMount::prepared(config, |root| {
            fs::set_permissions(root, fs::Permissions::from_mode(0o777)).unwrap();
            fs::write(root.join("there"), "x").unwrap();
            chown(root.join("there"), Some(7), Some(8)).unwrap();
        });
        assert!(in_force(&mount, "ALLOW_IDMAP"));
        let dir = test_dir();
        let mapped = Mounted::mapped(mount.root(), dir.path().join("mapped"), FIRST).unwrap();
        let path = |name: &str| mapped.0.join(name);
        let owner = |path: PathBuf| {
            let found = fs::symlink_metadata(path).unwrap();
            (found.uid(), found.gid())
        };
        assert_eq!(owner(path("there")), (FIRST + 7, FIRST + 8));
        assert_eq!(owner(mount.path("there")), (7, 8));

        as_user(FIRST + 5, || {
            fs::write(path("file"), "x").unwrap();
            fs::create_dir(path("dir")).unwrap();
            std::os::unix::fs::symlink("file", path("link")).unwrap();
        });
        for name in ["file", "dir", "link"] {
            assert_eq!(owner(mount.backing(name)), (5, 5), "{name}");
            assert_eq!(owner(path(name)), (FIRST + 5, FIRST + 5), "{name}");
        }
        // Who has no number there owns nothing there, and by the mount itself everybody does.
        let error = as_user(3, || fs::write(path("nobody's"), "x"));
        assert_eq!(error.unwrap_err().raw_os_error(), Some(libc::EOVERFLOW));
        as_user(3, || fs::write(mount.path("somebody's"), "x").unwrap());
        assert_eq!(owner(mount.backing("somebody's")), (3, 3));

        chown(path("file"), Some(FIRST + 9), Some(FIRST + 9)).unwrap();
        assert_eq!(owner(mount.backing("file")), (9, 9));
        let refused = as_user(FIRST + 5, || fs::write(path("file"), "y"));
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::PermissionDenied);
        as_user(FIRST + 9, || fs::write(path("file"), "y").unwrap());
        assert_eq!(fs::read(mount.backing("file")).unwrap(), b"y");

        // Set-id bits stay with root's writes and go with others', of whom no request says who they are.
        let mode = || fs::metadata(mount.backing("file")).unwrap().mode() & 0o7777;
        fs::set_permissions(path("file"), fs::Permissions::from_mode(0o6777)).unwrap();
        let append = || {
            let file = OpenOptions::new().append(true).open(mount.path("file"));
            file.unwrap().write_all(b"z").unwrap();
        };
        append();
        assert_eq!(mode(), 0o6777, "{io_mode}");
        as_user(12_345, append);
        assert_eq!(mode(), 0o777, "{io_mode}");
    }
}

#[test]
fn ids_are_mapped_only_where_the_kernel_checks_permissions() {
    if !can_mount("allow_idmap without checks") {
        return;
    }
    let mut config = native();
    config.allow_idmap = true;
    let dir = test_dir();
    for options in [
        vec![MountOption::AllowOther],
        vec![MountOption::DefaultPermissions, MountOption::AllowRoot],
    ] {
        let storage = Box::new(MemoryStorage::new());
        let fs = dynamicfs::DynamicFS::new_with_config(storage, config.clone());
        let refused = dynamicfs::mount::spawn(fs, dir.path(), &options);
        assert!(matches!(refused, Err(MountError::Idmap)), "{options:?}");
        assert!(!is_mountpoint(dir.path()));
    }
    // For root alone nothing would have to be checked, but for the mapping.
    config.allow_other = false;
    let mount = TestMount::local(config);
    assert!(in_force(&mount, "ALLOW_IDMAP"));
    let again = mount.root().parent().unwrap().join("mapped");
    drop(Mounted::mapped(mount.root(), again, 1_000).unwrap());
}

#[test]
fn labels_are_asked_for_where_they_are_kept_and_nothing_else_changes() {
    if !can_mount("SECURITY_CTX") {
        return;
    }
    let mut config = native();
    config.security_ctx = true;
    let runs_selinux = fs::read("/proc/thread-self/attr/fscreate").is_ok();
    let of_memory = TestMount::of(Box::new(MemoryStorage::new()), config.clone());
    let of_directory = TestMount::local(config);
    for (mount, kept) in [(of_memory, true), (of_directory, runs_selinux)] {
        assert_eq!(in_force(&mount, "SECURITY_CTX"), kept);
        // Where no module labels anything, creations say that they bring nothing.
        fs::write(mount.path("file"), "x").unwrap();
        fs::create_dir(mount.path("dir")).unwrap();
        std::os::unix::fs::symlink("file", mount.path("link")).unwrap();
        assert_eq!(fs::read(mount.path("link")).unwrap(), b"x");
    }
}

#[test]
fn a_file_open_for_direct_io_can_be_mapped_by_several() {
    if !can_mount("DIRECT_IO_ALLOW_MMAP") {
        return;
    }
    let mut config = native();
    config.io_mode = IoMode::Direct;
    let mount = TestMount::prepared(config, |root| fs::write(root.join("f"), [1; 8192]).unwrap());
    let file = writable(mount.path("f"));
    let mapped = Mapping::shared(&file, 8192);
    if !in_force(&mount, "DIRECT_IO_ALLOW_MMAP") {
        assert_eq!(
            mapped.err().and_then(|error| error.raw_os_error()),
            Some(libc::ENODEV)
        );
        return;
    }
    let (mut mapped, again) = (mapped.unwrap(), Mapping::shared(&file, 8192).unwrap());
    mapped[5000] = 7;
    assert_eq!((again[5000], again[4999]), (7, 1));
    mapped.sync().unwrap();
    assert_eq!(fs::read(mount.backing("f")).unwrap()[5000], 7);
    // read(2) goes by the daemon, and sees what is in memory all the same.
    mapped[6000] = 8;
    assert_eq!(fs::read(mount.path("f")).unwrap()[6000], 8);
}

#[test]
fn requests_are_as_long_as_was_asked_for() {
    if !can_mount("MAX_PAGES") {
        return;
    }
    const LEN: usize = 1 << 20;
    // Memory that begins within a page takes a page, and so a request, more.
    let mut memory = Aligned::new(LEN);
    let memory = memory.bytes();
    for bytes in [128 << 10, LEN] {
        let mut config = native();
        config.io_mode = IoMode::Direct;
        (config.max_read_size, config.max_write_size) = (bytes, bytes);
        let mount = TestMount::local(config);
        assert!(in_force(&mount, "MAX_PAGES"));
        memory.fill(7);
        fs::write(mount.path("f"), &*memory).unwrap();
        assert_eq!(mount.ops("WRITE"), (LEN / bytes) as u64);
        memory.fill(0);
        let file = File::open(mount.path("f")).unwrap();
        assert_eq!(file.read_at(memory, 0).unwrap(), LEN);
        assert_eq!(mount.ops("READ"), (LEN / bytes) as u64);
        assert!(memory.iter().all(|&byte| byte == 7));
    }
}

/// Holds each read back until another has come.
#[derive(Default)]
struct Together(Mutex<usize>, Condvar);

impl Layer for Together {
    fn read(
        &self,
        below: &dyn FilesystemInterface,
        ino: Ino,
        fh: Fh,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<usize> {
        let Together(came, change) = self;
        let mut now = came.lock().unwrap();
        *now += 1;
        change.notify_all();
        let (now, _) = change
            .wait_timeout_while(now, DEADLINE, |now| *now < 2)
            .unwrap();
        assert!(*now >= 2, "no other read came beside one that waits");
        drop(now);
        below.read(ino, fh, offset, buf)
    }

    fn file_to_read(&self, _: &dyn FilesystemInterface, _: Ino, _: Fh) -> Option<Arc<OwnedFd>> {
        None
    }
}

#[test]
fn one_read_is_several_requests_at_a_time() {
    if !can_mount("ASYNC_READ and ASYNC_DIO") {
        return;
    }
    const LEN: usize = 1 << 20;
    for (capability, flags) in [
        ("ASYNC_READ", OFlags::empty()),
        ("ASYNC_DIO", OFlags::DIRECT),
    ] {
        let mut config = native();
        config.io_mode = IoMode::WriteThrough;
        config.worker_threads = 4;
        config.readahead_size = LEN;
        config.max_read_size = LEN / 8;
        let (dir, backing) = (test_dir(), "backing");
        fs::create_dir(dir.path().join(backing)).unwrap();
        fs::write(dir.path().join(backing).join("f"), vec![7; LEN]).unwrap();
        let local = local_storage(&dir.path().join(backing), &config);
        let storage = Layered::new(Box::new(local), Together::default());
        let mount = TestMount::over(dir, Box::new(storage), config);
        assert!(in_force(&mount, capability));
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(flags.bits() as i32);
        let file = options.open(mount.path("f")).unwrap();
        let mut memory = Aligned::new(LEN);
        let memory = memory.bytes();
        assert_eq!(file.read_at(memory, 0).unwrap(), LEN, "{capability}");
        assert!(memory.iter().all(|&byte| byte == 7));
        assert!(mount.ops("READ") >= 8, "{capability}");
    }
}
