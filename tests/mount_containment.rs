//! What a mount never does: leave its root, open a FIFO or a device of the backing directory, hand
//! one user what another may read.

mod support;

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dynamicfs::OptimizedFUSEConfig;
use rustix::fs::{FileType, Mode, XattrFlags};
use support::helper::{self, Helper};
use support::{DEADLINE, TestMount, can_mount, wait_for, within};

/// nobody(5) of Debian; any number without privileges would do.
const NOBODY: u32 = 65_534;

#[test]
fn helper_process() {
    helper::run(&[("user", user)]);
}

/// Obeys `read PATH`, `xattr PATH`, `stat PATH`, `list PATH`, `write PATH`, and says what came of it.
fn user(_: &[String]) {
    helper::say("ready");
    for order in helper::orders() {
        let (what, path) = order.split_once(' ').expect("an order and a path");
        helper::say(match what {
            "read" => helper::outcome(fs::read(path)),
            "stat" => helper::outcome(fs::metadata(path)),
            "list" => helper::outcome(fs::read_dir(path)),
            "write" => helper::outcome(fs::write(path, "x")),
            "xattr" => {
                let mut value = [0; 64];
                let got = rustix::fs::getxattr(path, "user.secret", &mut value);
                helper::outcome(got.map_err(Into::into))
            }
            _ => panic!("no such order: {order}"),
        });
    }
}

#[test]
fn a_name_that_turns_into_a_symlink_never_leads_outside() {
    if !can_mount("symlink races") {
        return;
    }
    let mut config = OptimizedFUSEConfig::balanced();
    // Every access is a lookup, so that each has its chance to meet the swap.
    config.entry_timeout_secs = 0;
    config.attr_timeout_secs = 0;
    let mount = TestMount::prepared(config, |root| {
        let outside = root.with_file_name("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("file"), "outside").unwrap();
        fs::create_dir(root.join("dir")).unwrap();
        fs::write(root.join("dir/file"), "inside").unwrap();
        symlink(&outside, root.join("link")).unwrap();
        symlink("../outside", root.join("up")).unwrap();
    });
    let stop = AtomicBool::new(false);
    let (swaps, reads) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let outside = mount.root().with_file_name("outside");
    let untouched = fs::metadata(outside.join("file")).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let exchange = rustix::fs::RenameFlags::EXCHANGE;
            while !stop.load(Ordering::Relaxed) {
                for other in ["link", "up"] {
                    for _ in 0..2 {
                        let (a, b) = (mount.backing("dir"), mount.backing(other));
                        let cwd = rustix::fs::CWD;
                        rustix::fs::renameat_with(cwd, a, cwd, b, exchange).unwrap();
                        swaps.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                // The kernel must not follow the link itself: that would leave the mount by right.
                let root = File::open(mount.root()).unwrap();
                while !stop.load(Ordering::Relaxed) {
                    let no_links = rustix::fs::ResolveFlags::NO_SYMLINKS;
                    let flags = rustix::fs::OFlags::RDWR;
                    let opened =
                        rustix::fs::openat2(&root, "dir/file", flags, Mode::empty(), no_links);
                    if let Ok(file) = opened {
                        let mut text = String::new();
                        File::from(file).read_to_string(&mut text).unwrap();
                        assert_eq!(text, "inside");
                        reads.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let until = Instant::now() + Duration::from_secs(2);
        wait_for("enough races", DEADLINE, || {
            let enough = swaps.load(Ordering::Relaxed) > 100 && reads.load(Ordering::Relaxed) > 100;
            enough && Instant::now() > until
        });
        stop.store(true, Ordering::Relaxed);
    });
    let now = fs::metadata(outside.join("file")).unwrap();
    assert_eq!(now.modified().unwrap(), untouched.modified().unwrap());
}

#[test]
fn both_ends_of_a_fifo_meet_in_the_mount_and_not_in_the_backing_directory() {
    if !can_mount("FIFO") {
        return;
    }
    for (name, config) in support::presets() {
        let mount = TestMount::prepared(config, |root| {
            let mode = Mode::from_raw_mode(0o666);
            let cwd = rustix::fs::CWD;
            rustix::fs::mknodat(cwd, root.join("fifo"), FileType::Fifo, mode, 0).unwrap();
        });
        assert!(
            fs::metadata(mount.path("fifo"))
                .unwrap()
                .file_type()
                .is_fifo()
        );
        let (reads, writes) = (mount.path("fifo"), mount.path("fifo"));
        let text = within("a message through the FIFO", DEADLINE, move || {
            let writer = std::thread::spawn(move || {
                let mut fifo = OpenOptions::new().write(true).open(writes).unwrap();
                fifo.write_all(b"hello").unwrap();
            });
            let text = fs::read_to_string(reads).unwrap();
            writer.join().unwrap();
            text
        });
        assert_eq!(text, "hello");
        // Nobody has the backing FIFO open: a writer that will not wait is refused.
        let mut options = OpenOptions::new();
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let alone = options
            .write(true)
            .custom_flags(nonblocking)
            .open(mount.backing("fifo"));
        let refused = alone.expect_err("somebody reads the backing FIFO");
        assert_eq!(refused.raw_os_error(), Some(libc::ENXIO), "{name}");
        assert_eq!(mount.ops("OPEN"), 0, "{name}");
    }
}

#[test]
fn a_device_node_is_shown_and_not_opened() {
    if !can_mount("devices") {
        return;
    }
    // mem(4): /dev/null is 1, 3. A mount is nodev unless asked otherwise.
    let mount = TestMount::prepared(OptimizedFUSEConfig::balanced(), |root| {
        let mode = Mode::from_raw_mode(0o666);
        let cwd = rustix::fs::CWD;
        let null = rustix::fs::makedev(1, 3);
        rustix::fs::mknodat(
            cwd,
            root.join("null"),
            FileType::CharacterDevice,
            mode,
            null,
        )
        .unwrap();
    });
    let kind = fs::metadata(mount.path("null")).unwrap().file_type();
    assert!(kind.is_char_device());
    let refused = File::open(mount.path("null")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
    assert_eq!(mount.ops("OPEN"), 0);
}

/// What root has read, another user asks for, with the names and attributes still cached.
fn others_get_only_their_own(config: OptimizedFUSEConfig) {
    let mount = TestMount::prepared(config, |root| {
        fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
        for (name, mode) in [("private", 0o700), ("open", 0o755)] {
            let dir = root.join(name);
            fs::create_dir(&dir).unwrap();
            for (file, bits) in [("secret", 0o600), ("public", 0o644)] {
                let path = dir.join(file);
                fs::write(&path, "contents").unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(bits)).unwrap();
                rustix::fs::setxattr(&path, "user.secret", b"value", XattrFlags::empty())
                    .expect("the backing file system has xattrs");
            }
            fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).unwrap();
        }
    });
    let mut nobody = Helper::start_as(Some(NOBODY), "user", &[]);
    assert_eq!(nobody.hear(), "ready");
    let denied = format!("errno {}", libc::EACCES);
    for round in 0..3 {
        for path in [
            "private/secret",
            "private/public",
            "open/secret",
            "open/public",
        ] {
            warm_up_as_root(&mount.path(path));
        }
        let mut ask =
            |what: &str, path: &str| nobody.ask(&format!("{what} {}", mount.path(path).display()));
        for (path, may_stat, may_read) in [
            ("private/secret", false, false),
            ("private/public", false, false),
            ("open/secret", true, false),
            ("open/public", true, true),
        ] {
            let expect = |allowed| {
                if allowed {
                    "ok".to_owned()
                } else {
                    denied.clone()
                }
            };
            assert_eq!(
                ask("stat", path),
                expect(may_stat),
                "stat {path}, round {round}"
            );
            assert_eq!(
                ask("read", path),
                expect(may_read),
                "read {path}, round {round}"
            );
            assert_eq!(
                ask("xattr", path),
                expect(may_read),
                "xattr {path}, round {round}"
            );
            assert_eq!(ask("write", path), denied, "write {path}, round {round}");
        }
        assert_eq!(ask("list", "private"), denied);
        assert_eq!(ask("list", "open"), "ok");
    }
    assert_eq!(fs::read(mount.path("open/secret")).unwrap(), b"contents");
}

fn warm_up_as_root(path: &Path) {
    assert_eq!(fs::read(path).unwrap(), b"contents");
    let mut value = [0; 64];
    for _ in 0..2 {
        let len = rustix::fs::getxattr(path, "user.secret", &mut value).unwrap();
        assert_eq!(&value[..len], b"value");
    }
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 2);
}

#[test]
fn others_get_only_their_own_when_the_kernel_checks() {
    if !can_mount("permissions by the kernel") {
        return;
    }
    for (_, config) in support::presets() {
        others_get_only_their_own(config);
    }
}

#[test]
fn others_get_only_their_own_when_the_storage_checks() {
    if !can_mount("permissions by the storage") {
        return;
    }
    for (_, mut config) in support::presets() {
        config.default_permissions = false;
        others_get_only_their_own(config);
    }
}

#[test]
fn without_allow_other_nobody_else_enters() {
    if !can_mount("allow_other") {
        return;
    }
    let mut config = OptimizedFUSEConfig::balanced();
    config.allow_other = false;
    let mount = TestMount::prepared(config, |root| fs::write(root.join("f"), "x").unwrap());
    assert_eq!(fs::read(mount.path("f")).unwrap(), b"x");
    let mut nobody = Helper::start_as(Some(NOBODY), "user", &[]);
    assert_eq!(nobody.hear(), "ready");
    let answer = nobody.ask(&format!("stat {}", mount.path("f").display()));
    assert_eq!(answer, format!("errno {}", libc::EACCES));
}

#[test]
fn what_another_user_creates_is_theirs() {
    if !can_mount("ownership") {
        return;
    }
    for default_permissions in [true, false] {
        let mut config = OptimizedFUSEConfig::balanced();
        config.default_permissions = default_permissions;
        let mount = TestMount::prepared(config, |root| {
            fs::create_dir(root.join("all")).unwrap();
            fs::set_permissions(root.join("all"), fs::Permissions::from_mode(0o1777)).unwrap();
        });
        let mut nobody = Helper::start_as(Some(NOBODY), "user", &[]);
        assert_eq!(nobody.hear(), "ready");
        let path = mount.path("all/new");
        assert_eq!(nobody.ask(&format!("write {}", path.display())), "ok");
        for path in [path, mount.backing("all/new")] {
            let attr = fs::metadata(path).unwrap();
            let owner = std::os::unix::fs::MetadataExt::uid(&attr);
            assert_eq!(owner, NOBODY);
        }
    }
}
