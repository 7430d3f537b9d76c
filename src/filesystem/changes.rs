//! What changed behind the mount, brought to the caches: those of this process, and the kernel's.

use std::ffi::OsStr;
use std::sync::{Arc, Weak};

use super::DynamicFS;
use super::absent_names::AbsentNames;
use crate::storage::{ChangeListener, Ino, Result, WatchMethod};

impl DynamicFS {
    /// From now on, what changes behind the mount expires here and in the kernel. Called once, when the
    /// invalidator has a way to the kernel and before the first request.
    ///
    /// # Errors
    /// `ENOSYS` where the storage cannot know of changes, others where it could not begin to watch.
    pub fn watch(self: &Arc<Self>) -> Result<WatchMethod> {
        self.absent_names.get_or_init(AbsentNames::new);
        self.storage.watch(Arc::new(Expiry(Arc::downgrade(self))))
    }
}

/// Weak, because the storage keeps it, and belongs to the filesystem.
struct Expiry(Weak<DynamicFS>);

impl ChangeListener for Expiry {
    fn name_changed(&self, parent: Ino, name: &OsStr) {
        if let Some(fs) = self.0.upgrade() {
            fs.invalidator.must_expire_entry(parent, name.to_owned());
        }
    }

    fn name_gone(&self, parent: Ino, name: &OsStr) {
        if let Some(fs) = self.0.upgrade() {
            fs.invalidator.must_drop_entry(parent, name.to_owned());
        }
    }

    fn absences_in_doubt(&self) {
        if let Some(fs) = self.0.upgrade()
            && let Some(absent) = fs.absent_names.get()
        {
            for (parent, name) in absent.take() {
                fs.invalidator.must_expire_entry(parent, name);
            }
        }
    }

    fn attributes_changed(&self, ino: Ino) {
        if let Some(fs) = self.0.upgrade() {
            if let Some(cache) = &fs.xattr_cache {
                cache.invalidate(ino);
            }
            fs.invalidator.must_drop_attributes(ino);
        }
    }

    fn contents_changed(&self, ino: Ino) {
        if let Some(fs) = self.0.upgrade() {
            // As if it had never been listed or read.
            fs.listings.forget(ino);
            fs.data_path.forget(ino);
            fs.invalidator.must_drop_inode(ino);
        }
    }
}
