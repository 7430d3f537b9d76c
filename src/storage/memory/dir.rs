//! The names of a directory.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::ops::Bound;
use std::sync::Arc;

use hashbrown::HashMap;

use super::budget::{Budget, Charge};
use crate::storage::{FileKind, Ino, Result};

/// What a name costs beside its bytes.
const NAME_COST: u64 = 64;

/// The cookies of `.` and `..`; names have higher ones.
pub(super) const COOKIE_DOT: u64 = 1;
pub(super) const COOKIE_DOT_DOT: u64 = 2;

/// Where a name leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) ino: Ino,
    pub(super) kind: FileKind,
}

#[derive(Debug)]
struct Name {
    name: Arc<OsStr>,
    target: Target,
    /// Returned to the budget with the name.
    _charge: Charge,
}

/// A directory: each name has an id that only grows, which is its cookie in a listing. A name that
/// stays keeps its id, so a listing meets it exactly once whatever comes and goes around it.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) parent: Ino,
    /// Set by rmdir(2); nothing can be created in it any more.
    pub(super) removed: bool,
    subdirs: u32,
    ids: HashMap<Arc<OsStr>, u64>,
    names: BTreeMap<u64, Name>,
    next_id: u64,
}

impl Directory {
    pub(super) fn new(parent: Ino) -> Directory {
        Directory {
            parent,
            removed: false,
            subdirs: 0,
            ids: HashMap::new(),
            names: BTreeMap::new(),
            next_id: COOKIE_DOT_DOT + 1,
        }
    }

    pub(super) fn get(&self, name: &OsStr) -> Option<Target> {
        self.ids.get(name).map(|id| self.names[id].target)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub(super) fn subdirs(&self) -> u32 {
        self.subdirs
    }

    /// Makes `name` lead to `target`. A name that exists keeps its place in the listing.
    pub(super) fn set(&mut self, budget: &Arc<Budget>, name: &OsStr, target: Target) -> Result<()> {
        if let Some(id) = self.ids.get(name) {
            let entry = self.names.get_mut(id).expect("each id has its name");
            let old = std::mem::replace(&mut entry.target, target);
            self.count_subdir(old, -1);
        } else {
            let charge = Charge::take(budget, NAME_COST + name.len() as u64)?;
            let shared: Arc<OsStr> = Arc::from(name);
            let entry = Name {
                name: Arc::clone(&shared),
                target,
                _charge: charge,
            };
            self.ids.insert(shared, self.next_id);
            self.names.insert(self.next_id, entry);
            self.next_id += 1;
        }
        self.count_subdir(target, 1);
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &OsStr) {
        if let Some(id) = self.ids.remove(name) {
            let entry = self.names.remove(&id).expect("each id has its name");
            self.count_subdir(entry.target, -1);
        }
    }

    /// Up to `max` names after the cookie `after`.
    pub(super) fn list(&self, after: u64, max: usize) -> Vec<(u64, OsString, Target)> {
        self.names
            .range((Bound::Excluded(after), Bound::Unbounded))
            .take(max)
            .map(|(id, entry)| (*id, entry.name.to_os_string(), entry.target))
            .collect()
    }

    fn count_subdir(&mut self, target: Target, change: i32) {
        if target.kind == FileKind::Directory {
            self.subdirs = self.subdirs.saturating_add_signed(change);
        }
    }
}
