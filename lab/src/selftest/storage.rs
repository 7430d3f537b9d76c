//! A storage with a fault.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dynamicfs::storage::*;
use rustix::fs::{Access, FallocateFlags, IFlags, RenameFlags, XattrFlags};

/// A storage as a fault sees it.
pub(crate) type Inner = dyn FilesystemInterface;

/// Declares [`Bug`] and how [`Planted`] asks it. Every method of the trait of storages must be here:
/// its default would be a fault of its own, which the run without a plant would find.
macro_rules! operations {
    ($(fn $name:ident(&self $(, $argument:ident: $kind:ty)* $(,)?) $(-> $result:ty)?;)*) => {
        /// A fault of a storage: what it does not override goes to the storage inside, unchanged.
        #[allow(clippy::too_many_arguments)]
        pub(crate) trait Bug: Send + Sync {
            $(fn $name(&self, inner: &Inner $(, $argument: $kind)*) $(-> $result)? {
                inner.$name($($argument),*)
            })*
        }

        impl FilesystemInterface for Planted {
            $(fn $name(&self $(, $argument: $kind)*) $(-> $result)? {
                self.bug.$name(&*self.inner $(, $argument)*)
            })*
        }
    };
}

/// A storage, and what is wrong with it.
pub(crate) struct Planted {
    inner: Box<Inner>,
    bug: Box<dyn Bug>,
}

impl Planted {
    pub(crate) fn new(inner: Box<Inner>, bug: Box<dyn Bug>) -> Self {
        Planted { inner, bug }
    }
}

operations! {
    fn capabilities(&self) -> StorageCapabilities;
    fn inode_count(&self) -> u64;
    fn destroy(&self);
    fn lookup(&self, caller: &Caller, parent: Ino, name: &OsStr) -> Result<Entry>;
    fn forget(&self, ino: Ino, nlookup: u64);
    fn getattr(&self, ino: Ino, fh: Option<Fh>) -> Result<Attr>;
    fn setattr(&self, caller: &Caller, ino: Ino, changes: &SetAttr) -> Result<Attr>;
    fn readlink(&self, ino: Ino) -> Result<PathBuf>;
    fn mknod(
        &self, caller: &Caller, parent: Ino, name: &OsStr, mode: CreateMode, rdev: u32,
    ) -> Result<Entry>;
    fn mkdir(&self, caller: &Caller, parent: Ino, name: &OsStr, mode: CreateMode) -> Result<Entry>;
    fn unlink(&self, caller: &Caller, parent: Ino, name: &OsStr) -> Result<()>;
    fn rmdir(&self, caller: &Caller, parent: Ino, name: &OsStr) -> Result<()>;
    fn symlink(&self, caller: &Caller, parent: Ino, name: &OsStr, target: &Path) -> Result<Entry>;
    fn rename(
        &self, caller: &Caller, parent: Ino, name: &OsStr, newparent: Ino, newname: &OsStr,
        flags: RenameFlags,
    ) -> Result<()>;
    fn link(&self, caller: &Caller, ino: Ino, newparent: Ino, newname: &OsStr) -> Result<Entry>;
    fn open(&self, caller: &Caller, ino: Ino, flags: OpenFlags) -> Result<Fh>;
    fn create(
        &self, caller: &Caller, parent: Ino, name: &OsStr, mode: CreateMode, flags: OpenFlags,
    ) -> Result<(Entry, Fh)>;
    fn backing_file(&self, ino: Ino, fh: Fh) -> Option<Arc<OwnedFd>>;
    fn read(&self, ino: Ino, fh: Fh, offset: u64, buf: &mut [u8]) -> Result<usize>;
    fn write(
        &self, caller: &Caller, ino: Ino, fh: Fh, offset: u64, data: &[u8], flags: WriteFlags,
    ) -> Result<usize>;
    fn flush(&self, ino: Ino, fh: Fh) -> Result<()>;
    fn release(&self, ino: Ino, fh: Fh) -> Result<()>;
    fn fsync(&self, ino: Ino, fh: Fh, datasync: bool) -> Result<()>;
    fn opendir(&self, caller: &Caller, ino: Ino) -> Result<Fh>;
    fn readdir(
        &self, ino: Ino, fh: Fh, offset: u64, sink: &mut dyn FnMut(&DirEntry<'_>) -> DirSink,
    ) -> Result<()>;
    fn readdirplus(
        &self, caller: &Caller, ino: Ino, fh: Fh, offset: u64,
        sink: &mut dyn FnMut(&DirEntry<'_>, Option<&Entry>) -> DirSink,
    ) -> Result<()>;
    fn releasedir(&self, ino: Ino, fh: Fh) -> Result<()>;
    fn fsyncdir(&self, ino: Ino, fh: Fh, datasync: bool) -> Result<()>;
    fn statfs(&self, ino: Ino) -> Result<StatFs>;
    fn getxattr(&self, caller: &Caller, ino: Ino, name: &OsStr) -> Result<Vec<u8>>;
    fn listxattr(&self, caller: &Caller, ino: Ino) -> Result<Vec<u8>>;
    fn setxattr(
        &self, caller: &Caller, ino: Ino, name: &OsStr, value: &[u8], flags: XattrFlags,
    ) -> Result<()>;
    fn removexattr(&self, caller: &Caller, ino: Ino, name: &OsStr) -> Result<()>;
    fn access(&self, caller: &Caller, ino: Ino, mask: Access) -> Result<()>;
    fn fallocate(
        &self, caller: &Caller, ino: Ino, fh: Fh, mode: FallocateFlags, offset: u64, len: u64,
    ) -> Result<()>;
    fn getflags(&self, ino: Ino) -> Result<IFlags>;
    fn setflags(&self, caller: &Caller, ino: Ino, flags: IFlags) -> Result<()>;
    fn get_fsxattr(&self, ino: Ino) -> Result<FsXAttr>;
    fn set_fsxattr(&self, caller: &Caller, ino: Ino, attributes: &FsXAttr) -> Result<()>;
    fn lseek(&self, ino: Ino, fh: Fh, offset: u64, to: SeekTo) -> Result<u64>;
    fn copy_file_range(
        &self, caller: &Caller, ino_in: Ino, fh_in: Fh, offset_in: u64, ino_out: Ino, fh_out: Fh,
        offset_out: u64, len: u64,
    ) -> Result<usize>;
    fn prefetch(&self, ino: Ino, fh: Fh, offset: u64, len: u64) -> Result<Prefetch>;
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Bug for Nothing {}

    struct NoName;

    impl Bug for NoName {
        fn lookup(&self, _: &Inner, _: &Caller, _: Ino, _: &OsStr) -> Result<Entry> {
            Err(Errno::NOENT)
        }
    }

    fn planted(bug: impl Bug + 'static) -> Planted {
        Planted::new(Box::new(MemoryStorage::new()), Box::new(bug))
    }

    const MODE: CreateMode = CreateMode {
        mode: 0o755,
        umask: 0,
    };

    #[test]
    fn without_a_fault_it_is_the_storage_inside() {
        let storage = planted(Nothing);
        let name = OsStr::new("d");
        storage.mkdir(&Caller::ROOT, ROOT_INO, name, MODE).unwrap();
        assert!(storage.lookup(&Caller::ROOT, ROOT_INO, name).is_ok());
        assert!(storage.capabilities().xattrs);
        let inside = &*storage.inner;
        assert_eq!(storage.inode_count(), inside.inode_count());
        assert_eq!(storage.statfs(ROOT_INO), inside.statfs(ROOT_INO));
    }

    #[test]
    fn a_fault_takes_the_place_of_one_operation() {
        let storage = planted(NoName);
        let name = OsStr::new("d");
        storage.mkdir(&Caller::ROOT, ROOT_INO, name, MODE).unwrap();
        let found = storage.lookup(&Caller::ROOT, ROOT_INO, name);
        assert_eq!(found, Err(Errno::NOENT));
        assert!(storage.getattr(ROOT_INO, None).is_ok());
    }
}
