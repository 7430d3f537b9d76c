//! The trait that a storage implements.

use std::ffi::OsStr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::Access;

use super::changes::{ChangeListener, WatchMethod};
use super::types::*;
use crate::platform::{FallocateFlags, IFlags, RenameFlags, XattrFlags};

/// A storage: what holds the files that a mount shows.
///
/// Operations are inode-based and take `&self`; several threads call them at once. Every method
/// has a default, which says "not supported" in the way the kernel understands: a storage
/// implements what it has.
///
/// # Lookup counts
///
/// Each successful [`lookup`](Self::lookup), [`mknod`](Self::mknod), [`mkdir`](Self::mkdir),
/// [`symlink`](Self::symlink), [`link`](Self::link), [`create`](Self::create),
/// [`tmpfile`](Self::tmpfile), and each entry *taken* from [`readdirplus`](Self::readdirplus) except `.` and `..`, raises the lookup count of
/// the inode it returns by one. [`forget`](Self::forget) lowers it. The number stays valid until
/// the count is zero, whatever happens to the names. [`readdir`](Self::readdir) raises nothing.
/// (Linux, `Documentation/filesystems/fuse`; `FUSE_FORGET` in `fuse.h`.)
///
/// # Permissions
///
/// A mount with `default_permissions` lets the kernel check; without it the storage checks, as
/// `caller`. Either way, what is created belongs to `caller`.
///
/// The README has a storage of one file in twenty lines.
#[allow(unused_variables, clippy::too_many_arguments)]
pub trait FilesystemInterface: Send + Sync {
    /// What this storage is and has. Asked once, before mounting.
    fn capabilities(&self) -> StorageCapabilities {
        StorageCapabilities {
            kernel_backed: false,
            xattrs: false,
            posix_acls: false,
            exclusive: false,
            flush_on_close: true,
            security_labels: false,
            without_open: WithoutOpen::default(),
        }
    }

    /// How many inodes the kernel holds references to now, for statistics; 0 where not counted.
    fn inode_count(&self) -> u64 {
        0
    }

    /// Tells `listener`, from a thread of the storage and until [`destroy`](Self::destroy), what changes by
    /// other ways than through this storage. Asked once, before the first request, where the mount is to
    /// `watch`.
    ///
    /// # Errors
    /// `ENOSYS` when the storage cannot know.
    fn watch(&self, listener: Arc<dyn ChangeListener>) -> Result<WatchMethod> {
        Err(Errno::NOSYS)
    }

    /// The mount is gone: write out what is held, free what is kept. Called once.
    fn destroy(&self) {}

    /// Finds `name` in the directory `parent`. Raises the lookup count.
    ///
    /// # Errors
    /// `ENOENT` when there is no such name, `ENOTDIR`, `EACCES`, `ENAMETOOLONG`.
    fn lookup(&self, caller: &Caller, parent: Ino, name: &OsStr) -> Result<Entry> {
        Err(Errno::NOENT)
    }

    /// Whether several spellings name one entry of the directory `parent`, because case or normal form
    /// do not count there. The kernel compares bytes, so the absence of a name of it is not cached, and
    /// entries of it should have an [`entry_ttl`](Entry::entry_ttl) of zero.
    fn folds_case(&self, parent: Ino) -> bool {
        false
    }

    /// The kernel drops `nlookup` references to `ino`.
    fn forget(&self, ino: Ino, nlookup: u64) {}

    /// Attributes of `ino`, through the open file `fh` where given (fstat(2)).
    fn getattr(&self, ino: Ino, fh: Option<Fh>) -> Result<Attr> {
        Err(Errno::NOSYS)
    }

    /// Changes attributes and returns the new ones. All that is asked, or an error.
    fn setattr(&self, caller: &Caller, ino: Ino, changes: &SetAttr) -> Result<Attr> {
        Err(Errno::NOSYS)
    }

    /// Target of a symbolic link, verbatim.
    fn readlink(&self, ino: Ino) -> Result<PathBuf> {
        Err(Errno::NOSYS)
    }

    /// Creates a file node of any kind but a directory or a link. Raises the lookup count.
    fn mknod(
        &self,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
        mode: CreateMode,
        rdev: u32,
    ) -> Result<Entry> {
        Err(Errno::NOSYS)
    }

    /// Creates a directory. Raises the lookup count.
    fn mkdir(&self, caller: &Caller, parent: Ino, name: &OsStr, mode: CreateMode) -> Result<Entry> {
        Err(Errno::NOSYS)
    }

    /// Removes a name of anything but a directory. Open files and the inode stay usable.
    fn unlink(&self, caller: &Caller, parent: Ino, name: &OsStr) -> Result<()> {
        Err(Errno::NOSYS)
    }

    /// Removes an empty directory.
    fn rmdir(&self, caller: &Caller, parent: Ino, name: &OsStr) -> Result<()> {
        Err(Errno::NOSYS)
    }

    /// Creates a symbolic link to `target`. Raises the lookup count.
    fn symlink(&self, caller: &Caller, parent: Ino, name: &OsStr, target: &Path) -> Result<Entry> {
        Err(Errno::PERM)
    }

    /// Renames, atomically; flags as in renameat2(2): `NOREPLACE`, `EXCHANGE`, `WHITEOUT`.
    ///
    /// # Errors
    /// `EINVAL` for flags that the storage does not know.
    fn rename(
        &self,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
        newparent: Ino,
        newname: &OsStr,
        flags: RenameFlags,
    ) -> Result<()> {
        Err(Errno::NOSYS)
    }

    /// Gives `ino` a further name. Raises the lookup count.
    fn link(&self, caller: &Caller, ino: Ino, newparent: Ino, newname: &OsStr) -> Result<Entry> {
        Err(Errno::PERM)
    }

    /// Opens a file. `O_TRUNC` may be among the flags and is carried out here.
    fn open(&self, caller: &Caller, ino: Ino, flags: OpenFlags) -> Result<Fh> {
        Ok(0)
    }

    /// Creates and opens a file; with `O_EXCL` only if it does not exist. Raises the lookup count.
    fn create(
        &self,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
        mode: CreateMode,
        flags: OpenFlags,
    ) -> Result<(Entry, Fh)> {
        Err(Errno::NOSYS)
    }

    /// Creates and opens a file without a name in the directory `parent`, open(2) with `O_TMPFILE`.
    /// Raises the lookup count. [`link`](Self::link) may give it a name later, unless `O_EXCL` is among
    /// the flags.
    fn tmpfile(
        &self,
        caller: &Caller,
        parent: Ino,
        mode: CreateMode,
        flags: OpenFlags,
    ) -> Result<(Entry, Fh)> {
        Err(Errno::NOSYS)
    }

    /// The kernel file behind an open file, for passthrough.
    ///
    /// The kernel reopens it with the flags of each FUSE file, so any access mode will do, but
    /// not `O_PATH`. `None` where there is none.
    fn backing_file(&self, ino: Ino, fh: Fh) -> Option<Arc<OwnedFd>> {
        None
    }

    /// The kernel file that [`read`](Self::read) reads from, where it does nothing else: a transport may then
    /// splice(2) from it, and not ask `read`. `None` where there is none, or it cannot be opened; `read` then
    /// tells why.
    fn file_to_read(&self, ino: Ino, fh: Fh) -> Option<Arc<OwnedFd>> {
        None
    }

    /// Reads into `buf` from `offset` (bytes); fewer bytes than asked mean end of file.
    fn read(&self, ino: Ino, fh: Fh, offset: u64, buf: &mut [u8]) -> Result<usize> {
        Err(Errno::NOSYS)
    }

    /// Writes `data` at `offset` (bytes) and says how many bytes it took.
    ///
    /// An open file with `O_APPEND` gets its offset from the kernel, except with a writeback
    /// cache. Set-user-id and set-group-id bits are dropped as write(2) by `caller` would.
    fn write(
        &self,
        caller: &Caller,
        ino: Ino,
        fh: Fh,
        offset: u64,
        data: &[u8],
        flags: WriteFlags,
    ) -> Result<usize> {
        Err(Errno::NOSYS)
    }

    /// As [`write`](Self::write), of the `len` bytes that are in a pipe: they can go to a kernel file by splice(2) without
    /// a copy in this process. Asked only with [`kernel_backed`](StorageCapabilities::kernel_backed), and instead of
    /// `write`.
    ///
    /// # Errors
    /// Any says that nothing was written and nothing taken out of the pipe: `write` is then asked, with the data, and
    /// tells what is wrong, or can do it. `ENOSYS` when it always is.
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
        Err(Errno::NOSYS)
    }

    /// A descriptor of the open file was closed: errors of earlier writes may be told here.
    fn flush(&self, ino: Ino, fh: Fh) -> Result<()> {
        Ok(())
    }

    /// The last descriptor and mapping of the open file is gone.
    fn release(&self, ino: Ino, fh: Fh) -> Result<()> {
        Ok(())
    }

    /// The open file lives on without its handle, because no release will come
    /// ([`WithoutOpen`]): as [`release`](Self::release), but what is open may be kept a while for the
    /// operations by inode that follow.
    fn detach(&self, ino: Ino, fh: Fh) -> Result<()> {
        self.release(ino, fh)
    }

    /// Makes contents (and, unless `datasync`, attributes) durable before it returns, fsync(2).
    fn fsync(&self, ino: Ino, fh: Fh, datasync: bool) -> Result<()> {
        Err(Errno::NOSYS)
    }

    /// Opens a directory.
    fn opendir(&self, caller: &Caller, ino: Ino) -> Result<Fh> {
        Ok(0)
    }

    /// Hands the names after the cookie `offset` (0: from the start) to `sink`, until there are no
    /// more or it answers [`DirSink::Full`]. A name that exists during the whole listing comes
    /// exactly once, `.` and `..` too.
    fn readdir(
        &self,
        ino: Ino,
        fh: Fh,
        offset: u64,
        sink: &mut dyn FnMut(&DirEntry<'_>) -> DirSink,
    ) -> Result<()> {
        Err(Errno::NOSYS)
    }

    /// Like [`readdir`](Self::readdir), with a lookup of each name.
    ///
    /// The entry is `None` for `.`, for `..`, and for a name whose lookup failed. Exactly those entries
    /// that `sink` *takes* raise the lookup count.
    fn readdirplus(
        &self,
        caller: &Caller,
        ino: Ino,
        fh: Fh,
        offset: u64,
        sink: &mut dyn FnMut(&DirEntry<'_>, Option<&Entry>) -> DirSink,
    ) -> Result<()> {
        self.readdir(ino, fh, offset, &mut |dirent| {
            if dirent.name == "." || dirent.name == ".." {
                return sink(dirent, None);
            }
            let entry = self.lookup(caller, ino, dirent.name).ok();
            let answer = sink(dirent, entry.as_ref());
            if let (DirSink::Full, Some(entry)) = (answer, entry) {
                self.forget(entry.attr.ino, 1);
            }
            answer
        })
    }

    /// The open directory is closed.
    fn releasedir(&self, ino: Ino, fh: Fh) -> Result<()> {
        Ok(())
    }

    /// Makes the names of an open directory durable, fsync(2) of a directory.
    fn fsyncdir(&self, ino: Ino, fh: Fh, datasync: bool) -> Result<()> {
        Err(Errno::NOSYS)
    }

    /// Figures of the file system that holds `ino`.
    fn statfs(&self, ino: Ino) -> Result<StatFs> {
        Ok(StatFs {
            bsize: 4096,
            frsize: 4096,
            namelen: 255,
            ..StatFs::default()
        })
    }

    /// The whole value of an extended attribute, xattr(7).
    ///
    /// # Errors
    /// `ENODATA` when there is no such attribute, `ENOTSUP` when there are none at all.
    fn getxattr(&self, caller: &Caller, ino: Ino, name: &OsStr) -> Result<Vec<u8>> {
        Err(Errno::NOTSUP)
    }

    /// The names of the extended attributes, each ended by NUL, as listxattr(2) returns them.
    fn listxattr(&self, caller: &Caller, ino: Ino) -> Result<Vec<u8>> {
        Err(Errno::NOTSUP)
    }

    /// Sets an extended attribute; `CREATE` and `REPLACE` as in setxattr(2).
    fn setxattr(
        &self,
        caller: &Caller,
        ino: Ino,
        name: &OsStr,
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<()> {
        Err(Errno::NOTSUP)
    }

    /// Removes an extended attribute.
    fn removexattr(&self, caller: &Caller, ino: Ino, name: &OsStr) -> Result<()> {
        Err(Errno::NOTSUP)
    }

    /// May `caller` do this? access(2), chdir(2). Asked only without `default_permissions`.
    fn access(&self, caller: &Caller, ino: Ino, mask: Access) -> Result<()> {
        Err(Errno::NOSYS)
    }

    /// Allocates, punches or zeroes a range (bytes), fallocate(2).
    fn fallocate(
        &self,
        caller: &Caller,
        ino: Ino,
        fh: Fh,
        mode: FallocateFlags,
        offset: u64,
        len: u64,
    ) -> Result<()> {
        Err(Errno::OPNOTSUPP)
    }

    /// Flags of an inode, as lsattr(1) shows them (ioctl_iflags(2), `FS_IOC_GETFLAGS`).
    fn getflags(&self, ino: Ino) -> Result<IFlags> {
        Err(Errno::NOTTY)
    }

    /// Sets the flags of an inode, as chattr(1) does (`FS_IOC_SETFLAGS`).
    fn setflags(&self, caller: &Caller, ino: Ino, flags: IFlags) -> Result<()> {
        Err(Errno::NOTTY)
    }

    /// Extended flags and project of an inode (`FS_IOC_FSGETXATTR`). The kernel asks for them
    /// before each [`setflags`](Self::setflags).
    fn get_fsxattr(&self, ino: Ino) -> Result<FsXAttr> {
        Err(Errno::NOTTY)
    }

    /// Sets extended flags and project of an inode (`FS_IOC_FSSETXATTR`).
    fn set_fsxattr(&self, caller: &Caller, ino: Ino, attributes: &FsXAttr) -> Result<()> {
        Err(Errno::NOTTY)
    }

    /// Finds data or a hole, lseek(2) with `SEEK_DATA` or `SEEK_HOLE`.
    ///
    /// # Errors
    /// `ENXIO` when `offset` is at or past end of file; `ENOSYS` lets the kernel treat the whole file as
    /// data.
    fn lseek(&self, ino: Ino, fh: Fh, offset: u64, to: SeekTo) -> Result<u64> {
        Err(Errno::NOSYS)
    }

    /// Copies a range (bytes) between two open files inside the storage, copy_file_range(2).
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
        Err(Errno::NOSYS)
    }

    /// The range (bytes) will be read soon.
    fn prefetch(&self, ino: Ino, fh: Fh, offset: u64, len: u64) -> Result<Prefetch> {
        Ok(Prefetch::Unsupported)
    }
}
