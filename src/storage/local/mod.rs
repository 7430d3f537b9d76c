//! A storage over any directory of this machine.

mod attributes;
#[cfg(feature = "internals")]
mod bare_inodes;
mod casefold;
mod descriptors;
mod directories;
mod files;
mod forgotten;
mod handles;
mod identity;
mod inodes;
mod labels;
mod listings;
mod look_ahead;
mod names;
mod operations;
mod own_mount;
mod stateless;
mod sys;
mod watch;
mod xattrs;

#[cfg(feature = "internals")]
pub use bare_inodes::BareInodes;

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, getrlimit};

use super::changes::{ChangeListener, WatchMethod};
use super::types::{
    AccessTimes, Errno, Fh, FileKind, Ino, PermissionChecks, ROOT_INO, Result, StorageCapabilities,
    WithoutOpen,
};
use descriptors::{Descriptors, stat};
use directories::OpenDirectory;
use forgotten::Forgotten;
use handles::{Handles, OpenFile};
use identity::Identity;
use inodes::{InodeTable, Node};
use listings::Listings;
use stateless::Unopened;
use sys::ProcPath;
use watch::Watch;

/// Most descriptors of inodes that are kept without being asked for: a working set of that size
/// is rare, and opening one again costs two microseconds.
const DEFAULT_DESCRIPTORS: u64 = 4096;

/// `f_type` of file systems whose close(2) has something to say, because they write to a server
/// behind it: NFS, SMB (three generations), AFS, Ceph, 9P, FUSE (`linux/magic.h`).
const REMOTE_MAGICS: [u64; 8] = [
    0x6969,
    0x517b,
    0xff53_4d42,
    0xfe53_4d42,
    0x6b41_4653,
    0x00c3_6400,
    0x0102_1997,
    0x6573_5546,
];

/// `f_type` of procfs (`PROC_SUPER_MAGIC` in `linux/magic.h`).
const PROC_MAGIC: u64 = 0x9fa0;

/// Why a directory cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalStorageError {
    /// The directory cannot be opened.
    #[error("cannot open the directory {}", path.display())]
    Open {
        /// The directory.
        path: PathBuf,
        /// What open(2) said.
        source: io::Error,
    },
    /// `/proc` is not there, or something else is mounted on it. Inodes are reopened through
    /// `/proc/thread-self/fd`.
    #[error("/proc is not a mounted procfs, which is needed to reopen files")]
    NoProc,
    /// The credentials of this process cannot be read.
    #[error("cannot read the credentials of this process")]
    Credentials(#[source] io::Error),
}

/// How a [`LocalStorage`] is to work. Made by [`LocalStorage::builder`].
#[derive(Debug, Clone)]
pub struct LocalStorageBuilder {
    root: PathBuf,
    checks: PermissionChecks,
    max_descriptors: Option<usize>,
    writeback_cache: bool,
    exclusive: bool,
    file_handles: bool,
    access_times: AccessTimes,
}

impl LocalStorageBuilder {
    /// Who checks permissions. Default: the kernel.
    pub fn permission_checks(mut self, checks: PermissionChecks) -> Self {
        self.checks = checks;
        self
    }

    /// Descriptors of inodes kept open at most, 8 or more. Default: 4096, or a quarter of
    /// `RLIMIT_NOFILE` if that is less, so that data files find room. Removed inodes that the
    /// kernel still holds are not counted: each needs one.
    pub fn max_descriptors(mut self, descriptors: usize) -> Self {
        self.max_descriptors = Some(descriptors);
        self
    }

    /// Does the mount use the kernel's writeback cache? Then files opened for writing only are
    /// opened for reading too, because the kernel completes partial pages. Default: no.
    pub fn writeback_cache(mut self, on: bool) -> Self {
        self.writeback_cache = on;
        self
    }

    /// Does nothing but this storage change the directory? Default: no.
    pub fn exclusive(mut self, on: bool) -> Self {
        self.exclusive = on;
        self
    }

    /// Use file handles (open_by_handle_at(2)) where the file system and the privileges of this
    /// process allow. Default: yes. Without them, inodes are found again by their names, and
    /// something renamed behind the mount is stale until it is looked up again.
    pub fn file_handles(mut self, on: bool) -> Self {
        self.file_handles = on;
        self
    }

    /// What reading does to times of access. Default: what it does where the directory lies. Anything else
    /// takes root, and Linux 5.12; otherwise a warning is logged, and all is as by default. The directory is
    /// then reached by a private copy of its mount: what is mounted inside later is not seen, and the file
    /// system can be unmounted where it was mounted, but lives as long as the storage.
    pub fn access_times(mut self, times: AccessTimes) -> Self {
        self.access_times = times;
        self
    }

    /// Opens the directory.
    ///
    /// # Errors
    /// The directory cannot be opened or `/proc` is missing.
    pub fn build(self) -> std::result::Result<LocalStorage, LocalStorageError> {
        LocalStorage::with(self)
    }
}

/// Counts of what a [`LocalStorage`] holds at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalStorageStatistics {
    /// Inodes with a lookup count, the root among them.
    pub inodes: usize,
    /// Cached descriptors of inodes.
    pub descriptors: usize,
    /// Open files.
    pub open_files: usize,
    /// Open directories.
    pub open_directories: usize,
}

/// A storage over a directory: what is in it, with other file systems mounted inside, and
/// nothing outside it.
///
/// Names are resolved one component at a time, relative to a descriptor of their directory, and
/// no symbolic link is ever followed. FIFOs, sockets and devices are never opened. An inode keeps
/// the number that the backing file system gives it, where that is possible; the root is 1.
///
/// As root, the threads that serve take the credentials of the caller where
/// [`PermissionChecks`] says so, and each has a umask of its own. A thread that serves keeps the
/// file system ids of the last caller (with the daemon's capabilities), so it must not be used for
/// other work on files. Otherwise all is done as the user of this process.
pub struct LocalStorage {
    inodes: Arc<InodeTable>,
    forgotten: Forgotten,
    descriptors: Arc<Descriptors>,
    files: Handles<OpenFile>,
    directories: Handles<OpenDirectory>,
    /// Of directories that nobody opened.
    listings: Listings,
    /// Files that nobody opened.
    unopened: Unopened,
    identity: Identity,
    capabilities: StorageCapabilities,
    writeback_cache: bool,
    /// Some inode has no file handle, so renames must be followed.
    locations_used: AtomicBool,
    watch: OnceLock<Watch>,
}

impl LocalStorage {
    /// Serves the directory `root` with the defaults of [`LocalStorageBuilder`].
    ///
    /// # Errors
    /// See [`LocalStorageBuilder::build`].
    pub fn open(root: &Path) -> std::result::Result<LocalStorage, LocalStorageError> {
        LocalStorage::builder(root).build()
    }

    /// Settings for serving the directory `root`.
    pub fn builder(root: impl Into<PathBuf>) -> LocalStorageBuilder {
        LocalStorageBuilder {
            root: root.into(),
            checks: PermissionChecks::default(),
            max_descriptors: None,
            writeback_cache: false,
            exclusive: false,
            file_handles: true,
            access_times: AccessTimes::default(),
        }
    }

    fn with(builder: LocalStorageBuilder) -> std::result::Result<LocalStorage, LocalStorageError> {
        let open_error = |errno: Errno| LocalStorageError::Open {
            path: builder.root.clone(),
            source: errno.into(),
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&builder.root, flags, Mode::empty()).map_err(open_error)?;
        check_proc(&root)?;
        let root = match own_mount::with_access_times(root.as_fd(), builder.access_times) {
            Ok(own) => own.unwrap_or(root),
            Err(error) => {
                tracing::warn!(%error, "times of access are kept as where the directory lies");
                root
            }
        };
        let identity = Identity::of_this_process(builder.checks)
            .map_err(|errno| LocalStorageError::Credentials(errno.into()))?;
        let found = stat(root.as_fd(), c"").map_err(open_error)?;
        let capacity = builder.max_descriptors.unwrap_or_else(default_capacity);
        // As many again for what is open.
        descriptors::make_room(root.as_fd(), 2 * capacity);
        let descriptors = Descriptors::new(capacity, builder.file_handles);
        let handle = descriptors.handle(root.as_fd(), c"", FileKind::Directory);
        let capabilities = StorageCapabilities {
            kernel_backed: true,
            xattrs: has_xattr(&root, c"user.dynamicfs.probe"),
            posix_acls: has_xattr(&root, c"system.posix_acl_access"),
            exclusive: builder.exclusive,
            flush_on_close: reports_errors_at_close(&root),
            security_labels: labels::are_kept(),
            // What was open to its user must open again after any chmod(2): only root's daemon is sure of
            // that.
            without_open: WithoutOpen {
                files: identity.can_switch(),
                directories: identity.can_switch() && keeps_cookies(&root),
            },
        };
        Ok(LocalStorage {
            locations_used: AtomicBool::new(handle.is_none()),
            inodes: Arc::new(InodeTable::new(&found, Arc::new(root), handle)),
            forgotten: Forgotten::new(),
            descriptors: Arc::new(descriptors),
            files: Handles::new(),
            directories: Handles::new(),
            listings: Listings::new(),
            unopened: Unopened::new(capacity / 4),
            identity,
            capabilities,
            writeback_cache: builder.writeback_cache,
            watch: OnceLock::new(),
        })
    }

    /// What is held at the moment.
    pub fn statistics(&self) -> LocalStorageStatistics {
        LocalStorageStatistics {
            inodes: self.inodes.len(),
            descriptors: self.descriptors.len(),
            open_files: self.files.len(),
            open_directories: self.directories.len(),
        }
    }

    /// Can threads act as the caller? Without the privileges for it everything belongs to the
    /// user of this process.
    pub fn acts_as_caller(&self) -> bool {
        self.identity.can_switch()
    }

    fn fd(&self, node: &Arc<Node>) -> Result<Arc<OwnedFd>> {
        self.descriptors.of(&self.inodes, node)
    }

    /// A descriptor of an inode, for attributes: that of an open file where there is one, which costs nothing.
    /// Not to be kept: the file would stay open with it.
    fn any_fd(&self, node: &Arc<Node>) -> Result<Arc<OwnedFd>> {
        node.open_file().map_or_else(|| self.fd(node), Ok)
    }

    /// A file is open on an inode from now on.
    fn insert_file(&self, node: &Node, fd: OwnedFd, writable: bool) -> Fh {
        let fd = Arc::new(fd);
        node.is_opened_by(&fd);
        self.files.insert(OpenFile { fd, writable })
    }

    fn fd_of(&self, ino: Ino) -> Result<Arc<OwnedFd>> {
        self.fd(&self.inodes.get(ino)?)
    }

    fn forget_lookups(&self, ino: Ino, nlookup: u64) {
        if let Some(node) = self.inodes.forget(ino, nlookup) {
            self.descriptors.drop_of(&node);
            self.listings.drop_of(&node);
            self.unopened.drop_of(&node);
            if let Some(directories) = self.watched_directories() {
                directories.remove(&node);
            }
            self.forgotten.keep(node);
        }
    }

    /// Begins to watch for changes that are not made through this storage. Called once.
    fn start_watch(&self, listener: Arc<dyn ChangeListener>) -> Result<WatchMethod> {
        if self.watch.get().is_some() {
            return Err(Errno::ALREADY);
        }
        let watch = Watch::start(&self.inodes, &self.descriptors, listener)?;
        // Where everything must expire, names must be known.
        self.locations_used.store(true, Ordering::Relaxed);
        Ok(self.watch.get_or_init(|| watch).method())
    }

    /// Where directories are watched one by one.
    fn watched_directories(&self) -> Option<&watch::Directories> {
        self.watch.get()?.directories()
    }

    /// Whether an inode is kept with the name under which it was seen last.
    fn keeps_location(&self, node: &Node) -> bool {
        node.id != ROOT_INO && (node.handle.is_none() || self.watch.get().is_some())
    }

    /// Keeps where an inode was seen, if that is of use.
    fn see_at(&self, node: &Arc<Node>, parent: &Arc<Node>, name: &OsStr) {
        if self.keeps_location(node) {
            self.locations_used.store(true, Ordering::Relaxed);
            *node.location.lock() = Some((parent.clone(), name.to_owned()));
        }
    }

    /// Watches a directory that the kernel did not hold before.
    fn watch_new(&self, node: &Arc<Node>) {
        if let (FileKind::Directory, Some(directories)) = (node.kind, self.watched_directories()) {
            match self.fd(node) {
                Ok(fd) => directories.add(node, fd.as_fd()),
                Err(error) => directories.missed(&error),
            }
        }
    }
}

fn default_capacity() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    DEFAULT_DESCRIPTORS.min(limit / 4) as usize
}

/// Whether errors of earlier writes may first appear at close(2). A mount inside the directory is not
/// looked at.
fn reports_errors_at_close(root: &OwnedFd) -> bool {
    rustix::fs::fstatfs(root).map_or(true, |fs| REMOTE_MAGICS.contains(&(fs.f_type as u64)))
}

/// Whether a listing can go on with another descriptor. A mount inside the directory is not looked at:
/// there it can as long as it is kept.
fn keeps_cookies(root: &OwnedFd) -> bool {
    rustix::fs::fstatfs(root).is_ok_and(|fs| listings::has_stable_cookies(fs.f_type as u64))
}

fn check_proc(fd: &OwnedFd) -> std::result::Result<(), LocalStorageError> {
    let no_proc = |_| LocalStorageError::NoProc;
    let procfs = rustix::fs::statfs("/proc/thread-self/fd").map_err(no_proc)?;
    let (there, here) = (
        rustix::fs::stat(ProcPath::new(fd).as_c_str()).map_err(no_proc)?,
        rustix::fs::fstat(fd).map_err(no_proc)?,
    );
    let same = (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino);
    if procfs.f_type as u64 == PROC_MAGIC && same {
        Ok(())
    } else {
        Err(LocalStorageError::NoProc)
    }
}

fn has_xattr(fd: &OwnedFd, name: &std::ffi::CStr) -> bool {
    let mut value = [0; 0];
    let result = rustix::fs::getxattr(ProcPath::new(fd).as_c_str(), name, &mut value);
    matches!(result, Ok(_) | Err(Errno::NODATA | Errno::RANGE))
}
