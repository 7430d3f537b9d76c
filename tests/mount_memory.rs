//! `MemoryStorage` on a real mount, under every preset.

mod support;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::sync::Arc;

use dynamicfs::storage::{Caller, FilesystemInterface, MemoryStorage, OpenFlags, ROOT_INO};
use dynamicfs::{IoMode, OptimizedFUSEConfig};
use rustix::fs::{RenameFlags, XattrFlags};
use support::{DEADLINE, Lcg, TestMount, can_mount, wait_for};

const LARGE: usize = 64 << 20;

fn mounted(config: OptimizedFUSEConfig) -> (Arc<MemoryStorage>, TestMount) {
    let storage = Arc::new(MemoryStorage::new());
    let mount = TestMount::of(Box::new(storage.clone()), config);
    (storage, mount)
}

/// The contents of a file in the root, asked of the storage and not of the mount.
fn in_storage(storage: &MemoryStorage, name: &str) -> Vec<u8> {
    let root = &Caller::ROOT;
    let entry = storage.lookup(root, ROOT_INO, OsStr::new(name)).unwrap();
    let ino = entry.attr.ino;
    let fh = storage.open(root, ino, OpenFlags::RDONLY).unwrap();
    let mut contents = vec![0; entry.attr.size as usize];
    let n = storage.read(ino, fh, 0, &mut contents).unwrap();
    contents.truncate(n);
    storage.release(ino, fh).unwrap();
    storage.forget(ino, 1);
    contents
}

#[test]
fn a_mix_of_operations_works_under_every_preset() {
    if !can_mount("memory storage") {
        return;
    }
    for (name, config) in support::presets() {
        let (storage, mount) = mounted(config);
        large_file(&mount, &storage);
        names_and_links(&mount);
        xattrs(&mount);
        many_entries(&mount);
        let report = mount.handle().report();
        assert!(
            !report.io_mode.starts_with("passthrough"),
            "{name}: {}",
            report.io_mode
        );
        wait_for("all files are released", DEADLINE, || {
            mount.handle().statistics().open_files == 0
        });
        mount.unmount();
    }
}

fn large_file(mount: &TestMount, storage: &MemoryStorage) {
    // A block that the position changes, so that no two blocks are the same.
    let mut data = Lcg(21).bytes(1 << 16).repeat(LARGE >> 16);
    for (n, block) in data.chunks_exact_mut(1 << 16).enumerate() {
        block[..8].copy_from_slice(&n.to_le_bytes());
    }
    let mut file = File::create(mount.path("large")).unwrap();
    file.write_all(&data).unwrap();
    assert_eq!(file.metadata().unwrap().len(), LARGE as u64);
    drop(file);
    assert!(
        fs::read(mount.path("large")).unwrap() == data,
        "through the mount"
    );
    assert!(in_storage(storage, "large") == data, "in the storage");
    let attr = fs::metadata(mount.path("large")).unwrap();
    assert_eq!(attr.blocks() * 512, LARGE as u64);
    fs::remove_file(mount.path("large")).unwrap();
}

fn names_and_links(mount: &TestMount) {
    fs::create_dir_all(mount.path("a/b/c")).unwrap();
    fs::write(mount.path("a/one"), "1").unwrap();
    fs::hard_link(mount.path("a/one"), mount.path("a/b/two")).unwrap();
    let (one, two) = (
        fs::metadata(mount.path("a/one")).unwrap(),
        fs::metadata(mount.path("a/b/two")).unwrap(),
    );
    assert_eq!((one.ino(), one.nlink()), (two.ino(), 2));
    fs::write(mount.path("a/b/two"), "changed").unwrap();
    assert_eq!(fs::read(mount.path("a/one")).unwrap(), b"changed");
    fs::rename(mount.path("a/b"), mount.path("moved")).unwrap();
    assert_eq!(fs::read(mount.path("moved/two")).unwrap(), b"changed");
    fs::remove_file(mount.path("a/one")).unwrap();
    assert_eq!(fs::metadata(mount.path("moved/two")).unwrap().nlink(), 1);
    symlink("moved/two", mount.path("link")).unwrap();
    assert_eq!(fs::read(mount.path("link")).unwrap(), b"changed");
    // An open file stays what it was when its name becomes another's.
    let open = File::open(mount.path("moved/two")).unwrap();
    fs::write(mount.path("other"), "other").unwrap();
    fs::rename(mount.path("other"), mount.path("moved/two")).unwrap();
    let mut text = String::new();
    (&open).read_to_string(&mut text).unwrap();
    assert_eq!(text, "changed");
    assert_eq!(fs::read(mount.path("moved/two")).unwrap(), b"other");
    let cwd = rustix::fs::CWD;
    let (a, moved) = (mount.path("a"), mount.path("moved"));
    rustix::fs::renameat_with(cwd, &a, cwd, &moved, RenameFlags::EXCHANGE).unwrap();
    assert!(mount.path("a/c").is_dir() && !mount.path("moved/c").exists());
    let refused = rustix::fs::renameat_with(cwd, &a, cwd, &moved, RenameFlags::NOREPLACE);
    assert_eq!(refused, Err(rustix::io::Errno::EXIST));
}

fn xattrs(mount: &TestMount) {
    let path = mount.path("attributes");
    fs::write(&path, "").unwrap();
    let get = |name: &str| {
        let mut value = vec![0; 70_000];
        let len = rustix::fs::getxattr(&path, name, &mut value)?;
        value.truncate(len);
        Ok::<_, rustix::io::Errno>(value)
    };
    assert_eq!(get("user.a"), Err(rustix::io::Errno::NODATA));
    for value in [b"first".to_vec(), b"second".to_vec(), vec![7; 4000]] {
        rustix::fs::setxattr(&path, "user.a", &value, XattrFlags::empty()).unwrap();
        assert_eq!(get("user.a"), Ok(value.clone()));
        assert_eq!(get("user.a"), Ok(value), "the second time");
    }
    let again = rustix::fs::setxattr(&path, "user.a", b"", XattrFlags::CREATE);
    assert_eq!(again, Err(rustix::io::Errno::EXIST));
    let mut names = [0; 100];
    let len = rustix::fs::listxattr(&path, &mut names).unwrap();
    assert_eq!(&names[..len], b"user.a\0");
    rustix::fs::removexattr(&path, "user.a").unwrap();
    assert_eq!(get("user.a"), Err(rustix::io::Errno::NODATA));
}

fn many_entries(mount: &TestMount) {
    let dir = mount.path("many");
    fs::create_dir(&dir).unwrap();
    let expected: BTreeSet<String> = (0..3000).map(|n| format!("entry-{n}")).collect();
    for name in &expected {
        File::create(dir.join(name)).unwrap();
    }
    for _ in 0..2 {
        let entries = fs::read_dir(&dir).unwrap();
        let listed: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(listed.len(), expected.len(), "each name once");
        assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), expected);
    }
    // Removing while listing.
    for entry in fs::read_dir(&dir).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    fs::remove_dir(&dir).unwrap();
}

#[test]
fn high_performance_holds_writes_back_and_fsync_brings_them_in() {
    if !can_mount("writeback") {
        return;
    }
    let (storage, mount) = mounted(OptimizedFUSEConfig::high_performance());
    let report = mount.handle().report();
    assert!(
        report.io_mode.starts_with("writeback-cache"),
        "{}",
        report.io_mode
    );
    let granted = report
        .capabilities
        .iter()
        .find(|item| item.name == "WRITEBACK_CACHE");
    assert_eq!(granted.expect("reported").effective, "yes");
    let file = File::create(mount.path("f")).unwrap();
    let mut model = Vec::new();
    for round in 0..200u8 {
        file.write_all_at(&[round; 1000], model.len() as u64)
            .unwrap();
        model.extend_from_slice(&[round; 1000]);
    }
    assert!(mount.ops("WRITE") < 20, "the kernel asked for every write");
    assert_eq!(
        fs::metadata(mount.path("f")).unwrap().len(),
        model.len() as u64
    );
    file.sync_all().unwrap();
    assert!(
        in_storage(&storage, "f") == model,
        "fsync returned before the data arrived"
    );
    // Data that nobody asks to be written arrive too.
    file.write_all_at(b"late", 0).unwrap();
    drop(file);
    model[..4].copy_from_slice(b"late");
    mount.unmount();
    assert!(in_storage(&storage, "f") == model, "lost at unmount");
}

/// Requests of another kind while the write buffer holds data: they see what was written.
#[test]
fn held_data_are_seen_by_every_operation() {
    if !can_mount("held data") {
        return;
    }
    let (storage, mount) = mounted(OptimizedFUSEConfig::high_performance());
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(mount.path("f"))
        .unwrap();
    let write = |bytes: &[u8], at| file.write_all_at(bytes, at).unwrap();
    let contents = || fs::read(mount.path("f")).unwrap();
    write(b"0123456789", 0);
    file.set_len(4).unwrap();
    assert_eq!(contents(), b"0123");
    file.set_len(8).unwrap();
    assert_eq!(contents(), b"0123\0\0\0\0", "what was cut off came back");
    write(b"xy", 10);
    assert_eq!(contents(), b"0123\0\0\0\0\0\0xy");
    let copy = File::create(mount.path("copy")).unwrap();
    let copied = rustix::fs::copy_file_range(&file, Some(&mut 0), &copy, None, 12).unwrap();
    assert_eq!(copied, 12);
    assert_eq!(fs::read(mount.path("copy")).unwrap(), contents());
    rustix::fs::fallocate(
        &file,
        rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE,
        0,
        2,
    )
    .unwrap();
    assert_eq!(contents(), b"\0\x0023\0\0\0\0\0\0xy");
    file.sync_all().unwrap();
    assert_eq!(in_storage(&storage, "f"), contents());
    // Emptied by an open while data are held.
    write(b"held", 0);
    drop(File::create(mount.path("f")).unwrap());
    assert_eq!(contents(), b"");
    file.sync_all().unwrap();
    assert_eq!(in_storage(&storage, "f"), b"");
}

#[test]
fn every_io_mode_of_the_mount_keeps_data_right() {
    if !can_mount("modes over memory") {
        return;
    }
    for io_mode in [
        IoMode::Passthrough,
        IoMode::WriteThrough,
        IoMode::WritebackCache,
        IoMode::Direct,
    ] {
        for enable_writeback in [true, false] {
            let mut config = support::with_io_mode(io_mode);
            config.enable_writeback |= enable_writeback;
            let (storage, mount) = mounted(config);
            let mut numbers = Lcg(31);
            let mut model = vec![0; 200_000];
            let mut options = OpenOptions::new();
            let file = options
                .read(true)
                .write(true)
                .create_new(true)
                .open(mount.path("f"))
                .unwrap();
            file.set_len(model.len() as u64).unwrap();
            for _ in 0..150 {
                let at = numbers.below(190_000) as usize;
                let len = 1 + numbers.below(10_000) as usize;
                if numbers.below(2) == 0 {
                    let data = numbers.bytes(len);
                    file.write_all_at(&data, at as u64).unwrap();
                    model[at..at + len].copy_from_slice(&data);
                } else {
                    let mut seen = vec![0; len];
                    file.read_exact_at(&mut seen, at as u64).unwrap();
                    assert!(seen == model[at..at + len], "{io_mode} at {at}");
                }
            }
            file.sync_all().unwrap();
            assert!(
                in_storage(&storage, "f") == model,
                "{io_mode}, {enable_writeback}"
            );
        }
    }
}

#[test]
fn removed_files_free_their_memory() {
    if !can_mount("freed memory") {
        return;
    }
    let (storage, mount) = mounted(OptimizedFUSEConfig::high_performance());
    let (bytes, inodes) = (storage.used_bytes(), storage.inode_count());
    let file = File::create(mount.path("f")).unwrap();
    file.write_all_at(&[1; 1 << 20], 0).unwrap();
    file.sync_all().unwrap();
    assert!(storage.used_bytes() >= bytes + (1 << 20));
    fs::remove_file(mount.path("f")).unwrap();
    assert!(
        storage.used_bytes() >= bytes + (1 << 20),
        "an open file keeps its data"
    );
    drop(file);
    wait_for("the inode is forgotten", DEADLINE, || {
        storage.used_bytes() == bytes && storage.inode_count() == inodes
    });
}
