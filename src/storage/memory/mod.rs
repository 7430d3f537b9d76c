//! A filesystem in memory: the embedded storage, and the reference for tests.

mod budget;
mod data;
mod dir;
mod fs;
mod interface;
mod io;
mod names;
mod node;
mod perms;
mod rename;
mod xattr;

use std::sync::atomic::Ordering;

use fs::Fs;

use super::{Ino, PermissionChecks, Result};

/// Bytes of a storage made by [`MemoryStorage::new`]: 1 GiB.
pub const DEFAULT_CAPACITY: u64 = 1 << 30;

/// A complete filesystem in the memory of this process.
///
/// It behaves like ext4 in what a program can see: sparse files with blocks of 4 KiB, hard links,
/// FIFOs, sockets and devices, extended attributes (`user.`, `trusted.`, `security.`), set-group-id
/// directories, `relatime`, link counts, limits. Inode numbers are never used twice, so the
/// generation is always 0.
///
/// A file handle of 0 names no open file: operations with it act on the inode, so that a mount
/// with stateless open works. An operation on a number that is gone says `ESTALE`.
///
/// # Differences from ext4
///
/// - Supplementary groups of the caller are not looked at ([`PermissionChecks::Storage`]).
/// - No POSIX ACLs.
/// - The size of a directory is always 4 KiB, and so is its space in use.
///
/// # Example
///
/// ```
/// use std::ffi::OsStr;
/// use dynamicfs::storage::*;
///
/// let storage = MemoryStorage::with_capacity(1 << 20);
/// let mode = CreateMode { mode: 0o644, umask: 0o022 };
/// let (entry, fh) = storage
///     .create(&Caller::ROOT, ROOT_INO, OsStr::new("hello"), mode, OpenFlags::RDWR)?;
/// storage.write(&Caller::ROOT, entry.attr.ino, fh, 0, b"hi", WriteFlags::default())?;
/// assert_eq!(storage.getattr(entry.attr.ino, None)?.size, 2);
/// # Ok::<(), Errno>(())
/// ```
#[derive(Debug)]
pub struct MemoryStorage {
    fs: Fs,
}

impl MemoryStorage {
    /// An empty storage of [`DEFAULT_CAPACITY`] bytes. The root directory belongs to the effective
    /// user and group of this process and has mode 0755.
    pub fn new() -> MemoryStorage {
        MemoryStorage::with_capacity(DEFAULT_CAPACITY)
    }

    /// An empty storage that holds at most `bytes`: contents by blocks of 4 KiB, and a small
    /// charge for each inode, name and extended attribute. Past it, operations say `ENOSPC`.
    pub fn with_capacity(bytes: u64) -> MemoryStorage {
        MemoryStorage {
            fs: Fs::new(bytes, PermissionChecks::default()),
        }
    }

    /// The same storage with another party to check permissions.
    #[must_use]
    pub fn with_permission_checks(mut self, checks: PermissionChecks) -> MemoryStorage {
        self.fs.checks = checks;
        self
    }

    /// Bytes charged against the capacity.
    pub fn used_bytes(&self) -> u64 {
        self.fs.budget.used()
    }

    /// Inodes that exist, those among them that have no name any more but are still referred to.
    pub fn inode_count(&self) -> u64 {
        self.fs.node_count()
    }

    /// The lookup count of an inode: how often it may still be forgotten.
    ///
    /// # Errors
    /// `ESTALE` when there is no such inode.
    pub fn lookup_count(&self, ino: Ino) -> Result<u64> {
        Ok(self.fs.node(ino)?.lookups.load(Ordering::Acquire))
    }
}

impl Default for MemoryStorage {
    fn default() -> Self {
        MemoryStorage::new()
    }
}
