//! A userspace (FUSE) filesystem as fast as the running kernel lets it be.

pub mod config;
pub mod filesystem;
pub mod stats;
pub mod storage;
pub mod writeback;

pub use config::{
    ConfigError, ConfigErrors, IoMode, KernelFeatures, Layers, LockMode, MountOption,
    OptimizedFUSEConfig, Origin, ParsedOptions, Preset, ReadDirPlus, Resolved, parse_mount_options,
};
pub use storage::{Errno, FilesystemInterface};
