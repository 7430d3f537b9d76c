//! Locks as the kernel sends them.

use crate::filesystem::{LockKind, LockRange, LockRequest, LockType};
use crate::platform::{F_RDLCK, F_UNLCK, F_WRLCK};
use crate::storage::{Errno, Fh, Ino, Result};

/// What a SETLK or GETLK asks.
pub(super) enum LockOp {
    Lock(LockRequest),
    Unlock(LockRequest),
}

/// Which file, through which handle, and for whom.
#[derive(Clone, Copy)]
pub(super) struct Locker {
    pub(super) ino: Ino,
    pub(super) fh: Fh,
    pub(super) owner: u64,
    pub(super) pid: u32,
    pub(super) lock_type: LockType,
}

impl Locker {
    /// The request for a `fuse_file_lock`: both ends included, `typ` one of `F_RDLCK`, `F_WRLCK`,
    /// `F_UNLCK`.
    pub(super) fn op(self, (start, end): (u64, u64), typ: i32) -> Result<LockOp> {
        let request = |kind| {
            Ok(LockRequest {
                ino: self.ino,
                fh: self.fh,
                owner: self.owner,
                pid: self.pid,
                lock_type: self.lock_type,
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
}

pub(super) fn raw_lock_kind(kind: LockKind) -> i32 {
    match kind {
        LockKind::Read => F_RDLCK,
        LockKind::Write => F_WRLCK,
    }
}
