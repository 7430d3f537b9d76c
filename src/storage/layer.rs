//! A storage on top of another, which does some operations otherwise.

use std::ffi::OsStr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::Access;

use super::operations::storage_operations;
use super::types::*;
use super::{ChangeListener, FilesystemInterface, WatchMethod};
use crate::platform::{FallocateFlags, IFlags, RenameFlags, XattrFlags};

/// Declares [`Layer`], how [`Layered`] asks it, and a layer that is shared.
macro_rules! layered {
    ($(fn $name:ident(&self $(, $argument:ident: $kind:ty)* $(,)?) $(-> $result:ty)?;)*) => {
        /// What a storage does otherwise than the one below it ([`Layered`]). An operation that is not
        /// overridden goes to the storage below, unchanged.
        ///
        /// Each method has the arguments of its namesake in [`FilesystemInterface`], which also says what it
        /// returns, behind the storage below, which it may ask. That storage knows nothing of the layer, so what
        /// belongs together is overridden together: `lookup` with `readdirplus`, which looks names up; `read` and
        /// `write` with `backing_file`, `file_to_read` and `write_from`, by which data go around them.
        ///
        /// ```
        /// use std::ffi::OsStr;
        /// use dynamicfs::storage::*;
        ///
        /// /// Nothing is removed.
        /// struct Keep;
        ///
        /// impl Layer for Keep {
        ///     fn unlink(
        ///         &self, _below: &dyn FilesystemInterface, _: &Caller, _: Ino, _: &OsStr,
        ///     ) -> Result<()> {
        ///         Err(Errno::PERM)
        ///     }
        /// }
        ///
        /// let storage = Layered::new(Box::new(MemoryStorage::new()), Keep);
        /// let mode = CreateMode { mode: 0o755, umask: 0 };
        /// storage.mkdir(&Caller::ROOT, ROOT_INO, "d".as_ref(), mode)?;
        /// let removed = storage.unlink(&Caller::ROOT, ROOT_INO, "d".as_ref());
        /// assert_eq!(removed, Err(Errno::PERM));
        /// # Ok::<(), Errno>(())
        /// ```
        #[allow(clippy::too_many_arguments)]
        pub trait Layer: Send + Sync {
            $(
                #[doc = concat!("As [`FilesystemInterface::", stringify!($name), "`].")]
                fn $name(
                    &self, below: &dyn FilesystemInterface $(, $argument: $kind)*
                ) $(-> $result)? {
                    below.$name($($argument),*)
                }
            )*
        }

        impl<L: Layer> FilesystemInterface for Layered<L> {
            $(fn $name(&self $(, $argument: $kind)*) $(-> $result)? {
                self.layer.$name(&*self.below $(, $argument)*)
            })*
        }

        /// So that a program keeps a layer that it has mounted.
        impl<L: Layer + ?Sized> Layer for Arc<L> {
            $(fn $name(
                &self, below: &dyn FilesystemInterface $(, $argument: $kind)*
            ) $(-> $result)? {
                (**self).$name(below $(, $argument)*)
            })*
        }
    };
}

/// A storage, and a [`Layer`] on top of it.
pub struct Layered<L> {
    below: Box<dyn FilesystemInterface>,
    layer: L,
}

impl<L: Layer> Layered<L> {
    /// `layer` on top of `below`.
    pub fn new(below: Box<dyn FilesystemInterface>, layer: L) -> Layered<L> {
        Layered { below, layer }
    }
}

storage_operations!(layered);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::MemoryStorage;

    struct Nothing;

    impl Layer for Nothing {}

    struct NoName;

    impl Layer for NoName {
        fn lookup(
            &self,
            _: &dyn FilesystemInterface,
            _: &Caller,
            _: Ino,
            _: &OsStr,
        ) -> Result<Entry> {
            Err(Errno::NOENT)
        }
    }

    const MODE: CreateMode = CreateMode {
        mode: 0o755,
        umask: 0,
    };

    #[test]
    fn without_a_change_it_is_the_storage_below() {
        let below = Arc::new(MemoryStorage::new());
        let storage = Layered::new(Box::new(below.clone()), Nothing);
        let name = OsStr::new("d");
        storage.mkdir(&Caller::ROOT, ROOT_INO, name, MODE).unwrap();
        assert!(storage.lookup(&Caller::ROOT, ROOT_INO, name).is_ok());
        assert!(storage.capabilities().xattrs);
        assert_eq!(storage.inode_count(), below.inode_count());
        assert_eq!(storage.statfs(ROOT_INO), below.statfs(ROOT_INO));
    }

    #[test]
    fn a_change_takes_the_place_of_one_operation() {
        let storage = Layered::new(Box::new(MemoryStorage::new()), Arc::new(NoName));
        let name = OsStr::new("d");
        storage.mkdir(&Caller::ROOT, ROOT_INO, name, MODE).unwrap();
        let found = storage.lookup(&Caller::ROOT, ROOT_INO, name);
        assert_eq!(found, Err(Errno::NOENT));
        assert!(storage.getattr(ROOT_INO, None).is_ok());
    }
}
