//! Operations on attributes: getattr, setattr, access, statfs.

use std::time::Duration;

use crate::platform::IFlags;
use rustix::fs::Access;

use super::{AttrAnswer, DynamicFS};
use crate::storage::{Attr, Caller, Fh, FsXAttr, Ino, Result, SetAttr, StatFs};

impl DynamicFS {
    /// Attributes of an inode.
    pub fn getattr(&self, ino: Ino, fh: Option<Fh>) -> Result<AttrAnswer> {
        let attr = self.storage.getattr(ino, fh)?;
        Ok(self.attr_answer(attr))
    }

    /// Changes attributes.
    pub fn setattr(&self, caller: &Caller, ino: Ino, changes: &SetAttr) -> Result<AttrAnswer> {
        if let Some(size) = changes.size {
            self.data_path.discard(ino, size);
        }
        // What was written before must not land after, with a time of modification later than
        // the one that is set.
        self.data_path.write_back(ino);
        let outcome = self.storage.setattr(caller, ino, changes);
        if let Some(size) = changes.size {
            self.data_path.changed_from(ino, size);
        }
        Ok(self.attr_answer(outcome?))
    }

    /// May the caller do this? Asked by kernels that do not check themselves.
    pub fn access(&self, caller: &Caller, ino: Ino, mask: Access) -> Result<()> {
        self.storage.access(caller, ino, mask)
    }

    /// Figures of the file system.
    pub fn statfs(&self, ino: Ino) -> Result<StatFs> {
        self.storage.statfs(ino)
    }

    /// Flags of an inode (`FS_IOC_GETFLAGS`).
    pub fn getflags(&self, ino: Ino) -> Result<IFlags> {
        self.storage.getflags(ino)
    }

    /// Sets the flags of an inode (`FS_IOC_SETFLAGS`). The change time is now another, which the
    /// kernel does not know of an ioctl.
    pub fn setflags(&self, caller: &Caller, ino: Ino, flags: IFlags) -> Result<()> {
        self.storage.setflags(caller, ino, flags)?;
        self.invalidator.attributes(ino);
        Ok(())
    }

    /// Extended flags and project of an inode (`FS_IOC_FSGETXATTR`).
    pub fn get_fsxattr(&self, ino: Ino) -> Result<FsXAttr> {
        self.storage.get_fsxattr(ino)
    }

    /// Sets extended flags and project of an inode (`FS_IOC_FSSETXATTR`), as [`Self::setflags`] does.
    pub fn set_fsxattr(&self, caller: &Caller, ino: Ino, attributes: &FsXAttr) -> Result<()> {
        self.storage.set_fsxattr(caller, ino, attributes)?;
        self.invalidator.attributes(ino);
        Ok(())
    }

    fn attr_answer(&self, attr: Attr) -> AttrAnswer {
        AttrAnswer {
            ttl: self.attr_ttl(attr.ino, None),
            attr: self.data_path.as_seen(attr),
        }
    }

    /// How long attributes may be kept: not at all while a shared mapping may change the file
    /// behind the kernel's back.
    pub(super) fn attr_ttl(&self, ino: Ino, of_storage: Option<Duration>) -> Duration {
        if self.opens.may_change_unseen(ino) {
            Duration::ZERO
        } else {
            of_storage.unwrap_or(self.policy().attr_ttl)
        }
    }
}
