//! Storages: what holds the files. Nothing in this module knows of FUSE.

mod interface;
pub mod memory;
mod types;

pub use interface::FilesystemInterface;
pub use memory::{MemoryStorage, PermissionChecks};
pub use types::*;
