//! Errors of the storage reach the caller as themselves, and the daemon lives on.

mod support;

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dynamicfs::storage::*;
use dynamicfs::{IoMode, OptimizedFUSEConfig};
use support::{DEADLINE, Lcg, Mounted, TestMount, can_mount, wait_for, with_io_mode};

fn errno<T: std::fmt::Debug>(result: io::Result<T>) -> Option<i32> {
    result.expect_err("an error").raw_os_error()
}

/// Writes until the file system is full; returns the error.
fn fill(file: &mut File) -> io::Result<()> {
    let block = vec![1; 256 << 10];
    loop {
        file.write_all(&block)?;
    }
}

#[test]
fn a_full_backing_file_system_says_so_and_works_again_when_freed() {
    if !can_mount("ENOSPC") {
        return;
    }
    for io_mode in [
        IoMode::Passthrough,
        IoMode::WriteThrough,
        IoMode::WritebackCache,
        IoMode::Direct,
    ] {
        let mut tmpfs = None;
        let mount = TestMount::prepared(with_io_mode(io_mode), |root| {
            fs::remove_dir(root).unwrap();
            tmpfs = Some(Mounted::tmpfs(root.to_owned(), 4));
        });
        fs::write(mount.path("kept"), "kept").unwrap();
        let mut file = File::create(mount.path("large")).unwrap();
        // With the writeback cache a write may be taken and the flush tells.
        let mut told = None;
        for _ in 0..64 {
            let step = file
                .write_all(&[1; 256 << 10])
                .and_then(|()| file.sync_all());
            if let Err(error) = step {
                told = error.raw_os_error();
                break;
            }
        }
        assert_eq!(told, Some(libc::ENOSPC), "{io_mode}");
        if io_mode != IoMode::WritebackCache {
            assert_eq!(errno(fill(&mut file)), Some(libc::ENOSPC), "{io_mode}");
        }
        assert_eq!(fs::read(mount.path("kept")).unwrap(), b"kept");
        drop(file);
        fs::remove_file(mount.path("large")).unwrap();
        let data = Lcg(41).bytes(1 << 20);
        wait_for("the space is free", DEADLINE, || {
            let mut file = File::create(mount.path("next")).unwrap();
            file.write_all(&data).and_then(|()| file.sync_all()).is_ok()
        });
        assert!(
            fs::read(mount.backing("next")).unwrap() == data,
            "{io_mode}"
        );
        drop(mount);
        drop(tmpfs);
    }
}

#[test]
fn without_free_inodes_nothing_can_be_created() {
    if !can_mount("inodes") {
        return;
    }
    let mut tmpfs = None;
    let mount = TestMount::prepared(OptimizedFUSEConfig::balanced(), |root| {
        let mounted = Mounted(root.to_owned());
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("tmpfs", root, "tmpfs", flags, c"nr_inodes=8").unwrap();
        tmpfs = Some(mounted);
    });
    let mut created = 0;
    let refused = loop {
        match File::create(mount.path(format!("f{created}"))) {
            Ok(_) => created += 1,
            Err(error) => break error,
        }
        assert!(created < 8, "more files than inodes");
    };
    assert_eq!(refused.raw_os_error(), Some(libc::ENOSPC));
    assert_eq!(errno(fs::create_dir(mount.path("d"))), Some(libc::ENOSPC));
    let link = std::os::unix::fs::symlink("x", mount.path("l"));
    assert_eq!(errno(link), Some(libc::ENOSPC));
    fs::remove_file(mount.path("f0")).unwrap();
    wait_for("an inode is free", DEADLINE, || {
        fs::create_dir(mount.path("d")).is_ok()
    });
    drop(mount);
    drop(tmpfs);
}

#[test]
fn a_backing_file_system_that_is_read_only_says_so() {
    if !can_mount("EROFS") {
        return;
    }
    let mut tmpfs = None;
    let mount = TestMount::prepared(OptimizedFUSEConfig::balanced(), |root| {
        fs::remove_dir(root).unwrap();
        let mounted = Mounted::tmpfs(root.to_owned(), 4);
        fs::write(root.join("f"), "contents").unwrap();
        fs::create_dir(root.join("d")).unwrap();
        let read_only = rustix::mount::MountFlags::RDONLY;
        rustix::mount::mount_remount(root, read_only, "").unwrap();
        tmpfs = Some(mounted);
    });
    assert_eq!(fs::read(mount.path("f")).unwrap(), b"contents");
    let refused = [
        errno(File::create(mount.path("new"))),
        errno(OpenOptions::new().write(true).open(mount.path("f"))),
        errno(fs::create_dir(mount.path("new"))),
        errno(fs::remove_dir(mount.path("d"))),
        errno(fs::remove_file(mount.path("f"))),
        errno(fs::rename(mount.path("f"), mount.path("g"))),
        errno(fs::hard_link(mount.path("f"), mount.path("g"))),
        errno(rustix::fs::chmod(mount.path("f"), 0o600.into()).map_err(Into::into)),
        errno(
            rustix::fs::setxattr(
                mount.path("f"),
                "user.a",
                b"b",
                rustix::fs::XattrFlags::empty(),
            )
            .map_err(Into::into),
        ),
    ];
    assert_eq!(refused, [Some(libc::EROFS); 9]);
    assert_eq!(fs::read(mount.path("f")).unwrap(), b"contents");
    drop(mount);
    drop(tmpfs);
}

#[test]
fn bad_names_and_offsets_are_refused_and_harm_nothing() {
    if !can_mount("limits") {
        return;
    }
    for (_, config) in support::presets() {
        let mount = TestMount::local(config);
        let long = "n".repeat(256);
        assert_eq!(
            errno(File::create(mount.path(&long))),
            Some(libc::ENAMETOOLONG)
        );
        assert_eq!(
            errno(fs::metadata(mount.path(&long))),
            Some(libc::ENAMETOOLONG)
        );
        fs::write(mount.path("n".repeat(255)), "x").unwrap();
        let odd = OsStr::new("new\nline \u{7f} \\ %s");
        fs::write(mount.path(odd), "x").unwrap();
        assert!(mount.backing(odd).exists());
        let file = File::create(mount.path("f")).unwrap();
        let largest = i64::MAX as u64;
        let far = file.write_at(b"xy", largest - 1);
        assert!(matches!(errno(far), Some(libc::EFBIG | libc::EINVAL)));
        let cut = errno(file.set_len(largest));
        assert!(matches!(cut, Some(libc::EFBIG | libc::EINVAL)), "{cut:?}");
        // The largest that ext4 (of 4 KiB blocks) and others all have: 8 TiB here.
        file.write_all_at(b"end", 8 << 40).unwrap();
        let mut end = [0; 3];
        let reader = File::open(mount.path("f")).unwrap();
        reader.read_exact_at(&mut end, 8 << 40).unwrap();
        assert_eq!(&end, b"end");
        assert_eq!(
            fs::metadata(mount.backing("f")).unwrap().len(),
            (8 << 40) + 3
        );
    }
}

/// Operations that fail when told to.
#[derive(Default)]
struct Failing(AtomicU32);

const LOOKUP: u32 = 1;
const READ: u32 = 2;
const WRITE: u32 = 4;
const FSYNC: u32 = 8;
const READDIR: u32 = 16;
const GETATTR: u32 = 32;

impl Failing {
    fn fail(&self, operations: u32) {
        self.0.store(operations, Ordering::SeqCst);
    }

    fn check(&self, operation: u32) -> Result<()> {
        match self.0.load(Ordering::SeqCst) & operation {
            0 => Ok(()),
            _ => Err(Errno::IO),
        }
    }
}

impl Layer for Failing {
    fn lookup(
        &self,
        below: &dyn FilesystemInterface,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
    ) -> Result<Entry> {
        self.check(LOOKUP)?;
        below.lookup(caller, parent, name)
    }
    fn getattr(&self, below: &dyn FilesystemInterface, ino: Ino, fh: Option<Fh>) -> Result<Attr> {
        self.check(GETATTR)?;
        below.getattr(ino, fh)
    }
    fn read(
        &self,
        below: &dyn FilesystemInterface,
        ino: Ino,
        fh: Fh,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<usize> {
        self.check(READ)?;
        below.read(ino, fh, offset, buf)
    }
    fn write(
        &self,
        below: &dyn FilesystemInterface,
        caller: &Caller,
        ino: Ino,
        fh: Fh,
        offset: u64,
        data: &[u8],
        flags: WriteFlags,
    ) -> Result<usize> {
        self.check(WRITE)?;
        below.write(caller, ino, fh, offset, data, flags)
    }
    fn fsync(
        &self,
        below: &dyn FilesystemInterface,
        ino: Ino,
        fh: Fh,
        datasync: bool,
    ) -> Result<()> {
        self.check(FSYNC)?;
        below.fsync(ino, fh, datasync)
    }
    fn readdir(
        &self,
        below: &dyn FilesystemInterface,
        ino: Ino,
        fh: Fh,
        offset: u64,
        sink: &mut dyn FnMut(&DirEntry<'_>) -> DirSink,
    ) -> Result<()> {
        self.check(READDIR)?;
        below.readdir(ino, fh, offset, sink)
    }
    fn readdirplus(
        &self,
        below: &dyn FilesystemInterface,
        caller: &Caller,
        ino: Ino,
        fh: Fh,
        offset: u64,
        sink: &mut dyn FnMut(&DirEntry<'_>, Option<&Entry>) -> DirSink,
    ) -> Result<()> {
        self.check(READDIR)?;
        below.readdirplus(caller, ino, fh, offset, sink)
    }
}

fn failing_mount(mut config: OptimizedFUSEConfig) -> (Arc<Failing>, TestMount) {
    // Nothing is answered from what the kernel has cached.
    config.attr_timeout_secs = 0;
    config.entry_timeout_secs = 0;
    let storage = Arc::new(Failing::default());
    let layered = Layered::new(Box::new(MemoryStorage::new()), storage.clone());
    let mount = TestMount::of(Box::new(layered), config);
    (storage, mount)
}

const EIO: Option<i32> = Some(libc::EIO);

#[test]
fn an_error_of_the_storage_is_the_error_of_the_call() {
    if !can_mount("EIO") {
        return;
    }
    for (name, config) in support::presets() {
        let (storage, mount) = failing_mount(config);
        fs::write(mount.path("f"), "contents").unwrap();
        storage.fail(LOOKUP);
        assert_eq!(errno(fs::metadata(mount.path("f"))), EIO, "{name}");
        storage.fail(GETATTR);
        assert_eq!(errno(fs::metadata(mount.root())), EIO, "{name}");
        storage.fail(READDIR);
        let listed = fs::read_dir(mount.root()).and_then(|mut entries| match entries.next() {
            Some(Err(error)) => Err(error),
            _ => Ok(()),
        });
        assert_eq!(errno(listed), EIO, "{name}");
        storage.fail(0);
        assert_eq!(fs::read(mount.path("f")).unwrap(), b"contents", "{name}");
    }
}

#[test]
fn an_error_of_the_data_is_told_to_who_reads_writes_or_syncs() {
    if !can_mount("EIO of data") {
        return;
    }
    for io_mode in [IoMode::WriteThrough, IoMode::WritebackCache, IoMode::Direct] {
        for enable_writeback in [true, false] {
            let mut config = with_io_mode(io_mode);
            config.enable_writeback |= enable_writeback;
            let case = format!("{io_mode}, writeback {enable_writeback}");
            let (storage, mount) = failing_mount(config);
            let mut options = OpenOptions::new();
            let file = options
                .read(true)
                .write(true)
                .create_new(true)
                .open(mount.path("f"))
                .unwrap();
            file.write_all_at(&[1; 8192], 0).unwrap();
            file.sync_all().unwrap();
            storage.fail(WRITE);
            let told = file
                .write_all_at(&[2; 4096], 0)
                .and_then(|()| file.sync_all());
            assert_eq!(errno(told), EIO, "{case}: write");
            storage.fail(FSYNC);
            assert_eq!(errno(file.sync_all()), EIO, "{case}: fsync");
            storage.fail(0);
            // The kernel may say the error of a page once more to this open file, never later.
            let _ = file.sync_all();
            file.sync_all().unwrap();
            file.write_all_at(&[3; 8192], 0).unwrap();
            file.sync_all().unwrap();
            drop(file);
            assert!(fs::read(mount.path("f")).unwrap() == [3; 8192], "{case}");
            // Pages that are not in the kernel's cache must come from the storage.
            let file = File::open(mount.path("f")).unwrap();
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
            storage.fail(READ);
            assert_eq!(errno(file.read_at(&mut [0; 4096], 0)), EIO, "{case}: read");
            storage.fail(0);
            assert_eq!(file.read_at(&mut [0; 4096], 0).unwrap(), 4096, "{case}");
        }
    }
}
