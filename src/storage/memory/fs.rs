//! The tree of inodes: which exist, which are open, and when one goes away.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;
use parking_lot::{RwLock, RwLockWriteGuard};
use rustix::fs::Access;

use super::budget::Budget;
use super::dir::Directory;
use super::node::{Birth, Body, Node};
use super::perms;
use crate::storage::{
    Caller, Entry, Errno, Fh, FileKind, Ino, OpenFlags, PermissionChecks, ROOT_INO, Result,
};

/// Longest name in bytes.
pub(super) const NAME_MAX: usize = 255;

/// The inodes by number.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: HashMap<Ino, Arc<Node>>,
    next_ino: Ino,
}

impl Tree {
    /// The inode `ino`.
    ///
    /// # Errors
    /// `ESTALE` when there is none any more.
    pub(super) fn get(&self, ino: Ino) -> Result<&Arc<Node>> {
        self.nodes.get(&ino).ok_or(Errno::STALE)
    }

    pub(super) fn insert(&mut self, budget: &Arc<Budget>, birth: Birth) -> Result<Arc<Node>> {
        let node = Node::new(budget, self.next_ino, birth)?;
        self.next_ino += 1;
        self.nodes.insert(node.ino, Arc::clone(&node));
        Ok(node)
    }

    /// Lets go of an inode to which nothing refers any more.
    pub(super) fn reap(&mut self, node: &Node) {
        if node.ino != ROOT_INO && node.is_unreferenced() {
            self.nodes.remove(&node.ino);
        }
    }
}

/// An open file or directory.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) node: Arc<Node>,
    pub(super) flags: OpenFlags,
}

/// The whole storage.
///
/// Lock order: `tree`, then the contents of a node, then its attributes. Changes of names hold
/// `tree` for writing, so that a rename sees the whole tree at rest; reads and writes of open
/// files do not take it.
#[derive(Debug)]
pub(super) struct Fs {
    pub(super) budget: Arc<Budget>,
    pub(super) checks: PermissionChecks,
    pub(super) tree: RwLock<Tree>,
    handles: RwLock<HashMap<Fh, Arc<Handle>>>,
    next_fh: AtomicU64,
}

impl Fs {
    pub(super) fn new(capacity: u64, checks: PermissionChecks) -> Fs {
        let budget = Budget::new(capacity);
        let mut tree = Tree {
            nodes: HashMap::new(),
            next_ino: ROOT_INO,
        };
        // The root is not charged: a storage without room still has it.
        let birth = Birth {
            kind: FileKind::Directory,
            perm: 0o755,
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            rdev: 0,
            body: Body::Directory(RwLock::new(Directory::new(ROOT_INO))),
        };
        tree.insert(&Budget::new(u64::MAX), birth)
            .expect("an unlimited budget has room");
        Fs {
            budget,
            checks,
            tree: RwLock::new(tree),
            handles: RwLock::new(HashMap::new()),
            next_fh: AtomicU64::new(1),
        }
    }

    pub(super) fn node(&self, ino: Ino) -> Result<Arc<Node>> {
        self.tree.read().get(ino).cloned()
    }

    pub(super) fn node_count(&self) -> u64 {
        self.tree.read().nodes.len() as u64
    }

    /// Nodes with a lookup count. Looks at each node: for statistics, not for requests.
    pub(super) fn referenced_nodes(&self) -> u64 {
        let referenced = |node: &&Arc<Node>| node.lookups.load(Ordering::Relaxed) > 0;
        self.tree.read().nodes.values().filter(referenced).count() as u64
    }

    /// Asks for `mask` on `node`, where this storage is the one to check.
    pub(super) fn check(&self, node: &Node, caller: &Caller, mask: Access) -> Result<()> {
        match self.checks {
            PermissionChecks::Kernel => Ok(()),
            PermissionChecks::Storage => perms::allow(node, caller, mask),
        }
    }

    pub(super) fn checks_here(&self) -> bool {
        self.checks == PermissionChecks::Storage
    }

    /// An answer that raises the lookup count.
    pub(super) fn entry(&self, node: &Node) -> Entry {
        node.lookups.fetch_add(1, Ordering::AcqRel);
        Entry::new(node.attr(), 0)
    }

    pub(super) fn forget(&self, ino: Ino, nlookup: u64) {
        let Ok(node) = self.node(ino) else { return };
        let lowered = node
            .lookups
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
                Some(count.saturating_sub(nlookup))
            });
        if lowered.is_ok_and(|before| before <= nlookup) {
            self.tree.write().reap(&node);
        }
    }

    pub(super) fn open_node(&self, node: &Arc<Node>, flags: OpenFlags) -> Fh {
        node.opens.fetch_add(1, Ordering::AcqRel);
        let fh = self.next_fh.fetch_add(1, Ordering::Relaxed);
        let handle = Handle {
            node: Arc::clone(node),
            flags,
        };
        self.handles.write().insert(fh, Arc::new(handle));
        fh
    }

    /// The open file `fh` of `ino`; with 0, which names none, the inode itself.
    pub(super) fn handle(&self, ino: Ino, fh: Fh) -> Result<Arc<Handle>> {
        if fh == 0 {
            let node = self.node(ino)?;
            let flags = OpenFlags::RDWR;
            return Ok(Arc::new(Handle { node, flags }));
        }
        let handle = self.handles.read().get(&fh).cloned();
        handle
            .filter(|handle| handle.node.ino == ino)
            .ok_or(Errno::BADF)
    }

    pub(super) fn release(&self, ino: Ino, fh: Fh) -> Result<()> {
        if fh == 0 {
            return Ok(());
        }
        self.handle(ino, fh)?;
        let handle = self.handles.write().remove(&fh).ok_or(Errno::BADF)?;
        if handle.node.opens.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.tree.write().reap(&handle.node);
        }
        Ok(())
    }

    pub(super) fn tree_mut(&self) -> RwLockWriteGuard<'_, Tree> {
        self.tree.write()
    }
}

/// Is `name` one that a directory can hold?
pub(super) fn check_name(name: &OsStr) -> Result<()> {
    let bytes = name.as_bytes();
    match bytes.len() {
        0 => Err(Errno::NOENT),
        len if len > NAME_MAX => Err(Errno::NAMETOOLONG),
        _ if bytes.contains(&b'/') || bytes.contains(&0) => Err(Errno::INVAL),
        _ => Ok(()),
    }
}

pub(super) fn is_dot(name: &OsStr) -> bool {
    name == "." || name == ".."
}
