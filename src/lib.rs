//! A userspace (FUSE) filesystem as fast as the running kernel lets it be.

pub mod config;
pub mod stats;
pub mod storage;

pub use config::{OptimizedFUSEConfig, Preset};
pub use storage::{Errno, FilesystemInterface};
