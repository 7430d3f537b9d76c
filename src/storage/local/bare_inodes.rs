//! The inode table alone, without files behind it: for the benchmark `inode_table`.

use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, Statx};

use super::descriptors::stat;
use super::inodes::{InodeTable, NewNode};
use crate::storage::types::{FileKind, Ino, Result};

/// A table of inodes that differ only in their numbers, all found without a file handle.
pub struct BareInodes {
    table: InodeTable,
    template: Statx,
}

impl BareInodes {
    /// With the directory `root`, whose file system all inodes seem to be of.
    ///
    /// # Errors
    /// Those of open(2) and statx(2).
    pub fn new(root: &Path) -> Result<BareInodes> {
        let root = rustix::fs::open(root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let template = stat(root.as_fd(), c"")?;
        Ok(BareInodes {
            table: InodeTable::new(&template, Arc::new(root), None),
            template,
        })
    }

    /// As for a LOOKUP whose statx(2) said `number`: one more lookup of a known inode, or a new one.
    pub fn look_up(&self, number: u64) -> Ino {
        let seen = self.seen(number);
        let known = self.table.find_counted(&seen);
        let node = known.unwrap_or_else(|| {
            let new = NewNode {
                kind: FileKind::RegularFile,
                handle: None,
                verified: true,
                location: None,
            };
            self.table.insert_counted(&seen, new)
        });
        node.id
    }

    /// As for any request that names an inode: whether it is known.
    pub fn knows(&self, id: Ino) -> bool {
        self.table.get(id).is_ok()
    }

    /// As for a FORGET: whether that removed it.
    pub fn forget(&self, id: Ino, lookups: u64) -> bool {
        self.table.forget(id, lookups).is_some()
    }

    fn seen(&self, number: u64) -> Statx {
        let mut seen = self.template;
        seen.stx_ino = number;
        seen
    }
}
