//! Storages: what holds the files. Nothing in this module knows of FUSE.

mod interface;
mod types;

pub use interface::FilesystemInterface;
pub use types::*;
