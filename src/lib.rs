#![doc = include_str!("../README.md")]

pub mod cache;
// A door for the command and for programs that put something between its storage and the kernel: no
// promise.
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub mod config;
pub mod filesystem;
pub mod mount;
pub mod platform;
pub mod readahead;
pub mod stats;
pub mod storage;
pub mod transport;
pub mod writeback;

pub use cache::XAttrCache;
pub use config::{
    ConfigError, ConfigErrors, IoMode, KernelFeatures, Layers, LockMode, MountOption, OpenPolicy,
    OptimizedFUSEConfig, Origin, ParsedOptions, Preset, ReadDirPlus, Resolved, TransportChoice,
    parse_mount_options,
};
pub use filesystem::{DynamicFS, LockManager};
pub use readahead::ReadAheadManager;
pub use storage::{Errno, FilesystemInterface};
