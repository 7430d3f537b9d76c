//! `LocalStorage` driven through its trait, without a mount. Cases that act as several users
//! need root.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use dynamicfs::storage::*;
use rustix::fs::{Access, CWD, FallocateFlags, OFlags, RenameFlags, XattrFlags};

const ALICE: Caller = Caller {
    uid: 4001,
    gid: 4001,
    pid: 0,
    keeps_set_ids: true,
    directory_group: None,
    label: None,
};
const BOB: Caller = Caller {
    uid: 4002,
    gid: 4002,
    pid: 0,
    keeps_set_ids: true,
    directory_group: None,
    label: None,
};
const ROOT: Caller = Caller::ROOT;

/// Says so where the case cannot run; in continuous integration that is a failure.
fn is_root(case: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        assert_ne!(
            std::env::var("CI").as_deref(),
            Ok("true"),
            "{case} needs root"
        );
        eprintln!("SKIPPED {case}: needs root");
    }
    root
}

struct World {
    dir: tempfile::TempDir,
    storage: LocalStorage,
}

impl World {
    fn new() -> World {
        World::with(|builder| builder)
    }

    fn with(set: impl FnOnce(LocalStorageBuilder) -> LocalStorageBuilder) -> World {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let storage = set(LocalStorage::builder(dir.path())).build().unwrap();
        World { dir, storage }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn lookup(&self, name: &str) -> Result<Entry> {
        self.storage.lookup(&ROOT, ROOT_INO, name.as_ref())
    }

    fn create(&self, caller: &Caller, name: &str, mode: u32) -> (Entry, Fh) {
        let flags = OFlags::RDWR | OFlags::EXCL;
        let mode = mode_of(mode, 0);
        self.storage
            .create(caller, ROOT_INO, name.as_ref(), mode, flags)
            .unwrap()
    }
}

fn mode_of(mode: u32, umask: u32) -> CreateMode {
    CreateMode { mode, umask }
}

fn owner(attr: &Attr) -> (u32, u32, u16) {
    (attr.uid, attr.gid, attr.perm)
}

/// On a thread that never served, so that it is all root's.
fn elsewhere<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().unwrap())
}

#[test]
fn what_is_created_belongs_to_the_caller_in_both_ways_of_checking() {
    if !is_root("ownership") {
        return;
    }
    for checks in [PermissionChecks::Kernel, PermissionChecks::Storage] {
        let world = World::with(|builder| builder.permission_checks(checks));
        let s = &world.storage;
        let root_of_group = Caller { gid: 7, ..ROOT };
        for (n, caller) in [ALICE, BOB, ROOT, root_of_group, ALICE].iter().enumerate() {
            let name = |kind: &str| OsString::from(format!("{kind}{n}"));
            let m = |mode| mode_of(mode, 0o027);
            let (file, _) = s
                .create(caller, ROOT_INO, &name("f"), m(0o666), OFlags::WRONLY)
                .unwrap();
            assert_eq!(owner(&file.attr), (caller.uid, caller.gid, 0o640));
            let dir = s.mkdir(caller, ROOT_INO, &name("d"), m(0o1777)).unwrap();
            assert_eq!(owner(&dir.attr), (caller.uid, caller.gid, 0o1750));
            let fifo = m(libc::S_IFIFO | 0o666);
            let fifo = s.mknod(caller, ROOT_INO, &name("p"), fifo, 0).unwrap();
            assert_eq!(owner(&fifo.attr), (caller.uid, caller.gid, 0o640));
            let link = s
                .symlink(caller, ROOT_INO, &name("l"), Path::new("to"))
                .unwrap();
            assert_eq!((link.attr.uid, link.attr.gid), (caller.uid, caller.gid));
            assert_eq!(s.readlink(link.attr.ino), Ok("to".into()));
        }
        let device = mode_of(libc::S_IFCHR | 0o600, 0);
        let device = s.mknod(&ALICE, ROOT_INO, "dev".as_ref(), device, 0x103);
        match checks {
            PermissionChecks::Kernel => assert_eq!(device.unwrap().attr.rdev, 0x103),
            PermissionChecks::Storage => assert_eq!(device, Err(Errno::PERM)),
        }
    }
}

#[test]
fn a_set_group_id_directory_gives_its_group_and_a_default_acl_replaces_the_umask() {
    if !is_root("sgid and default ACL") {
        return;
    }
    let world = World::new();
    let s = &world.storage;
    elsewhere(|| {
        fs::create_dir(world.path("g")).unwrap();
        std::os::unix::fs::chown(world.path("g"), Some(0), Some(5005)).unwrap();
        fs::set_permissions(world.path("g"), fs::Permissions::from_mode(0o2777)).unwrap();
    });
    let g = world.lookup("g").unwrap().attr.ino;
    let make = |caller: &Caller, dir, name: &str, mode| {
        s.create(caller, dir, name.as_ref(), mode, OFlags::RDWR)
            .unwrap()
            .0
            .attr
    };
    let dir = s
        .mkdir(&ALICE, g, "sub".as_ref(), mode_of(0o755, 0))
        .unwrap();
    assert_eq!(owner(&dir.attr), (4001, 5005, 0o2755));
    // The caller of the kernel's number 0 is in a pid namespace from where it cannot be seen.
    let member = Caller {
        directory_group: Some(5005),
        ..ALICE
    };
    assert_eq!(
        owner(&make(&member, g, "of a member", mode_of(0o2775, 0))),
        (4001, 5005, 0o2775)
    );
    assert_eq!(
        owner(&make(&ALICE, g, "f", mode_of(0o2775, 0))),
        (4001, 5005, 0o775)
    );
    assert_eq!(
        owner(&make(&ROOT, g, "r", mode_of(0o2775, 0))),
        (0, 5005, 0o2775)
    );

    // u::rwx, g::rwx, o::--- (version 2; tag, permissions, id).
    let mut acl = 2u32.to_le_bytes().to_vec();
    for (tag, perm) in [(1u16, 7u16), (4, 7), (0x20, 0)] {
        acl.extend(tag.to_le_bytes());
        acl.extend(perm.to_le_bytes());
        acl.extend(u32::MAX.to_le_bytes());
    }
    let name = OsStr::new("system.posix_acl_default");
    assert!(s.capabilities().posix_acls, "the test directory needs ACLs");
    s.setxattr(&ROOT, ROOT_INO, name, &acl, XattrFlags::empty())
        .unwrap();
    assert_eq!(
        make(&ALICE, ROOT_INO, "a", mode_of(0o666, 0o077)).perm,
        0o660
    );
    s.removexattr(&ROOT, ROOT_INO, name).unwrap();
    assert_eq!(
        make(&ALICE, ROOT_INO, "b", mode_of(0o666, 0o077)).perm,
        0o600
    );
}

#[test]
fn set_id_bits_go_with_every_change_by_an_ordinary_user() {
    if !is_root("set-id bits") {
        return;
    }
    for checks in [PermissionChecks::Kernel, PermissionChecks::Storage] {
        let world = World::with(|builder| builder.permission_checks(checks));
        let s = &world.storage;
        let (entry, fh) = world.create(&ALICE, "f", 0o6777);
        let ino = entry.attr.ino;
        let reset = || {
            let mode = SetAttr {
                mode: Some(0o6777),
                ..SetAttr::default()
            };
            assert_eq!(s.setattr(&ROOT, ino, &mode).unwrap().perm, 0o6777);
        };
        let perm = || s.getattr(ino, None).unwrap().perm;
        let direct = WriteFlags::default();
        let cached = WriteFlags {
            from_page_cache: true,
        };

        reset();
        s.write(&ROOT, ino, fh, 0, b"root", direct).unwrap();
        assert_eq!(perm(), 0o6777, "root keeps them");
        s.write(&ALICE, ino, fh, 0, b"data", cached).unwrap();
        assert_eq!(perm(), 0o6777, "the kernel has decided");
        s.write(&ALICE, ino, fh, 0, b"data", direct).unwrap();
        assert_eq!(perm(), 0o777);
        for fh in [None, Some(fh)] {
            reset();
            let size = SetAttr {
                size: Some(3),
                fh,
                ..SetAttr::default()
            };
            assert_eq!(s.setattr(&BOB, ino, &size).unwrap().perm, 0o777);
        }
        reset();
        s.open(&BOB, ino, OFlags::WRONLY | OFlags::TRUNC).unwrap();
        assert_eq!((perm(), s.getattr(ino, None).unwrap().size), (0o777, 0));
        reset();
        s.fallocate(&ALICE, ino, fh, FallocateFlags::empty(), 0, 10)
            .unwrap();
        assert_eq!(perm(), 0o777);
        reset();
        let group = SetAttr {
            gid: Some(ALICE.gid),
            ..SetAttr::default()
        };
        assert_eq!(s.setattr(&ALICE, ino, &group).unwrap().perm, 0o777);
        // The kernel's own way of saying it: a size, and the mode without the bits.
        reset();
        let both = SetAttr {
            size: Some(0),
            mode: Some(0o777),
            ..SetAttr::default()
        };
        assert_eq!(s.setattr(&BOB, ino, &both).unwrap().perm, 0o777);
    }
}

#[test]
fn the_storage_checks_like_the_backing_file_system_when_told_to() {
    if !is_root("permission matrix") {
        return;
    }
    let world = World::with(|b| b.permission_checks(PermissionChecks::Storage));
    let s = &world.storage;
    let dir = s
        .mkdir(&ALICE, ROOT_INO, "private".as_ref(), mode_of(0o700, 0))
        .unwrap()
        .attr
        .ino;
    let (name, x) = (OsStr::new("f"), OsStr::new("x"));
    let (file, _) = s
        .create(&ALICE, dir, name, mode_of(0o600, 0), OFlags::RDWR)
        .unwrap();
    let ino = file.attr.ino;
    let mode = SetAttr {
        mode: Some(0o666),
        ..SetAttr::default()
    };
    let size = SetAttr {
        size: Some(0),
        ..SetAttr::default()
    };
    let now = SetAttr {
        mtime: Some(SetTime::Now),
        ..SetAttr::default()
    };
    let user = OsStr::new("user.a");
    let refused: Vec<(&str, Result<()>)> = vec![
        ("lookup", s.lookup(&BOB, dir, name).map(drop)),
        ("open", s.open(&BOB, ino, OFlags::RDONLY).map(drop)),
        ("opendir", s.opendir(&BOB, dir).map(drop)),
        ("access", s.access(&BOB, ino, Access::READ_OK)),
        ("truncate", s.setattr(&BOB, ino, &size).map(drop)),
        ("utimens", s.setattr(&BOB, ino, &now).map(drop)),
        ("getxattr", s.getxattr(&BOB, ino, user).map(drop)),
        (
            "setxattr",
            s.setxattr(&BOB, ino, user, b"", XattrFlags::empty()),
        ),
        ("unlink", s.unlink(&BOB, dir, name)),
        ("mkdir", s.mkdir(&BOB, dir, x, mode_of(0o777, 0)).map(drop)),
        (
            "create",
            s.create(&BOB, dir, x, mode_of(0o666, 0), OFlags::RDWR)
                .map(drop),
        ),
        (
            "rename",
            s.rename(&BOB, dir, name, ROOT_INO, x, RenameFlags::empty()),
        ),
        ("link", s.link(&BOB, ino, dir, x).map(drop)),
    ];
    for (operation, result) in refused {
        let accepted = [Err(Errno::ACCESS), Err(Errno::PERM)];
        assert!(accepted.contains(&result), "{operation}: {result:?}");
    }
    assert_eq!(s.setattr(&BOB, ino, &mode), Err(Errno::PERM));
    let trusted = OsStr::new("trusted.a");
    s.setxattr(&ROOT, ino, trusted, b"1", XattrFlags::empty())
        .unwrap();
    assert_eq!(s.getxattr(&ALICE, ino, trusted), Err(Errno::NODATA));
    assert_eq!(s.listxattr(&ALICE, ino), Ok(Vec::new()));
    assert_eq!(s.setattr(&ALICE, ino, &mode).unwrap().perm, 0o666);
    s.access(&ALICE, ino, Access::READ_OK | Access::WRITE_OK)
        .unwrap();
    s.setxattr(&ALICE, ino, user, b"v", XattrFlags::CREATE)
        .unwrap();
    assert_eq!(s.getxattr(&ALICE, ino, user), Ok(b"v".to_vec()));
}

#[test]
fn lookup_counts_are_exact() {
    let world = World::new();
    let s = &world.storage;
    for n in 0..20 {
        fs::write(world.path(&format!("f{n}")), b"x").unwrap();
    }
    let first = world.lookup("f0").unwrap().attr.ino;
    assert_eq!(world.lookup("f0").unwrap().attr.ino, first);
    s.forget(first, 1);
    assert!(s.getattr(first, None).is_ok());
    s.forget(first, 1);
    assert_eq!(s.getattr(first, None), Err(Errno::STALE));
    let fh = s.opendir(&ROOT, ROOT_INO).unwrap();
    let (mut taken, mut offset) = (Vec::new(), 0);
    loop {
        let (mut room, before) = (3, offset);
        s.readdirplus(&ROOT, ROOT_INO, fh, offset, &mut |dirent, entry| {
            if room == 0 {
                return DirSink::Full;
            }
            room -= 1;
            offset = dirent.offset;
            assert_eq!(entry.is_none(), dirent.name == "." || dirent.name == "..");
            taken.extend(entry.map(|entry| entry.attr.ino));
            DirSink::Taken
        })
        .unwrap();
        if offset == before {
            break;
        }
    }
    assert_eq!(taken.len(), 20);
    assert_eq!(
        s.statistics().inodes,
        21,
        "what was not taken counts nothing"
    );
    taken.iter().for_each(|&ino| s.forget(ino, 1));
    s.forget(ROOT_INO, 1 << 40);
    assert_eq!(s.statistics().inodes, 1);
}

#[test]
fn counts_stay_exact_when_many_threads_look_up_and_forget() {
    let world = World::new();
    fs::write(world.path("f"), b"x").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..2000 {
                    let ino = world.lookup("f").unwrap().attr.ino;
                    assert_eq!(world.storage.getattr(ino, None).map(|a| a.ino), Ok(ino));
                    world.storage.forget(ino, 1);
                }
            });
        }
    });
    assert_eq!(world.storage.statistics().inodes, 1);
}

#[test]
fn removed_files_stay_usable_and_their_number_is_not_reused() {
    for handles in [true, false] {
        let world = World::with(|b| b.file_handles(handles).max_descriptors(8));
        let s = &world.storage;
        let (entry, fh) = world.create(&ROOT, "f", 0o600);
        let ino = entry.attr.ino;
        s.write(&ROOT, ino, fh, 0, b"kept", WriteFlags::default())
            .unwrap();
        s.release(ino, fh).unwrap();
        s.unlink(&ROOT, ROOT_INO, "f".as_ref()).unwrap();
        assert_eq!(s.getattr(ino, None).unwrap().nlink, 0);
        let mut others = HashSet::from([ino]);
        for n in 0..50 {
            let (other, fh) = world.create(&ROOT, &format!("o{n}"), 0o600);
            s.release(other.attr.ino, fh).unwrap();
            assert!(others.insert(other.attr.ino));
        }
        let fh = s.open(&ROOT, ino, OFlags::RDONLY).unwrap();
        let mut buffer = [0; 8];
        assert_eq!(s.read(ino, fh, 0, &mut buffer), Ok(4));
        s.release(ino, fh).unwrap();
        s.forget(ino, 1);
        assert_eq!(s.getattr(ino, None), Err(Errno::STALE));
        let dir = s
            .mkdir(&ROOT, ROOT_INO, "d".as_ref(), mode_of(0o700, 0))
            .unwrap();
        s.rmdir(&ROOT, ROOT_INO, "d".as_ref()).unwrap();
        assert!(s.getattr(dir.attr.ino, None).is_ok());
        let (old, new) = (world.lookup("o1").unwrap(), world.lookup("o2").unwrap());
        let rename = |from: &str, to: &str, flags| {
            s.rename(&ROOT, ROOT_INO, from.as_ref(), ROOT_INO, to.as_ref(), flags)
        };
        rename("o2", "o1", RenameFlags::empty()).unwrap();
        assert_eq!(s.getattr(old.attr.ino, None).unwrap().nlink, 0);
        assert_eq!(s.getattr(new.attr.ino, None).unwrap().nlink, 1);
        assert_eq!(world.lookup("o1").unwrap().attr.ino, new.attr.ino);
        assert_eq!(
            rename("o3", "o1", RenameFlags::NOREPLACE),
            Err(Errno::EXIST)
        );
    }
}

#[test]
fn special_files_are_never_opened_and_bad_names_are_refused() {
    let world = World::new();
    let s = &world.storage;
    let fifo = mode_of(libc::S_IFIFO | 0o600, 0);
    let fifo = s.mknod(&ROOT, ROOT_INO, "p".as_ref(), fifo, 0).unwrap();
    assert_eq!(
        s.open(&ROOT, fifo.attr.ino, OFlags::RDONLY),
        Err(Errno::NXIO)
    );
    s.symlink(&ROOT, ROOT_INO, "l".as_ref(), Path::new("target"))
        .unwrap();
    for name in ["p", "l"] {
        // Would wait for ever if it opened the FIFO.
        let made = s.create(
            &ROOT,
            ROOT_INO,
            name.as_ref(),
            mode_of(0o600, 0),
            OFlags::WRONLY,
        );
        assert_eq!(made, Err(Errno::STALE));
    }
    assert!(!world.path("target").exists());
    for bad in ["", "a/b", "/etc", "../x", "a\0b"] {
        assert_eq!(world.lookup(bad), Err(Errno::INVAL), "{bad:?}");
    }
    assert_eq!(s.unlink(&ROOT, ROOT_INO, "..".as_ref()), Err(Errno::INVAL));
    assert_eq!(world.lookup("..").unwrap().attr.ino, ROOT_INO);
    world.create(&ROOT, &"n".repeat(255), 0o600);
    assert!(world.lookup(&"n".repeat(255)).is_ok());
    assert_eq!(world.lookup(&"n".repeat(256)), Err(Errno::NAMETOOLONG));
}

#[test]
fn a_symlink_swapped_in_never_leads_out() {
    let world = World::new();
    let s = &world.storage;
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), b"secret").unwrap();
    fs::create_dir(world.path("real")).unwrap();
    fs::write(world.path("real/secret"), b"inside").unwrap();
    symlink(outside.path(), world.path("evil")).unwrap();
    let stop = AtomicBool::new(false);
    let (mut reached, mut links) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (from, to) = (world.path("real"), world.path("evil"));
            while !stop.load(Ordering::Relaxed) {
                rustix::fs::renameat_with(CWD, &from, CWD, &to, RenameFlags::EXCHANGE).unwrap();
            }
        });
        while reached < 300 || links < 300 {
            let dir = world.lookup("real").unwrap().attr.ino;
            if let Ok(file) = s.lookup(&ROOT, dir, "secret".as_ref()) {
                let fh = s.open(&ROOT, file.attr.ino, OFlags::RDONLY).unwrap();
                let mut buffer = [0; 6];
                s.read(file.attr.ino, fh, 0, &mut buffer).unwrap();
                s.release(file.attr.ino, fh).unwrap();
                assert_eq!(&buffer, b"inside");
                reached += 1;
            } else {
                links += 1;
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_large_directory_is_listed_exactly_with_restarts_and_deletions() {
    let world = World::new();
    let s = &world.storage;
    for n in 0..5000 {
        fs::write(world.path(&format!("f{n}")), b"").unwrap();
    }
    let fh = s.opendir(&ROOT, ROOT_INO).unwrap();
    let mut seen: HashMap<OsString, usize> = HashMap::new();
    let (mut offset, mut deleted) = (0, 0);
    loop {
        let mut batch = 0;
        s.readdir(ROOT_INO, fh, offset, &mut |entry| {
            if batch == 37 {
                return DirSink::Full;
            }
            batch += 1;
            offset = entry.offset;
            *seen.entry(entry.name.to_owned()).or_default() += 1;
            DirSink::Taken
        })
        .unwrap();
        if batch == 0 {
            break;
        }
        // A seek elsewhere and back, and names that go meanwhile.
        s.readdir(ROOT_INO, fh, 0, &mut |_| DirSink::Full).unwrap();
        fs::remove_file(world.path(&format!("f{deleted}"))).unwrap();
        deleted += 1;
    }
    assert!(seen.values().all(|&times| times == 1));
    assert!((deleted..5000).all(|n| seen.contains_key(OsStr::new(&format!("f{n}")))));
}

#[test]
fn contents_sparse_files_hard_links_and_copies() {
    let world = World::new();
    let s = &world.storage;
    let (entry, fh) = world.create(&ROOT, "f", 0o600);
    let (ino, far) = (entry.attr.ino, 1 << 30);
    assert_eq!(ino, fs::metadata(world.path("f")).unwrap().ino());
    assert_eq!(
        s.write(&ROOT, ino, fh, far, b"end", WriteFlags::default()),
        Ok(3)
    );
    assert_eq!(s.lseek(ino, fh, 0, SeekTo::Data), Ok(far));
    assert_eq!(s.lseek(ino, fh, 0, SeekTo::Hole), Ok(0));
    assert_eq!(s.lseek(ino, fh, far + 3, SeekTo::Data), Err(Errno::NXIO));
    let mut buffer = [1; 8];
    assert_eq!(s.read(ino, fh, far - 4, &mut buffer), Ok(7));
    let (copy, to) = world.create(&ROOT, "copy", 0o600);
    assert_eq!(
        s.copy_file_range(&ROOT, ino, fh, far, copy.attr.ino, to, 5, 3),
        Ok(3)
    );
    assert_eq!(s.getattr(copy.attr.ino, Some(to)).unwrap().size, 8);
    let appending = s.open(&ROOT, ino, OFlags::WRONLY | OFlags::APPEND).unwrap();
    s.write(&ROOT, ino, appending, 0, b"first", WriteFlags::default())
        .unwrap();
    assert_eq!(s.read(ino, fh, 0, &mut buffer), Ok(8));
    assert_eq!(&buffer, b"first\0\0\0");
    let link = s.link(&ROOT, ino, ROOT_INO, "g".as_ref()).unwrap();
    assert_eq!((link.attr.ino, link.attr.nlink), (ino, 2));
    s.flush(ino, fh).unwrap();
    s.fsync(ino, fh, true).unwrap();
    s.release(ino, fh).unwrap();
    assert_eq!(s.release(ino, fh), Err(Errno::BADF));
}

/// Descriptors of this process that lead to `path`, `O_PATH` ones not counted.
fn open_files_on(path: &Path) -> usize {
    let is_open = |fd: &fs::DirEntry| {
        let info = fs::read_to_string(Path::new("/proc/self/fdinfo").join(fd.file_name()));
        let flags = info.ok().and_then(|text| {
            let flags = text.lines().find_map(|line| line.strip_prefix("flags:"))?;
            u32::from_str_radix(flags.trim(), 8).ok()
        });
        flags.is_some_and(|flags| flags & OFlags::PATH.bits() == 0)
            && fs::read_link(fd.path()).is_ok_and(|target| target == path)
    };
    let all = fs::read_dir("/proc/self/fd").unwrap();
    all.filter(|fd| fd.as_ref().is_ok_and(is_open)).count()
}

#[test]
fn attributes_of_an_open_file_need_no_descriptor_and_keep_none() {
    if !is_root("attributes of an open file") {
        return;
    }
    let w = World::new();
    let path = w.dir.path().canonicalize().unwrap().join("file");
    let (entry, fh) = w.create(&ROOT, "file", 0o644);
    let ino = entry.attr.ino;
    let before = w.storage.statistics().descriptors;
    let attributes = |mode: u32| {
        let name = OsStr::new("user.name");
        let s = &w.storage;
        s.setxattr(&ROOT, ino, name, b"value", XattrFlags::empty())
            .unwrap();
        assert_eq!(s.getxattr(&ROOT, ino, name).unwrap(), b"value");
        assert_eq!(s.listxattr(&ROOT, ino).unwrap(), b"user.name\0");
        s.removexattr(&ROOT, ino, name).unwrap();
        let gone = s.getxattr(&ROOT, ino, name);
        assert_eq!(gone, Err(Errno::NODATA));
        let changes = SetAttr {
            mode: Some(mode),
            uid: Some(4001),
            mtime: Some(SetTime::At(Timestamp { secs: 9, nanos: 8 })),
            ..SetAttr::default()
        };
        let attr = s.setattr(&ROOT, ino, &changes).unwrap();
        assert_eq!((attr.perm, attr.uid), (mode as u16, 4001));
        assert_eq!((attr.mtime.secs, attr.mtime.nanos), (9, 8));
        assert_eq!(s.getattr(ino, None).unwrap(), attr);
    };
    attributes(0o640);
    assert_eq!(w.storage.statistics().descriptors, before);
    assert_eq!(open_files_on(&path), 1);
    w.storage.release(ino, fh).unwrap();
    assert_eq!(open_files_on(&path), 0, "the file is closed");
    attributes(0o600);
    assert_eq!(open_files_on(&path), 0);
    // Opened by its handle, and removed while it is open.
    let fh = w.storage.open(&ROOT, ino, OFlags::RDONLY).unwrap();
    w.storage.unlink(&ROOT, ROOT_INO, "file".as_ref()).unwrap();
    assert_eq!(w.storage.getattr(ino, None).unwrap().nlink, 0);
    let again = w.storage.open(&ROOT, ino, OFlags::RDWR).unwrap();
    for fh in [fh, again] {
        w.storage.release(ino, fh).unwrap();
    }
    assert_eq!(w.storage.getattr(ino, None).unwrap().nlink, 0);
}
