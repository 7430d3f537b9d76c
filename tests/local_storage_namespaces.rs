//! `LocalStorage` with several file systems below its root, with callers in groups, and with
//! files replaced behind it. All need root, and say so.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use dynamicfs::storage::*;
use rustix::fs::{OFlags, RenameFlags};

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

#[test]
fn several_file_systems_below_one_root() {
    use rustix::mount::*;
    use rustix::thread::UnshareFlags;
    if !is_root("mounts") {
        return;
    }
    // SAFETY: neither memory nor descriptors are unshared. The mount namespace belongs to this
    // test's thread and ends with it.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::FS) }.unwrap();
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let s = &LocalStorage::open(dir.path()).unwrap();
    let mut seen = HashSet::from([ROOT_INO]);
    for name in ["one", "two"] {
        let inner = dir.path().join(name);
        fs::create_dir(&inner).unwrap();
        mount("tmpfs", &inner, "tmpfs", MountFlags::empty(), None).unwrap();
        fs::write(inner.join("f"), name).unwrap();
        let top = s.lookup(&ROOT, ROOT_INO, name.as_ref()).unwrap().attr.ino;
        let file = s.lookup(&ROOT, top, "f".as_ref()).unwrap().attr.ino;
        assert!(seen.insert(top) && seen.insert(file), "numbers must differ");
        let out = s.rename(
            &ROOT,
            top,
            "f".as_ref(),
            ROOT_INO,
            "g".as_ref(),
            RenameFlags::empty(),
        );
        assert_eq!(out, Err(Errno::XDEV));
        let fh = s.open(&ROOT, file, OFlags::RDONLY).unwrap();
        let mut buffer = [0; 3];
        s.read(file, fh, 0, &mut buffer).unwrap();
        assert_eq!(&buffer, name.as_bytes());
        s.release(file, fh).unwrap();
        s.forget(file, 1);
        s.forget(top, 1);
        unmount(&inner, UnmountFlags::empty()).expect("nothing keeps it busy");
    }
}

#[test]
fn supplementary_groups_open_what_they_open_on_the_backing_store() {
    if !is_root("supplementary groups") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = dir.path().join("f");
    fs::write(&path, b"x").unwrap();
    std::os::unix::fs::chown(&path, Some(0), Some(6006)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let builder = LocalStorage::builder(dir.path());
    let builder = builder.permission_checks(PermissionChecks::Storage);
    let s = &builder.build().unwrap();
    let ino = s.lookup(&ROOT, ROOT_INO, "f".as_ref()).unwrap().attr.ino;
    let (tell, told) = std::sync::mpsc::channel();
    let (finish, finished) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        // A thread with the credentials of a caller in the group, which only waits.
        scope.spawn(move || {
            use rustix::thread::*;
            set_thread_groups(&[Gid::from_raw(6006)]).unwrap();
            let (gid, uid) = (Gid::from_raw(4001), Uid::from_raw(4001));
            set_thread_res_gid(gid, gid, gid).unwrap();
            set_thread_res_uid(uid, uid, uid).unwrap();
            tell.send(gettid().as_raw_nonzero().get() as u32).unwrap();
            let _ = finished.recv();
        });
        let pid = told.recv().unwrap();
        let member = Caller {
            uid: 4001,
            gid: 4001,
            pid,
            keeps_set_ids: true,
            directory_group: None,
            label: None,
        };
        let fh = s.open(&member, ino, OFlags::RDONLY);
        let write = s.open(&member, ino, OFlags::WRONLY);
        let other = s.open(
            &Caller {
                uid: 4002,
                ..member.clone()
            },
            ino,
            OFlags::RDONLY,
        );
        let unknown = s.open(&Caller { pid: 0, ..member }, ino, OFlags::RDONLY);
        drop(finish);
        assert!(fh.is_ok(), "the group may read: {fh:?}");
        assert_eq!([write, other, unknown], [Err(Errno::ACCESS); 3]);
    });
}

#[test]
fn a_file_replaced_behind_the_storage_is_another_inode() {
    if !is_root("inode reuse") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let s = &LocalStorage::open(dir.path()).unwrap();
    let path = dir.path().join("f");
    let changed = || fs::metadata(dir.path()).unwrap().ctime_nsec();
    for round in 0..50 {
        fs::write(&path, b"a").unwrap();
        let before = s.lookup(&ROOT, ROOT_INO, "f".as_ref()).unwrap().attr.ino;
        fs::remove_file(&path).unwrap();
        // Until the clock of the file system ticks, two files have the same birth.
        let start = changed();
        for probe in 0.. {
            if changed() != start {
                break;
            }
            fs::create_dir(dir.path().join(format!("{round}.{probe}"))).unwrap();
        }
        fs::write(&path, b"b").unwrap();
        let after = s.lookup(&ROOT, ROOT_INO, "f".as_ref()).unwrap().attr.ino;
        assert_ne!(before, after);
        assert_eq!(s.getattr(before, None), Err(Errno::STALE));
        assert!(s.getattr(after, None).is_ok());
        // The descriptor that getattr left in the cache would keep the inode.
        fs::remove_file(&path).unwrap();
        s.forget(before, 1);
        s.forget(after, 1);
    }
    assert_eq!(s.statistics().inodes, 1);
}
