//! [`FilesystemInterface`] of a [`LocalStorage`]: each operation is in the module of its group.

use std::ffi::OsStr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Access, FallocateFlags, IFlags, RenameFlags, XattrFlags};

use super::{LocalStorage, attributes, directories, files, names, xattrs};
use crate::storage::changes::{ChangeListener, WatchMethod};
use crate::storage::interface::FilesystemInterface;
use crate::storage::types::*;

impl FilesystemInterface for LocalStorage {
    fn capabilities(&self) -> StorageCapabilities {
        self.capabilities
    }

    fn inode_count(&self) -> u64 {
        self.inodes.len() as u64
    }

    fn watch(&self, listener: Arc<dyn ChangeListener>) -> Result<WatchMethod> {
        self.start_watch(listener)
    }

    fn destroy(&self) {
        if let Some(watch) = self.watch.get() {
            watch.stop();
        }
        self.files.clear();
        self.directories.clear();
        self.listings.clear();
        self.unopened.clear();
        self.descriptors.shed();
    }

    fn lookup(&self, caller: &Caller, parent: Ino, name: &OsStr) -> Result<Entry> {
        names::lookup(self, caller, parent, name)
    }

    fn folds_case(&self, parent: Ino) -> bool {
        let parent = self.inodes.get(parent);
        parent.is_ok_and(|parent| LocalStorage::folds_case(self, &parent))
    }

    fn forget(&self, ino: Ino, nlookup: u64) {
        self.forget_lookups(ino, nlookup);
    }

    fn getattr(&self, ino: Ino, fh: Option<Fh>) -> Result<Attr> {
        attributes::getattr(self, ino, fh)
    }

    fn setattr(&self, caller: &Caller, ino: Ino, changes: &SetAttr) -> Result<Attr> {
        attributes::setattr(self, caller, ino, changes)
    }

    fn readlink(&self, ino: Ino) -> Result<PathBuf> {
        names::readlink(self, ino)
    }

    fn mknod(
        &self,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
        mode: CreateMode,
        rdev: u32,
    ) -> Result<Entry> {
        names::mknod(self, caller, parent, name, mode, rdev)
    }

    fn mkdir(&self, caller: &Caller, parent: Ino, name: &OsStr, mode: CreateMode) -> Result<Entry> {
        names::mkdir(self, caller, parent, name, mode)
    }

    fn unlink(&self, caller: &Caller, parent: Ino, name: &OsStr) -> Result<()> {
        names::unlink(self, caller, parent, name)
    }

    fn rmdir(&self, caller: &Caller, parent: Ino, name: &OsStr) -> Result<()> {
        names::rmdir(self, caller, parent, name)
    }

    fn symlink(&self, caller: &Caller, parent: Ino, name: &OsStr, target: &Path) -> Result<Entry> {
        names::symlink(self, caller, parent, name, target)
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
        names::rename(self, caller, (parent, name), (newparent, newname), flags)
    }

    fn link(&self, caller: &Caller, ino: Ino, newparent: Ino, newname: &OsStr) -> Result<Entry> {
        names::link(self, caller, ino, newparent, newname)
    }

    fn open(&self, caller: &Caller, ino: Ino, flags: OpenFlags) -> Result<Fh> {
        files::open(self, caller, ino, flags)
    }

    fn create(
        &self,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
        mode: CreateMode,
        flags: OpenFlags,
    ) -> Result<(Entry, Fh)> {
        files::create(self, caller, parent, name, mode, flags)
    }

    fn tmpfile(
        &self,
        caller: &Caller,
        parent: Ino,
        mode: CreateMode,
        flags: OpenFlags,
    ) -> Result<(Entry, Fh)> {
        files::tmpfile(self, caller, parent, mode, flags)
    }

    fn backing_file(&self, _ino: Ino, fh: Fh) -> Option<Arc<OwnedFd>> {
        files::backing_file(self, fh)
    }

    fn file_to_read(&self, ino: Ino, fh: Fh) -> Option<Arc<OwnedFd>> {
        self.readable(ino, fh).ok()
    }

    fn read(&self, ino: Ino, fh: Fh, offset: u64, buf: &mut [u8]) -> Result<usize> {
        files::read(self, ino, fh, offset, buf)
    }

    fn write(
        &self,
        caller: &Caller,
        ino: Ino,
        fh: Fh,
        offset: u64,
        data: &[u8],
        flags: WriteFlags,
    ) -> Result<usize> {
        files::write(self, caller, (ino, fh), offset, data, flags)
    }

    fn write_from(
        &self,
        caller: &Caller,
        ino: Ino,
        fh: Fh,
        offset: u64,
        pipe: BorrowedFd<'_>,
        len: usize,
        flags: WriteFlags,
    ) -> Result<usize> {
        files::write_from(self, caller, (ino, fh), offset, (pipe, len), flags)
    }

    fn flush(&self, ino: Ino, fh: Fh) -> Result<()> {
        files::flush(self, ino, fh)
    }

    fn release(&self, _ino: Ino, fh: Fh) -> Result<()> {
        match fh {
            NO_HANDLE => Ok(()),
            fh => self.files.remove(fh).map(drop),
        }
    }

    fn detach(&self, ino: Ino, fh: Fh) -> Result<()> {
        LocalStorage::detach(self, ino, fh)
    }

    fn fsync(&self, ino: Ino, fh: Fh, datasync: bool) -> Result<()> {
        files::fsync(self, ino, fh, datasync)
    }

    fn opendir(&self, caller: &Caller, ino: Ino) -> Result<Fh> {
        directories::opendir(self, caller, ino)
    }

    fn readdir(
        &self,
        ino: Ino,
        fh: Fh,
        offset: u64,
        sink: &mut dyn FnMut(&DirEntry<'_>) -> DirSink,
    ) -> Result<()> {
        directories::readdir(self, ino, fh, offset, sink)
    }

    fn readdirplus(
        &self,
        caller: &Caller,
        ino: Ino,
        fh: Fh,
        offset: u64,
        sink: &mut dyn FnMut(&DirEntry<'_>, Option<&Entry>) -> DirSink,
    ) -> Result<()> {
        directories::readdirplus(self, caller, ino, fh, offset, sink)
    }

    fn releasedir(&self, _ino: Ino, fh: Fh) -> Result<()> {
        match fh {
            NO_HANDLE => Ok(()),
            fh => self.directories.remove(fh).map(drop),
        }
    }

    fn fsyncdir(&self, ino: Ino, fh: Fh, datasync: bool) -> Result<()> {
        directories::fsyncdir(self, ino, fh, datasync)
    }

    fn statfs(&self, ino: Ino) -> Result<StatFs> {
        attributes::statfs(self, ino)
    }

    fn getxattr(&self, caller: &Caller, ino: Ino, name: &OsStr) -> Result<Vec<u8>> {
        xattrs::getxattr(self, caller, ino, name)
    }

    fn listxattr(&self, caller: &Caller, ino: Ino) -> Result<Vec<u8>> {
        xattrs::listxattr(self, caller, ino)
    }

    fn setxattr(
        &self,
        caller: &Caller,
        ino: Ino,
        name: &OsStr,
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<()> {
        xattrs::setxattr(self, caller, ino, name, value, flags)
    }

    fn removexattr(&self, caller: &Caller, ino: Ino, name: &OsStr) -> Result<()> {
        xattrs::removexattr(self, caller, ino, name)
    }

    fn access(&self, caller: &Caller, ino: Ino, mask: Access) -> Result<()> {
        attributes::access(self, caller, ino, mask)
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
        files::fallocate(self, caller, (ino, fh), mode, offset, len)
    }

    fn getflags(&self, ino: Ino) -> Result<IFlags> {
        attributes::getflags(self, ino)
    }

    fn setflags(&self, caller: &Caller, ino: Ino, flags: IFlags) -> Result<()> {
        attributes::setflags(self, caller, ino, flags)
    }

    fn get_fsxattr(&self, ino: Ino) -> Result<FsXAttr> {
        attributes::get_fsxattr(self, ino)
    }

    fn set_fsxattr(&self, caller: &Caller, ino: Ino, attributes: &FsXAttr) -> Result<()> {
        attributes::set_fsxattr(self, caller, ino, attributes)
    }

    fn lseek(&self, ino: Ino, fh: Fh, offset: u64, to: SeekTo) -> Result<u64> {
        files::lseek(self, ino, fh, offset, to)
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
        let (from, to) = ((ino_in, fh_in), (ino_out, fh_out));
        files::copy_file_range(self, caller, (from, offset_in), (to, offset_out), len)
    }

    fn prefetch(&self, ino: Ino, fh: Fh, offset: u64, len: u64) -> Result<Prefetch> {
        files::prefetch(self, ino, fh, offset, len)
    }
}
