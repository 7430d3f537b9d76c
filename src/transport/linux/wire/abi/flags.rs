//! Flags of requests and answers.

/// Declares sets of flags that go over the wire as one number. Bits without a name are kept.
macro_rules! wire_flags {
    ($(
        $(#[$meta:meta])*
        $name:ident: $bits:ty { $($(#[$inner:ident $($args:tt)*])* $flag:ident = $shift:literal,)* }
    )*) => {$(
        $(#[$meta])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, Default,
            zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable,
        )]
        #[repr(transparent)]
        pub(crate) struct $name($bits);

        bitflags::bitflags! {
            impl $name: $bits {
                $($(#[$inner $($args)*])* const $flag = 1 << $shift;)*
                const _ = !0;
            }
        }
    )*};
}

wire_flags! {
    /// INIT: what a kernel offers and what a daemon takes of it. The upper half travels in `flags2`.
    InitFlags: u64 {
        /// Several reads of a file at a time.
        ASYNC_READ = 0,
        /// fcntl(2) locks are requests.
        POSIX_LOCKS = 1,
        /// Not used by any kernel.
        FILE_OPS = 2,
        /// `O_TRUNC` comes with OPEN.
        ATOMIC_O_TRUNC = 3,
        /// LOOKUP of `.` and `..` works, so file handles outlive the caches.
        EXPORT_SUPPORT = 4,
        /// Writes of more than a page; always in force since 4.2.
        BIG_WRITES = 5,
        /// The daemon applies the umask.
        DONT_MASK = 6,
        /// Answers may be spliced into the device.
        SPLICE_WRITE = 7,
        /// Pages of a splice may be moved.
        SPLICE_MOVE = 8,
        /// Requests may be spliced out of the device.
        SPLICE_READ = 9,
        /// flock(2) locks are requests.
        FLOCK_LOCKS = 10,
        /// ioctl(2) on directories.
        HAS_IOCTL_DIR = 11,
        /// Cached pages are dropped when size or modification time changed.
        AUTO_INVAL_DATA = 12,
        /// READDIRPLUS instead of READDIR.
        DO_READDIRPLUS = 13,
        /// READDIRPLUS only where it has paid.
        READDIRPLUS_AUTO = 14,
        /// Direct I/O in parallel.
        ASYNC_DIO = 15,
        /// Dirty pages are kept and written later.
        WRITEBACK_CACHE = 16,
        /// `ENOSYS` to OPEN means that opens need no request.
        NO_OPEN_SUPPORT = 17,
        /// LOOKUP and READDIR of one directory in parallel.
        PARALLEL_DIROPS = 18,
        /// The daemon drops set-id bits on write, chown and truncate: the first form, without flags.
        HANDLE_KILLPRIV = 19,
        /// POSIX ACLs are checked and cached by the kernel.
        POSIX_ACL = 20,
        /// After an abort, reads of the device end with `ECONNABORTED`.
        ABORT_ERROR = 21,
        /// `max_pages` of the answer is valid.
        MAX_PAGES = 22,
        /// Targets of symbolic links are cached.
        CACHE_SYMLINKS = 23,
        /// `ENOSYS` to OPENDIR means that opens need no request.
        NO_OPENDIR_SUPPORT = 24,
        /// Cached pages are dropped only when the daemon says so.
        EXPLICIT_INVAL_DATA = 25,
        /// `map_alignment` of the answer is valid.
        MAP_ALIGNMENT = 26,
        /// Directories may be roots of mounts of their own.
        SUBMOUNTS = 27,
        /// The daemon drops set-id bits where a flag of the request says so.
        HANDLE_KILLPRIV_V2 = 28,
        /// SETXATTR has the longer arguments.
        SETXATTR_EXT = 29,
        /// `flags2` is valid.
        INIT_EXT = 30,
        /// Reserved.
        INIT_RESERVED = 31,
        /// Creations bring the security context of what is created.
        SECURITY_CTX = 32,
        /// DAX per inode.
        HAS_INODE_DAX = 33,
        /// Creations bring the caller's supplementary group that matches the directory.
        CREATE_SUPP_GROUP = 34,
        /// Names can be expired instead of invalidated.
        HAS_EXPIRE_ONLY = 35,
        /// Shared mappings of files open for direct I/O.
        DIRECT_IO_ALLOW_MMAP = 36,
        /// The kernel may read and write backing files itself.
        PASSTHROUGH = 37,
        /// File handles do not outlive the caches, and the kernel shall not try.
        NO_EXPORT_SUPPORT = 38,
        /// Requests can be asked for again.
        HAS_RESEND = 39,
        /// Mounts of this file system may map ids.
        ALLOW_IDMAP = 40,
        /// Requests over io_uring.
        OVER_IO_URING = 41,
        /// `request_timeout` of the answer is valid.
        REQUEST_TIMEOUT = 42,
    }

    /// `fuse_attr.flags`.
    AttrFlags: u32 {
        /// The root of a submount.
        SUBMOUNT = 0,
        /// DAX for this inode.
        DAX = 1,
    }

    /// `FATTR_*`: which fields of a SETATTR are valid.
    SetattrValid: u32 {
        MODE = 0,
        UID = 1,
        GID = 2,
        SIZE = 3,
        ATIME = 4,
        MTIME = 5,
        FH = 6,
        /// Now, whatever `atime` says.
        ATIME_NOW = 7,
        /// Now, whatever `mtime` says.
        MTIME_NOW = 8,
        LOCKOWNER = 9,
        CTIME = 10,
        /// Drop set-id bits and capabilities.
        KILL_SUIDGID = 11,
    }

    /// `FUSE_GETATTR_*`.
    GetattrFlags: u32 {
        /// `fh` is valid.
        FH = 0,
    }

    /// `FUSE_OPEN_*`: what OPEN and CREATE ask beside the flags of open(2).
    OpenRequestFlags: u32 {
        /// Drop set-id bits, because the open truncates.
        KILL_SUIDGID = 0,
    }

    /// `FOPEN_*`: the way of the data of an open file, in the answer.
    FopenFlags: u32 {
        /// Past the page cache.
        DIRECT_IO = 0,
        /// Pages cached before stay valid.
        KEEP_CACHE = 1,
        NONSEEKABLE = 2,
        /// The listing of this directory may be cached.
        CACHE_DIR = 3,
        /// No position at all.
        STREAM = 4,
        /// No FLUSH at close(2).
        NOFLUSH = 5,
        /// Direct writes of one file in parallel.
        PARALLEL_DIRECT_WRITES = 6,
        /// The kernel uses the file of `backing_id`.
        PASSTHROUGH = 7,
    }

    /// `FUSE_READ_*`.
    ReadFlags: u32 {
        /// `lock_owner` is valid.
        LOCKOWNER = 1,
    }

    /// `FUSE_WRITE_*`.
    WriteFlags: u32 {
        /// From the page cache: the handle is any that is open for writing, the caller anybody.
        CACHE = 0,
        /// `lock_owner` is valid.
        LOCKOWNER = 1,
        /// Drop set-id bits and capabilities.
        KILL_SUIDGID = 2,
    }

    /// `FUSE_RELEASE_*`.
    ReleaseFlags: u32 {
        /// As FLUSH.
        FLUSH = 0,
        /// Drop the locks of flock(2) of `lock_owner`.
        FLOCK_UNLOCK = 1,
    }

    /// `FUSE_FSYNC_*`.
    FsyncFlags: u32 {
        /// The contents alone, as fdatasync(2).
        FDATASYNC = 0,
    }

    /// `FUSE_LK_*`.
    LkFlags: u32 {
        /// A lock of flock(2).
        FLOCK = 0,
    }

    /// `FUSE_SETXATTR_*`.
    SetxattrFlags: u32 {
        /// Drop the set-group-id bit, because an ACL is set.
        ACL_KILL_SGID = 0,
    }

    /// `FUSE_IOCTL_*`.
    IoctlFlags: u32 {
        /// Of a 32-bit program on a 64-bit kernel.
        COMPAT = 0,
        /// Sizes are not those that the command encodes.
        UNRESTRICTED = 1,
        /// In the answer: again, with these pieces of memory.
        RETRY = 2,
        /// A 32-bit ioctl.
        BITS_32 = 3,
        /// On a directory.
        DIR = 4,
        /// Of an x32 program.
        COMPAT_X32 = 5,
    }

    /// `FUSE_POLL_*`.
    PollFlags: u32 {
        /// A notification is wanted.
        SCHEDULE_NOTIFY = 0,
    }

    /// Flags of [`NotifyInvalEntryOut`](super::NotifyInvalEntryOut).
    NotifyEntryFlags: u32 {
        /// The name is looked up again before it is used, but mounts and working directories on it stay.
        EXPIRE_ONLY = 0,
    }
}
