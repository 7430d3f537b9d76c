//! Storages: what holds the files. Nothing in this module knows of FUSE.

mod interface;
mod local;
mod types;

pub use interface::FilesystemInterface;
pub use local::{
    LocalStorage, LocalStorageBuilder, LocalStorageError, LocalStorageStatistics, PermissionChecks,
};
pub use types::*;
