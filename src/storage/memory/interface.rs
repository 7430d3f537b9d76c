//! The storage trait, operation by operation; what each does is in the module named for its group.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::{MemoryStorage, perms};
use crate::platform::{FallocateFlags, RenameFlags, XattrFlags};
use crate::storage::*;

impl FilesystemInterface for MemoryStorage {
    fn capabilities(&self) -> StorageCapabilities {
        StorageCapabilities {
            kernel_backed: false,
            xattrs: true,
            posix_acls: false,
            exclusive: true,
            flush_on_close: false,
            security_labels: true,
            without_open: WithoutOpen::default(),
        }
    }

    fn inode_count(&self) -> u64 {
        self.fs.referenced_nodes()
    }

    fn lookup(&self, caller: &Caller, parent: Ino, name: &OsStr) -> Result<Entry> {
        self.fs.lookup(caller, parent, name)
    }

    fn forget(&self, ino: Ino, nlookup: u64) {
        self.fs.forget(ino, nlookup);
    }

    fn getattr(&self, ino: Ino, fh: Option<Fh>) -> Result<Attr> {
        self.fs.getattr(ino, fh)
    }

    fn setattr(&self, caller: &Caller, ino: Ino, changes: &SetAttr) -> Result<Attr> {
        self.fs.setattr(caller, ino, changes)
    }

    fn readlink(&self, ino: Ino) -> Result<PathBuf> {
        self.fs.readlink(ino)
    }

    fn mknod(
        &self,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
        mode: CreateMode,
        rdev: u32,
    ) -> Result<Entry> {
        self.fs.mknod(caller, parent, name, mode, rdev)
    }

    fn mkdir(&self, caller: &Caller, parent: Ino, name: &OsStr, mode: CreateMode) -> Result<Entry> {
        self.fs.mkdir(caller, parent, name, mode)
    }

    fn unlink(&self, caller: &Caller, parent: Ino, name: &OsStr) -> Result<()> {
        self.fs.unlink(caller, parent, name)
    }

    fn rmdir(&self, caller: &Caller, parent: Ino, name: &OsStr) -> Result<()> {
        self.fs.rmdir(caller, parent, name)
    }

    fn symlink(&self, caller: &Caller, parent: Ino, name: &OsStr, target: &Path) -> Result<Entry> {
        self.fs.symlink(caller, parent, name, target)
    }

    fn rename(
        &self,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
        newparent: Ino,
        newname: &OsStr,
        flags: RenameFlags,
    ) -> Result<()> {
        self.fs
            .rename(caller, (parent, name), (newparent, newname), flags)
    }

    fn link(&self, caller: &Caller, ino: Ino, newparent: Ino, newname: &OsStr) -> Result<Entry> {
        self.fs.link(caller, ino, newparent, newname)
    }

    fn open(&self, caller: &Caller, ino: Ino, flags: OpenFlags) -> Result<Fh> {
        self.fs.open(caller, ino, flags)
    }

    fn create(
        &self,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
        mode: CreateMode,
        flags: OpenFlags,
    ) -> Result<(Entry, Fh)> {
        self.fs.create(caller, parent, name, mode, flags)
    }

    fn read(&self, ino: Ino, fh: Fh, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.fs.read(ino, fh, offset, buf)
    }

    fn write(
        &self,
        caller: &Caller,
        ino: Ino,
        fh: Fh,
        offset: u64,
        data: &[u8],
        _flags: WriteFlags,
    ) -> Result<usize> {
        self.fs.write(caller, ino, fh, offset, data)
    }

    fn flush(&self, ino: Ino, fh: Fh) -> Result<()> {
        self.fs.handle(ino, fh).map(drop)
    }

    fn release(&self, ino: Ino, fh: Fh) -> Result<()> {
        self.fs.release(ino, fh)
    }

    fn fsync(&self, ino: Ino, fh: Fh, _datasync: bool) -> Result<()> {
        // Memory is as durable as it gets once the write has returned.
        self.fs.handle(ino, fh).map(drop)
    }

    fn opendir(&self, caller: &Caller, ino: Ino) -> Result<Fh> {
        self.fs.opendir(caller, ino)
    }

    fn readdir(
        &self,
        ino: Ino,
        fh: Fh,
        offset: u64,
        sink: &mut dyn FnMut(&DirEntry<'_>) -> DirSink,
    ) -> Result<()> {
        self.fs.readdir(ino, fh, offset, sink)
    }

    fn releasedir(&self, ino: Ino, fh: Fh) -> Result<()> {
        self.fs.release(ino, fh)
    }

    fn fsyncdir(&self, ino: Ino, fh: Fh, _datasync: bool) -> Result<()> {
        self.fs.handle(ino, fh).map(drop)
    }

    fn statfs(&self, _ino: Ino) -> Result<StatFs> {
        Ok(self.fs.statfs())
    }

    fn getxattr(&self, caller: &Caller, ino: Ino, name: &OsStr) -> Result<Vec<u8>> {
        self.fs.getxattr(caller, ino, name)
    }

    fn listxattr(&self, caller: &Caller, ino: Ino) -> Result<Vec<u8>> {
        self.fs.listxattr(caller, ino)
    }

    fn setxattr(
        &self,
        caller: &Caller,
        ino: Ino,
        name: &OsStr,
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<()> {
        self.fs.setxattr(caller, ino, name, value, flags)
    }

    fn removexattr(&self, caller: &Caller, ino: Ino, name: &OsStr) -> Result<()> {
        self.fs.removexattr(caller, ino, name)
    }

    fn access(&self, caller: &Caller, ino: Ino, mask: Access) -> Result<()> {
        let node = self.fs.node(ino)?;
        perms::allow(&node, caller, mask)
    }

    fn fallocate(
        &self,
        caller: &Caller,
        ino: Ino,
        fh: Fh,
        mode: FallocateFlags,
        offset: u64,
        len: u64,
    ) -> Result<()> {
        self.fs.fallocate(caller, ino, fh, mode, offset, len)
    }

    fn lseek(&self, ino: Ino, fh: Fh, offset: u64, to: SeekTo) -> Result<u64> {
        self.fs.lseek(ino, fh, offset, to)
    }

    fn copy_file_range(
        &self,
        caller: &Caller,
        ino_in: Ino,
        fh_in: Fh,
        offset_in: u64,
        ino_out: Ino,
        fh_out: Fh,
        offset_out: u64,
        len: u64,
    ) -> Result<usize> {
        let (from, to) = ((ino_in, fh_in, offset_in), (ino_out, fh_out, offset_out));
        self.fs.copy_file_range(caller, from, to, len)
    }
}
