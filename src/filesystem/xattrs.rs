//! Extended attributes, through the cache of this process: the kernel caches none (except ACLs,
//! which this cache leaves alone).

use std::ffi::OsStr;

use super::DynamicFS;
use crate::cache::CachedXAttr;
use crate::platform::{NO_ATTRIBUTE, XattrFlags};
use crate::storage::{Caller, Errno, Ino, Result};

impl DynamicFS {
    /// Value of an attribute.
    pub fn getxattr(&self, caller: &Caller, ino: Ino, name: &OsStr) -> Result<Vec<u8>> {
        self.has_xattrs()?;
        let Some(cache) = self.xattr_cache_for_reads() else {
            return self.storage.getxattr(caller, ino, name);
        };
        match cache.lookup(ino, name) {
            CachedXAttr::Value(value) => return Ok(value.to_vec()),
            CachedXAttr::Absent => return Err(NO_ATTRIBUTE),
            CachedXAttr::Unknown => {}
        }
        // Taken before the storage is asked: a change in between makes the ticket worthless.
        let ticket = cache.begin(ino);
        let outcome = self.storage.getxattr(caller, ino, name);
        match &outcome {
            Ok(value) => cache.put_if_current(ticket, name, value),
            Err(NO_ATTRIBUTE) => cache.put_absent_if_current(ticket, name),
            Err(_) => {}
        }
        outcome
    }

    /// Names of the attributes.
    pub fn listxattr(&self, caller: &Caller, ino: Ino) -> Result<Vec<u8>> {
        self.has_xattrs()?;
        self.storage.listxattr(caller, ino)
    }

    /// Sets an attribute.
    pub fn setxattr(
        &self,
        caller: &Caller,
        ino: Ino,
        name: &OsStr,
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<()> {
        self.has_xattrs()?;
        let outcome = self.storage.setxattr(caller, ino, name, value, flags);
        self.drop_cached_xattr(ino, name);
        outcome
    }

    /// Removes an attribute.
    pub fn removexattr(&self, caller: &Caller, ino: Ino, name: &OsStr) -> Result<()> {
        self.has_xattrs()?;
        let outcome = self.storage.removexattr(caller, ino, name);
        self.drop_cached_xattr(ino, name);
        outcome
    }

    /// An `ENOSYS` is the last answer: the kernel asks no more, and fails with `EOPNOTSUPP` itself.
    fn has_xattrs(&self) -> Result<()> {
        match self.config.xattrs {
            true => Ok(()),
            false => Err(Errno::NOSYS),
        }
    }

    /// A cached value is given to whoever asks, so where the storage checks permissions and several
    /// users may ask, the cache must not answer for it.
    fn xattr_cache_for_reads(&self) -> Option<&crate::cache::XAttrCache> {
        let shared = super::names_must_expire(&self.config);
        self.xattr_cache.as_ref().filter(|_| !shared)
    }

    fn drop_cached_xattr(&self, ino: Ino, name: &OsStr) {
        if let Some(cache) = &self.xattr_cache {
            cache.invalidate_attr(ino, name);
        }
    }
}
