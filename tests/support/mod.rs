//! What the tests on real mounts share: mounting with cleanup, waiting with a deadline, figures.

// Each test binary uses its own part of this module, which is private to all of them.
#![allow(dead_code, unreachable_pub)]

pub mod helper;
pub mod sys;

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use dynamicfs::mount::{MountError, MountHandle, UnmountError, UnmountMode};
use dynamicfs::storage::{FilesystemInterface, LocalStorage, PermissionChecks};
use dynamicfs::{DynamicFS, IoMode, OptimizedFUSEConfig, TransportChoice};
use rustix::fs::IFlags;
use rustix::mount::UnmountFlags;
use tempfile::TempDir;

/// Long enough for a loaded machine, short enough to notice what hangs.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Whether mounts are possible. Says so where not; in continuous integration that is a failure.
pub fn can_mount(case: &str) -> bool {
    let missing = if !rustix::process::geteuid().is_root() {
        "root"
    } else if !Path::new("/dev/fuse").exists() {
        "/dev/fuse"
    } else {
        return true;
    };
    skipped(case, missing);
    false
}

/// Says that a test needs what is missing here. In continuous integration that is a failure.
pub fn skipped(case: &str, missing: &str) {
    assert_ne!(
        std::env::var("CI").as_deref(),
        Ok("true"),
        "{case} needs {missing}"
    );
    eprintln!("SKIPPED {case}: needs {missing}");
}

/// A file that is there, open for reading and writing.
pub fn writable(path: impl AsRef<Path>) -> fs::File {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).open(path).unwrap()
}

/// Memory for direct I/O: it begins with a page.
pub struct Aligned {
    memory: Vec<u8>,
    len: usize,
}

impl Aligned {
    pub fn new(len: usize) -> Aligned {
        Aligned {
            memory: vec![0; len + rustix::param::page_size()],
            len,
        }
    }

    pub fn bytes(&mut self) -> &mut [u8] {
        let start = self
            .memory
            .as_ptr()
            .align_offset(rustix::param::page_size());
        &mut self.memory[start..][..self.len]
    }
}

/// Waits until `condition` holds; fails after `limit`.
pub fn wait_for(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Runs `action` in a thread and fails when it has no result after `limit`: what hangs fails the
/// test instead of stopping it.
pub fn within<T: Send + 'static>(
    what: &str,
    limit: Duration,
    action: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (done, result) = mpsc::channel();
    std::thread::spawn(move || {
        // The receiver is gone only when the test has failed already.
        let _ = done.send(action());
    });
    result
        .recv_timeout(limit)
        .unwrap_or_else(|error| panic!("{what}: {error} (limit {limit:?})"))
}

/// The transport of a test that does not care: that of `DYNAMICFS_TRANSPORT`, as for the command.
/// `cargo xtask test` runs the tests on mounts with each.
pub fn transport(configured: TransportChoice) -> TransportChoice {
    match std::env::var("DYNAMICFS_TRANSPORT") {
        Ok(name) if configured == TransportChoice::Auto => name.parse().expect("a transport"),
        _ => configured,
    }
}

/// The three optimised presets and the yardstick, by name.
pub fn presets() -> Vec<(String, OptimizedFUSEConfig)> {
    dynamicfs::Preset::ALL
        .iter()
        .map(|preset| (format!("{preset:?}"), preset.config()))
        .collect()
}

/// `balanced` with another way of file data.
pub fn with_io_mode(io_mode: IoMode) -> OptimizedFUSEConfig {
    let mut config = OptimizedFUSEConfig::balanced();
    config.io_mode = io_mode;
    config.enable_writeback = io_mode == IoMode::WritebackCache;
    config
}

/// A local storage with the settings that go with `config`.
pub fn local_storage(root: &Path, config: &OptimizedFUSEConfig) -> LocalStorage {
    let checks = match config.default_permissions {
        true => PermissionChecks::Kernel,
        false => PermissionChecks::Storage,
    };
    LocalStorage::builder(root)
        .permission_checks(checks)
        .writeback_cache(config.io_mode == IoMode::WritebackCache)
        .build()
        .expect("the backing directory opens")
}

/// Mounts and serves a storage at `mountpoint`.
pub fn serve(
    storage: Box<dyn FilesystemInterface>,
    mut config: OptimizedFUSEConfig,
    mountpoint: &Path,
) -> Result<MountHandle, MountError> {
    config.transport = transport(config.transport);
    let options = config.to_mount_options();
    let fs = DynamicFS::new_with_config(storage, config);
    dynamicfs::mount::spawn(fs, mountpoint, &options)
}

/// A mount served by this process, in a directory of its own; all gone when dropped.
pub struct TestMount {
    handle: Option<MountHandle>,
    mountpoint: PathBuf,
    backing: PathBuf,
    dir: TempDir,
}

impl TestMount {
    /// A local directory.
    pub fn local(config: OptimizedFUSEConfig) -> TestMount {
        TestMount::prepared(config, |_| {})
    }

    /// A local directory that `prepare` fills before the mount.
    pub fn prepared(config: OptimizedFUSEConfig, prepare: impl FnOnce(&Path)) -> TestMount {
        let dir = test_dir();
        let backing = dir.path().join("backing");
        fs::create_dir(&backing).unwrap();
        prepare(&backing);
        let storage = Box::new(local_storage(&backing, &config));
        TestMount::over(dir, storage, config)
    }

    /// Any storage.
    pub fn of(storage: Box<dyn FilesystemInterface>, config: OptimizedFUSEConfig) -> TestMount {
        TestMount::over(test_dir(), storage, config)
    }

    /// Any storage, mounted in `dir`; what is behind it lies in `backing` there.
    pub fn over(
        dir: TempDir,
        storage: Box<dyn FilesystemInterface>,
        config: OptimizedFUSEConfig,
    ) -> TestMount {
        let mountpoint = dir.path().join("mnt");
        fs::create_dir(&mountpoint).unwrap();
        let handle = serve(storage, config, &mountpoint).expect("mounts");
        TestMount {
            backing: dir.path().join("backing"),
            handle: Some(handle),
            mountpoint,
            dir,
        }
    }

    pub fn handle(&self) -> &MountHandle {
        self.handle.as_ref().expect("still mounted")
    }

    /// The root of the mount.
    pub fn root(&self) -> &Path {
        &self.mountpoint
    }

    /// A name in the mount.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.mountpoint.join(name)
    }

    /// The same name in the backing directory.
    pub fn backing(&self, name: impl AsRef<Path>) -> PathBuf {
        self.backing.join(name)
    }

    /// Requests of a kind answered since the mount.
    pub fn ops(&self, name: &str) -> u64 {
        ops(&self.handle().statistics(), name)
    }

    /// Lets the kernel drop what it caches of this mount, and only of this: a remount shrinks the
    /// dentry cache of its superblock (`reconfigure_super`), and a FUSE inode without a dentry goes
    /// at once.
    pub fn drop_caches(&self) {
        let flags = rustix::mount::MountFlags::NOSUID | rustix::mount::MountFlags::NODEV;
        rustix::mount::mount_remount(self.root(), flags, "").unwrap();
    }

    /// Unmounts in the ordinary way and waits for the end of the daemon. What is in the backing
    /// directory stays until the result is dropped.
    pub fn unmount(mut self) -> TempDir {
        let handle = self.handle.take().expect("still mounted");
        let mountpoint = self.mountpoint.clone();
        unmount_when_idle(&mountpoint);
        within("the daemon ends", DEADLINE, move || handle.wait()).expect("ends well");
        assert!(!is_mountpoint(&mountpoint), "still mounted");
        std::mem::replace(&mut self.dir, TempDir::new().unwrap())
    }
}

impl Drop for TestMount {
    fn drop(&mut self) {
        let Some(handle) = self.handle.take() else {
            return;
        };
        if std::thread::panicking() {
            // Ends the connection, so that nobody who still waits for an answer keeps the test
            // from ending (umount2(2), `MNT_FORCE`).
            let flags = UnmountFlags::FORCE | UnmountFlags::DETACH;
            let _ = rustix::mount::unmount(&self.mountpoint, flags);
        }
        drop(handle);
        // A guard of a mount inside may be dropped after this one, too late for the directory.
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let inside = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        for path in inside.filter(|path| Path::new(path).starts_with(self.dir.path())) {
            let _ = rustix::mount::unmount(path, UnmountFlags::DETACH);
        }
    }
}

/// Unmounts in the ordinary way. A mount that answers a request just now, a FORGET say, is not busy; one with
/// a file whose release is under way may be, and so may one of which a test beside this one has just
/// forked a copy of a descriptor: a program that it starts has those of this process until execve(2).
pub fn unmount_when_idle(mountpoint: &Path) {
    wait_for(
        "the mount is idle",
        DEADLINE,
        || match dynamicfs::mount::unmount(mountpoint, UnmountMode::Normal) {
            Err(UnmountError::Busy { .. }) => false,
            other => other.map(|()| true).expect("unmounts"),
        },
    );
}

/// A directory that other users may enter.
pub fn test_dir() -> TempDir {
    let dir = tempfile::Builder::new()
        .prefix("dynamicfs-mount-")
        .tempdir()
        .unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

/// Any mount below a test's directory, taken away when dropped.
pub struct Mounted(pub PathBuf);

impl Mounted {
    /// An empty tmpfs of `megabytes` at the new directory `path`.
    pub fn tmpfs(path: PathBuf, megabytes: u32) -> Mounted {
        fs::create_dir(&path).unwrap();
        let data = std::ffi::CString::new(format!("size={megabytes}m")).unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("tmpfs", &path, "tmpfs", flags, data.as_c_str()).unwrap();
        Mounted(path)
    }
}

impl Mounted {
    /// What is mounted at `from`, at the new directory `to` too, with the ids 0 to 65,535 of its files
    /// shown and taken as ids from `first` on.
    pub fn mapped(from: &Path, to: PathBuf, first: u32) -> std::io::Result<Mounted> {
        use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
        let namespace = user_namespace(first);
        fs::create_dir(&to)?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let tree = open_tree(rustix::fs::CWD, from, flags)?;
        sys::map_ids(tree.as_fd(), namespace.as_fd())?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(&tree, "", rustix::fs::CWD, &to, flags)?;
        Ok(Mounted(to))
    }
}

/// A user namespace in which the ids 0 to 65,535 are those from `first` on outside.
fn user_namespace(first: u32) -> fs::File {
    // Waits for its input to end, in a namespace that has no ids yet.
    let mut holder = Command::new("unshare")
        .args(["--user", "cat"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("unshare runs");
    let of_holder = |what: &str| PathBuf::from(format!("/proc/{}/{what}", holder.id()));
    let own = fs::read_link("/proc/self/ns/user").unwrap();
    wait_for("the namespace", DEADLINE, || {
        fs::read_link(of_holder("ns/user")).is_ok_and(|its| its != own)
    });
    for map in ["uid_map", "gid_map"] {
        fs::write(of_holder(map), format!("0 {first} 65536\n")).expect("mapped once");
    }
    let namespace = fs::File::open(of_holder("ns/user")).unwrap();
    drop(holder.stdin.take());
    holder.wait().expect("it ends with its input");
    namespace
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, UnmountFlags::DETACH);
    }
}

/// A flag of an inode, taken away again in any case: or nobody could remove the file.
pub struct Flagged(PathBuf);

impl Flagged {
    /// `None` where the file system has no flags.
    pub fn set(path: PathBuf, flag: IFlags) -> Option<Flagged> {
        let file = fs::File::open(&path).unwrap();
        let flags = rustix::fs::ioctl_getflags(&file).ok()?;
        rustix::fs::ioctl_setflags(&file, flags | flag).ok()?;
        Some(Flagged(path))
    }
}

impl Drop for Flagged {
    fn drop(&mut self) {
        let file = fs::File::open(&self.0).unwrap();
        let flags = rustix::fs::ioctl_getflags(&file).unwrap();
        let _ = rustix::fs::ioctl_setflags(&file, flags - IFlags::APPEND - IFlags::IMMUTABLE);
    }
}

/// Whether something is mounted at `path`.
pub fn is_mountpoint(path: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let path = path.to_str().unwrap();
    mounts
        .lines()
        .any(|line| line.split(' ').nth(1) == Some(path))
}

/// Answers to requests of a kind.
pub fn ops(snapshot: &dynamicfs::stats::Snapshot, name: &str) -> u64 {
    snapshot
        .ops
        .iter()
        .find(|op| op.name == name)
        .map_or(0, |op| op.count)
}

/// Reproducible numbers: a linear congruential generator (Knuth's MMIX constants), high bits only.
pub struct Lcg(pub u64);

impl Lcg {
    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// Bytes that compress to nothing and repeat nowhere near.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.below(256) as u8).collect()
    }
}
