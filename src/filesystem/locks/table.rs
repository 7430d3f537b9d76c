//! The locks held on one inode.

use super::types::{Conflict, LockKind, LockRange, LockRequest, LockType};
use crate::storage::Fh;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) fh: Fh,
    pub(super) owner: u64,
    pub(super) pid: u32,
    pub(super) lock_type: LockType,
    pub(super) kind: LockKind,
    pub(super) range: LockRange,
}

impl Held {
    fn same_owner(&self, request: &LockRequest) -> bool {
        self.lock_type == request.lock_type && self.owner == request.owner
    }

    fn conflicts(&self, request: &LockRequest) -> bool {
        let same_space =
            (self.lock_type == LockType::Flock) == (request.lock_type == LockType::Flock);
        same_space
            && !self.same_owner(request)
            && (self.kind == LockKind::Write || request.kind == LockKind::Write)
            && self.range.overlaps(request.range)
    }
}

/// All locks held on an inode. The locks of one owner never overlap each other.
#[derive(Debug, Default)]
pub(super) struct Table {
    held: Vec<Held>,
}

impl Table {
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> &[Held] {
        &self.held
    }

    pub(super) fn conflicts<'a>(
        &'a self,
        request: &'a LockRequest,
    ) -> impl Iterator<Item = &'a Held> {
        self.held.iter().filter(|held| held.conflicts(request))
    }

    /// The conflicting lock that starts first.
    pub(super) fn first_conflict(&self, request: &LockRequest) -> Option<Conflict> {
        self.conflicts(request)
            .min_by_key(|held| held.range.start())
            .map(|held| Conflict {
                kind: held.kind,
                range: held.range,
                pid: (held.lock_type != LockType::Ofd).then_some(held.pid),
            })
    }

    /// Records a lock that conflicts with nothing. It replaces what its owner holds in the range
    /// and merges with neighbours of its kind.
    ///
    /// A merged lock belongs to the newer open file. That is safe: closing any descriptor of the
    /// file drops all POSIX locks of the process, and an OFD owner has one open file only.
    pub(super) fn insert(&mut self, request: &LockRequest) {
        let mut range = request.range;
        let mut split = Vec::new();
        self.held.retain(|held| {
            if !held.same_owner(request) || !held.range.touches(request.range) {
                return true;
            }
            if held.kind == request.kind {
                range = range.union(held.range);
                return false;
            }
            let rest = held.range.without(request.range);
            split.extend(rest.map(|range| Held { range, ..*held }));
            false
        });
        self.held.append(&mut split);
        self.held.push(Held {
            fh: request.fh,
            owner: request.owner,
            pid: request.pid,
            lock_type: request.lock_type,
            kind: request.kind,
            range,
        });
    }

    /// Drops what an owner holds in a range. True when that was anything.
    pub(super) fn remove(&mut self, lock_type: LockType, owner: u64, range: LockRange) -> bool {
        let mut split = Vec::new();
        let mut removed = false;
        self.held.retain(|held| {
            let hit =
                held.lock_type == lock_type && held.owner == owner && held.range.overlaps(range);
            if hit {
                removed = true;
                let rest = held.range.without(range);
                split.extend(rest.map(|range| Held { range, ..*held }));
            }
            !hit
        });
        self.held.append(&mut split);
        removed
    }

    /// Drops all that was locked through an open file.
    pub(super) fn remove_handle(&mut self, fh: Fh) {
        self.held.retain(|held| held.fh != fh);
    }

    /// The kind of the flock(2) lock of `owner`.
    pub(super) fn flock_kind(&self, owner: u64) -> Option<LockKind> {
        self.held
            .iter()
            .find(|held| held.lock_type == LockType::Flock && held.owner == owner)
            .map(|held| held.kind)
    }
}
