//! Passthrough on real mounts: in force when it should be, right in what it leaves behind, and given up
//! with a reason where the kernel refuses it.

mod support;

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use dynamicfs::storage::LocalStorage;
use dynamicfs::{IoMode, OptimizedFUSEConfig};
use rustix::fs::Timespec;
use support::sys::Mapping;
use support::{DEADLINE, Lcg, Mounted, TestMount, can_mount, wait_for};

const SIZE: usize = 16 << 20;

fn open_rw(path: &Path) -> File {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    options.open(path).unwrap()
}

#[test]
fn no_preset_sees_a_read_or_write_request_of_a_local_file() {
    if !can_mount("passthrough") {
        return;
    }
    for config in [
        OptimizedFUSEConfig::balanced(),
        OptimizedFUSEConfig::high_performance(),
        OptimizedFUSEConfig::safe(),
    ] {
        let mount = TestMount::local(config);
        assert_eq!(mount.handle().report().io_mode, "passthrough");
        let data = Lcg(1).bytes(SIZE);
        let started = SystemTime::now() - Duration::from_millis(20);
        let mut file = File::create(mount.path("large")).unwrap();
        file.write_all(&data).unwrap();
        let seen = fs::metadata(mount.path("large")).unwrap();
        assert_eq!(seen.len(), SIZE as u64, "while it is open");
        file.sync_all().unwrap();
        drop(file);
        let seen = fs::metadata(mount.path("large")).unwrap();
        let real = fs::metadata(mount.backing("large")).unwrap();
        assert_eq!(seen.len(), SIZE as u64);
        assert_eq!(seen.blocks(), real.blocks());
        assert_eq!(seen.modified().unwrap(), real.modified().unwrap());
        assert!(seen.modified().unwrap() >= started);
        assert!(fs::read(mount.path("large")).unwrap() == data);
        assert!(fs::read(mount.backing("large")).unwrap() == data);
        assert_eq!((mount.ops("READ"), mount.ops("WRITE")), (0, 0));
        let statistics = mount.handle().statistics();
        assert_eq!(
            (statistics.passthrough_opens, statistics.plain_opens),
            (2, 0)
        );
    }
}

#[test]
fn the_yardstick_counts_every_read_and_write() {
    if !can_mount("baseline") {
        return;
    }
    let mount = TestMount::local(OptimizedFUSEConfig::baseline());
    let data = Lcg(2).bytes(1 << 20);
    fs::write(mount.path("file"), &data).unwrap();
    assert!(fs::read(mount.path("file")).unwrap() == data);
    // At most 128 KiB a request.
    assert!(mount.ops("READ") >= 8, "{}", mount.ops("READ"));
    assert!(mount.ops("WRITE") >= 8, "{}", mount.ops("WRITE"));
    let statistics = mount.handle().statistics();
    assert_eq!(statistics.bytes_written, 1 << 20);
    assert_eq!(statistics.passthrough_opens, 0);
}

#[test]
fn appends_on_two_descriptors_do_not_overwrite_each_other() {
    if !can_mount("appends") {
        return;
    }
    let mount = TestMount::local(OptimizedFUSEConfig::balanced());
    let mut append = OpenOptions::new();
    append.append(true).create(true);
    let mut first = append.open(mount.path("log")).unwrap();
    let mut second = append.open(mount.path("log")).unwrap();
    let mut expected = Vec::new();
    let mut numbers = Lcg(3);
    for round in 0..200 {
        let len = 1 + numbers.below(9000) as usize;
        let chunk = vec![round as u8; len];
        let file = if numbers.below(2) == 0 {
            &mut first
        } else {
            &mut second
        };
        file.write_all(&chunk).unwrap();
        expected.extend_from_slice(&chunk);
        let seen = file.metadata().unwrap().len();
        assert_eq!(seen, expected.len() as u64, "after append {round}");
    }
    assert!(fs::read(mount.path("log")).unwrap() == expected);
    assert!(fs::read(mount.backing("log")).unwrap() == expected);
    assert_eq!(mount.ops("WRITE"), 0);
}

#[test]
fn a_write_through_a_mapping_shows_in_the_modification_time_at_once() {
    if !can_mount("times of mapped files") {
        return;
    }
    let mut config = OptimizedFUSEConfig::high_performance();
    config.attr_timeout_secs = 600;
    let mount = TestMount::local(config);
    fs::write(mount.path("mapped"), vec![0; 8192]).unwrap();
    let file = open_rw(&mount.path("mapped"));
    let long_ago = Timespec {
        tv_sec: 1_000_000,
        tv_nsec: 0,
    };
    let times = rustix::fs::Timestamps {
        last_access: long_ago,
        last_modification: long_ago,
    };
    rustix::fs::futimens(&file, &times).unwrap();
    assert_eq!(file.metadata().unwrap().mtime(), 1_000_000);
    let mut mapping = Mapping::shared(&file, 8192).unwrap();
    mapping[5000] = 7;
    let seen = file.metadata().unwrap();
    let real = fs::metadata(mount.backing("mapped")).unwrap();
    assert!(seen.mtime() > 1_000_000, "the write is not seen");
    assert_eq!(
        (seen.mtime(), seen.mtime_nsec()),
        (real.mtime(), real.mtime_nsec())
    );
    let mut one = [0];
    file.read_exact_at(&mut one, 5000).unwrap();
    assert_eq!(one, [7]);
}

#[test]
fn opens_of_an_inode_share_a_backing_file_in_every_access_mode() {
    if !can_mount("shared backing files") {
        return;
    }
    let mount = TestMount::local(OptimizedFUSEConfig::balanced());
    fs::write(mount.path("file"), b"0123456789").unwrap();
    // Read only first: the backing file that is registered must do for the writers after it.
    let mut reader = File::open(mount.path("file")).unwrap();
    let writer = OpenOptions::new()
        .write(true)
        .open(mount.path("file"))
        .unwrap();
    let both = open_rw(&mount.path("file"));
    writer.write_all_at(b"ab", 2).unwrap();
    both.write_all_at(b"cd", 4).unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "01abcd6789");
    drop(reader);
    drop(both);
    writer.write_all_at(b"Z", 9).unwrap();
    drop(writer);
    let mut again = File::open(mount.path("file")).unwrap();
    again.seek(SeekFrom::Start(8)).unwrap();
    text.clear();
    again.read_to_string(&mut text).unwrap();
    assert_eq!(text, "8Z");
    drop(again);
    wait_for("all files are released", DEADLINE, || {
        mount.handle().statistics().open_files == 0
    });
    assert_eq!((mount.ops("READ"), mount.ops("WRITE")), (0, 0));
}

#[test]
fn a_backing_id_survives_opens_and_closes_that_race() {
    if !can_mount("racing opens") {
        return;
    }
    let mount = TestMount::local(OptimizedFUSEConfig::balanced());
    fs::write(mount.path("file"), [9; 4096]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for round in 0..500 {
                    let file = open_rw(&mount.path("file"));
                    let mut block = [0; 64];
                    file.read_exact_at(&mut block, round * 8).unwrap();
                    assert_eq!(block, [9; 64]);
                    file.write_all_at(&block, round * 8).unwrap();
                }
            });
        }
    });
    wait_for("all files are released", DEADLINE, || {
        mount.handle().statistics().open_files == 0
    });
    assert_eq!((mount.ops("READ"), mount.ops("WRITE")), (0, 0));
    assert_eq!(mount.handle().report().io_mode, "passthrough");
}

/// Writes and reads, and looks at what the report says of passthrough afterwards.
fn falls_back(mount: &TestMount) {
    let data = Lcg(4).bytes(300_000);
    fs::write(mount.path("file"), &data).unwrap();
    assert!(fs::read(mount.path("file")).unwrap() == data);
    fs::write(mount.path("second"), &data).unwrap();
    assert!(fs::read(mount.backing("second")).unwrap() == data);
    assert!(mount.ops("WRITE") > 0, "nothing passed through the daemon");
    let report = mount.handle().report();
    assert_eq!(report.io_mode, "write-through");
    let passthrough = report
        .capabilities
        .iter()
        .find(|item| item.name == "PASSTHROUGH")
        .expect("reported");
    assert_eq!((&*passthrough.asked, &*passthrough.granted), ("yes", "yes"));
    assert_eq!(passthrough.effective, "no");
    let why = passthrough.why.as_deref().expect("a reason");
    assert!(why.contains("refused to register a backing file"), "{why}");
    // ELOOP is how the kernel says that the stack would be too deep (`fuse_backing_open`).
    assert!(why.contains("os error 40"), "{why}");
    let statistics = mount.handle().statistics();
    assert_eq!(statistics.passthrough_opens, 0);
}

#[test]
fn on_an_overlay_the_whole_mount_falls_back_with_the_reason() {
    if !can_mount("overlay") {
        return;
    }
    let mut overlay = None;
    let mount = TestMount::prepared(OptimizedFUSEConfig::balanced(), |backing| {
        overlay = Some(mount_overlay(backing));
    });
    falls_back(&mount);
    drop(mount);
    drop(overlay);
}

/// An overlay of three new directories at `path`. (The directories are on a tmpfs: the test's
/// own file system may be an overlay already, which cannot be an upper layer.)
fn mount_overlay(path: &Path) -> (Mounted, Mounted) {
    let layers = Mounted::tmpfs(path.with_file_name("layers"), 16);
    for name in ["lower", "upper", "work"] {
        fs::create_dir(layers.0.join(name)).unwrap();
    }
    let at = layers.0.display();
    let data = format!("lowerdir={at}/lower,upperdir={at}/upper,workdir={at}/work");
    let data = std::ffi::CString::new(data).unwrap();
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount("overlay", path, "overlay", flags, data.as_c_str())
        .expect("the kernel has overlayfs");
    (Mounted(path.to_owned()), layers)
}

#[test]
fn over_a_mount_of_our_own_passthrough_is_refused_and_data_are_right() {
    if !can_mount("stacked mounts") {
        return;
    }
    let lower = TestMount::local(OptimizedFUSEConfig::balanced());
    let storage = LocalStorage::open(lower.root()).unwrap();
    let upper = TestMount::of(Box::new(storage), OptimizedFUSEConfig::balanced());
    let data = Lcg(5).bytes(300_000);
    fs::write(upper.path("file"), &data).unwrap();
    assert!(fs::read(upper.path("file")).unwrap() == data);
    assert!(fs::read(lower.backing("file")).unwrap() == data);
    let report = upper.handle().report();
    assert_eq!(report.io_mode, "write-through");
    assert!(upper.ops("WRITE") > 0);
    assert_eq!((lower.ops("READ"), lower.ops("WRITE")), (0, 0));
    assert_eq!(lower.handle().report().io_mode, "passthrough");
    drop(upper);
}

#[test]
fn truncation_and_reopening_with_o_trunc_agree_with_the_backing_file() {
    if !can_mount("truncation") {
        return;
    }
    for io_mode in [IoMode::Passthrough, IoMode::WriteThrough] {
        let mount = TestMount::local(support::with_io_mode(io_mode));
        let file = open_rw(&mount.path("file"));
        file.write_all_at(&[1; 10_000], 0).unwrap();
        file.set_len(5000).unwrap();
        file.write_all_at(&[2; 10], 9000).unwrap();
        let mut expected = vec![1; 5000];
        expected.resize(9000, 0);
        expected.extend([2; 10]);
        assert_eq!(file.metadata().unwrap().len(), 9010);
        assert!(
            fs::read(mount.path("file")).unwrap() == expected,
            "{io_mode}"
        );
        let emptied = File::create(mount.path("file")).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 0, "{io_mode}");
        emptied.write_all_at(b"new", 0).unwrap();
        assert_eq!(fs::read(mount.path("file")).unwrap(), b"new");
        assert_eq!(fs::read(mount.backing("file")).unwrap(), b"new");
    }
}
