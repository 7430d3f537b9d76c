//! All operations of a storage, for those that hand them on.

/// Hands the methods of [`FilesystemInterface`](super::FilesystemInterface) to a macro that forwards them. Every
/// method must be here: its default would hide what the storage inside has.
macro_rules! storage_operations {
    ($forward:ident) => {
        $forward! {
            fn capabilities(&self) -> StorageCapabilities;
            fn inode_count(&self) -> u64;
            fn watch(&self, listener: Arc<dyn ChangeListener>) -> Result<WatchMethod>;
            fn destroy(&self);
            fn lookup(&self, caller: &Caller, parent: Ino, name: &OsStr) -> Result<Entry>;
            fn folds_case(&self, parent: Ino) -> bool;
            fn forget(&self, ino: Ino, nlookup: u64);
            fn getattr(&self, ino: Ino, fh: Option<Fh>) -> Result<Attr>;
            fn setattr(&self, caller: &Caller, ino: Ino, changes: &SetAttr) -> Result<Attr>;
            fn readlink(&self, ino: Ino) -> Result<PathBuf>;
            fn mknod(
                &self, caller: &Caller, parent: Ino, name: &OsStr, mode: CreateMode, rdev: u32,
            ) -> Result<Entry>;
            fn mkdir(
                &self, caller: &Caller, parent: Ino, name: &OsStr, mode: CreateMode,
            ) -> Result<Entry>;
            fn unlink(&self, caller: &Caller, parent: Ino, name: &OsStr) -> Result<()>;
            fn rmdir(&self, caller: &Caller, parent: Ino, name: &OsStr) -> Result<()>;
            fn symlink(
                &self, caller: &Caller, parent: Ino, name: &OsStr, target: &Path,
            ) -> Result<Entry>;
            fn rename(
                &self, caller: &Caller, parent: Ino, name: &OsStr, newparent: Ino, newname: &OsStr,
                flags: RenameFlags,
            ) -> Result<()>;
            fn link(
                &self, caller: &Caller, ino: Ino, newparent: Ino, newname: &OsStr,
            ) -> Result<Entry>;
            fn open(&self, caller: &Caller, ino: Ino, flags: OpenFlags) -> Result<Fh>;
            fn create(
                &self, caller: &Caller, parent: Ino, name: &OsStr, mode: CreateMode, flags: OpenFlags,
            ) -> Result<(Entry, Fh)>;
            fn tmpfile(
                &self, caller: &Caller, parent: Ino, mode: CreateMode, flags: OpenFlags,
            ) -> Result<(Entry, Fh)>;
            fn backing_file(&self, ino: Ino, fh: Fh) -> Option<Arc<OwnedFd>>;
            fn file_to_read(&self, ino: Ino, fh: Fh) -> Option<Arc<OwnedFd>>;
            fn read(&self, ino: Ino, fh: Fh, offset: u64, buf: &mut [u8]) -> Result<usize>;
            fn write(
                &self, caller: &Caller, ino: Ino, fh: Fh, offset: u64, data: &[u8], flags: WriteFlags,
            ) -> Result<usize>;
            fn write_from(
                &self, caller: &Caller, ino: Ino, fh: Fh, offset: u64, pipe: BorrowedFd<'_>, len: usize,
                flags: WriteFlags,
            ) -> Result<usize>;
            fn flush(&self, ino: Ino, fh: Fh) -> Result<()>;
            fn release(&self, ino: Ino, fh: Fh) -> Result<()>;
            fn detach(&self, ino: Ino, fh: Fh) -> Result<()>;
            fn fsync(&self, ino: Ino, fh: Fh, datasync: bool) -> Result<()>;
            fn opendir(&self, caller: &Caller, ino: Ino) -> Result<Fh>;
            fn readdir(
                &self, ino: Ino, fh: Fh, offset: u64,
                sink: &mut dyn FnMut(&DirEntry<'_>) -> DirSink,
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
                &self, caller: &Caller, ino_in: Ino, fh_in: Fh, offset_in: u64, ino_out: Ino,
                fh_out: Fh, offset_out: u64, len: u64,
            ) -> Result<usize>;
            fn prefetch(&self, ino: Ino, fh: Fh, offset: u64, len: u64) -> Result<Prefetch>;
        }
    };
}

pub(super) use storage_operations;

#[cfg(test)]
mod tests {
    /// The names of the methods that a source text declares, sorted.
    fn methods(source: &str) -> Vec<&str> {
        let mut names: Vec<_> = source
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix("fn "))
            .filter_map(|rest| rest.split('(').next())
            .collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn every_method_of_the_trait_is_forwarded() {
        let (forwarded, _tests) = include_str!("operations.rs")
            .split_once("#[cfg(test)]")
            .expect("this module");
        let all = methods(include_str!("interface.rs"));
        assert!(all.len() > 40);
        assert_eq!(methods(forwarded), all);
    }
}
