//! Files and directories that are opened without a request: what applications see stays the same.

mod support;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use dynamicfs::{IoMode, OpenPolicy, OptimizedFUSEConfig, Preset};
use rustix::fs::{AtFlags, IFlags, RawDir};
use support::{DEADLINE, Flagged, Lcg, TestMount, can_mount, wait_for};

fn stateless() -> OptimizedFUSEConfig {
    let mut config = OptimizedFUSEConfig::balanced();
    config.open = OpenPolicy::Stateless;
    config
}

/// A stateless mount whose kernel knows that it is one.
fn stateless_mount(prepare: impl FnOnce(&Path)) -> TestMount {
    let mount = TestMount::prepared(stateless(), |root| {
        fs::write(root.join("opened"), "").unwrap();
        prepare(root);
    });
    File::open(mount.path("opened")).unwrap();
    assert_eq!(mount.ops("OPEN"), 1);
    mount
}

#[test]
fn opens_are_no_requests_and_small_files_are_read_from_memory() {
    if !can_mount("stateless") {
        return;
    }
    let mount = stateless_mount(|root| fs::write(root.join("small"), "small").unwrap());
    let read = || {
        let mut file = File::open(mount.path("small")).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "small");
    };
    read();
    let reads = mount.ops("READ");
    for _ in 0..5 {
        read();
    }
    assert_eq!(mount.ops("OPEN"), 1);
    assert_eq!(mount.ops("RELEASE"), 0);
    assert_eq!(mount.ops("FLUSH"), 1);
    assert!(
        mount.ops("READ") <= reads + 1,
        "pages are kept between opens"
    );
    let report = mount.handle().report();
    let item = report.capabilities.iter().find(|item| item.name == "open");
    assert_eq!(item.expect("a row").effective, "stateless");
    assert_eq!(report.io_mode.split(' ').next(), Some("write-through"));
}

#[test]
fn data_outlive_their_name_while_somebody_holds_them() {
    if !can_mount("unlinked files of a stateless mount") {
        return;
    }
    let mount = stateless_mount(|root| {
        fs::write(root.join("unlinked"), "first").unwrap();
        fs::write(root.join("replaced"), "old").unwrap();
        fs::write(root.join("other"), "new").unwrap();
    });
    let open = |name| {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .open(mount.path(name))
            .unwrap()
    };
    let (unlinked, replaced) = (open("unlinked"), open("replaced"));
    fs::remove_file(mount.path("unlinked")).unwrap();
    fs::rename(mount.path("other"), mount.path("replaced")).unwrap();
    let content = |file: &File| {
        let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    assert_eq!(content(&unlinked), "first");
    assert_eq!(content(&replaced), "old");
    for file in [&unlinked, &replaced] {
        file.write_all_at(b"written later", 0).unwrap();
        file.sync_all().unwrap();
        assert_eq!(content(file), "written later");
        file.set_len(7).unwrap();
        assert_eq!(content(file), "written");
        assert_eq!(file.metadata().unwrap().nlink(), 0);
    }
    assert_eq!(fs::read(mount.path("replaced")).unwrap(), b"new");
    drop((unlinked, replaced));
    let inodes = || mount.handle().statistics().inodes;
    drop(fs::read_dir(mount.root()).unwrap());
    wait_for("the inodes are given back", DEADLINE, || inodes() <= 3);
}

#[test]
fn writing_truncating_and_appending_do_what_they_should() {
    if !can_mount("writes of a stateless mount") {
        return;
    }
    let mount = stateless_mount(|root| fs::write(root.join("log"), "").unwrap());
    let append = || {
        let mut options = OpenOptions::new();
        options.append(true).open(mount.path("log")).unwrap()
    };
    let (mut a, mut b) = (append(), append());
    let mut expected = Vec::new();
    for turn in 0..100 {
        let (file, byte) = if turn % 2 == 0 {
            (&mut a, b'a')
        } else {
            (&mut b, b'b')
        };
        let chunk = vec![byte; 1 + turn * 37 % 500];
        file.write_all(&chunk).unwrap();
        expected.extend(chunk);
    }
    assert!(fs::read(mount.backing("log")).unwrap() == expected);

    // Without an OPEN nobody is told of O_TRUNC but by a SETATTR.
    File::create(mount.path("log"))
        .unwrap()
        .write_all(b"short")
        .unwrap();
    assert_eq!(fs::read(mount.backing("log")).unwrap(), b"short");
    assert_eq!(fs::read(mount.path("log")).unwrap(), b"short");

    let data = Lcg(3).bytes(3 << 20);
    fs::write(mount.path("large"), &data).unwrap();
    fs::copy(mount.path("large"), mount.path("copy")).unwrap();
    assert!(fs::read(mount.backing("copy")).unwrap() == data);
    let large = File::options()
        .write(true)
        .open(mount.path("large"))
        .unwrap();
    rustix::fs::fallocate(
        &large,
        rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE,
        0,
        1 << 20,
    )
    .unwrap();
    assert!(fs::read(mount.path("large")).unwrap()[..1 << 20] == vec![0; 1 << 20]);
    let mut hole = File::open(mount.path("large")).unwrap();
    let data_at = rustix::fs::seek(&hole, rustix::fs::SeekFrom::Data(0));
    assert_eq!(data_at, Ok(1 << 20));
    hole.seek(SeekFrom::Start(2 << 20)).unwrap();
}

#[test]
fn synchronous_writes_are_synchronous() {
    if !can_mount("O_SYNC of a stateless mount") {
        return;
    }
    let mount = stateless_mount(|root| fs::write(root.join("file"), "").unwrap());
    let mut options = OpenOptions::new();
    let options = options.write(true).custom_flags(libc::O_SYNC);
    let mut file = options.open(mount.path("file")).unwrap();
    file.write_all(b"on the medium").unwrap();
    assert_eq!(mount.ops("FSYNC"), 1);
}

#[test]
fn a_file_that_was_written_is_executed_as_ever() {
    if !can_mount("programs on a stateless mount") {
        return;
    }
    let mount = stateless_mount(|root| fs::create_dir(root.join("bin")).unwrap());
    let program = mount.path("bin/true");
    fs::copy("/bin/true", &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(Command::new(&program).status().unwrap().success());
    // The descriptor with which the daemon wrote it does not stay long.
    let behind = mount.backing("bin/true");
    wait_for("it runs behind the mount", DEADLINE, || {
        Command::new(&behind)
            .status()
            .is_ok_and(|status| status.success())
    });
}

#[test]
fn what_chattr_forbids_is_refused_at_the_write() {
    if !can_mount("chattr on a stateless mount") {
        return;
    }
    let mount = stateless_mount(|root| {
        fs::write(root.join("log"), "first ").unwrap();
        fs::write(root.join("fixed"), "fixed").unwrap();
    });
    let flagged = [
        Flagged::set(mount.backing("log"), IFlags::APPEND),
        Flagged::set(mount.backing("fixed"), IFlags::IMMUTABLE),
    ];
    if flagged.iter().any(Option::is_none) {
        return support::skipped("flags of inodes", "a file system that has them");
    }
    let refused = |name, offset| {
        let file = File::options().write(true).open(mount.path(name)).unwrap();
        let written = file.write_at(b"anywhere", offset);
        written.unwrap_err().raw_os_error() == Some(libc::EPERM)
    };
    assert!(refused("log", 0));
    assert!(refused("fixed", 0) && refused("fixed", 5));
    let mut log = File::options()
        .append(true)
        .open(mount.path("log"))
        .unwrap();
    log.write_all(b"second ").unwrap();
    log.write_all(b"third").unwrap();
    assert_eq!(
        fs::read(mount.backing("log")).unwrap(),
        b"first second third"
    );
    assert_eq!(fs::read(mount.path("fixed")).unwrap(), b"fixed");
}

#[test]
fn stateless_goes_with_the_writeback_cache() {
    if !can_mount("stateless writeback") {
        return;
    }
    let mut config = support::with_io_mode(IoMode::WritebackCache);
    config.open = OpenPolicy::Stateless;
    let mount = TestMount::local(config);
    let data = Lcg(5).bytes(1 << 20);
    let mut file = File::create(mount.path("file")).unwrap();
    for chunk in data.chunks(1000) {
        file.write_all(chunk).unwrap();
    }
    file.sync_all().unwrap();
    assert!(fs::read(mount.backing("file")).unwrap() == data);
    assert!(fs::read(mount.path("file")).unwrap() == data);
}

/// Names that one getdents(2) after the other brings, `between` called after each.
fn list(directory: &File, mut between: impl FnMut(usize)) -> Vec<String> {
    let mut names = Vec::new();
    let mut buffer = Vec::with_capacity(1024);
    let mut entries = RawDir::new(directory, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let name = entry.unwrap().file_name().to_str().unwrap().to_owned();
        let is_last = entries.is_buffer_empty();
        names.push(name);
        if is_last {
            between(names.len());
        }
    }
    names.retain(|name| name != "." && name != "..");
    names
}

const MANY: usize = 3000;

fn many(root: &Path) {
    fs::create_dir(root.join("dir")).unwrap();
    for n in 0..MANY {
        fs::write(root.join(format!("dir/file{n:04}")), "").unwrap();
    }
}

/// The optimised presets open directories without a request.
fn unopened_directories(prepare: impl FnOnce(&Path)) -> TestMount {
    let mount = TestMount::prepared(OptimizedFUSEConfig::balanced(), prepare);
    drop(fs::read_dir(mount.root()).unwrap());
    assert_eq!(mount.ops("OPENDIR"), 1);
    mount
}

#[test]
fn listings_at_once_do_not_disturb_one_another() {
    if !can_mount("parallel listings") {
        return;
    }
    let mount = unopened_directories(many);
    let open = || File::open(mount.path("dir")).unwrap();
    let mut inner = Vec::new();
    let outer = list(&open(), |seen| {
        if seen < MANY / 2 && inner.len() < 3 {
            inner.push(list(&open(), |_| {}));
        }
    });
    inner.push(outer);
    std::thread::scope(|scope| {
        let parallel: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| list(&open(), |_| {})))
            .collect();
        inner.extend(parallel.into_iter().map(|listing| listing.join().unwrap()));
    });
    for listing in inner {
        assert_eq!(listing.len(), MANY);
        assert_eq!(listing.iter().collect::<BTreeSet<_>>().len(), MANY);
    }
    assert_eq!(mount.ops("OPENDIR"), 1);
    assert_eq!(mount.ops("RELEASEDIR"), 0);
}

#[test]
fn a_directory_that_changes_while_it_is_listed_shows_what_stays_once() {
    if !can_mount("changing listings") {
        return;
    }
    let mount = unopened_directories(many);
    let stays = |n: usize| n.is_multiple_of(3);
    let directory = File::open(mount.path("dir")).unwrap();
    let mut victims = (0..MANY).filter(|&n| !stays(n));
    let listing = list(&directory, |_| {
        for n in victims.by_ref().take(100) {
            fs::remove_file(mount.path(format!("dir/file{n:04}"))).unwrap();
        }
    });
    let shown: BTreeSet<_> = listing.iter().cloned().collect();
    assert_eq!(shown.len(), listing.len(), "a name comes twice");
    for n in (0..MANY).filter(|&n| stays(n)) {
        assert!(
            shown.contains(&format!("file{n:04}")),
            "file{n:04} is missing"
        );
    }
}

#[test]
fn a_directory_that_is_held_can_be_synced_and_removed() {
    if !can_mount("removed directories") {
        return;
    }
    let mount = unopened_directories(|root| fs::create_dir(root.join("dir")).unwrap());
    let held = File::open(mount.path("dir")).unwrap();
    held.sync_all().unwrap();
    fs::remove_dir(mount.path("dir")).unwrap();
    // As on any file system (`iterate_dir` in `fs/readdir.c`).
    assert_eq!(error_of_listing(&held), Some(rustix::io::Errno::NOENT));
    let flags = AtFlags::empty();
    let stat = rustix::fs::statat(&held, "gone", flags);
    assert_eq!(stat.err(), Some(rustix::io::Errno::NOENT));
}

#[test]
fn a_directory_that_goes_behind_the_mount_is_none() {
    if !can_mount("removed directories") {
        return;
    }
    let mount = unopened_directories(|root| fs::create_dir(root.join("dir")).unwrap());
    fs::metadata(mount.path("dir")).unwrap();
    fs::remove_dir(mount.backing("dir")).unwrap();
    // Its name lives on for a while, so the kernel may let it be opened.
    let error = match File::open(mount.path("dir")) {
        Ok(held) => error_of_listing(&held),
        Err(error) => rustix::io::Errno::from_io_error(&error),
    };
    assert_eq!(error, Some(rustix::io::Errno::NOENT));
}

/// What getdents(2) says instead of the first entry.
fn error_of_listing(directory: &File) -> Option<rustix::io::Errno> {
    let mut buffer = Vec::with_capacity(1024);
    let mut listing = RawDir::new(directory, buffer.spare_capacity_mut());
    listing.next().expect("an answer").err()
}

#[test]
fn a_listing_ends_with_the_names_that_came_with_it() {
    if !can_mount("listings that end") {
        return;
    }
    let mut config = Preset::Safe.config();
    config.attr_timeout_secs = 0;
    config.attr_timeout_millis = 300;
    config.entry_timeout_secs = 0;
    config.entry_timeout_millis = 300;
    let mount = TestMount::prepared(config, |root| {
        fs::create_dir(root.join("dir")).unwrap();
        for n in 0..20 {
            fs::write(root.join(format!("dir/file{n}")), "").unwrap();
        }
    });
    let walk = || {
        for entry in fs::read_dir(mount.path("dir")).unwrap() {
            entry.unwrap().metadata().unwrap();
        }
    };
    walk();
    walk();
    let sent = || mount.handle().statistics().invalidations;
    wait_for("the listing is dropped", DEADLINE, || sent() > 0);
    let (lookups, listings) = (mount.ops("LOOKUP"), mount.ops("READDIRPLUS"));
    walk();
    // The names come with a listing and not one by one; that of the directory has ended as well.
    assert!(mount.ops("READDIRPLUS") > listings);
    assert!(
        mount.ops("LOOKUP") <= lookups + 2,
        "names are looked up one by one"
    );
}

#[test]
fn a_mount_for_root_alone_checks_nothing_again() {
    if !can_mount("checks") {
        return;
    }
    let mut config = OptimizedFUSEConfig::balanced();
    config.allow_other = false;
    let mount = TestMount::local(config);
    fs::create_dir(mount.path("dir")).unwrap();
    fs::metadata(mount.path("dir")).unwrap();
    let before = mount.ops("GETATTR");
    for n in 0..20 {
        fs::create_dir(mount.path(format!("dir/{n}"))).unwrap();
    }
    assert!(mount.ops("GETATTR") <= before + 1);
    let report = mount.handle().report();
    let mut rows = report.capabilities.iter();
    let row = rows
        .find(|row| row.name == "default_permissions")
        .expect("a row");
    assert_eq!(row.effective, "false");
    // Root may not execute what nobody may.
    fs::write(mount.path("text"), "").unwrap();
    fs::set_permissions(mount.path("text"), fs::Permissions::from_mode(0o644)).unwrap();
    let access = rustix::fs::access(mount.path("text"), rustix::fs::Access::EXEC_OK);
    assert_eq!(access, Err(rustix::io::Errno::ACCESS));
}

#[test]
fn options_that_let_others_in_keep_the_checks() {
    if !can_mount("checks of a shared mount") {
        return;
    }
    let dir = support::test_dir();
    let (backing, mountpoint) = (dir.path().join("backing"), dir.path().join("mnt"));
    fs::create_dir(&backing).unwrap();
    fs::create_dir(&mountpoint).unwrap();
    fs::write(backing.join("secret"), "root's").unwrap();
    fs::set_permissions(backing.join("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    let mut config = OptimizedFUSEConfig::balanced();
    config.allow_other = false;
    let mut options = config.to_mount_options();
    options.push(dynamicfs::MountOption::AllowOther);
    let storage = Box::new(support::local_storage(&backing, &config));
    let fs = dynamicfs::DynamicFS::new_with_config(storage, config);
    let handle = dynamicfs::mount::spawn(fs, &mountpoint, &options).unwrap();
    let mut other = Command::new("cat");
    other.arg(mountpoint.join("secret"));
    let output = std::os::unix::process::CommandExt::uid(&mut other, 65534).output();
    assert!(!output.unwrap().status.success());
    drop(handle);
}
