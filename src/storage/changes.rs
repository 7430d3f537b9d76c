//! What a storage tells of changes that were not made through it.

use std::ffi::OsStr;
use std::fmt;

use super::types::Ino;

/// Hears what changed behind a storage.
///
/// Called from a thread of the storage, never from one that serves a request, so it may wait. Inodes are
/// those that the kernel holds at that moment; what it does not hold, it has not cached.
pub trait ChangeListener: Send + Sync {
    /// A name of the directory `parent` appeared, or may mean another inode now. If it does not, what is mounted
    /// there stays.
    fn name_changed(&self, parent: Ino, name: &OsStr);
    /// A name of the directory `parent` disappeared, and what is mounted there goes with it.
    fn name_gone(&self, parent: Ino, name: &OsStr);
    /// Any name that was absent may have appeared.
    fn absences_in_doubt(&self);
    /// Attributes of an inode, extended ones included, changed.
    fn attributes_changed(&self, ino: Ino);
    /// The contents of a file, or the listing of a directory, changed, and size and times with them.
    fn contents_changed(&self, ino: Ino);
}

/// How a storage learns of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchMethod {
    /// One mark on the whole backing file system (fanotify(7), `FAN_MARK_FILESYSTEM`; Linux 5.17 and
    /// `CAP_SYS_ADMIN`). Says which process changed what, so that the changes of this process, which are the
    /// storage's own, are not told.
    Fanotify,
    /// One watch for each directory that the kernel holds (inotify(7)); needs no privileges. The storage's
    /// own changes are told too.
    Inotify,
}

impl fmt::Display for WatchMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WatchMethod::Fanotify => "fanotify",
            WatchMethod::Inotify => "inotify",
        })
    }
}
