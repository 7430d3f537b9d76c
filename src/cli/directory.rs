//! The storage behind a mount of a directory.

use std::path::Path;

use crate::config::{MountOption, OptimizedFUSEConfig};
#[cfg(target_os = "linux")]
use crate::storage::AccessTimes;
use crate::storage::{FilesystemInterface, PermissionChecks};

use super::exit::{Exit, Failure};

/// Opens the directory as a storage.
#[cfg(target_os = "linux")]
pub(crate) fn open(
    root: &Path,
    config: &OptimizedFUSEConfig,
    options: &[MountOption],
    checks: PermissionChecks,
) -> Result<Box<dyn FilesystemInterface>, Failure> {
    let storage = crate::storage::LocalStorage::builder(root)
        .permission_checks(checks)
        .writeback_cache(config.io_mode == crate::config::IoMode::WritebackCache)
        .exclusive(config.exclusive)
        .access_times(access_times(options))
        .build()
        .map_err(|error| {
            let error = anyhow::Error::from(error);
            Failure::new(Exit::Paths, format_args!("{error:#}"))
        })?;
    Ok(Box::new(storage))
}

/// What a mount with these options does to times of access: nothing, where nothing can be changed.
#[cfg(target_os = "linux")]
fn access_times(options: &[MountOption]) -> AccessTimes {
    let has = |option| options.contains(&option);
    if has(MountOption::Ro) || has(MountOption::NoAtime) {
        AccessTimes::Kept
    } else if has(MountOption::StrictAtime) {
        AccessTimes::Strict
    } else if has(MountOption::NoDirAtime) {
        AccessTimes::KeptOfDirectories
    } else {
        AccessTimes::Inherited
    }
}

/// Says that there is no such storage here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn open(
    root: &Path,
    _config: &OptimizedFUSEConfig,
    _options: &[MountOption],
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
