//! The inode table: which node ids the kernel holds, how often, and what they name.

use std::collections::HashMap;
use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};
use rustix::fs::{Statx, StatxFlags};

use super::attributes::{kind_of, timestamp};
use super::casefold::Folding;
use super::descriptors::Handle;
use crate::storage::types::{Errno, FileKind, Ino, ROOT_INO, Result, Timestamp};

/// Ids of inodes whose own number cannot be used start here: another file system's, a number
/// that the kernel still uses for a removed file, or 1. Positive for those who store `st_ino`
/// in a signed number.
const SUBSTITUTE_IDS: u64 = 1 << 62;

const SHARDS: usize = 32;

/// What identifies an inode of the backing store while it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// Major and minor number of the device.
    pub(super) dev: (u32, u32),
    pub(super) ino: u64,
}

impl Key {
    pub(super) fn of(stat: &Statx) -> Key {
        Key {
            dev: (stat.stx_dev_major, stat.stx_dev_minor),
            ino: stat.stx_ino,
        }
    }
}

/// An inode number alone can be given to a new file; with this the two differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Birth {
    kind: Option<FileKind>,
    time: Option<Timestamp>,
}

impl Birth {
    pub(super) fn of(stat: &Statx) -> Birth {
        let has_time = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
        Birth {
            kind: kind_of(stat),
            time: has_time.then(|| timestamp(&stat.stx_btime)),
        }
    }
}

/// An inode that the kernel holds.
pub(super) struct Node {
    pub(super) id: Ino,
    pub(super) generation: u64,
    /// Unique in this process, unlike `id`.
    pub(super) serial: u64,
    pub(super) key: Key,
    pub(super) birth: Birth,
    pub(super) kind: FileKind,
    /// How to open it again; without one, by `location`.
    pub(super) handle: Option<Handle>,
    /// Parent and name when last seen; kept only where there is no handle, and while changes are watched for.
    pub(super) location: Mutex<Option<(Arc<Node>, OsString)>>,
    /// A handle taken by name may name what replaced the file meanwhile; checked at first use.
    pub(super) verified: AtomicBool,
    /// Set when nothing else leads to the inode: the root, and what was removed.
    pub(super) pinned: Mutex<Option<Arc<OwnedFd>>>,
    /// The file that was opened last on this inode, for as long as it is open.
    opened: Mutex<Weak<OwnedFd>>,
    /// Of a directory: how its names are compared.
    pub(super) folding: Folding,
    /// Changed only under the lock of the key's shard.
    lookups: AtomicU64,
}

impl Node {
    /// Is `stat` of this very inode?
    pub(super) fn is(&self, stat: &Statx) -> bool {
        self.key == Key::of(stat) && self.birth == Birth::of(stat)
    }

    /// A file that is open on it.
    pub(super) fn open_file(&self) -> Option<Arc<OwnedFd>> {
        self.opened.lock().upgrade()
    }

    /// `file` is open on it from now on, as long as others hold it.
    pub(super) fn is_opened_by(&self, file: &Arc<OwnedFd>) {
        *self.opened.lock() = Arc::downgrade(file);
    }
}

/// What a new node is made of.
pub(super) struct NewNode {
    pub(super) kind: FileKind,
    pub(super) handle: Option<Handle>,
    pub(super) verified: bool,
    pub(super) location: Option<(Arc<Node>, OsString)>,
}

/// Lock order: a shard of `by_key`, then one of `by_id`.
pub(super) struct InodeTable {
    root_dev: (u32, u32),
    by_key: Vec<Mutex<HashMap<Key, Arc<Node>>>>,
    by_id: Vec<RwLock<HashMap<Ino, Arc<Node>>>>,
    next_serial: AtomicU64,
}

impl InodeTable {
    /// A table with the root directory, which is never forgotten.
    pub(super) fn new(root: &Statx, fd: Arc<OwnedFd>, handle: Option<Handle>) -> InodeTable {
        let table = InodeTable {
            root_dev: (root.stx_dev_major, root.stx_dev_minor),
            by_key: (0..SHARDS).map(|_| Mutex::default()).collect(),
            by_id: (0..SHARDS).map(|_| RwLock::default()).collect(),
            next_serial: AtomicU64::new(1),
        };
        let node = Arc::new(Node {
            id: ROOT_INO,
            generation: 0,
            serial: 0,
            key: Key::of(root),
            birth: Birth::of(root),
            kind: FileKind::Directory,
            handle,
            location: Mutex::new(None),
            verified: AtomicBool::new(true),
            pinned: Mutex::new(Some(fd)),
            opened: Mutex::default(),
            folding: Folding::default(),
            lookups: AtomicU64::new(1),
        });
        table
            .key_shard(&node.key)
            .lock()
            .insert(node.key, node.clone());
        table.id_shard(ROOT_INO).write().insert(ROOT_INO, node);
        table
    }

    fn key_shard(&self, key: &Key) -> &Mutex<HashMap<Key, Arc<Node>>> {
        &self.by_key[(key.ino ^ u64::from(key.dev.1)) as usize % SHARDS]
    }

    fn id_shard(&self, id: Ino) -> &RwLock<HashMap<Ino, Arc<Node>>> {
        &self.by_id[id as usize % SHARDS]
    }

    /// The inode that the kernel calls `id`.
    ///
    /// # Errors
    /// `ESTALE` when the kernel holds no such id.
    pub(super) fn get(&self, id: Ino) -> Result<Arc<Node>> {
        let found = self.id_shard(id).read().get(&id).cloned();
        found.ok_or(Errno::STALE)
    }

    /// The node of an inode that was just seen, if the kernel holds it. Counts nothing.
    pub(super) fn find(&self, stat: &Statx) -> Option<Arc<Node>> {
        let key = Key::of(stat);
        let found = self.key_shard(&key).lock().get(&key).cloned();
        found.filter(|node| node.is(stat))
    }

    /// Like [`find`](Self::find), and counts a lookup.
    pub(super) fn find_counted(&self, stat: &Statx) -> Option<Arc<Node>> {
        let key = Key::of(stat);
        let shard = self.key_shard(&key).lock();
        let node = shard.get(&key).filter(|node| node.is(stat))?;
        node.lookups.fetch_add(1, Ordering::Relaxed);
        Some(node.clone())
    }

    /// The node of an inode that was just seen, made of `new` if there is none. Counts a lookup.
    pub(super) fn insert_counted(&self, stat: &Statx, new: NewNode) -> Arc<Node> {
        let key = Key::of(stat);
        let mut shard = self.key_shard(&key).lock();
        if let Some(node) = shard.get(&key).filter(|node| node.is(stat)) {
            node.lookups.fetch_add(1, Ordering::Relaxed);
            return node.clone();
        }
        let serial = self.next_serial.fetch_add(1, Ordering::Relaxed);
        let birth = Birth::of(stat);
        let make = |id| {
            Arc::new(Node {
                id,
                generation: generation(&new.handle, &birth, serial),
                serial,
                key,
                birth,
                kind: new.kind,
                handle: new.handle,
                location: Mutex::new(new.location),
                verified: AtomicBool::new(new.verified),
                pinned: Mutex::new(None),
                opened: Mutex::default(),
                folding: Folding::default(),
                lookups: AtomicU64::new(1),
            })
        };
        let node = self.insert_by_id(key, serial, make);
        // A node of the same key that is no longer this inode stays under its id until forgotten.
        shard.insert(key, node.clone());
        node
    }

    /// Stores the node under the backing inode number where that is free, so that `st_ino` is
    /// what the backing store says and stays the same over mounts.
    fn insert_by_id(
        &self,
        key: Key,
        serial: u64,
        make: impl FnOnce(Ino) -> Arc<Node>,
    ) -> Arc<Node> {
        if key.dev == self.root_dev && key.ino > ROOT_INO && key.ino < SUBSTITUTE_IDS {
            let mut ids = self.id_shard(key.ino).write();
            if let std::collections::hash_map::Entry::Vacant(slot) = ids.entry(key.ino) {
                return slot.insert(make(key.ino)).clone();
            }
        }
        let id = SUBSTITUTE_IDS | serial;
        let node = make(id);
        self.id_shard(id).write().insert(id, node.clone());
        node
    }

    /// Lowers the lookup count; returns the node if that removed it.
    pub(super) fn forget(&self, id: Ino, nlookup: u64) -> Option<Arc<Node>> {
        if id == ROOT_INO {
            return None;
        }
        let node = self.get(id).ok()?;
        let mut keys = self.key_shard(&node.key).lock();
        let before = node.lookups.load(Ordering::Relaxed);
        let left = before.saturating_sub(nlookup);
        node.lookups.store(left, Ordering::Relaxed);
        if left > 0 || before == 0 {
            return None;
        }
        if keys.get(&node.key).is_some_and(|n| Arc::ptr_eq(n, &node)) {
            keys.remove(&node.key);
        }
        self.id_shard(id).write().remove(&id);
        Some(node)
    }

    /// The inode is gone from the backing store: the next lookup of its number makes a new node.
    pub(super) fn detach(&self, node: &Arc<Node>) {
        let mut keys = self.key_shard(&node.key).lock();
        if keys.get(&node.key).is_some_and(|n| Arc::ptr_eq(n, node)) {
            keys.remove(&node.key);
        }
    }

    /// `d_ino` for a name of a directory on `dev`: what stat(2) of it would show, as far as that
    /// is known without looking.
    pub(super) fn listed_ino(&self, dev: (u32, u32), ino: u64) -> Ino {
        let key = Key { dev, ino };
        match self.key_shard(&key).lock().get(&key) {
            Some(node) => node.id,
            None => ino,
        }
    }

    /// All inodes that the kernel holds, the root among them.
    pub(super) fn all(&self) -> Vec<Arc<Node>> {
        let mut nodes = Vec::with_capacity(self.len());
        for shard in &self.by_id {
            nodes.extend(shard.read().values().cloned());
        }
        nodes
    }

    /// Number of inodes that the kernel holds, the root among them.
    pub(super) fn len(&self) -> usize {
        self.by_id.iter().map(|shard| shard.read().len()).sum()
    }
}

/// 32 bits, because the kernel keeps no more (`i_generation`). Taken from what the backing store
/// never repeats for an inode number, so that it is the same after a remount; the serial number
/// where it has nothing of the kind.
fn generation(handle: &Option<Handle>, birth: &Birth, serial: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    match (handle, birth.time) {
        (Some(handle), _) => handle.raw().hash(&mut hasher),
        (None, Some(time)) => time.hash(&mut hasher),
        (None, None) => serial.hash(&mut hasher),
    }
    hasher.finish() & u64::from(u32::MAX)
}
