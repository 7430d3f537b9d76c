//! The vocabulary shared by storages and the filesystem above them.
//!
//! Nothing here knows of FUSE: a storage that is never mounted (in a test, behind another
//! protocol) uses the same types.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::platform::mode;
use rustix::fs::OFlags;

/// The error of every storage and filesystem operation: a POSIX error number.
///
/// Re-exported from `rustix`, so that the errors of system calls pass through unconverted.
/// See errno(3).
pub use rustix::io::Errno;

/// Result of a storage or filesystem operation.
pub type Result<T> = std::result::Result<T, Errno>;

/// An inode number as the kernel knows it (the FUSE *node id*).
///
/// Any value except 0; [`ROOT_INO`] is the root. A number is never reused while the kernel may
/// still hold it.
pub type Ino = u64;

/// The inode number of the root directory (`FUSE_ROOT_ID` of the kernel's `fuse.h`).
pub const ROOT_INO: Ino = 1;

/// A file handle: names one open file or directory from `open` to `release`.
pub type Fh = u64;

/// The handle of an inode that nobody opened, see [`WithoutOpen`].
pub const NO_HANDLE: Fh = 0;

/// Who makes a request: the credentials that the kernel sent with it.
///
/// Supplementary groups are not part of a FUSE request, except [one](Self::directory_group); a storage that needs
/// the others reads them from `/proc/PID/status`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Caller {
    /// Filesystem user id of the calling thread; [`u32::MAX`] where it [is not told](Self::is_unknown).
    pub uid: u32,
    /// Filesystem group id of the calling thread; [`u32::MAX`] likewise.
    pub gid: u32,
    /// Thread id of the caller, in the pid namespace of the mount; 0 when the kernel itself asks
    /// (readahead, writeback).
    pub pid: u32,
    /// False where the kernel says that set-user-id and set-group-id bits go with what this request writes or
    /// truncates (set-group-id with the ACL that it sets), whoever asks: the caller has no `CAP_FSETID`
    /// (`FUSE_WRITE_KILL_SUIDGID` and its like). With true, they go unless the user is 0 or [unknown](Self::is_unknown).
    pub keeps_set_ids: bool,
    /// Of a creation: the group of the directory, where it is not `gid` and the caller is known to be a member
    /// (`FUSE_CREATE_SUPP_GROUP`, since Linux 6.3). None says nothing: the kernel or the transport may not tell.
    pub directory_group: Option<u32>,
    /// Of a creation, with `security_ctx`: the label of what is created. None says nothing.
    pub label: Option<Arc<SecurityLabel>>,
}

impl Caller {
    /// The superuser, as the kernel's own requests carry it.
    pub const ROOT: Caller = Caller {
        uid: 0,
        gid: 0,
        pid: 0,
        keeps_set_ids: true,
        directory_group: None,
        label: None,
    };

    /// Whether the kernel does not tell who asks (`FUSE_INVALID_UIDGID`): with `allow_idmap` it does so only of
    /// what is created. It has checked permissions then.
    pub fn is_unknown(&self) -> bool {
        self.uid == u32::MAX
    }
}

/// What a security module of the kernel wants kept with an object: an extended attribute from its first
/// moment on (`FUSE_SECURITY_CTX`, since Linux 5.17; SELinux).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SecurityLabel {
    /// Name of the attribute: `security.selinux`.
    pub name: OsString,
    /// Its value: a context, with the zero byte at its end.
    pub value: Vec<u8>,
}

/// What kind of object an inode is (the `S_IFMT` part of its mode, see inode(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// Regular file.
    RegularFile,
    /// Directory.
    Directory,
    /// Symbolic link.
    Symlink,
    /// FIFO.
    NamedPipe,
    /// Character device.
    CharDevice,
    /// Block device.
    BlockDevice,
    /// Unix domain socket.
    Socket,
}

impl FileKind {
    /// The kind in a full `st_mode`; `None` when its type bits name no known kind.
    pub fn from_mode(mode: u32) -> Option<FileKind> {
        Some(match mode & mode::S_IFMT {
            mode::S_IFREG => FileKind::RegularFile,
            mode::S_IFDIR => FileKind::Directory,
            mode::S_IFLNK => FileKind::Symlink,
            mode::S_IFIFO => FileKind::NamedPipe,
            mode::S_IFCHR => FileKind::CharDevice,
            mode::S_IFBLK => FileKind::BlockDevice,
            mode::S_IFSOCK => FileKind::Socket,
            _ => return None,
        })
    }

    /// The type bits of `st_mode` for this kind.
    pub fn mode_bits(self) -> u32 {
        match self {
            FileKind::RegularFile => mode::S_IFREG,
            FileKind::Directory => mode::S_IFDIR,
            FileKind::Symlink => mode::S_IFLNK,
            FileKind::NamedPipe => mode::S_IFIFO,
            FileKind::CharDevice => mode::S_IFCHR,
            FileKind::BlockDevice => mode::S_IFBLK,
            FileKind::Socket => mode::S_IFSOCK,
        }
    }
}

/// A point in time as stat(2) has it: seconds and nanoseconds since the epoch.
///
/// Times before the epoch have negative seconds and a nanosecond part that counts forward, as in
/// the kernel's `timespec64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    /// Seconds since 1970-01-01T00:00:00Z; may be negative.
    pub secs: i64,
    /// Nanoseconds, 0 to 999,999,999, added to `secs`.
    pub nanos: u32,
}

impl Timestamp {
    /// The present moment.
    pub fn now() -> Timestamp {
        SystemTime::now().into()
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Timestamp {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Timestamp {
                secs: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
                nanos: after.subsec_nanos(),
            },
            Err(before) => {
                let before = before.duration();
                let secs = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
                match before.subsec_nanos() {
                    0 => Timestamp {
                        secs: -secs,
                        nanos: 0,
                    },
                    nanos => Timestamp {
                        secs: -secs - 1,
                        nanos: 1_000_000_000 - nanos,
                    },
                }
            }
        }
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> SystemTime {
        let whole = Duration::from_secs(time.secs.unsigned_abs());
        let nanos = Duration::from_nanos(u64::from(time.nanos));
        let base = if time.secs >= 0 {
            UNIX_EPOCH.checked_add(whole)
        } else {
            UNIX_EPOCH.checked_sub(whole)
        };
        base.and_then(|base| base.checked_add(nanos))
            .unwrap_or(UNIX_EPOCH)
    }
}

/// Attributes of an inode, as stat(2) and statx(2) report them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attr {
    /// Inode number.
    pub ino: Ino,
    /// Size in bytes.
    pub size: u64,
    /// Space in use, in units of 512 bytes.
    pub blocks: u64,
    /// Preferred size of I/O in bytes.
    pub blksize: u32,
    /// Kind of object.
    pub kind: FileKind,
    /// Permission bits with set-user-id, set-group-id and sticky: `mode & 0o7777`.
    pub perm: u16,
    /// Number of hard links.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number of a device node, in the kernel's 32-bit encoding (`new_encode_dev`).
    pub rdev: u32,
    /// Last access.
    pub atime: Timestamp,
    /// Last change of the contents.
    pub mtime: Timestamp,
    /// Last change of the attributes.
    pub ctime: Timestamp,
    /// Birth, where the storage records it.
    pub btime: Option<Timestamp>,
}

impl Attr {
    /// Attributes of an empty object that belongs to root, with one link, no permissions, and all
    /// times at the present moment: a start to fill in from.
    pub fn new(ino: Ino, kind: FileKind) -> Attr {
        let now = Timestamp::now();
        Attr {
            ino,
            size: 0,
            blocks: 0,
            blksize: 4096,
            kind,
            perm: 0,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            atime: now,
            mtime: now,
            ctime: now,
            btime: None,
        }
    }
}

/// The answer to a lookup or a creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Attributes of the inode, its number among them.
    pub attr: Attr,
    /// Distinguishes two files that had the same inode number one after the other.
    pub generation: u64,
    /// How long the attributes may be cached; `None` leaves it to the configuration.
    pub attr_ttl: Option<Duration>,
    /// How long the name may be cached; `None` leaves it to the configuration.
    pub entry_ttl: Option<Duration>,
}

impl Entry {
    /// An entry whose lifetimes the configuration decides.
    pub fn new(attr: Attr, generation: u64) -> Entry {
        Entry {
            attr,
            generation,
            attr_ttl: None,
            entry_ttl: None,
        }
    }
}

/// A time to set: a given one or the present, see utimensat(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetTime {
    /// This very time.
    At(Timestamp),
    /// The present, decided by the storage (`UTIME_NOW`).
    Now,
}

/// Which attributes to change; those that are `None` stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SetAttr {
    /// New permission bits (`mode & 0o7777`), chmod(2).
    pub mode: Option<u32>,
    /// New owner, chown(2).
    pub uid: Option<u32>,
    /// New group, chown(2).
    pub gid: Option<u32>,
    /// New size, truncate(2).
    pub size: Option<u64>,
    /// New access time, utimensat(2).
    pub atime: Option<SetTime>,
    /// New modification time, utimensat(2).
    pub mtime: Option<SetTime>,
    /// New change time. Sent only by a kernel that owns the times (writeback cache); a storage
    /// that cannot set it ignores it.
    pub ctime: Option<Timestamp>,
    /// The open file through which the change was asked (ftruncate(2)), when the kernel says so.
    pub fh: Option<Fh>,
    /// Drop set-user-id, set-group-id and file capabilities, as write(2) by the caller does. A new
    /// size or owner drops them anyway; alone, it comes with a write that the kernel makes itself.
    pub kill_suidgid: bool,
}

/// Mode of an object to create, with the caller's umask.
///
/// The umask is not yet applied: a directory with a default ACL ignores it (acl(5)), and only the
/// storage knows that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreateMode {
    /// Full mode, the type bits (`S_IFMT`) included where the call carries them.
    pub mode: u32,
    /// The caller's umask.
    pub umask: u32,
}

/// How a write reached the filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriteFlags {
    /// The data come from the kernel's page cache: caller and file handle need not be those of
    /// the process that wrote (`FUSE_WRITE_CACHE`).
    pub from_page_cache: bool,
}

/// One name of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirEntry<'a> {
    /// Inode number, as `d_ino`: informative, it raises no lookup count.
    pub ino: Ino,
    /// The cookie to continue *after* this entry.
    pub offset: u64,
    /// Kind of the object; `None` where the storage does not know without a lookup.
    pub kind: Option<FileKind>,
    /// The name; `.` and `..` included.
    pub name: &'a std::ffi::OsStr,
}

/// What a consumer of directory entries wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirSink {
    /// The entry was taken; go on.
    Taken,
    /// The entry was *not* taken (the buffer is full); stop.
    Full,
}

/// Figures of a file system, see statvfs(3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StatFs {
    /// Size in units of `frsize`.
    pub blocks: u64,
    /// Free blocks.
    pub bfree: u64,
    /// Free blocks for the unprivileged.
    pub bavail: u64,
    /// Number of inodes.
    pub files: u64,
    /// Free inodes.
    pub ffree: u64,
    /// Preferred block size in bytes.
    pub bsize: u32,
    /// Longest name in bytes.
    pub namelen: u32,
    /// Unit of the block counts in bytes.
    pub frsize: u32,
}

/// What lseek(2) looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeekTo {
    /// The next data at or after the offset (`SEEK_DATA`).
    Data,
    /// The next hole at or after the offset (`SEEK_HOLE`).
    Hole,
}

/// What a prefetch came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefetch {
    /// The storage starts reading by itself, into a cache of its own (the kernel's page cache of
    /// the backing file, say).
    Started,
    /// The storage has no cache: whoever wants the data early must read and keep them.
    Unsupported,
}

/// What reading does to the times of access behind a mount (mount(8), `noatime` and its like).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AccessTimes {
    /// What it does on the mount where the directory lies.
    #[default]
    Inherited,
    /// Nothing.
    Kept,
    /// Nothing to directories; to others, a time is set where it would be older than the last change, or is
    /// older than a day.
    KeptOfDirectories,
    /// Every time is set.
    Strict,
}

/// Who checks permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PermissionChecks {
    /// The kernel, before it asks (mount option `default_permissions`): operations run with the
    /// daemon's rights, and what is created or written counts as the caller's. The default.
    #[default]
    Kernel,
    /// The storage, as the caller of each operation. The local storage lets the backing file
    /// system check, at the price of a read of `/proc/PID/status` for the supplementary groups;
    /// the memory storage checks mode bits against user and primary group.
    Storage,
}

/// What a storage is, so that the filesystem above can choose its fast paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageCapabilities {
    /// Open files have a descriptor of a kernel file behind them
    /// ([`backing_file`](super::FilesystemInterface::backing_file)): passthrough is possible.
    pub kernel_backed: bool,
    /// Extended attributes are supported.
    pub xattrs: bool,
    /// POSIX ACLs are stored and enforced (`system.posix_acl_*`).
    pub posix_acls: bool,
    /// Nothing but this mount changes the data, so caches need no expiry.
    pub exclusive: bool,
    /// [`flush`](super::FilesystemInterface::flush) has something to say: errors of earlier writes
    /// appear at close(2), as on a network file system. Otherwise closes may send no request.
    pub flush_on_close: bool,
    /// [`Caller::label`] is kept with what is created, or the creation fails.
    pub security_labels: bool,
    /// What works without being opened.
    pub without_open: WithoutOpen,
}

/// What a storage does by the inode alone. Where it is so, the operations of open files or directories
/// also take the handle 0, for an inode that nobody opened, and a mount can do without the
/// requests OPEN and RELEASE or OPENDIR and RELEASEDIR. The storage does not check permissions then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WithoutOpen {
    /// Reading, writing and all else of open files.
    pub files: bool,
    /// Listings: a cookie leads to the same place whenever and by whomever it is used.
    pub directories: bool,
}

/// Extended flags of an inode, `struct fsxattr` of the kernel's `fs.h` (ioctl_xfs_fsgetxattr(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FsXAttr {
    /// `FS_XFLAG_*`.
    pub xflags: u32,
    /// Hint for the size of extents in bytes.
    pub extsize: u32,
    /// Number of extents; set by the file system.
    pub nextents: u32,
    /// Project, for quotas.
    pub projid: u32,
    /// Hint for the size of copied extents in bytes.
    pub cowextsize: u32,
}

/// Access mode and flags of open(2), as the kernel sends them.
///
/// `O_CREAT`, `O_EXCL` and `O_NOCTTY` never reach a storage through `open`.
pub type OpenFlags = OFlags;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_survive_the_way_through_system_time() {
        for (secs, nanos) in [
            (0, 0),
            (1, 1),
            (-1, 0),
            (-1, 999_999_999),
            (-5, 1),
            (1 << 34, 7),
        ] {
            let time = Timestamp { secs, nanos };
            assert_eq!(Timestamp::from(SystemTime::from(time)), time);
        }
    }

    #[test]
    fn kinds_and_mode_bits_agree() {
        for mode in [
            mode::S_IFREG,
            mode::S_IFDIR,
            mode::S_IFLNK,
            mode::S_IFIFO,
            mode::S_IFCHR,
            mode::S_IFBLK,
            mode::S_IFSOCK,
        ] {
            let kind = FileKind::from_mode(mode | 0o644).expect("a known kind");
            assert_eq!(kind.mode_bits(), mode);
        }
        assert_eq!(FileKind::from_mode(0o644), None);
    }
}
