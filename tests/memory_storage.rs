//! The memory storage: its operations one by one, and beside a real file system.

#[path = "memory_storage/reference.rs"]
mod reference;

use std::ffi::OsStr;
use std::path::Path;

use dynamicfs::storage::*;
use rustix::fs::{Access, FallocateFlags, RenameFlags, XattrFlags};

const ROOT: Caller = Caller::ROOT;
const USER: Caller = Caller {
    uid: 1000,
    gid: 1000,
    pid: 1,
    keeps_set_ids: true,
    directory_group: None,
    label: None,
};
const OTHER: Caller = Caller {
    uid: 1001,
    gid: 1001,
    pid: 2,
    keeps_set_ids: true,
    directory_group: None,
    label: None,
};

fn mode(mode: u32) -> CreateMode {
    CreateMode { mode, umask: 0o022 }
}

fn name(name: &str) -> &OsStr {
    OsStr::new(name)
}

fn file(fs: &MemoryStorage, caller: &Caller, parent: Ino, leaf: &str) -> (Ino, Fh) {
    let flags = OpenFlags::RDWR | OpenFlags::EXCL;
    let (entry, fh) = fs
        .create(caller, parent, name(leaf), mode(0o666), flags)
        .unwrap();
    (entry.attr.ino, fh)
}

fn dir(fs: &MemoryStorage, parent: Ino, leaf: &str) -> Ino {
    let entry = fs.mkdir(&ROOT, parent, name(leaf), mode(0o777)).unwrap();
    entry.attr.ino
}

fn put(fs: &MemoryStorage, caller: &Caller, ino: Ino, data: &[u8]) -> Result<usize> {
    fs.write(caller, ino, 0, 0, data, WriteFlags::default())
}

fn chmod(fs: &MemoryStorage, caller: &Caller, ino: Ino, mode: u32) -> Result<u16> {
    let changes = SetAttr {
        mode: Some(mode),
        ..SetAttr::default()
    };
    fs.setattr(caller, ino, &changes).map(|attr| attr.perm)
}

fn names(fs: &MemoryStorage, ino: Ino, after: u64, max: usize) -> Vec<(String, u64)> {
    let mut seen = Vec::new();
    fs.readdir(ino, 0, after, &mut |entry| {
        if seen.len() == max {
            return DirSink::Full;
        }
        seen.push((entry.name.to_str().unwrap().into(), entry.offset));
        DirSink::Taken
    })
    .unwrap();
    seen
}

fn nlink(fs: &MemoryStorage, ino: Ino) -> u32 {
    fs.getattr(ino, None).unwrap().nlink
}

#[test]
fn an_unlinked_file_lives_until_closed_and_forgotten() {
    let fs = MemoryStorage::new();
    let (ino, fh) = file(&fs, &ROOT, ROOT_INO, "f");
    fs.lookup(&ROOT, ROOT_INO, name("f")).unwrap();
    assert_eq!(fs.lookup_count(ino), Ok(2));
    put(&fs, &ROOT, ino, b"data").unwrap();
    fs.unlink(&ROOT, ROOT_INO, name("f")).unwrap();
    assert_eq!(nlink(&fs, ino), 0);
    fs.forget(ino, 2);
    let mut buf = [0; 10];
    assert_eq!(fs.read(ino, fh, 0, &mut buf), Ok(4));
    assert_eq!(fs.link(&ROOT, ino, ROOT_INO, name("g")), Err(Errno::NOENT));
    fs.release(ino, fh).unwrap();
    assert_eq!(fs.getattr(ino, None), Err(Errno::STALE));
    assert_eq!(fs.read(ino, fh, 0, &mut buf), Err(Errno::BADF));
    assert_eq!((fs.used_bytes(), fs.inode_count()), (0, 1));
    let (again, _) = file(&fs, &ROOT, ROOT_INO, "f");
    assert!(again > ino, "numbers are not used twice");
}

#[test]
fn only_entries_taken_from_readdirplus_count_as_lookups() {
    let fs = MemoryStorage::new();
    let inos: Vec<_> = ["a", "b", "c"]
        .map(|leaf| file(&fs, &ROOT, ROOT_INO, leaf).0)
        .into();
    let mut taken = 0;
    fs.readdirplus(&ROOT, ROOT_INO, 0, 0, &mut |dirent, entry| {
        assert_eq!(entry.is_none(), dirent.name == "." || dirent.name == "..");
        taken += 1;
        // `.`, `..` and the first name.
        if taken <= 3 {
            DirSink::Taken
        } else {
            DirSink::Full
        }
    })
    .unwrap();
    let counts: Vec<_> = inos
        .iter()
        .map(|ino| fs.lookup_count(*ino).unwrap())
        .collect();
    assert_eq!(counts, [2, 1, 1]);
}

#[test]
fn a_listing_meets_each_lasting_name_once() {
    let fs = MemoryStorage::new();
    for i in 0..300 {
        file(&fs, &ROOT, ROOT_INO, &format!("keep{i}"));
        file(&fs, &ROOT, ROOT_INO, &format!("drop{i}"));
    }
    let mut seen = Vec::new();
    let mut after = 0;
    for round in 0.. {
        let part = names(&fs, ROOT_INO, after, 7);
        let Some(last) = part.last() else { break };
        after = last.1;
        seen.extend(part.into_iter().map(|(name, _)| name));
        if round < 300 {
            fs.unlink(&ROOT, ROOT_INO, name(&format!("drop{round}")))
                .unwrap();
            let (from, to) = (format!("new{round}"), format!("keep{}", 299 - round));
            file(&fs, &ROOT, ROOT_INO, &from);
            // A name that is replaced was there all the time.
            let flags = RenameFlags::empty();
            fs.rename(&ROOT, ROOT_INO, name(&from), ROOT_INO, name(&to), flags)
                .unwrap();
        }
    }
    assert_eq!(&seen[..2], [".", ".."]);
    let mut kept: Vec<_> = seen
        .iter()
        .filter(|name| name.starts_with("keep"))
        .collect();
    assert_eq!(kept.len(), 300);
    kept.sort();
    kept.dedup();
    assert_eq!(kept.len(), 300);
}

#[test]
fn rename_flags_and_errors() {
    let fs = MemoryStorage::new();
    let (a, b) = (dir(&fs, ROOT_INO, "a"), dir(&fs, ROOT_INO, "b"));
    let sub = dir(&fs, a, "sub");
    let (f, _) = file(&fs, &ROOT, b, "f");
    let rename =
        |p: Ino, n: &str, q: Ino, m: &str, flags| fs.rename(&ROOT, p, name(n), q, name(m), flags);
    let plain = RenameFlags::empty();
    assert_eq!(
        (nlink(&fs, a), nlink(&fs, b), nlink(&fs, ROOT_INO)),
        (3, 2, 4)
    );
    assert_eq!(rename(ROOT_INO, "a", sub, "x", plain), Err(Errno::INVAL));
    assert_eq!(rename(a, "sub", ROOT_INO, "a", plain), Err(Errno::NOTEMPTY));
    let exchange = RenameFlags::EXCHANGE;
    assert_eq!(rename(a, "sub", ROOT_INO, "a", exchange), Err(Errno::INVAL));
    let noreplace = RenameFlags::NOREPLACE;
    assert_eq!(rename(a, "sub", b, "f", noreplace), Err(Errno::EXIST));
    assert_eq!(
        rename(a, "sub", b, "f", noreplace | exchange),
        Err(Errno::INVAL)
    );
    assert_eq!(
        rename(a, "sub", b, "f", RenameFlags::WHITEOUT),
        Err(Errno::INVAL)
    );
    assert_eq!(rename(a, "sub", b, "no", exchange), Err(Errno::NOENT));
    assert_eq!(rename(a, "sub", b, "f", plain), Err(Errno::NOTDIR));
    assert_eq!(rename(a, "sub", b, "f", exchange), Ok(()));
    assert_eq!((nlink(&fs, a), nlink(&fs, b)), (2, 3));
    assert_eq!(fs.lookup(&ROOT, a, name("sub")).unwrap().attr.ino, f);
    assert_eq!(fs.lookup(&ROOT, sub, name("..")).unwrap().attr.ino, b);
}

#[test]
fn limits() {
    let fs = MemoryStorage::new();
    let long = "x".repeat(256);
    let made = fs.mkdir(&ROOT, ROOT_INO, name(&long), mode(0o777));
    assert_eq!(made, Err(Errno::NAMETOOLONG));
    dir(&fs, ROOT_INO, &long[..255]);
    let (ino, fh) = file(&fs, &ROOT, ROOT_INO, "f");
    let size = |size| SetAttr {
        size: Some(size),
        ..SetAttr::default()
    };
    assert_eq!(fs.setattr(&ROOT, ino, &size(1 << 63)), Err(Errno::FBIG));
    let huge = fs.setattr(&ROOT, ino, &size(i64::MAX as u64)).unwrap();
    assert_eq!((huge.size, huge.blocks), (i64::MAX as u64, 0));
    let past = fs.write(&ROOT, ino, fh, i64::MAX as u64, b"x", WriteFlags::default());
    assert_eq!(past, Err(Errno::FBIG));
    assert_eq!(fs.setattr(&ROOT, ROOT_INO, &size(0)), Err(Errno::ISDIR));
    let long = Path::new(&long).join("x".repeat(4000));
    let link = fs.symlink(&ROOT, ROOT_INO, name("s"), &long);
    assert_eq!(link, Err(Errno::NAMETOOLONG));
    let removed = dir(&fs, ROOT_INO, "gone");
    fs.rmdir(&ROOT, ROOT_INO, name("gone")).unwrap();
    let made = fs.mkdir(&ROOT, removed, name("x"), mode(0o777));
    assert_eq!(made, Err(Errno::NOENT));
}

#[test]
fn a_full_storage_says_so_and_recovers() {
    let fs = MemoryStorage::with_capacity(64 << 10);
    let (ino, fh) = file(&fs, &ROOT, ROOT_INO, "f");
    let n = put(&fs, &ROOT, ino, &[1; 128 << 10]).unwrap();
    assert_eq!(n, 60 << 10, "what fits is written");
    let more = fs.write(&ROOT, ino, fh, n as u64, b"x", WriteFlags::default());
    assert_eq!(more, Err(Errno::NOSPC));
    assert_eq!(fs.statfs(ROOT_INO).unwrap().bfree, 0);
    let mut made = 0;
    let errno = loop {
        match fs.mkdir(&ROOT, ROOT_INO, name(&format!("d{made}")), mode(0o777)) {
            Ok(_) => made += 1,
            Err(errno) => break errno,
        }
    };
    assert_eq!((errno, nlink(&fs, ROOT_INO)), (Errno::NOSPC, 2 + made));
    assert_eq!(
        fs.inode_count(),
        2 + u64::from(made),
        "no inode without a name"
    );
    fs.unlink(&ROOT, ROOT_INO, name("f")).unwrap();
    fs.release(ino, fh).unwrap();
    fs.forget(ino, 1);
    assert_eq!(fs.statfs(ROOT_INO).unwrap().bfree, 15);
    assert!(fs.used_bytes() < 4096);
}

#[test]
fn privileges_go_with_changes_by_others_than_root() {
    let fs = MemoryStorage::new();
    let (ino, _) = file(&fs, &USER, ROOT_INO, "f");
    let perm = || fs.getattr(ino, None).unwrap().perm;
    chmod(&fs, &ROOT, ino, 0o6755).unwrap();
    put(&fs, &ROOT, ino, b"root").unwrap();
    assert_eq!(perm(), 0o6755);
    put(&fs, &USER, ino, b"user").unwrap();
    assert_eq!(perm(), 0o755);
    chmod(&fs, &ROOT, ino, 0o6745).unwrap();
    put(&fs, &USER, ino, b"user").unwrap();
    assert_eq!(
        perm(),
        0o2745,
        "without group execution the bit stays for the group"
    );
    let unknown = |keeps_set_ids| Caller {
        uid: u32::MAX,
        gid: u32::MAX,
        keeps_set_ids,
        ..USER
    };
    chmod(&fs, &ROOT, ino, 0o6755).unwrap();
    put(&fs, &unknown(true), ino, b"somebody").unwrap();
    assert_eq!(perm(), 0o6755, "the kernel knows who may keep the bits");
    put(&fs, &unknown(false), ino, b"somebody").unwrap();
    assert_eq!(perm(), 0o755);
    chmod(&fs, &ROOT, ino, 0o6755).unwrap();
    let cap = name("security.capability");
    fs.setxattr(&ROOT, ino, cap, b"x", XattrFlags::empty())
        .unwrap();
    let chown = SetAttr {
        gid: Some(5),
        ..SetAttr::default()
    };
    assert_eq!(
        fs.setattr(&ROOT, ino, &chown).unwrap().perm,
        0o755,
        "root's chown too"
    );
    assert_eq!(fs.getxattr(&ROOT, ino, cap), Err(Errno::NODATA));
    chmod(&fs, &ROOT, ino, 0o4755).unwrap();
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fs.fallocate(&USER, ino, 0, punch, 0, 1).unwrap();
    assert_eq!(perm(), 0o755);
}

#[test]
fn a_set_group_id_directory_gives_its_group() {
    let fs = MemoryStorage::new();
    let d = dir(&fs, ROOT_INO, "d");
    let chown = SetAttr {
        gid: Some(77),
        mode: Some(0o2777),
        ..SetAttr::default()
    };
    fs.setattr(&ROOT, d, &chown).unwrap();
    let (f, _) = file(&fs, &USER, d, "f");
    let attr = fs.getattr(f, None).unwrap();
    assert_eq!((attr.uid, attr.gid, attr.perm), (1000, 77, 0o644));
    let sub = fs.mkdir(&USER, d, name("sub"), mode(0o777)).unwrap().attr;
    assert_eq!((sub.gid, sub.perm), (77, 0o2755));
}

#[test]
fn permissions_are_checked_where_asked() {
    let fs = MemoryStorage::new().with_permission_checks(PermissionChecks::Storage);
    chmod(&fs, &ROOT, ROOT_INO, 0o1777).unwrap();
    let (ino, _) = file(&fs, &USER, ROOT_INO, "f");
    let read_write = OpenFlags::RDWR;
    assert_eq!(fs.open(&OTHER, ino, read_write), Err(Errno::ACCESS));
    assert!(fs.open(&OTHER, ino, OpenFlags::RDONLY).is_ok());
    assert_eq!(fs.access(&OTHER, ino, Access::WRITE_OK), Err(Errno::ACCESS));
    assert_eq!(fs.access(&ROOT, ino, Access::EXEC_OK), Err(Errno::ACCESS));
    assert_eq!(chmod(&fs, &OTHER, ino, 0o777), Err(Errno::PERM));
    assert_eq!(
        fs.unlink(&OTHER, ROOT_INO, name("f")),
        Err(Errno::PERM),
        "sticky"
    );
    let now = SetAttr {
        mtime: Some(SetTime::Now),
        ..SetAttr::default()
    };
    assert_eq!(fs.setattr(&OTHER, ino, &now), Err(Errno::ACCESS));
    let give_away = SetAttr {
        uid: Some(1001),
        ..SetAttr::default()
    };
    assert_eq!(fs.setattr(&USER, ino, &give_away), Err(Errno::PERM));
    let closed = dir(&fs, ROOT_INO, "closed");
    chmod(&fs, &ROOT, closed, 0o700).unwrap();
    assert_eq!(fs.lookup(&USER, closed, name("x")), Err(Errno::ACCESS));
    let made = fs.mknod(
        &USER,
        ROOT_INO,
        name("dev"),
        mode(libc::S_IFCHR | 0o666),
        259,
    );
    assert_eq!(made, Err(Errno::PERM));
    assert_eq!(fs.unlink(&USER, ROOT_INO, name("f")), Ok(()));
}

#[test]
fn xattrs() {
    let fs = MemoryStorage::new();
    let (ino, _) = file(&fs, &ROOT, ROOT_INO, "f");
    let set = |key: &str, value: &[u8], flags| fs.setxattr(&ROOT, ino, name(key), value, flags);
    let any = XattrFlags::empty();
    assert_eq!(set("user.a", b"1", XattrFlags::REPLACE), Err(Errno::NODATA));
    assert_eq!(set("user.a", b"1", XattrFlags::CREATE), Ok(()));
    assert_eq!(set("user.a", b"2", XattrFlags::CREATE), Err(Errno::EXIST));
    assert_eq!(set("user.a", b"22", any), Ok(()));
    assert_eq!(fs.getxattr(&ROOT, ino, name("user.a")).unwrap(), b"22");
    assert_eq!(set("user.big", &[0; 65_536], any), Ok(()));
    assert_eq!(set("user.big", &[0; 65_537], any), Err(Errno::TOOBIG));
    assert_eq!(
        set(&format!("user.{}", "x".repeat(251)), b"", any),
        Err(Errno::RANGE)
    );
    assert_eq!(set("user.", b"", any), Err(Errno::INVAL));
    assert_eq!(
        set("system.posix_acl_access", b"", any),
        Err(Errno::OPNOTSUPP)
    );
    set("trusted.t", b"", any).unwrap();
    assert_eq!(
        fs.listxattr(&ROOT, ino).unwrap(),
        b"trusted.t\0user.a\0user.big\0"
    );
    assert_eq!(fs.listxattr(&USER, ino).unwrap(), b"user.a\0user.big\0");
    fs.removexattr(&ROOT, ino, name("user.a")).unwrap();
    assert_eq!(
        fs.removexattr(&ROOT, ino, name("user.a")),
        Err(Errno::NODATA)
    );
    let link = fs
        .symlink(&ROOT, ROOT_INO, name("s"), Path::new("f"))
        .unwrap();
    let refused = fs.setxattr(&ROOT, link.attr.ino, name("user.a"), b"", any);
    assert_eq!(refused, Err(Errno::PERM));
}

#[test]
fn sparse_files_and_copies() {
    let fs = MemoryStorage::new();
    let (ino, fh) = file(&fs, &ROOT, ROOT_INO, "f");
    fs.write(&ROOT, ino, fh, 1 << 20, &[7; 8192], WriteFlags::default())
        .unwrap();
    assert_eq!(fs.lseek(ino, fh, 0, SeekTo::Data), Ok(1 << 20));
    assert_eq!(
        fs.lseek(ino, fh, 1 << 20, SeekTo::Hole),
        Ok((1 << 20) + 8192)
    );
    let punch = FallocateFlags::PUNCH_HOLE;
    assert_eq!(
        fs.fallocate(&ROOT, ino, fh, punch, 0, 1),
        Err(Errno::OPNOTSUPP)
    );
    let keep = FallocateFlags::KEEP_SIZE;
    fs.fallocate(&ROOT, ino, fh, punch | keep, 1 << 20, 4096)
        .unwrap();
    assert_eq!(fs.getattr(ino, None).unwrap().blocks, 8);
    fs.fallocate(&ROOT, ino, fh, keep, 0, 2 << 20).unwrap();
    let attr = fs.getattr(ino, None).unwrap();
    assert_eq!((attr.size, attr.blocks), ((1 << 20) + 8192, 4096));
    let (to, to_fh) = file(&fs, &ROOT, ROOT_INO, "g");
    let n = fs.copy_file_range(&ROOT, ino, fh, 1 << 20, to, to_fh, 3, 1 << 30);
    assert_eq!(n, Ok(8192));
    let mut buf = [1; 8195];
    assert_eq!(fs.read(to, to_fh, 0, &mut buf), Ok(8195));
    assert!(buf[..4099].iter().all(|b| *b == 0) && buf[4099..].iter().all(|b| *b == 7));
    let overlap = fs.copy_file_range(&ROOT, to, to_fh, 0, to, to_fh, 10, 20);
    assert_eq!(overlap, Err(Errno::INVAL));
    let read_only = fs.open(&ROOT, to, OpenFlags::RDONLY).unwrap();
    let refused = fs.write(&ROOT, to, read_only, 0, b"x", WriteFlags::default());
    assert_eq!(refused, Err(Errno::BADF));
}

#[test]
fn times_follow_posix() {
    let fs = MemoryStorage::new();
    let (ino, fh) = file(&fs, &ROOT, ROOT_INO, "f");
    let past = Timestamp {
        secs: 1000,
        nanos: 1,
    };
    let reset = |ino| {
        let changes = SetAttr {
            atime: Some(SetTime::At(past)),
            mtime: Some(SetTime::At(past)),
            ctime: Some(past),
            ..SetAttr::default()
        };
        fs.setattr(&ROOT, ino, &changes).unwrap();
    };
    let moved = |ino| {
        let attr = fs.getattr(ino, None).unwrap();
        (attr.atime > past, attr.mtime > past, attr.ctime > past)
    };
    reset(ino);
    put(&fs, &ROOT, ino, b"x").unwrap();
    assert_eq!(moved(ino), (false, true, true));
    reset(ino);
    fs.read(ino, fh, 0, &mut [0; 1]).unwrap();
    assert_eq!(moved(ino), (true, false, false));
    let first = fs.getattr(ino, None).unwrap().atime;
    fs.read(ino, fh, 0, &mut [0; 1]).unwrap();
    assert_eq!(fs.getattr(ino, None).unwrap().atime, first, "relatime");
    reset(ino);
    reset(ROOT_INO);
    fs.link(&ROOT, ino, ROOT_INO, name("g")).unwrap();
    assert_eq!(moved(ino), (false, false, true));
    assert_eq!(moved(ROOT_INO), (false, true, true));
}

#[test]
fn threads_leave_a_consistent_tree() {
    let fs = MemoryStorage::new();
    let dirs = [dir(&fs, ROOT_INO, "a"), dir(&fs, ROOT_INO, "b")];
    std::thread::scope(|scope| {
        for thread in 0..4usize {
            let fs = &fs;
            scope.spawn(move || {
                for i in 0..500usize {
                    let (from, to) = (dirs[(i + thread) % 2], dirs[i % 2]);
                    let (mine, shared) = (format!("t{thread}"), format!("s{}", i % 3));
                    let (ino, fh) = file(fs, &ROOT, from, &mine);
                    put(fs, &ROOT, ino, &[1; 5000]).unwrap();
                    let flags = RenameFlags::empty();
                    fs.rename(&ROOT, from, name(&mine), to, name(&shared), flags)
                        .unwrap();
                    match fs.unlink(&ROOT, to, name(&shared)) {
                        Ok(()) | Err(Errno::NOENT) => {}
                        Err(errno) => panic!("{errno}"),
                    }
                    let mut buf = [0; 5000];
                    assert_eq!(fs.read(ino, fh, 0, &mut buf), Ok(5000));
                    fs.release(ino, fh).unwrap();
                    fs.forget(ino, 1);
                }
            });
        }
    });
    for ino in dirs {
        assert_eq!(names(&fs, ino, 2, 10), []);
    }
    assert_eq!(fs.inode_count(), 3);
    fs.rmdir(&ROOT, ROOT_INO, name("a")).unwrap();
    fs.rmdir(&ROOT, ROOT_INO, name("b")).unwrap();
    dirs.iter().for_each(|ino| fs.forget(*ino, 1));
    assert_eq!((fs.used_bytes(), fs.inode_count()), (0, 1));
}
