//! What the filesystem answers, before a transport puts it into the bytes of its protocol.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use crate::storage::{Attr, DirEntry, Fh};

/// The answer to a lookup or a creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryAnswer {
    /// The name exists.
    Found {
        /// Attributes, the inode number among them.
        attr: Attr,
        /// Distinguishes reuses of the inode number.
        generation: u64,
        /// Lifetime of the attributes in the kernel.
        attr_ttl: Duration,
        /// Lifetime of the name in the kernel.
        entry_ttl: Duration,
    },
    /// The name does not exist, and the kernel may remember that. (Without a lifetime the answer
    /// is the error `ENOENT`.)
    Absent {
        /// Lifetime of that knowledge.
        entry_ttl: Duration,
    },
}

/// Attributes and how long they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttrAnswer {
    /// The attributes.
    pub attr: Attr,
    /// Lifetime in the kernel.
    pub ttl: Duration,
}

/// The way of file data for one open file. All concurrent opens of an inode have the same.
#[derive(Debug, Clone)]
pub enum FileAccess {
    /// The kernel uses this file itself. A transport that fails to register it calls
    /// [`DynamicFS::passthrough_refused`](super::DynamicFS::passthrough_refused).
    Passthrough(Arc<OwnedFd>),
    /// Through the page cache of the mount.
    Cached {
        /// Pages of an earlier open stay valid.
        keep: bool,
    },
    /// Each read and write is a request.
    Direct,
}

/// The answer to an open.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The handle.
    pub fh: Fh,
    /// The way of the data.
    pub access: FileAccess,
    /// A close needs no request (`FOPEN_NOFLUSH`).
    pub no_flush: bool,
}

/// One entry of a listing with attributes.
#[derive(Debug, Clone, Copy)]
pub struct DirPlusEntry<'a> {
    /// Name, cookie and kind.
    pub dirent: &'a DirEntry<'a>,
    /// The entry; `None` for `.` and `..`, which have no lookup.
    pub entry: Option<EntryAnswer>,
}

impl DirPlusEntry<'_> {
    /// The name.
    pub fn name(&self) -> &OsStr {
        self.dirent.name
    }
}
