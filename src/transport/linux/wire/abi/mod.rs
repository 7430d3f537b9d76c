//! The FUSE protocol as the kernel's `include/uapi/linux/fuse.h` has it, up to version 7.45.
//!
//! Structures and constants have the header's names in Rust's spelling: `struct fuse_in_header` is
//! [`InHeader`], `FUSE_WRITE_KILL_SUIDGID` is [`WriteFlags::KILL_SUIDGID`]. Numbers are in the byte order
//! of the machine. Every structure is without padding that the compiler chose (`IntoBytes` proves it), so
//! what is written to the device never shows the kernel memory that was not meant for it.
#![allow(
    dead_code,
    unused_imports,
    reason = "the whole of the protocol, whether or not a mount uses it"
)]

mod flags;
mod notify;
mod opcode;
mod replies;
mod requests;

use rustix::ioctl::{Opcode as Ioctl, opcode as ioctl};

pub(crate) use flags::*;
pub(crate) use notify::*;
pub(crate) use opcode::*;
pub(crate) use replies::*;
pub(crate) use requests::*;

/// Major version of the protocol.
pub(crate) const KERNEL_VERSION: u32 = 7;

/// The newest minor version whose messages are known here (Linux 6.18).
pub(crate) const KERNEL_MINOR_VERSION: u32 = 45;

/// The kernel refuses to read a request into less (bytes, `FUSE_MIN_READ_BUFFER`).
pub(crate) const MIN_READ_BUFFER: usize = 8192;

/// The longest name that the kernel accepts in a listing (bytes, `FUSE_NAME_MAX` of `fs/fuse/fuse_i.h`).
pub(crate) const NAME_MAX: usize = 1024;

/// Set in the number of a request that the kernel sends a second time, after
/// [`NotifyCode::Resend`].
pub(crate) const UNIQUE_RESEND: u64 = 1 << 63;

/// User or group of a request whose caller has none in the mount's mapping.
pub(crate) const INVALID_UIDGID: u32 = u32::MAX;

/// Lengths in bytes, rounded up to the boundary of records of variable length (`FUSE_REC_ALIGN`).
pub(crate) const fn record_align(len: usize) -> usize {
    len.next_multiple_of(size_of::<u64>())
}

/// Declares structures that go over the wire as they are.
macro_rules! wire_structs {
    ($(
        $(#[$meta:meta])*
        $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* }
    )*) => {$(
        $(#[$meta])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Default,
            zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable,
        )]
        #[repr(C)]
        pub(crate) struct $name {
            $($(#[$field_meta])* pub(crate) $field: $type,)*
        }
    )*};
}
use wire_structs;

wire_structs! {
    /// `struct fuse_in_header`: the start of every request.
    InHeader {
        /// Bytes of the whole message, this header included.
        len: u32,
        /// A number of [`Opcode`].
        opcode: u32,
        /// Number of the request, which its answer repeats. The high bit is [`UNIQUE_RESEND`].
        unique: u64,
        /// Inode that the request concerns; 0 where it concerns none.
        nodeid: u64,
        /// Filesystem user id of the caller.
        uid: u32,
        /// Filesystem group id of the caller.
        gid: u32,
        /// Thread id of the caller; 0 when the kernel itself asks.
        pid: u32,
        /// Bytes of extensions at the end of the message, in units of 8 (since 7.38; 0 before).
        total_extlen: u16,
        padding: u16,
    }

    /// `struct fuse_out_header`: the start of every answer and notification.
    OutHeader {
        /// Bytes of the whole message, this header included.
        len: u32,
        /// 0, a negative error number, or in a notification its code.
        error: i32,
        /// Number of the request that is answered; 0 in a notification.
        unique: u64,
    }

    /// `struct fuse_attr`: attributes as stat(2) has them.
    Attr {
        ino: u64,
        size: u64,
        /// In units of 512 bytes.
        blocks: u64,
        /// Seconds since the epoch; a signed number in the bits of an unsigned one.
        atime: u64,
        mtime: u64,
        ctime: u64,
        atimensec: u32,
        mtimensec: u32,
        ctimensec: u32,
        mode: u32,
        nlink: u32,
        uid: u32,
        gid: u32,
        rdev: u32,
        blksize: u32,
        flags: AttrFlags,
    }

    /// `struct fuse_sx_time`: a time of statx(2).
    SxTime {
        tv_sec: i64,
        tv_nsec: u32,
        reserved: i32,
    }

    /// `struct fuse_statx`: attributes as statx(2) has them.
    Statx {
        /// `STATX_*`: which fields are filled in.
        mask: u32,
        blksize: u32,
        attributes: u64,
        nlink: u32,
        uid: u32,
        gid: u32,
        mode: u16,
        spare0: [u16; 1],
        ino: u64,
        size: u64,
        blocks: u64,
        attributes_mask: u64,
        atime: SxTime,
        btime: SxTime,
        ctime: SxTime,
        mtime: SxTime,
        rdev_major: u32,
        rdev_minor: u32,
        dev_major: u32,
        dev_minor: u32,
        spare2: [u64; 14],
    }

    /// `struct fuse_kstatfs`: figures of a file system.
    Kstatfs {
        /// In units of `frsize`.
        blocks: u64,
        bfree: u64,
        bavail: u64,
        files: u64,
        ffree: u64,
        bsize: u32,
        namelen: u32,
        frsize: u32,
        padding: u32,
        spare: [u32; 6],
    }

    /// `struct fuse_file_lock`: a lock of fcntl(2) or flock(2).
    FileLock {
        start: u64,
        /// The last byte, not the one after it.
        end: u64,
        /// `F_RDLCK`, `F_WRLCK` or `F_UNLCK`.
        kind: u32,
        /// Process, not thread.
        pid: u32,
    }

    /// `struct fuse_ioctl_iovec`: a piece of the caller's memory.
    IoctlIovec {
        base: u64,
        len: u64,
    }

    /// `struct fuse_backing_map`: what [`DEV_IOC_BACKING_OPEN`] takes.
    BackingMap {
        /// The file that the kernel shall use.
        fd: i32,
        /// 0; nothing else is defined.
        flags: u32,
        padding: u64,
    }
}

/// Group of the device's ioctls (`FUSE_DEV_IOC_MAGIC`).
const DEV_IOC_MAGIC: u8 = 229;

/// Makes a newly opened device a further way into the connection whose descriptor it is given.
pub(crate) const DEV_IOC_CLONE: Ioctl = ioctl::read::<u32>(DEV_IOC_MAGIC, 0);

/// Registers a backing file and returns its id.
pub(crate) const DEV_IOC_BACKING_OPEN: Ioctl = ioctl::write::<BackingMap>(DEV_IOC_MAGIC, 1);

/// Gives a backing id back.
pub(crate) const DEV_IOC_BACKING_CLOSE: Ioctl = ioctl::write::<u32>(DEV_IOC_MAGIC, 2);

/// mount(2) shall not return before INIT is answered (Linux 6.18).
pub(crate) const DEV_IOC_SYNC_INIT: Ioctl = ioctl::none(DEV_IOC_MAGIC, 3);
