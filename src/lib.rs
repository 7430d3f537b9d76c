//! A userspace (FUSE) filesystem as fast as the running kernel lets it be.

pub mod config;
pub mod filesystem;
pub mod stats;
pub mod storage;
pub mod writeback;

pub use config::{OptimizedFUSEConfig, Preset};
pub use storage::{Errno, FilesystemInterface};
