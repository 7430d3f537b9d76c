//! Operations on names: lookup and forget, creation, removal, rename.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::{DynamicFS, EntryAnswer};
use crate::platform::RenameFlags;
use crate::storage::{Caller, CreateMode, Entry, Errno, Ino, Result};

impl DynamicFS {
    /// Finds a name.
    pub fn lookup(&self, caller: &Caller, parent: Ino, name: &OsStr) -> Result<EntryAnswer> {
        match self.storage.lookup(caller, parent, name) {
            Ok(entry) => Ok(self.answer(entry)),
            Err(Errno::NOENT) if self.caches_absence(parent) => Ok(self.absent(parent, name)),
            Err(error) => Err(error),
        }
    }

    fn absent(&self, parent: Ino, name: &OsStr) -> EntryAnswer {
        if let Some(names) = self.absent_names.get()
            && let Some((parent, name)) = names.add(parent, name)
        {
            self.invalidator.expire_entry(parent, name);
        }
        EntryAnswer::Absent {
            entry_ttl: self.policy().negative_ttl,
        }
    }

    fn caches_absence(&self, parent: Ino) -> bool {
        !self.policy().negative_ttl.is_zero() && !self.storage.folds_case(parent)
    }

    /// Takes back references that the kernel held.
    pub fn forget(&self, ino: Ino, nlookup: u64) {
        // The number may come back as another file: nothing of this one may outlive it.
        if let Some(cache) = &self.xattr_cache {
            cache.invalidate(ino);
        }
        self.listings.forget(ino);
        self.data_path.forget(ino);
        if self.policy().stateless_files {
            self.data_path.closed(ino);
        }
        self.storage.forget(ino, nlookup);
    }

    /// Target of a symbolic link.
    pub fn readlink(&self, ino: Ino) -> Result<PathBuf> {
        self.storage.readlink(ino)
    }

    /// Creates a node that is neither a directory nor a link.
    pub fn mknod(
        &self,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
        mode: CreateMode,
        rdev: u32,
    ) -> Result<EntryAnswer> {
        let entry = self.storage.mknod(caller, parent, name, mode, rdev)?;
        Ok(self.answer(entry))
    }

    /// Creates a directory.
    pub fn mkdir(
        &self,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
        mode: CreateMode,
    ) -> Result<EntryAnswer> {
        let entry = self.storage.mkdir(caller, parent, name, mode)?;
        Ok(self.answer(entry))
    }

    /// Creates a symbolic link.
    pub fn symlink(
        &self,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
        target: &Path,
    ) -> Result<EntryAnswer> {
        let entry = self.storage.symlink(caller, parent, name, target)?;
        Ok(self.answer(entry))
    }

    /// Creates a hard link.
    pub fn link(
        &self,
        caller: &Caller,
        ino: Ino,
        newparent: Ino,
        newname: &OsStr,
    ) -> Result<EntryAnswer> {
        let entry = self.storage.link(caller, ino, newparent, newname)?;
        Ok(self.answer(entry))
    }

    /// Removes a name of a non-directory.
    pub fn unlink(&self, caller: &Caller, parent: Ino, name: &OsStr) -> Result<()> {
        self.storage.unlink(caller, parent, name)
    }

    /// Removes a directory.
    pub fn rmdir(&self, caller: &Caller, parent: Ino, name: &OsStr) -> Result<()> {
        self.storage.rmdir(caller, parent, name)
    }

    /// Renames.
    pub fn rename(
        &self,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
        newparent: Ino,
        newname: &OsStr,
        flags: RenameFlags,
    ) -> Result<()> {
        self.storage
            .rename(caller, parent, name, newparent, newname, flags)
    }

    /// An entry with the lifetimes of this mount.
    pub(super) fn answer(&self, entry: Entry) -> EntryAnswer {
        let policy = self.policy();
        EntryAnswer::Found {
            attr: self.data_path.as_seen(entry.attr),
            generation: entry.generation,
            attr_ttl: self.attr_ttl(entry.attr.ino, entry.attr_ttl),
            entry_ttl: entry.entry_ttl.unwrap_or(policy.entry_ttl),
        }
    }
}
