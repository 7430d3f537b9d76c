//! Storages: what holds the files. Nothing in this module knows of FUSE.

mod interface;
mod local;
pub mod memory;
mod shared;
mod types;

pub use interface::FilesystemInterface;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub use local::BareInodes;
pub use local::{LocalStorage, LocalStorageBuilder, LocalStorageError, LocalStorageStatistics};
pub use memory::MemoryStorage;
pub use types::*;
