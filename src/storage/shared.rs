//! A storage that is shared: whoever mounts it and whoever else looks into it.

use std::ffi::OsStr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::Access;

use super::operations::storage_operations;
use super::types::*;
use super::{ChangeListener, FilesystemInterface, WatchMethod};
use crate::platform::{FallocateFlags, IFlags, RenameFlags, XattrFlags};

/// Methods that do nothing but call the one of the same name inside.
macro_rules! forward {
    ($(fn $name:ident(&self $(, $argument:ident: $kind:ty)* $(,)?) $(-> $result:ty)?;)*) => {
        $(fn $name(&self $(, $argument: $kind)*) $(-> $result)? {
            (**self).$name($($argument),*)
        })*
    };
}

/// So that a program keeps a storage that it has mounted:
///
/// ```
/// use std::sync::Arc;
/// use dynamicfs::DynamicFS;
/// use dynamicfs::storage::MemoryStorage;
///
/// let storage = Arc::new(MemoryStorage::new());
/// let fs = DynamicFS::new(Box::new(storage.clone()));
/// assert_eq!(storage.inode_count(), 1);
/// ```
impl<S: FilesystemInterface + ?Sized> FilesystemInterface for Arc<S> {
    storage_operations!(forward);
}
