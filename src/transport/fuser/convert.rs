//! Between `fuser`'s types and this project's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, FopenFlags, Generation, INodeNo, TimeOrNow};

use crate::filesystem::{EntryAnswer, FileAccess, Opened};
use crate::storage::{Attr, Caller, Errno, FileKind, SetTime, Timestamp};

pub(super) fn caller(request: &fuser::Request) -> Caller {
    Caller {
        uid: request.uid(),
        gid: request.gid(),
        pid: request.pid(),
        keeps_set_ids: true,
        directory_group: None,
        label: None,
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
    fn an_absent_name_has_inode_number_zero_and_a_lifetime() {
        let entry = FuserEntry::from(EntryAnswer::Absent {
            entry_ttl: Duration::from_secs(3),
        });
        assert_eq!(entry.attr.ino, INodeNo(0));
        assert_eq!(entry.entry_ttl, Duration::from_secs(3));
    }
}
