//! Storages: what holds the files. Nothing in this module knows of FUSE.

mod changes;
mod interface;
mod layer;
#[cfg(target_os = "linux")]
mod local;
pub mod memory;
mod operations;
mod shared;
mod types;

pub use changes::{ChangeListener, WatchMethod};
pub use interface::FilesystemInterface;
pub use layer::{Layer, Layered};
#[cfg(all(feature = "internals", target_os = "linux"))]
#[doc(hidden)]
pub use local::BareInodes;
#[cfg(target_os = "linux")]
pub use local::{LocalStorage, LocalStorageBuilder, LocalStorageError, LocalStorageStatistics};
pub use memory::MemoryStorage;
pub use types::*;
