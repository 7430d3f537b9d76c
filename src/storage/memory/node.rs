//! An inode of the memory storage.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::budget::{Budget, Charge};
use super::data::{CHUNK, FileData};
use super::dir::Directory;
use super::xattr::CAPABILITY;
use crate::platform::mode;
use crate::storage::{Attr, Caller, Errno, FileKind, Ino, Result, Timestamp};

/// What an inode costs beside its contents.
const INODE_COST: u64 = 512;

/// Links of a directory from which on ext4 no longer counts them and reports 1 (`dir_nlink`), and
/// the most links that a file may have there.
pub(super) const LINK_MAX: u32 = 65_000;

/// Access times are brought up to date at least this often, as `relatime` does (mount(8)).
const RELATIME_SECS: i64 = 24 * 60 * 60;

/// What an inode holds.
#[derive(Debug)]
pub(super) enum Body {
    File(RwLock<FileData>),
    Directory(RwLock<Directory>),
    Symlink(PathBuf),
    /// FIFO, socket or device.
    Special,
}

/// The attributes that change.
#[derive(Debug)]
pub(super) struct Meta {
    pub(super) perm: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Names that lead here; a directory has 0 or 1 and counts its subdirectories itself.
    pub(super) links: u32,
    pub(super) atime: Timestamp,
    pub(super) mtime: Timestamp,
    pub(super) ctime: Timestamp,
    pub(super) xattrs: BTreeMap<OsString, Xattr>,
}

/// Value of an extended attribute and what it costs.
#[derive(Debug)]
pub(super) struct Xattr {
    pub(super) value: Vec<u8>,
    pub(super) _charge: Charge,
}

impl Meta {
    /// Contents changed.
    pub(super) fn modified(&mut self) {
        self.mtime = Timestamp::now();
        self.ctime = self.mtime;
    }

    /// Attributes changed.
    pub(super) fn changed(&mut self) {
        self.ctime = Timestamp::now();
    }

    /// Contents were read: `relatime`, so the time moves only when it says something new.
    pub(super) fn accessed(&mut self) {
        let now = Timestamp::now();
        if self.atime <= self.mtime
            || self.atime <= self.ctime
            || now.secs - self.atime.secs >= RELATIME_SECS
        {
            self.atime = now;
        }
    }

    /// Drops what a change of contents by `caller` must not leave: the set-user-id bit, the
    /// set-group-id bit of what the group may execute or the caller is not of, and the file's
    /// capabilities (`setattr_should_drop_suidgid` of the kernel). The bits stay for root, and where
    /// the kernel alone knows who it is and lets them.
    pub(super) fn drop_privileges(&mut self, caller: &Caller) {
        self.xattrs.remove(OsStr::new(CAPABILITY));
        if caller.keeps_set_ids && (caller.uid == 0 || caller.is_unknown()) {
            return;
        }
        let mut kill = mode::S_ISUID;
        if u32::from(self.perm) & mode::S_IXGRP != 0 || caller.gid != self.gid {
            kill |= mode::S_ISGID;
        }
        self.perm &= !(kill as u16);
    }
}

/// An inode: alive while a name, a lookup or an open file refers to it.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) ino: Ino,
    pub(super) kind: FileKind,
    rdev: u32,
    btime: Timestamp,
    pub(super) body: Body,
    pub(super) meta: Mutex<Meta>,
    /// The lookup count.
    pub(super) lookups: AtomicU64,
    /// Open files and directories.
    pub(super) opens: AtomicU64,
    _charge: Charge,
}

/// What a new inode starts with.
pub(super) struct Birth {
    pub(super) kind: FileKind,
    pub(super) perm: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) rdev: u32,
    pub(super) body: Body,
}

impl Node {
    pub(super) fn new(budget: &Arc<Budget>, ino: Ino, birth: Birth) -> Result<Arc<Node>> {
        let target = match &birth.body {
            Body::Symlink(target) => target.as_os_str().len() as u64,
            _ => 0,
        };
        let charge = Charge::take(budget, INODE_COST + target)?;
        let now = Timestamp::now();
        Ok(Arc::new(Node {
            ino,
            kind: birth.kind,
            rdev: birth.rdev,
            btime: now,
            body: birth.body,
            meta: Mutex::new(Meta {
                perm: birth.perm,
                uid: birth.uid,
                gid: birth.gid,
                links: 1,
                atime: now,
                mtime: now,
                ctime: now,
                xattrs: BTreeMap::new(),
            }),
            lookups: AtomicU64::new(0),
            opens: AtomicU64::new(0),
            _charge: charge,
        }))
    }

    /// The file's data, or what the kernel says of reading and writing anything else.
    pub(super) fn file(&self) -> Result<&RwLock<FileData>> {
        match &self.body {
            Body::File(data) => Ok(data),
            Body::Directory(_) => Err(Errno::ISDIR),
            Body::Symlink(_) | Body::Special => Err(Errno::INVAL),
        }
    }

    pub(super) fn directory(&self) -> Result<&RwLock<Directory>> {
        match &self.body {
            Body::Directory(names) => Ok(names),
            _ => Err(Errno::NOTDIR),
        }
    }

    pub(super) fn is_dir(&self) -> bool {
        self.kind == FileKind::Directory
    }

    /// Does nothing refer to it any more?
    pub(super) fn is_unreferenced(&self) -> bool {
        self.meta.lock().links == 0
            && self.lookups.load(Ordering::Acquire) == 0
            && self.opens.load(Ordering::Acquire) == 0
    }

    /// Attributes as stat(2) reports them on ext4.
    pub(super) fn attr(&self) -> Attr {
        // Contents before attributes: the order of every lock pair in this module.
        let (size, blocks, subdirs) = match &self.body {
            Body::File(data) => {
                let data = data.read();
                (data.size(), data.blocks(), 0)
            }
            Body::Directory(names) => (CHUNK, CHUNK / 512, names.read().subdirs()),
            Body::Symlink(target) => (target.as_os_str().len() as u64, 0, 0),
            Body::Special => (0, 0, 0),
        };
        let meta = self.meta.lock();
        Attr {
            ino: self.ino,
            size,
            blocks,
            blksize: CHUNK as u32,
            kind: self.kind,
            perm: meta.perm,
            nlink: match meta.links {
                0 => 0,
                _ if self.is_dir() && subdirs + 2 >= LINK_MAX => 1,
                _ if self.is_dir() => subdirs + 2,
                links => links,
            },
            uid: meta.uid,
            gid: meta.gid,
            rdev: self.rdev,
            atime: meta.atime,
            mtime: meta.mtime,
            ctime: meta.ctime,
            btime: Some(self.btime),
        }
    }
}
