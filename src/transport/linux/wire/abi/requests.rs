//! What follows the header of a request. Names and data follow these.

use super::{
    FileLock, FsyncFlags, GetattrFlags, InitFlags, IoctlFlags, LkFlags, OpenRequestFlags,
    PollFlags, ReadFlags, ReleaseFlags, SetattrValid, SetxattrFlags, WriteFlags, wire_structs,
};

wire_structs! {
    /// `struct fuse_init_in`. Kernels before 7.36 send the first four fields.
    InitIn {
        major: u32,
        minor: u32,
        /// Bytes.
        max_readahead: u32,
        /// Lower half of [`InitFlags`].
        flags: u32,
        /// Upper half of [`InitFlags`], with [`InitFlags::INIT_EXT`].
        flags2: u32,
        unused: [u32; 11],
    }

    /// `struct fuse_forget_in`.
    ForgetIn {
        nlookup: u64,
    }

    /// `struct fuse_batch_forget_in`; as many [`ForgetOne`] follow.
    BatchForgetIn {
        count: u32,
        dummy: u32,
    }

    /// `struct fuse_forget_one`.
    ForgetOne {
        nodeid: u64,
        nlookup: u64,
    }

    /// `struct fuse_getattr_in`.
    GetattrIn {
        getattr_flags: GetattrFlags,
        dummy: u32,
        fh: u64,
    }

    /// `struct fuse_statx_in`.
    StatxIn {
        getattr_flags: GetattrFlags,
        reserved: u32,
        fh: u64,
        /// `AT_STATX_*`.
        sx_flags: u32,
        /// `STATX_*`: the fields that are wanted.
        sx_mask: u32,
    }

    /// `struct fuse_setattr_in`.
    SetattrIn {
        valid: SetattrValid,
        padding: u32,
        fh: u64,
        size: u64,
        lock_owner: u64,
        /// Seconds since the epoch; a signed number in the bits of an unsigned one.
        atime: u64,
        mtime: u64,
        ctime: u64,
        atimensec: u32,
        mtimensec: u32,
        ctimensec: u32,
        mode: u32,
        unused4: u32,
        uid: u32,
        gid: u32,
        unused5: u32,
    }

    /// `struct fuse_mknod_in`.
    MknodIn {
        mode: u32,
        rdev: u32,
        umask: u32,
        padding: u32,
    }

    /// `struct fuse_mkdir_in`.
    MkdirIn {
        mode: u32,
        umask: u32,
    }

    /// `struct fuse_rename_in`.
    RenameIn {
        newdir: u64,
    }

    /// `struct fuse_rename2_in`.
    Rename2In {
        newdir: u64,
        /// `RENAME_*`.
        flags: u32,
        padding: u32,
    }

    /// `struct fuse_link_in`.
    LinkIn {
        oldnodeid: u64,
    }

    /// `struct fuse_open_in`: also of OPENDIR.
    OpenIn {
        /// `O_*`.
        flags: u32,
        open_flags: OpenRequestFlags,
    }

    /// `struct fuse_create_in`: also of TMPFILE.
    CreateIn {
        /// `O_*`.
        flags: u32,
        mode: u32,
        umask: u32,
        open_flags: OpenRequestFlags,
    }

    /// `struct fuse_release_in`: also of RELEASEDIR.
    ReleaseIn {
        fh: u64,
        /// `O_*`.
        flags: u32,
        release_flags: ReleaseFlags,
        lock_owner: u64,
    }

    /// `struct fuse_flush_in`.
    FlushIn {
        fh: u64,
        unused: u32,
        padding: u32,
        lock_owner: u64,
    }

    /// `struct fuse_read_in`: also of READDIR and READDIRPLUS.
    ReadIn {
        fh: u64,
        offset: u64,
        size: u32,
        read_flags: ReadFlags,
        lock_owner: u64,
        /// `O_*`.
        flags: u32,
        padding: u32,
    }

    /// `struct fuse_write_in`.
    WriteIn {
        fh: u64,
        offset: u64,
        /// Bytes of data that follow.
        size: u32,
        write_flags: WriteFlags,
        lock_owner: u64,
        /// `O_*`.
        flags: u32,
        padding: u32,
    }

    /// `struct fuse_fsync_in`: also of FSYNCDIR.
    FsyncIn {
        fh: u64,
        fsync_flags: FsyncFlags,
        padding: u32,
    }

    /// `struct fuse_setxattr_in` without [`InitFlags::SETXATTR_EXT`].
    SetxattrInCompat {
        /// Bytes of the value.
        size: u32,
        /// `XATTR_*`.
        flags: u32,
    }

    /// `struct fuse_setxattr_in` with [`InitFlags::SETXATTR_EXT`].
    SetxattrIn {
        /// Bytes of the value.
        size: u32,
        /// `XATTR_*`.
        flags: u32,
        setxattr_flags: SetxattrFlags,
        padding: u32,
    }

    /// `struct fuse_getxattr_in`: also of LISTXATTR.
    GetxattrIn {
        /// Bytes that there is room for; 0 asks for the length alone.
        size: u32,
        padding: u32,
    }

    /// `struct fuse_lk_in`.
    LkIn {
        fh: u64,
        owner: u64,
        lk: FileLock,
        lk_flags: LkFlags,
        padding: u32,
    }

    /// `struct fuse_access_in`.
    AccessIn {
        /// `R_OK`, `W_OK`, `X_OK`.
        mask: u32,
        padding: u32,
    }

    /// `struct fuse_interrupt_in`.
    InterruptIn {
        /// The request whose caller was interrupted.
        unique: u64,
    }

    /// `struct fuse_bmap_in`.
    BmapIn {
        block: u64,
        blocksize: u32,
        padding: u32,
    }

    /// `struct fuse_ioctl_in`.
    IoctlIn {
        fh: u64,
        flags: IoctlFlags,
        cmd: u32,
        arg: u64,
        /// Bytes of data that follow.
        in_size: u32,
        /// Bytes of data that the answer may have.
        out_size: u32,
    }

    /// `struct fuse_poll_in`.
    PollIn {
        fh: u64,
        /// Names the poll in a notification.
        kh: u64,
        flags: PollFlags,
        /// `POLL*`.
        events: u32,
    }

    /// `struct fuse_notify_retrieve_in`.
    NotifyRetrieveIn {
        dummy1: u64,
        offset: u64,
        /// Bytes of data that follow.
        size: u32,
        dummy2: u32,
        dummy3: u64,
        dummy4: u64,
    }

    /// `struct fuse_fallocate_in`.
    FallocateIn {
        fh: u64,
        offset: u64,
        length: u64,
        /// `FALLOC_FL_*`.
        mode: u32,
        padding: u32,
    }

    /// `struct fuse_lseek_in`.
    LseekIn {
        fh: u64,
        offset: u64,
        /// `SEEK_*`.
        whence: u32,
        padding: u32,
    }

    /// `struct fuse_copy_file_range_in`: also of COPY_FILE_RANGE_64.
    CopyFileRangeIn {
        fh_in: u64,
        off_in: u64,
        nodeid_out: u64,
        fh_out: u64,
        off_out: u64,
        len: u64,
        flags: u64,
    }

    /// `struct fuse_syncfs_in`.
    SyncfsIn {
        padding: u64,
    }

    /// `struct fuse_ext_header`: the start of each extension. The start of security contexts,
    /// `struct fuse_secctx_header`, looks the same, with their number as `kind`.
    ExtHeader {
        /// Bytes of the extension, this header included.
        size: u32,
        /// Up to [`MAX_NR_SECCTX`] that many security contexts, otherwise the kind of extension.
        kind: u32,
    }

    /// `struct fuse_secctx`; the name, a NUL and the context follow.
    Secctx {
        /// Bytes of the context.
        size: u32,
        padding: u32,
    }
}

/// The most security contexts of a request (`FUSE_MAX_NR_SECCTX`).
pub(crate) const MAX_NR_SECCTX: u32 = 31;

/// Kind of the extension with supplementary groups: `struct fuse_supp_groups`, a number and as many
/// groups of 4 bytes.
pub(crate) const EXT_GROUPS: u32 = 32;

impl InitIn {
    /// What the kernel offers.
    pub(crate) fn offered(&self) -> InitFlags {
        let low = InitFlags::from_bits_retain(self.flags.into());
        if low.contains(InitFlags::INIT_EXT) {
            low | InitFlags::from_bits_retain(u64::from(self.flags2) << 32)
        } else {
            low
        }
    }
}
