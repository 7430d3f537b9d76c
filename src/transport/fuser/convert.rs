//! Between `fuser`'s types and this project's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, FopenFlags, Generation, INodeNo, TimeOrNow};

use crate::filesystem::{
    EntryAnswer, FileAccess, LockKind, LockRange, LockRequest, LockType, Opened,
};
use crate::platform::{F_RDLCK, F_UNLCK, F_WRLCK, IFlags};
use crate::storage::{Attr, Caller, Errno, Fh, FileKind, FsXAttr, Ino, Result, SetTime, Timestamp};

pub(super) fn caller(request: &fuser::Request) -> Caller {
    Caller {
        uid: request.uid(),
        gid: request.gid(),
        pid: request.pid(),
    }
}

pub(super) fn errno(error: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(error.raw_os_error())
}

pub(super) fn file_type(kind: FileKind) -> FileType {
    match kind {
        FileKind::RegularFile => FileType::RegularFile,
        FileKind::Directory => FileType::Directory,
        FileKind::Symlink => FileType::Symlink,
        FileKind::NamedPipe => FileType::NamedPipe,
        FileKind::CharDevice => FileType::CharDevice,
        FileKind::BlockDevice => FileType::BlockDevice,
        FileKind::Socket => FileType::Socket,
    }
}

pub(super) fn file_attr(attr: &Attr) -> FileAttr {
    FileAttr {
        ino: INodeNo(attr.ino),
        size: attr.size,
        blocks: attr.blocks,
        atime: attr.atime.into(),
        mtime: attr.mtime.into(),
        ctime: attr.ctime.into(),
        crtime: attr.btime.unwrap_or_default().into(),
        kind: file_type(attr.kind),
        perm: attr.perm,
        nlink: attr.nlink,
        uid: attr.uid,
        gid: attr.gid,
        rdev: attr.rdev,
        blksize: attr.blksize,
        flags: 0,
    }
}

/// The flags in the answer of an open.
pub(super) fn open_flags(opened: &Opened) -> FopenFlags {
    let mut flags = match opened.access {
        FileAccess::Passthrough(_) | FileAccess::Cached { keep: false } => FopenFlags::empty(),
        FileAccess::Cached { keep: true } => FopenFlags::FOPEN_KEEP_CACHE,
        FileAccess::Direct => {
            FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_PARALLEL_DIRECT_WRITES
        }
    };
    if opened.no_flush {
        flags |= FopenFlags::FOPEN_NOFLUSH;
    }
    flags
}

/// The attributes of a name that does not exist: inode number 0 tells the kernel so.
fn absent_attr() -> FileAttr {
    FileAttr {
        ino: INodeNo(0),
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: FileType::RegularFile,
        perm: 0,
        nlink: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 0,
        flags: 0,
    }
}

/// What the entry replies of `fuser` take.
pub(super) struct FuserEntry {
    pub(super) attr: FileAttr,
    pub(super) generation: Generation,
    pub(super) attr_ttl: Duration,
    pub(super) entry_ttl: Duration,
}

impl FuserEntry {
    /// One lifetime for both, where the reply has room for only one.
    pub(super) fn shorter_ttl(&self) -> Duration {
        self.attr_ttl.min(self.entry_ttl)
    }
}

impl From<EntryAnswer> for FuserEntry {
    fn from(answer: EntryAnswer) -> FuserEntry {
        match answer {
            EntryAnswer::Found {
                attr,
                generation,
                attr_ttl,
                entry_ttl,
            } => FuserEntry {
                attr: file_attr(&attr),
                generation: Generation(generation),
                attr_ttl,
                entry_ttl,
            },
            EntryAnswer::Absent { entry_ttl } => FuserEntry {
                attr: absent_attr(),
                generation: Generation(0),
                attr_ttl: Duration::ZERO,
                entry_ttl,
            },
        }
    }
}

pub(super) fn set_time(time: TimeOrNow) -> SetTime {
    match time {
        TimeOrNow::SpecificTime(time) => SetTime::At(timestamp(time)),
        TimeOrNow::Now => SetTime::Now,
    }
}

/// The time that the kernel sent.
///
/// `fuser` 0.18 turns seconds `s` and nanoseconds `n` before the epoch into `-(|s| + n)` instead of
/// `-|s| + n`; taken apart the same way, the original comes back. Its version is pinned for
/// this.
pub(super) fn timestamp(time: SystemTime) -> Timestamp {
    match time.duration_since(UNIX_EPOCH) {
        Ok(_) => time.into(),
        Err(before) => Timestamp {
            secs: -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
            nanos: before.duration().subsec_nanos(),
        },
    }
}

/// What a SETLK or GETLK asks.
pub(super) enum LockOp {
    Lock(LockRequest),
    Unlock(LockRequest),
}

/// A lock as the kernel sends it: `fuse_file_lock`, both ends included, `typ` one of `F_RDLCK`,
/// `F_WRLCK`, `F_UNLCK`.
pub(super) fn lock_op(
    ino: Ino,
    fh: Fh,
    owner: u64,
    pid: u32,
    (start, end): (u64, u64),
    typ: i32,
) -> Result<LockOp> {
    let request = |kind| {
        Ok(LockRequest {
            ino,
            fh,
            owner,
            pid,
            lock_type: LockType::Posix,
            kind,
            range: LockRange::new(start, end)?,
        })
    };
    match typ {
        F_RDLCK => Ok(LockOp::Lock(request(LockKind::Read)?)),
        F_WRLCK => Ok(LockOp::Lock(request(LockKind::Write)?)),
        F_UNLCK => Ok(LockOp::Unlock(request(LockKind::Read)?)),
        _ => Err(Errno::INVAL),
    }
}

pub(super) fn raw_lock_kind(kind: LockKind) -> i32 {
    match kind {
        LockKind::Read => F_RDLCK,
        LockKind::Write => F_WRLCK,
    }
}

/// The ioctls that concern an inode and not a device: the only ones that are let through.
pub(super) enum InodeIoctl {
    GetFlags,
    SetFlags(IFlags),
    GetFsXAttr,
    SetFsXAttr(FsXAttr),
}

/// `FS_IOC_GETFLAGS` and `FS_IOC_SETFLAGS` of Linux's `fs.h`; other kernels send no such ioctl.
const FS_IOC_GETFLAGS: u64 = 0x8008_6601;
const FS_IOC_SETFLAGS: u64 = 0x4008_6602;

/// `FS_IOC_FSGETXATTR` and `FS_IOC_FSSETXATTR` of the kernel's `fs.h`.
const FS_IOC_FSGETXATTR: u64 = 0x801c_581f;
const FS_IOC_FSSETXATTR: u64 = 0x401c_5820;

/// Bytes of `struct fsxattr`: five numbers and eight bytes of padding.
const FSXATTR_SIZE: usize = 28;

/// `struct fsxattr` as bytes.
pub(super) fn fsxattr_bytes(attributes: &FsXAttr) -> Vec<u8> {
    let fields = [
        attributes.xflags,
        attributes.extsize,
        attributes.nextents,
        attributes.projid,
        attributes.cowextsize,
    ];
    let mut bytes: Vec<u8> = fields
        .iter()
        .flat_map(|field| field.to_ne_bytes())
        .collect();
    bytes.resize(FSXATTR_SIZE, 0);
    bytes
}

fn fsxattr(bytes: &[u8]) -> Result<FsXAttr> {
    let bytes = bytes.first_chunk::<FSXATTR_SIZE>().ok_or(Errno::INVAL)?;
    let field = |n: usize| {
        let mut field = [0; 4];
        field.copy_from_slice(&bytes[4 * n..4 * n + 4]);
        u32::from_ne_bytes(field)
    };
    Ok(FsXAttr {
        xflags: field(0),
        extsize: field(1),
        nextents: field(2),
        projid: field(3),
        cowextsize: field(4),
    })
}

/// Recognises an ioctl (ioctl_iflags(2)). The kernel passes the flags as 32 bits, whatever the size
/// encoded in the number says (`fuse_fileattr_get` in `fs/fuse/ioctl.c`).
pub(super) fn inode_ioctl(cmd: u32, data: &[u8]) -> Result<InodeIoctl> {
    match u64::from(cmd) {
        FS_IOC_GETFLAGS => Ok(InodeIoctl::GetFlags),
        FS_IOC_SETFLAGS => {
            let bits = data.first_chunk::<4>().ok_or(Errno::INVAL)?;
            Ok(InodeIoctl::SetFlags(IFlags::from_bits_retain(
                u32::from_ne_bytes(*bits),
            )))
        }
        FS_IOC_FSGETXATTR => Ok(InodeIoctl::GetFsXAttr),
        FS_IOC_FSSETXATTR => Ok(InodeIoctl::SetFsXAttr(fsxattr(data)?)),
        _ => Err(Errno::NOTTY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_the_epoch_come_back_as_the_kernel_sent_them() {
        // What fuser 0.18 makes of { secs: -2, nanos: 800_000_000 }.
        let from_fuser = UNIX_EPOCH - Duration::new(2, 800_000_000);
        assert_eq!(
            timestamp(from_fuser),
            Timestamp {
                secs: -2,
                nanos: 800_000_000
            }
        );
        let after = UNIX_EPOCH + Duration::new(2, 5);
        assert_eq!(timestamp(after), Timestamp { secs: 2, nanos: 5 });
    }

    #[test]
    fn extended_flags_survive_the_way_through_bytes() {
        let attributes = FsXAttr {
            xflags: 1,
            extsize: 2,
            nextents: 3,
            projid: 4,
            cowextsize: 5,
        };
        assert_eq!(fsxattr(&fsxattr_bytes(&attributes)), Ok(attributes));
        assert_eq!(fsxattr(&[0; FSXATTR_SIZE - 1]), Err(Errno::INVAL));
    }

    #[test]
    fn an_absent_name_has_inode_number_zero_and_a_lifetime() {
        let entry = FuserEntry::from(EntryAnswer::Absent {
            entry_ttl: Duration::from_secs(3),
        });
        assert_eq!(entry.attr.ino, INodeNo(0));
        assert_eq!(entry.entry_ttl, Duration::from_secs(3));
    }
}
