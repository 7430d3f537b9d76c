//! What follows the header of an answer.

use super::{
    Attr, FileLock, FopenFlags, InitFlags, IoctlFlags, KERNEL_MINOR_VERSION, KERNEL_VERSION,
    Kstatfs, Statx, wire_structs,
};

wire_structs! {
    /// `struct fuse_init_out`.
    InitOut {
        major: u32,
        minor: u32,
        /// Bytes; the kernel takes the smaller of this and its own.
        max_readahead: u32,
        /// Lower half of [`InitFlags`].
        flags: u32,
        max_background: u16,
        congestion_threshold: u16,
        /// Bytes of data in a WRITE.
        max_write: u32,
        /// Nanoseconds between two times that the file system can tell apart.
        time_gran: u32,
        /// Pages of a request, with [`InitFlags::MAX_PAGES`].
        max_pages: u16,
        map_alignment: u16,
        /// Upper half of [`InitFlags`], with [`InitFlags::INIT_EXT`].
        flags2: u32,
        /// With [`InitFlags::PASSTHROUGH`]: how many file systems deep backing files may be, and one.
        max_stack_depth: u32,
        /// Seconds, with [`InitFlags::REQUEST_TIMEOUT`].
        request_timeout: u16,
        unused: [u16; 11],
    }

    /// `struct fuse_entry_out`: a name was found or made.
    EntryOut {
        /// 0: the name does not exist, and that may be cached.
        nodeid: u64,
        generation: u64,
        /// Lifetime of the name: whole seconds.
        entry_valid: u64,
        /// Lifetime of the attributes: whole seconds.
        attr_valid: u64,
        entry_valid_nsec: u32,
        attr_valid_nsec: u32,
        attr: Attr,
    }

    /// `struct fuse_attr_out`.
    AttrOut {
        /// Lifetime of the attributes: whole seconds.
        attr_valid: u64,
        attr_valid_nsec: u32,
        dummy: u32,
        attr: Attr,
    }

    /// `struct fuse_statx_out`.
    StatxOut {
        /// Lifetime of the attributes: whole seconds.
        attr_valid: u64,
        attr_valid_nsec: u32,
        flags: u32,
        spare: [u64; 2],
        stat: Statx,
    }

    /// `struct fuse_open_out`: also the answer to OPENDIR.
    OpenOut {
        fh: u64,
        open_flags: FopenFlags,
        /// With [`FopenFlags::PASSTHROUGH`].
        backing_id: i32,
    }

    /// The answer to CREATE and TMPFILE: `struct fuse_entry_out` and `struct fuse_open_out`.
    CreateOut {
        entry: EntryOut,
        open: OpenOut,
    }

    /// `struct fuse_write_out`: also the answer to COPY_FILE_RANGE.
    WriteOut {
        size: u32,
        padding: u32,
    }

    /// `struct fuse_copy_file_range_out`: the answer to COPY_FILE_RANGE_64.
    CopyFileRangeOut {
        bytes_copied: u64,
    }

    /// `struct fuse_statfs_out`.
    StatfsOut {
        st: Kstatfs,
    }

    /// `struct fuse_getxattr_out`: the answer to a GETXATTR or LISTXATTR that asks for the length alone.
    GetxattrOut {
        size: u32,
        padding: u32,
    }

    /// `struct fuse_lk_out`.
    LkOut {
        lk: FileLock,
    }

    /// `struct fuse_bmap_out`.
    BmapOut {
        block: u64,
    }

    /// `struct fuse_ioctl_out`; data follow.
    IoctlOut {
        /// What ioctl(2) returns.
        result: i32,
        flags: IoctlFlags,
        in_iovs: u32,
        out_iovs: u32,
    }

    /// `struct fuse_poll_out`.
    PollOut {
        /// `POLL*`.
        revents: u32,
        padding: u32,
    }

    /// `struct fuse_lseek_out`.
    LseekOut {
        offset: u64,
    }

    /// `struct fuse_dirent`: an entry of a READDIR; the name and zeros up to the next multiple of 8
    /// follow.
    Dirent {
        ino: u64,
        /// The cookie to go on after this entry.
        off: u64,
        namelen: u32,
        /// Type bits of the mode, shifted right by 12.
        kind: u32,
    }

    /// `struct fuse_direntplus`: an entry of a READDIRPLUS; the name and zeros follow.
    Direntplus {
        /// `nodeid` 0: no lookup was made, and none is counted.
        entry: EntryOut,
        dirent: Dirent,
    }
}

impl InitOut {
    /// An answer of version 7.45 that takes `flags`, with all limits 0. The kernel looks at the upper half
    /// only where the lower says so.
    pub(crate) fn new(flags: InitFlags) -> InitOut {
        let low = InitFlags::from_bits_retain(u32::MAX.into());
        let flags = match low.contains(flags) {
            true => flags,
            false => flags | InitFlags::INIT_EXT,
        };
        let bits = flags.bits();
        InitOut {
            major: KERNEL_VERSION,
            minor: KERNEL_MINOR_VERSION,
            flags: bits as u32,
            flags2: (bits >> 32) as u32,
            ..InitOut::default()
        }
    }
}
