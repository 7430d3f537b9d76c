//! The storage behind a mount of a directory.

use std::path::Path;

use crate::config::OptimizedFUSEConfig;
use crate::storage::{FilesystemInterface, PermissionChecks};

use super::exit::{Exit, Failure};

/// Opens the directory as a storage.
#[cfg(target_os = "linux")]
pub(crate) fn open(
    root: &Path,
    config: &OptimizedFUSEConfig,
    checks: PermissionChecks,
) -> Result<Box<dyn FilesystemInterface>, Failure> {
    let storage = crate::storage::LocalStorage::builder(root)
        .permission_checks(checks)
        .writeback_cache(config.io_mode == crate::config::IoMode::WritebackCache)
        .exclusive(config.exclusive)
        .build()
        .map_err(|error| {
            let error = anyhow::Error::from(error);
            Failure::new(Exit::Paths, format_args!("{error:#}"))
        })?;
    Ok(Box::new(storage))
}

/// Says that there is no such storage here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn open(
    root: &Path,
    _config: &OptimizedFUSEConfig,
    _checks: PermissionChecks,
) -> Result<Box<dyn FilesystemInterface>, Failure> {
    Err(Failure::new(
        Exit::Paths,
        format_args!(
            "{}: directories are served on Linux only; on this system there is memory:SIZE",
            root.display()
        ),
    ))
}
