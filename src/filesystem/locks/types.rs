//! What a lock is.

use crate::storage::{Errno, Fh, Ino};

/// Shared or exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LockKind {
    /// Shared: `F_RDLCK`, `LOCK_SH`.
    Read,
    /// Exclusive: `F_WRLCK`, `LOCK_EX`.
    Write,
}

/// Which of the kernel's lock families a request belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LockType {
    /// fcntl(2) `F_SETLK`: byte ranges of a process. Waiting in a circle is `EDEADLK`.
    Posix,
    /// fcntl(2) `F_OFD_SETLK`: byte ranges of an open file description. They conflict with POSIX
    /// locks; deadlocks are not looked for. A FUSE request does not tell them from POSIX locks, only
    /// their owner differs: a FUSE transport uses [`Posix`](LockType::Posix) for both.
    Ofd,
    /// flock(2): the whole file, of an open file description. No conflict with the other two.
    Flock,
}

/// Bytes of a file, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LockRange {
    start: u64,
    end: u64,
}

impl LockRange {
    /// The last byte that a file can have, the kernel's `OFFSET_MAX`: "to end of file".
    pub const EOF: u64 = i64::MAX as u64;

    /// The whole file.
    pub const WHOLE: LockRange = LockRange {
        start: 0,
        end: LockRange::EOF,
    };

    /// The bytes `start..=end`; an `end` past [`EOF`](Self::EOF) means end of file.
    ///
    /// # Errors
    /// `EINVAL` when the range is empty or starts past the last possible byte.
    pub fn new(start: u64, end: u64) -> Result<LockRange, Errno> {
        let end = end.min(LockRange::EOF);
        if start > end {
            return Err(Errno::INVAL);
        }
        Ok(LockRange { start, end })
    }

    /// First byte.
    pub fn start(self) -> u64 {
        self.start
    }

    /// Last byte.
    pub fn end(self) -> u64 {
        self.end
    }

    /// Have the two a byte in common?
    pub fn overlaps(self, other: LockRange) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    /// Do the two overlap, or does one begin right after the other?
    pub(super) fn touches(self, other: LockRange) -> bool {
        // Ends are at most `i64::MAX`, so adding one cannot overflow.
        self.start <= other.end + 1 && other.start <= self.end + 1
    }

    pub(super) fn union(self, other: LockRange) -> LockRange {
        LockRange {
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }

    /// What is left of it without `cut`.
    pub(super) fn without(self, cut: LockRange) -> impl Iterator<Item = LockRange> {
        let before = (self.start < cut.start).then(|| LockRange {
            start: self.start,
            end: self.end.min(cut.start.wrapping_sub(1)),
        });
        let after = (self.end > cut.end).then(|| LockRange {
            start: self.start.max(cut.end + 1),
            end: self.end,
        });
        before.into_iter().chain(after)
    }
}

/// A lock that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockRequest {
    /// The file.
    pub ino: Ino,
    /// The open file through which the lock is asked; names what
    /// [`release_handle`](super::LockManager::release_handle) drops.
    pub fh: Fh,
    /// Who owns the lock: the kernel's `lock_owner`, a number for a process (POSIX) or for an open
    /// file description (OFD, flock).
    pub owner: u64,
    /// The process, for `F_GETLK`.
    pub pid: u32,
    /// The family.
    pub lock_type: LockType,
    /// Shared or exclusive.
    pub kind: LockKind,
    /// The bytes; flock takes [`LockRange::WHOLE`] whatever is given.
    pub range: LockRange,
}

/// A lock that stands in the way, as `F_GETLK` reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict {
    /// Shared or exclusive.
    pub kind: LockKind,
    /// The bytes of the whole lock.
    pub range: LockRange,
    /// The process that holds it; `None` for an OFD lock, which no process owns.
    pub pid: Option<u32>,
}

/// Names a request that waits. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WaitId(pub(super) u64);
