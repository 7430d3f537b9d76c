//! Operations on names: lookup, creation, links, removal, listing.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use rustix::fs::Access;

use super::data::FileData;
use super::dir::{COOKIE_DOT, COOKIE_DOT_DOT, Directory, Target};
use super::fs::{Fs, Tree, check_name, is_dot};
use super::node::{Birth, Body, LINK_MAX, Node};
use super::perms;
use crate::platform::mode;
use crate::storage::{
    Caller, CreateMode, DirEntry, DirSink, Entry, Errno, Fh, FileKind, Ino, OpenFlags, Result,
};

/// Names fetched under one lock during a listing.
const LIST_BATCH: usize = 128;

/// Longest target of a symbolic link in bytes: `PATH_MAX` without its NUL.
const TARGET_MAX: usize = 4095;

impl Fs {
    pub(super) fn lookup(&self, caller: &Caller, parent: Ino, name: &OsStr) -> Result<Entry> {
        let tree = self.tree.read();
        let dir = tree.get(parent)?;
        let ino = {
            let names = dir.directory()?.read();
            self.check(dir, caller, Access::EXEC_OK)?;
            check_name(name)?;
            match name.as_encoded_bytes() {
                b"." => parent,
                b".." => names.parent,
                _ => names.get(name).ok_or(Errno::NOENT)?.ino,
            }
        };
        Ok(self.entry(tree.get(ino)?))
    }

    /// Finds the directory `parent` and what `name` is in it, for an operation that changes it.
    pub(super) fn parent_for_change<'t>(
        &self,
        tree: &'t Tree,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
    ) -> Result<(&'t Arc<Node>, Option<Target>)> {
        let dir = tree.get(parent)?;
        let names = dir.directory()?.read();
        self.check(dir, caller, Access::EXEC_OK)?;
        check_name(name)?;
        Ok((dir, names.get(name)))
    }

    /// May `caller` put a new name into `dir`?
    pub(super) fn check_insertion(&self, dir: &Node, caller: &Caller) -> Result<()> {
        if dir.directory()?.read().removed {
            return Err(Errno::NOENT);
        }
        self.check(dir, caller, Access::WRITE_OK | Access::EXEC_OK)
    }

    /// May `caller` take the name of `node` out of `dir`?
    pub(super) fn check_removal(&self, dir: &Node, node: &Node, caller: &Caller) -> Result<()> {
        self.check(dir, caller, Access::WRITE_OK | Access::EXEC_OK)?;
        if self.checks_here() {
            perms::allow_removal(dir, node, caller)?;
        }
        Ok(())
    }

    /// Makes a new inode under `name`, which must be free.
    fn make(
        &self,
        tree: &mut Tree,
        caller: &Caller,
        (parent, name): (Ino, &OsStr),
        mode: CreateMode,
        (kind, rdev, body): (FileKind, u32, Body),
    ) -> Result<Arc<Node>> {
        let (dir, existing) = self.parent_for_change(tree, caller, parent, name)?;
        if existing.is_some() || is_dot(name) {
            return Err(Errno::EXIST);
        }
        self.check_insertion(dir, caller)?;
        let dir = Arc::clone(dir);
        let (perm, gid) = self.inherit(&dir, caller, kind, mode);
        let label = caller.label.as_deref();
        let label = label.map(|label| self.label(label)).transpose()?;
        let birth = Birth {
            kind,
            perm,
            uid: caller.uid,
            gid,
            rdev,
            body,
        };
        let node = tree.insert(&self.budget, birth)?;
        node.meta.lock().xattrs.extend(label);
        let target = Target {
            ino: node.ino,
            kind,
        };
        let set = dir.directory()?.write().set(&self.budget, name, target);
        if let Err(errno) = set {
            node.meta.lock().links = 0;
            tree.reap(&node);
            return Err(errno);
        }
        dir.meta.lock().modified();
        Ok(node)
    }

    /// Permission bits and group of a new inode in `dir` (`inode_init_owner` of the kernel): the
    /// umask applies, a set-group-id directory gives its group, and the bit itself to directories.
    fn inherit(&self, dir: &Node, caller: &Caller, kind: FileKind, mode: CreateMode) -> (u16, u32) {
        let mut perm = mode.mode & 0o7777 & !(mode.umask & 0o777);
        if kind == FileKind::Symlink {
            perm = 0o777;
        }
        let dir = dir.meta.lock();
        if u32::from(dir.perm) & mode::S_ISGID == 0 {
            return (perm as u16, caller.gid);
        }
        if kind == FileKind::Directory {
            perm |= mode::S_ISGID;
        } else if self.checks_here() && caller.uid != 0 && caller.gid != dir.gid {
            let both = mode::S_ISGID | mode::S_IXGRP;
            if perm & both == both {
                perm &= !mode::S_ISGID;
            }
        }
        (perm as u16, dir.gid)
    }

    pub(super) fn mknod(
        &self,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
        mode: CreateMode,
        rdev: u32,
    ) -> Result<Entry> {
        let kind = match mode.mode & mode::S_IFMT {
            0 => FileKind::RegularFile,
            _ => FileKind::from_mode(mode.mode).ok_or(Errno::INVAL)?,
        };
        let what = match kind {
            FileKind::Directory => return Err(Errno::PERM),
            FileKind::Symlink => return Err(Errno::INVAL),
            FileKind::RegularFile => (kind, 0, self.empty_file()),
            FileKind::CharDevice | FileKind::BlockDevice => {
                if self.checks_here() && caller.uid != 0 {
                    return Err(Errno::PERM);
                }
                (kind, rdev, Body::Special)
            }
            FileKind::NamedPipe | FileKind::Socket => (kind, 0, Body::Special),
        };
        let mut tree = self.tree_mut();
        let node = self.make(&mut tree, caller, (parent, name), mode, what)?;
        Ok(self.entry(&node))
    }

    fn empty_file(&self) -> Body {
        Body::File(RwLock::new(FileData::new(&self.budget)))
    }

    pub(super) fn mkdir(
        &self,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
        mode: CreateMode,
    ) -> Result<Entry> {
        let mut tree = self.tree_mut();
        let body = Body::Directory(RwLock::new(Directory::new(parent)));
        // mkdir(2) knows the permission bits and the sticky bit alone.
        let mode = CreateMode {
            mode: mode.mode & 0o1777,
            ..mode
        };
        let what = (FileKind::Directory, 0, body);
        let node = self.make(&mut tree, caller, (parent, name), mode, what)?;
        Ok(self.entry(&node))
    }

    pub(super) fn symlink(
        &self,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
        target: &Path,
    ) -> Result<Entry> {
        match target.as_os_str().len() {
            0 => return Err(Errno::NOENT),
            len if len > TARGET_MAX => return Err(Errno::NAMETOOLONG),
            _ => {}
        }
        let mut tree = self.tree_mut();
        let mode = CreateMode {
            mode: 0o777,
            umask: 0,
        };
        let what = (FileKind::Symlink, 0, Body::Symlink(target.to_path_buf()));
        let node = self.make(&mut tree, caller, (parent, name), mode, what)?;
        Ok(self.entry(&node))
    }

    pub(super) fn readlink(&self, ino: Ino) -> Result<PathBuf> {
        let node = self.node(ino)?;
        match &node.body {
            Body::Symlink(target) => {
                node.meta.lock().accessed();
                Ok(target.clone())
            }
            _ => Err(Errno::INVAL),
        }
    }

    pub(super) fn create(
        &self,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
        mode: CreateMode,
        flags: OpenFlags,
    ) -> Result<(Entry, Fh)> {
        let mut tree = self.tree_mut();
        let (_, existing) = self.parent_for_change(&tree, caller, parent, name)?;
        let node = match existing {
            None => {
                let what = (FileKind::RegularFile, 0, self.empty_file());
                self.make(&mut tree, caller, (parent, name), mode, what)?
            }
            Some(_) if flags.contains(OpenFlags::EXCL) => return Err(Errno::EXIST),
            Some(target) if target.kind == FileKind::Symlink => return Err(Errno::LOOP),
            Some(target) => {
                let node = Arc::clone(tree.get(target.ino)?);
                if node.is_dir() {
                    return Err(Errno::ISDIR);
                }
                self.check_open(&node, caller, flags)?;
                node
            }
        };
        Ok((self.entry(&node), self.open_node(&node, flags)))
    }

    pub(super) fn link(
        &self,
        caller: &Caller,
        ino: Ino,
        newparent: Ino,
        newname: &OsStr,
    ) -> Result<Entry> {
        let tree = self.tree_mut();
        let node = tree.get(ino)?;
        let (dir, existing) = self.parent_for_change(&tree, caller, newparent, newname)?;
        if existing.is_some() || is_dot(newname) {
            return Err(Errno::EXIST);
        }
        self.check_insertion(dir, caller)?;
        if node.is_dir() {
            return Err(Errno::PERM);
        }
        match node.meta.lock().links {
            0 => return Err(Errno::NOENT),
            LINK_MAX.. => return Err(Errno::MLINK),
            _ => {}
        }
        let target = Target {
            ino,
            kind: node.kind,
        };
        let mut names = dir.directory()?.write();
        names.set(&self.budget, newname, target)?;
        drop(names);
        dir.meta.lock().modified();
        let mut meta = node.meta.lock();
        meta.links += 1;
        meta.changed();
        drop(meta);
        Ok(self.entry(node))
    }

    pub(super) fn unlink(&self, caller: &Caller, parent: Ino, name: &OsStr) -> Result<()> {
        let mut tree = self.tree_mut();
        let (dir, existing) = self.parent_for_change(&tree, caller, parent, name)?;
        if is_dot(name) {
            return Err(Errno::ISDIR);
        }
        let node = Arc::clone(tree.get(existing.ok_or(Errno::NOENT)?.ino)?);
        self.check_removal(dir, &node, caller)?;
        if node.is_dir() {
            return Err(Errno::ISDIR);
        }
        dir.directory()?.write().remove(name);
        dir.meta.lock().modified();
        drop_name(&mut tree, &node);
        Ok(())
    }

    pub(super) fn rmdir(&self, caller: &Caller, parent: Ino, name: &OsStr) -> Result<()> {
        let mut tree = self.tree_mut();
        let (dir, existing) = self.parent_for_change(&tree, caller, parent, name)?;
        match name.as_encoded_bytes() {
            b"." => return Err(Errno::INVAL),
            b".." => return Err(Errno::NOTEMPTY),
            _ => {}
        }
        let node = Arc::clone(tree.get(existing.ok_or(Errno::NOENT)?.ino)?);
        self.check_removal(dir, &node, caller)?;
        if !node.directory()?.read().is_empty() {
            return Err(Errno::NOTEMPTY);
        }
        dir.directory()?.write().remove(name);
        dir.meta.lock().modified();
        drop_name(&mut tree, &node);
        Ok(())
    }

    /// Hands the entries after `offset` to `sink`, which is called without any lock held: it may
    /// look names up.
    pub(super) fn readdir(
        &self,
        ino: Ino,
        fh: Fh,
        offset: u64,
        sink: &mut dyn FnMut(&DirEntry<'_>) -> DirSink,
    ) -> Result<()> {
        let handle = self.handle(ino, fh)?;
        let names = handle.node.directory()?;
        let parent = {
            let names = names.read();
            if names.removed {
                return Err(Errno::NOENT);
            }
            names.parent
        };
        let mut emit = |cookie, name: &OsStr, ino, kind| {
            sink(&DirEntry {
                ino,
                offset: cookie,
                kind: Some(kind),
                name,
            })
        };
        for (cookie, name, ino) in [(COOKIE_DOT, ".", ino), (COOKIE_DOT_DOT, "..", parent)] {
            if offset < cookie
                && emit(cookie, OsStr::new(name), ino, FileKind::Directory) == DirSink::Full
            {
                return Ok(());
            }
        }
        let mut after = offset.max(COOKIE_DOT_DOT);
        loop {
            let batch = names.read().list(after, LIST_BATCH);
            for (cookie, name, target) in &batch {
                if emit(*cookie, name, target.ino, target.kind) == DirSink::Full {
                    return Ok(());
                }
                after = *cookie;
            }
            if batch.len() < LIST_BATCH {
                handle.node.meta.lock().accessed();
                return Ok(());
            }
        }
    }
}

/// `node` has lost a name.
pub(super) fn drop_name(tree: &mut Tree, node: &Node) {
    if let Body::Directory(names) = &node.body {
        names.write().removed = true;
    }
    let mut meta = node.meta.lock();
    meta.links -= 1;
    meta.changed();
    drop(meta);
    tree.reap(node);
}
