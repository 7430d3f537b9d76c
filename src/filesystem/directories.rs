//! Operations on open directories.

use super::{DirPlusEntry, DynamicFS, FileAccess, Opened};
use crate::config::ReadDirPlus;
use crate::storage::{Caller, DirEntry, DirSink, Errno, Fh, FileKind, Ino, Result};

/// Bytes of a large directory: some 2,000 names on ext4.
const LARGE: u64 = 64 << 10;

impl DynamicFS {
    /// Whether a listing with attributes that goes on after `offset` may as well be of names.
    ///
    /// With `readdirplus=auto` the kernel asks for attributes in the first part of every listing, and after that only if
    /// names are looked up meanwhile. Of a large directory that part is a few in a hundred: whoever looks at all of it is helped
    /// little, and for whoever only lists it the attributes cost more than all the rest.
    pub fn names_suffice(&self, ino: Ino, offset: u64) -> bool {
        let asked_by_rule = offset == 0 && self.config.readdirplus == ReadDirPlus::Auto;
        let size = || self.storage.getattr(ino, None).map_or(0, |attr| attr.size);
        asked_by_rule && size() > LARGE
    }

    /// Opens a directory. `Cached { keep }` says whether the kernel may use the listing it has.
    ///
    /// # Errors
    /// Besides those of the storage `ENOSYS`, on a mount where opening directories is no request: the
    /// kernel takes it for all of them, and keeps every listing as long as the directory does not change.
    pub fn opendir(&self, caller: &Caller, ino: Ino) -> Result<Opened> {
        if self.policy().stateless_directories {
            return Err(Errno::NOSYS);
        }
        let fh = self.storage.opendir(caller, ino)?;
        let policy = self.policy();
        let access = if policy.keep_cache {
            FileAccess::Cached {
                keep: self.listings.is_fresh(ino, policy.entry_ttl),
            }
        } else {
            FileAccess::Direct
        };
        Ok(Opened {
            fh,
            access,
            no_flush: true,
        })
    }

    /// Names after the cookie `offset`. Kinds that the storage does not know are looked up.
    pub fn readdir(
        &self,
        caller: &Caller,
        ino: Ino,
        fh: Fh,
        offset: u64,
        sink: &mut dyn FnMut(&DirEntry<'_>, FileKind) -> DirSink,
    ) -> Result<()> {
        self.note_listing(ino, offset);
        self.storage.readdir(ino, fh, offset, &mut |dirent| {
            match dirent.kind.or_else(|| self.kind_of(caller, ino, dirent)) {
                Some(kind) => sink(dirent, kind),
                // The name vanished between the listing and the lookup.
                None => DirSink::Taken,
            }
        })
    }

    /// A listing is kept no longer than the names that came with it: see [`Listings`](super::Listings).
    fn note_listing(&self, ino: Ino, offset: u64) {
        if offset != 0 {
            return;
        }
        let policy = self.policy();
        if policy.stateless_directories {
            self.invalidator.listing(ino, policy.entry_ttl);
        } else {
            self.listings.begin(ino);
        }
    }

    fn kind_of(&self, caller: &Caller, parent: Ino, dirent: &DirEntry<'_>) -> Option<FileKind> {
        let entry = self.storage.lookup(caller, parent, dirent.name).ok()?;
        self.storage.forget(entry.attr.ino, 1);
        Some(entry.attr.kind)
    }

    /// Names after the cookie `offset`, with what a lookup of each would answer.
    pub fn readdirplus(
        &self,
        caller: &Caller,
        ino: Ino,
        fh: Fh,
        offset: u64,
        sink: &mut dyn FnMut(&DirPlusEntry<'_>) -> DirSink,
    ) -> Result<()> {
        self.note_listing(ino, offset);
        self.storage
            .readdirplus(caller, ino, fh, offset, &mut |dirent, entry| {
                let is_dots = dirent.name == "." || dirent.name == "..";
                if entry.is_none() && !is_dots {
                    // The name vanished between the listing and the lookup.
                    return DirSink::Taken;
                }
                sink(&DirPlusEntry {
                    dirent,
                    entry: entry.map(|entry| self.answer(*entry)),
                })
            })
    }

    /// Closes a directory.
    pub fn releasedir(&self, ino: Ino, fh: Fh) -> Result<()> {
        self.storage.releasedir(ino, fh)
    }

    /// Makes the names of a directory durable.
    pub fn fsyncdir(&self, ino: Ino, fh: Fh, datasync: bool) -> Result<()> {
        self.storage.fsyncdir(ino, fh, datasync)
    }
}
