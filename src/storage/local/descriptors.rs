//! Descriptors of inodes: opened when needed, kept while hot, never more than a bound.
//!
//! An inode is opened again by its file handle (open_by_handle_at(2), `CAP_DAC_READ_SEARCH`), or
//! where there are none by parent and name. Both ways end in a check that it is the same inode.

use std::collections::HashMap;
use std::ffi::CStr;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use lru::LruCache;
use parking_lot::Mutex;
use rustix::fs::{AtFlags, Mode, OFlags, Statx, StatxFlags};
use rustix::io::Errno;

use super::inodes::{InodeTable, Node};
use super::sys::{self, NAME_ONLY, ProcPath, RawHandle};
use crate::storage::types::{FileKind, Result};

const SHARDS: usize = 8;

/// The attributes that every statx(2) here asks for.
const WANTED: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME);

/// Attributes of `name` in `dir`, not following a symbolic link; of `dir` for the empty name.
pub(super) fn stat(dir: BorrowedFd<'_>, name: impl rustix::path::Arg) -> Result<Statx> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::statx(dir, name, flags, WANTED)
}

/// Opens an inode that a descriptor names, as open(2) of this thread's identity may.
pub(super) fn reopen(fd: BorrowedFd<'_>, flags: OFlags) -> Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY;
    rustix::fs::open(ProcPath::new(fd).as_c_str(), flags, Mode::empty())
}

/// Has the kernel make this process's table of descriptors large enough for `count` of them, if it may have so many.
/// Otherwise the table doubles whenever it is full, and in a process with threads each time waits until no processor
/// can still look at the old one: 5 to 15 ms, for the request that met it (`expand_fdtable` in `fs/file.c`).
pub(super) fn make_room(any: BorrowedFd<'_>, count: usize) {
    let last = i32::try_from(count).unwrap_or(i32::MAX);
    drop(rustix::io::fcntl_dupfd_cloexec(any, last));
}

/// A mounted file system, kept open to open handles on it.
pub(super) struct Mount {
    anchor: OwnedFd,
}

impl Mount {
    /// An `O_PATH` descriptor of the inode that a handle names.
    ///
    /// # Errors
    /// `ESTALE` when there is none any more.
    pub(super) fn open(&self, handle: &RawHandle) -> Result<OwnedFd> {
        sys::open_by_handle(self.anchor.as_fd(), handle, OFlags::PATH)
    }

    /// Opens the inode that a handle names, as open(2) of this thread's identity may.
    ///
    /// # Errors
    /// `ESTALE` when there is none any more, or none with a name.
    fn open_file(&self, handle: &RawHandle, flags: OFlags) -> Result<OwnedFd> {
        sys::open_by_handle(self.anchor.as_fd(), handle, flags | OFlags::NOCTTY)
    }
}

/// A file handle and the mount on which it is opened.
pub(super) struct Handle {
    raw: RawHandle,
    mount: Arc<Mount>,
}

impl Handle {
    pub(super) fn raw(&self) -> &RawHandle {
        &self.raw
    }

    pub(super) fn mount(&self) -> &Arc<Mount> {
        &self.mount
    }
}

/// The descriptors of a storage.
pub(super) struct Descriptors {
    cached: Vec<Mutex<LruCache<u64, Arc<OwnedFd>>>>,
    /// Weak, so that a file system without known inodes can be unmounted.
    mounts: Mutex<HashMap<i32, Weak<Mount>>>,
    handles: bool,
}

impl Descriptors {
    /// Keeps at most `capacity` descriptors of inodes; `handles` allows file handles.
    pub(super) fn new(capacity: usize, handles: bool) -> Descriptors {
        let each = NonZeroUsize::new(capacity / SHARDS).unwrap_or(NonZeroUsize::MIN);
        Descriptors {
            cached: (0..SHARDS)
                .map(|_| Mutex::new(LruCache::new(each)))
                .collect(),
            mounts: Mutex::default(),
            handles,
        }
    }

    fn shard(&self, serial: u64) -> &Mutex<LruCache<u64, Arc<OwnedFd>>> {
        &self.cached[serial as usize % SHARDS]
    }

    /// Number of cached descriptors.
    pub(super) fn len(&self) -> usize {
        self.cached.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Closes every cached descriptor that is not in use.
    pub(super) fn shed(&self) {
        for shard in &self.cached {
            shard.lock().clear();
        }
    }

    /// Runs what needs a descriptor; if there are none left, once more without the cached ones.
    pub(super) fn with_room<T>(&self, mut open: impl FnMut() -> Result<T>) -> Result<T> {
        match open() {
            Err(Errno::MFILE | Errno::NFILE) => {
                self.shed();
                open()
            }
            other => other,
        }
    }

    /// The inode is forgotten.
    pub(super) fn drop_of(&self, node: &Node) {
        self.shard(node.serial).lock().pop(&node.serial);
    }

    /// An `O_PATH` descriptor of `node`. Runs privileged.
    ///
    /// # Errors
    /// `ESTALE` when the inode is gone from the backing store.
    pub(super) fn of(&self, table: &InodeTable, node: &Arc<Node>) -> Result<Arc<OwnedFd>> {
        if let Some(fd) = &*node.pinned.lock() {
            return Ok(fd.clone());
        }
        if let Some(fd) = self.shard(node.serial).lock().get(&node.serial) {
            return Ok(fd.clone());
        }
        let opened = match &node.handle {
            Some(handle) => self.by_handle(node, handle),
            None => self.by_location(table, node),
        };
        let fd = match opened {
            Ok(fd) => Arc::new(fd),
            Err(Errno::STALE) => {
                // A removal through this storage pins before the name goes.
                if let Some(fd) = &*node.pinned.lock() {
                    return Ok(fd.clone());
                }
                table.detach(node);
                return Err(Errno::STALE);
            }
            Err(other) => return Err(other),
        };
        self.keep(node, &fd);
        Ok(fd)
    }

    /// Opens `node`, a regular file, as open(2) of this thread's identity may.
    ///
    /// # Errors
    /// `ESTALE` when the inode is gone from the backing store.
    pub(super) fn open(
        &self,
        table: &InodeTable,
        node: &Arc<Node>,
        flags: OFlags,
    ) -> Result<OwnedFd> {
        // Before the first use a handle may name another inode, and opening truncates.
        if node.verified.load(Ordering::Relaxed)
            && let Some(handle) = &node.handle
        {
            match self.with_room(|| handle.mount.open_file(&handle.raw, flags)) {
                // What was removed and is still held has no handle any more.
                Err(Errno::STALE) => {}
                other => return other,
            }
        }
        let fd = self.of(table, node)?;
        self.with_room(|| reopen(fd.as_fd(), flags))
    }

    /// Caches a descriptor of `node` that was opened anyway.
    pub(super) fn keep(&self, node: &Node, fd: &Arc<OwnedFd>) {
        let evicted = self.shard(node.serial).lock().push(node.serial, fd.clone());
        // Closed here, outside the lock.
        drop(evicted);
    }

    fn by_handle(&self, node: &Node, handle: &Handle) -> Result<OwnedFd> {
        let fd = self.with_room(|| handle.mount.open(&handle.raw))?;
        if !node.verified.load(Ordering::Relaxed) {
            if !node.is(&stat(fd.as_fd(), c"")?) {
                return Err(Errno::STALE);
            }
            node.verified.store(true, Ordering::Relaxed);
        }
        Ok(fd)
    }

    fn by_location(&self, table: &InodeTable, node: &Node) -> Result<OwnedFd> {
        let mut tried = None;
        loop {
            let location = node.location.lock().clone();
            let Some((parent, name)) = location.filter(|l| tried.as_ref() != Some(&l.1)) else {
                return Err(Errno::STALE);
            };
            let dir = self.of(table, &parent)?;
            let opened =
                self.with_room(|| rustix::fs::openat(&dir, &name, NAME_ONLY, Mode::empty()));
            match opened {
                Ok(fd) if node.is(&stat(fd.as_fd(), c"")?) => return Ok(fd),
                Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(other) => return Err(other),
            }
            // Renamed in between? Then there is another name to try.
            tried = Some(name);
        }
    }

    /// The file handle of `name` in `dir` (of `dir` for the empty name); `None` where there are
    /// none. `kind` is that of the inode.
    pub(super) fn handle(
        &self,
        dir: BorrowedFd<'_>,
        name: &CStr,
        kind: FileKind,
    ) -> Option<Handle> {
        if !self.handles {
            return None;
        }
        let (raw, mount_id) = sys::name_to_handle(dir, name).ok()?;
        let known = self.mounts.lock().get(&mount_id).and_then(Weak::upgrade);
        let mount = match known {
            Some(mount) => mount,
            None => self.add_mount(dir, name, kind, mount_id, &raw)?,
        };
        Some(Handle { raw, mount })
    }

    /// Opens the mount of an inode that was met first: its root, in all cases but the first.
    fn add_mount(
        &self,
        dir: BorrowedFd<'_>,
        name: &CStr,
        kind: FileKind,
        mount_id: i32,
        raw: &RawHandle,
    ) -> Option<Arc<Mount>> {
        // open_by_handle_at(2) does not take an O_PATH descriptor, and devices stay shut.
        if !matches!(kind, FileKind::Directory | FileKind::RegularFile) {
            return None;
        }
        let opened = self.with_room(|| {
            let found = if name.is_empty() {
                reopen(dir, OFlags::PATH)?
            } else {
                rustix::fs::openat(dir, name, NAME_ONLY, Mode::empty())?
            };
            let (_, seen_id) = sys::name_to_handle(found.as_fd(), c"")?;
            let found_kind = super::attributes::kind_of(&stat(found.as_fd(), c"")?);
            if seen_id != mount_id || found_kind != Some(kind) {
                return Err(Errno::STALE);
            }
            reopen(found.as_fd(), OFlags::RDONLY | OFlags::NONBLOCK)
        });
        let anchor = opened.ok()?;
        // Without CAP_DAC_READ_SEARCH a handle is of no use.
        self.with_room(|| sys::open_by_handle(anchor.as_fd(), raw, OFlags::PATH))
            .ok()?;
        let mut mounts = self.mounts.lock();
        mounts.retain(|_, mount| mount.strong_count() > 0);
        if let Some(known) = mounts.get(&mount_id).and_then(Weak::upgrade) {
            return Some(known);
        }
        let mount = Arc::new(Mount { anchor });
        mounts.insert(mount_id, Arc::downgrade(&mount));
        Some(mount)
    }
}
