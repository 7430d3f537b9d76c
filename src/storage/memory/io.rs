//! Operations on open files and on attributes.

use std::ffi::OsStr;
use std::sync::Arc;

use crate::platform::{FallocateFlags, leaves_access_time, mode};
use rustix::fs::Access;

use super::data::MAX_SIZE;
use super::fs::{Fs, NAME_MAX};
use super::node::{Meta, Node};
use super::perms;
use super::xattr::CAPABILITY;
use crate::storage::{
    Attr, Caller, Errno, Fh, FileKind, Ino, OpenFlags, Result, SeekTo, SetAttr, SetTime, StatFs,
    Timestamp,
};

/// Bytes copied under one lock by copy_file_range(2).
const COPY_PIECE: u64 = 1 << 20;

/// Unit of the figures of statfs(2).
const STAT_BLOCK: u64 = 4096;

impl Fs {
    /// Checks that `caller` may open `node` with `flags`, and carries out `O_TRUNC`.
    pub(super) fn check_open(&self, node: &Node, caller: &Caller, flags: OpenFlags) -> Result<()> {
        let truncate = flags.contains(OpenFlags::TRUNC);
        let mut mask = access_of(flags);
        if truncate {
            mask |= Access::WRITE_OK;
        }
        if node.is_dir() && mask.contains(Access::WRITE_OK) {
            return Err(Errno::ISDIR);
        }
        self.check(node, caller, mask)?;
        if self.checks_here()
            && leaves_access_time(flags)
            && !perms::owns(&node.meta.lock(), caller)
        {
            return Err(Errno::PERM);
        }
        if truncate && node.kind == FileKind::RegularFile {
            node.file()?.write().truncate(0)?;
            let mut meta = node.meta.lock();
            meta.drop_privileges(caller);
            meta.modified();
        }
        Ok(())
    }

    pub(super) fn open(&self, caller: &Caller, ino: Ino, flags: OpenFlags) -> Result<Fh> {
        // The tree stays locked so that the inode cannot be reaped before it counts as open.
        let tree = self.tree.read();
        let node = tree.get(ino)?;
        if node.kind == FileKind::Symlink {
            return Err(Errno::LOOP);
        }
        self.check_open(node, caller, flags)?;
        Ok(self.open_node(node, flags))
    }

    pub(super) fn opendir(&self, caller: &Caller, ino: Ino) -> Result<Fh> {
        let tree = self.tree.read();
        let node = tree.get(ino)?;
        node.directory()?;
        self.check(node, caller, Access::READ_OK)?;
        Ok(self.open_node(node, OpenFlags::RDONLY))
    }

    pub(super) fn getattr(&self, ino: Ino, fh: Option<Fh>) -> Result<Attr> {
        Ok(self.handle(ino, fh.unwrap_or(0))?.node.attr())
    }

    pub(super) fn read(&self, ino: Ino, fh: Fh, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let handle = self.handle(ino, fh)?;
        let n = handle.node.file()?.read().read(offset, buf);
        if n > 0 && !leaves_access_time(handle.flags) {
            handle.node.meta.lock().accessed();
        }
        Ok(n)
    }

    pub(super) fn write(
        &self,
        caller: &Caller,
        ino: Ino,
        fh: Fh,
        offset: u64,
        data: &[u8],
    ) -> Result<usize> {
        let node = self.writable(ino, fh)?;
        let n = node.file()?.write().write(offset, data)?;
        if n > 0 {
            contents_changed(&node, caller);
        }
        Ok(n)
    }

    fn writable(&self, ino: Ino, fh: Fh) -> Result<Arc<Node>> {
        let handle = self.handle(ino, fh)?;
        if !access_of(handle.flags).contains(Access::WRITE_OK) {
            return Err(Errno::BADF);
        }
        Ok(Arc::clone(&handle.node))
    }

    pub(super) fn fallocate(
        &self,
        caller: &Caller,
        ino: Ino,
        fh: Fh,
        mode: FallocateFlags,
        offset: u64,
        len: u64,
    ) -> Result<()> {
        let keep_size = mode.contains(FallocateFlags::KEEP_SIZE);
        let node = self.writable(ino, fh)?;
        let mut data = node.file()?.write();
        match mode.difference(FallocateFlags::KEEP_SIZE) {
            what if what.is_empty() => data.allocate(offset, len, keep_size)?,
            FallocateFlags::PUNCH_HOLE if keep_size => data.punch(offset, len)?,
            FallocateFlags::ZERO_RANGE => data.zero(offset, len, keep_size)?,
            _ => return Err(Errno::OPNOTSUPP),
        }
        drop(data);
        contents_changed(&node, caller);
        Ok(())
    }

    pub(super) fn lseek(&self, ino: Ino, fh: Fh, offset: u64, to: SeekTo) -> Result<u64> {
        let handle = self.handle(ino, fh)?;
        handle.node.file()?.read().seek(offset, to)
    }

    /// Copies piece by piece: other writes may fall between two pieces, as they may on ext4.
    pub(super) fn copy_file_range(
        &self,
        caller: &Caller,
        from: (Ino, Fh, u64),
        to: (Ino, Fh, u64),
        len: u64,
    ) -> Result<usize> {
        let (ino_in, fh_in, offset_in) = from;
        let (ino_out, fh_out, offset_out) = to;
        let source = self.handle(ino_in, fh_in)?;
        self.writable(ino_out, fh_out)?;
        let end_in = offset_in.checked_add(len).ok_or(Errno::OVERFLOW)?;
        let end_out = offset_out.checked_add(len).ok_or(Errno::OVERFLOW)?;
        if ino_in == ino_out && offset_in < end_out && offset_out < end_in {
            return Err(Errno::INVAL);
        }
        let mut buf = vec![0; len.min(COPY_PIECE) as usize];
        let mut done = 0;
        while done < len {
            let want = (len - done).min(COPY_PIECE) as usize;
            let n = source
                .node
                .file()?
                .read()
                .read(offset_in + done, &mut buf[..want]);
            if n == 0 {
                break;
            }
            match self.write(caller, ino_out, fh_out, offset_out + done, &buf[..n]) {
                Ok(written) => done += written as u64,
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
            }
        }
        Ok(done as usize)
    }

    pub(super) fn setattr(&self, caller: &Caller, ino: Ino, changes: &SetAttr) -> Result<Attr> {
        let node = Arc::clone(&self.handle(ino, changes.fh.unwrap_or(0))?.node);
        if self.checks_here() {
            self.check_setattr(&node, caller, changes)?;
        }
        // The size first, since it alone can fail: all or nothing.
        if let Some(size) = changes.size {
            if size > MAX_SIZE {
                return Err(Errno::FBIG);
            }
            node.file()?.write().truncate(size)?;
        }
        let mut meta = node.meta.lock();
        if changes.size.is_some() || changes.kill_suidgid {
            meta.drop_privileges(caller);
        }
        if changes.size.is_some() {
            meta.modified();
        }
        self.set_owner_and_mode(&node, &mut meta, caller, changes);
        let now = Timestamp::now();
        let time = |time| match time {
            SetTime::At(time) => time,
            SetTime::Now => now,
        };
        meta.atime = changes.atime.map_or(meta.atime, time);
        meta.mtime = changes.mtime.map_or(meta.mtime, time);
        meta.ctime = changes.ctime.unwrap_or(now);
        drop(meta);
        Ok(node.attr())
    }

    fn set_owner_and_mode(&self, node: &Node, meta: &mut Meta, caller: &Caller, changes: &SetAttr) {
        if changes.uid.is_some() || changes.gid.is_some() {
            meta.uid = changes.uid.unwrap_or(meta.uid);
            meta.gid = changes.gid.unwrap_or(meta.gid);
            if !node.is_dir() {
                // chown(2) drops the bits whoever calls, root too.
                let mut kill = mode::S_ISUID;
                if u32::from(meta.perm) & mode::S_IXGRP != 0 {
                    kill |= mode::S_ISGID;
                }
                meta.perm &= !(kill as u16);
                meta.xattrs.remove(OsStr::new(CAPABILITY));
            }
        }
        if let Some(mode) = changes.mode {
            meta.perm = (mode & 0o7777) as u16;
            if self.checks_here() && caller.uid != 0 && caller.gid != meta.gid {
                meta.perm &= !(mode::S_ISGID as u16);
            }
        }
    }

    /// `setattr_prepare` of the kernel, and what its callers check before.
    fn check_setattr(&self, node: &Node, caller: &Caller, changes: &SetAttr) -> Result<()> {
        if changes.size.is_some() && changes.fh.is_none() {
            perms::allow(node, caller, Access::WRITE_OK)?;
        }
        let meta = node.meta.lock();
        let owner = perms::owns(&meta, caller);
        if caller.uid != 0 {
            let uid_stays = changes.uid.is_none_or(|uid| uid == meta.uid);
            let gid_allowed = changes
                .gid
                .is_none_or(|gid| gid == meta.gid || gid == caller.gid);
            let owner_wanted = changes.uid.is_some() || changes.gid.is_some();
            if owner_wanted && !(owner && uid_stays && gid_allowed) {
                return Err(Errno::PERM);
            }
        }
        if changes.mode.is_some() && !owner {
            return Err(Errno::PERM);
        }
        let times = [changes.atime, changes.mtime];
        if !owner
            && times
                .iter()
                .any(|time| matches!(time, Some(SetTime::At(_))))
        {
            return Err(Errno::PERM);
        }
        drop(meta);
        // A truncation brings `mtime: Now` with it and was checked above.
        if !owner && changes.size.is_none() && times.iter().any(Option::is_some) {
            perms::allow(node, caller, Access::WRITE_OK)?;
        }
        Ok(())
    }

    pub(super) fn statfs(&self) -> StatFs {
        let blocks = self.budget.capacity() / STAT_BLOCK;
        let free = (self.budget.capacity() - self.budget.used()) / STAT_BLOCK;
        let nodes = self.node_count();
        StatFs {
            blocks,
            bfree: free,
            bavail: free,
            files: nodes + free,
            ffree: free,
            bsize: STAT_BLOCK as u32,
            namelen: NAME_MAX as u32,
            frsize: STAT_BLOCK as u32,
        }
    }
}

fn contents_changed(node: &Node, caller: &Caller) {
    let mut meta = node.meta.lock();
    meta.drop_privileges(caller);
    meta.modified();
}

/// What the access mode of open(2) asks for.
fn access_of(flags: OpenFlags) -> Access {
    match flags.bits() & libc::O_ACCMODE as u32 {
        mode if mode == libc::O_WRONLY as u32 => Access::WRITE_OK,
        mode if mode == libc::O_RDWR as u32 => Access::READ_OK | Access::WRITE_OK,
        _ => Access::READ_OK,
    }
}
