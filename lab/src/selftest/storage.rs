//! A storage with a fault.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dynamicfs::storage::*;
use rustix::fs::{Access, FallocateFlags, IFlags, RenameFlags, XattrFlags};

/// A storage as a fault sees it.
pub(crate) type Inner = dyn FilesystemInterface;

/// Declares [`Bug`] and how [`Planted`] asks it.
macro_rules! operations {
    ($(fn $name:ident(&self $(, $argument:ident: $kind:ty)* $(,)?) $(-> $result:ty)?;)*) => {
        /// A fault of a storage: what it does not override goes to the storage inside, unchanged.
        #[allow(clippy::too_many_arguments)]
        pub(crate) trait Bug: Send + Sync {
            $(fn $name(&self, inner: &Inner $(, $argument: $kind)*) $(-> $result)? {
                inner.$name($($argument),*)
            })*
        }

        impl FilesystemInterface for Planted {
            $(fn $name(&self $(, $argument: $kind)*) $(-> $result)? {
                self.bug.$name(&*self.inner $(, $argument)*)
            })*
        }
    };
}

/// A storage, and what is wrong with it.
pub(crate) struct Planted {
    inner: Box<Inner>,
    bug: Box<dyn Bug>,
}

impl Planted {
    pub(crate) fn new(inner: Box<Inner>, bug: Box<dyn Bug>) -> Self {
        Planted { inner, bug }
    }
}

dynamicfs::storage_operations!(operations);

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Bug for Nothing {}

    struct NoName;

    impl Bug for NoName {
        fn lookup(&self, _: &Inner, _: &Caller, _: Ino, _: &OsStr) -> Result<Entry> {
            Err(Errno::NOENT)
        }
    }

    fn planted(bug: impl Bug + 'static) -> Planted {
        Planted::new(Box::new(MemoryStorage::new()), Box::new(bug))
    }

    const MODE: CreateMode = CreateMode {
        mode: 0o755,
        umask: 0,
    };

    #[test]
    fn without_a_fault_it_is_the_storage_inside() {
        let storage = planted(Nothing);
        let name = OsStr::new("d");
        storage.mkdir(&Caller::ROOT, ROOT_INO, name, MODE).unwrap();
        assert!(storage.lookup(&Caller::ROOT, ROOT_INO, name).is_ok());
        assert!(storage.capabilities().xattrs);
        let inside = &*storage.inner;
        assert_eq!(storage.inode_count(), inside.inode_count());
        assert_eq!(storage.statfs(ROOT_INO), inside.statfs(ROOT_INO));
    }

    #[test]
    fn a_fault_takes_the_place_of_one_operation() {
        let storage = planted(NoName);
        let name = OsStr::new("d");
        storage.mkdir(&Caller::ROOT, ROOT_INO, name, MODE).unwrap();
        let found = storage.lookup(&Caller::ROOT, ROOT_INO, name);
        assert_eq!(found, Err(Errno::NOENT));
        assert!(storage.getattr(ROOT_INO, None).is_ok());
    }
}
