//! How files and names are served, given what was configured and what the kernel granted.

use std::sync::OnceLock;
use std::time::Duration;

use crate::config::{IoMode, KernelFeatures, LockMode, OpenPolicy, OptimizedFUSEConfig};
use crate::storage::StorageCapabilities;

/// The lifetime of what nobody else changes, a century: the kernel counts it in timer ticks, and cuts what is
/// too long for that (`timespec64_to_jiffies`).
pub(crate) const UNLIMITED: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The grants of the kernel that change how this side behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Granted {
    /// Backing files may be registered.
    pub passthrough: bool,
    /// The kernel keeps dirty pages and owns size and times.
    pub writeback_cache: bool,
    /// Cached pages may outlive a close: the kernel drops them when it learns of a new size or modification
    /// time (`FUSE_AUTO_INVAL_DATA`), or nobody but this mount changes them (`FUSE_EXPLICIT_INVAL_DATA`).
    pub lasting_pages: bool,
    /// The kernel takes `ENOSYS` to an OPEN for all files (`FUSE_NO_OPEN_SUPPORT`, which it announces and
    /// nobody asks for).
    pub no_open: bool,
    /// The same for OPENDIR and directories (`FUSE_NO_OPENDIR_SUPPORT`).
    pub no_opendir: bool,
}

/// The decisions for a mount. Constant after the handshake, except that the first refusal of a
/// backing file turns passthrough off for good.
#[derive(Debug)]
pub struct Policy {
    /// The way of file data, as far as the storage and the kernel allow.
    pub io_mode: IoMode,
    /// Why [`io_mode`](Self::io_mode) is not what was configured.
    pub io_mode_reason: Option<String>,
    /// Lifetime of attributes.
    pub attr_ttl: Duration,
    /// Lifetime of names.
    pub entry_ttl: Duration,
    /// Lifetime of the absence of a name.
    pub negative_ttl: Duration,
    /// Cached pages and listings survive a close.
    pub keep_cache: bool,
    /// A close sends no request.
    pub no_flush: bool,
    /// Opening and closing a file are no requests.
    pub stateless_files: bool,
    /// Why they are, although [`OpenPolicy::Stateless`] was asked for.
    pub stateless_refusal: Option<&'static str>,
    /// Opening and closing a directory are no requests.
    pub stateless_directories: bool,
    passthrough_refused: OnceLock<String>,
}

impl Policy {
    pub(super) fn new(
        config: &OptimizedFUSEConfig,
        storage: &StorageCapabilities,
        granted: Granted,
    ) -> Policy {
        let (io_mode, io_mode_reason) = effective_io_mode(config, storage, granted);
        let names_expire = names_must_expire(config);
        let lifetime = |ttl: Duration| match ttl.is_zero() || !is_exclusive(config, storage) {
            true => ttl,
            false => UNLIMITED,
        };
        let name_ttl = |ttl| match names_expire {
            true => Duration::ZERO,
            false => lifetime(ttl),
        };
        let entry_ttl = name_ttl(config.entry_timeout());
        let stateless = stateless_files(config, storage, granted);
        Policy {
            io_mode,
            io_mode_reason,
            attr_ttl: lifetime(config.attr_timeout()),
            entry_ttl,
            negative_ttl: name_ttl(config.negative_timeout()),
            keep_cache: config.kernel_features == KernelFeatures::All && granted.lasting_pages,
            no_flush: config.kernel_features == KernelFeatures::All
                && config.lock_mode == LockMode::Kernel
                && !storage.flush_on_close
                && (io_mode == IoMode::Passthrough || stateless.is_ok())
                && io_mode != IoMode::WritebackCache,
            stateless_files: stateless.is_ok(),
            stateless_refusal: stateless
                .err()
                .filter(|_| config.open == OpenPolicy::Stateless),
            // A listing that may not be kept at all is one of an open directory.
            stateless_directories: config.kernel_features == KernelFeatures::All
                && granted.no_opendir
                && granted.lasting_pages
                && storage.without_open.directories
                && opens_are_checked(config)
                && !entry_ttl.is_zero(),
            passthrough_refused: OnceLock::new(),
        }
    }

    /// Whether files are still offered for passthrough.
    pub fn passthrough(&self) -> bool {
        self.io_mode == IoMode::Passthrough && self.passthrough_refused.get().is_none()
    }

    /// Why the kernel refused a backing file, if it did.
    pub fn passthrough_refusal(&self) -> Option<&str> {
        self.passthrough_refused.get().map(String::as_str)
    }

    /// Records the first refusal; later ones add nothing.
    pub(super) fn refuse_passthrough(&self, reason: String) {
        if self.passthrough_refused.set(reason.clone()).is_ok() {
            tracing::warn!(%reason, "passthrough is off for this mount");
        }
    }
}

/// Names may not be cached when the storage checks permissions and others may enter: the kernel
/// walks a cached name without asking whether *this* caller may search the directory.
pub(crate) fn names_must_expire(config: &OptimizedFUSEConfig) -> bool {
    config.allow_other && !config.default_permissions
}

/// Whether nothing but the mount changes what it shows.
pub(crate) fn is_exclusive(config: &OptimizedFUSEConfig, storage: &StorageCapabilities) -> bool {
    storage.exclusive || config.exclusive
}

/// Whether somebody else than the storage sees to it that an open is permitted: the kernel, or the
/// mount, which only root enters.
fn opens_are_checked(config: &OptimizedFUSEConfig) -> bool {
    config.default_permissions || config.only_root_enters()
}

/// Whether opens of files are to be no requests, as far as that is known before the handshake; or why
/// not.
pub(crate) fn wants_stateless_files(
    config: &OptimizedFUSEConfig,
    storage: &StorageCapabilities,
) -> Result<(), &'static str> {
    if config.open != OpenPolicy::Stateless {
        Err("open is not stateless")
    } else if !storage.without_open.files {
        Err("the storage needs files to be opened")
    } else if storage.flush_on_close {
        Err("the storage has something to say when a file is closed")
    } else if !opens_are_checked(config) {
        Err("the storage checks permissions when a file is opened")
    } else {
        Ok(())
    }
}

fn stateless_files(
    config: &OptimizedFUSEConfig,
    storage: &StorageCapabilities,
    granted: Granted,
) -> Result<(), &'static str> {
    wants_stateless_files(config, storage)?;
    if !granted.no_open {
        Err("this kernel opens every file with a request")
    } else if !granted.lasting_pages {
        Err("the kernel granted no *_INVAL_DATA, without which pages would stay for ever")
    } else {
        Ok(())
    }
}

/// Whether the kernel is to use the files of the storage itself, as far as that is known before the
/// handshake; or why not. What no setting can change is told first.
pub(crate) fn wants_passthrough(
    config: &OptimizedFUSEConfig,
    storage: &StorageCapabilities,
) -> Result<(), &'static str> {
    if config.io_mode != IoMode::Passthrough {
        Err("io_mode is not passthrough")
    } else if !storage.kernel_backed {
        Err("the storage has no kernel-backed files")
    } else if wants_stateless_files(config, storage).is_ok() {
        Err("open is stateless, and passthrough needs the answer to OPEN")
    } else {
        Ok(())
    }
}

fn passthrough(
    config: &OptimizedFUSEConfig,
    storage: &StorageCapabilities,
    granted: Granted,
) -> Result<(), &'static str> {
    wants_passthrough(config, storage)?;
    if granted.passthrough {
        Ok(())
    } else {
        Err("the kernel did not grant passthrough")
    }
}

fn effective_io_mode(
    config: &OptimizedFUSEConfig,
    storage: &StorageCapabilities,
    granted: Granted,
) -> (IoMode, Option<String>) {
    match config.io_mode {
        IoMode::Passthrough => match passthrough(config, storage, granted) {
            Ok(()) => (IoMode::Passthrough, None),
            Err(why) if config.enable_writeback && granted.writeback_cache => {
                (IoMode::WritebackCache, Some(why.to_owned()))
            }
            Err(why) => (IoMode::WriteThrough, Some(why.to_owned())),
        },
        IoMode::WritebackCache if !granted.writeback_cache => (
            IoMode::WriteThrough,
            Some("the kernel did not grant the writeback cache".to_owned()),
        ),
        asked => (asked, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNEL_BACKED: StorageCapabilities = StorageCapabilities {
        kernel_backed: true,
        xattrs: true,
        posix_acls: true,
        exclusive: false,
        flush_on_close: false,
        security_labels: false,
        without_open: crate::storage::WithoutOpen {
            files: true,
            directories: true,
        },
    };

    const ALL: Granted = Granted {
        passthrough: true,
        writeback_cache: false,
        lasting_pages: true,
        no_open: true,
        no_opendir: true,
    };

    #[test]
    fn a_kernel_backed_storage_gets_passthrough_on_every_optimised_preset() {
        for config in [
            OptimizedFUSEConfig::balanced(),
            OptimizedFUSEConfig::high_performance(),
            OptimizedFUSEConfig::safe(),
        ] {
            let policy = Policy::new(&config, &KERNEL_BACKED, ALL);
            assert_eq!(policy.io_mode, IoMode::Passthrough);
            assert!(policy.no_flush);
        }
        let baseline = Policy::new(&OptimizedFUSEConfig::baseline(), &KERNEL_BACKED, ALL);
        assert_eq!(baseline.io_mode, IoMode::WriteThrough);
        assert!(!baseline.keep_cache && !baseline.no_flush);
        assert!(!baseline.stateless_directories);
    }

    #[test]
    fn a_stateless_mount_has_no_passthrough_and_says_why_it_is_not_one() {
        let mut config = OptimizedFUSEConfig::balanced();
        let policy = Policy::new(&config, &KERNEL_BACKED, ALL);
        assert!(!policy.stateless_files && policy.stateless_refusal.is_none());
        config.open = OpenPolicy::Stateless;
        let policy = Policy::new(&config, &KERNEL_BACKED, ALL);
        assert!(policy.stateless_files && policy.no_flush);
        assert_eq!(policy.io_mode, IoMode::WriteThrough);
        for granted in [
            Granted {
                no_open: false,
                ..ALL
            },
            Granted {
                lasting_pages: false,
                ..ALL
            },
        ] {
            let policy = Policy::new(&config, &KERNEL_BACKED, granted);
            assert!(!policy.stateless_files && policy.stateless_refusal.is_some());
        }
        let remote = StorageCapabilities {
            flush_on_close: true,
            ..KERNEL_BACKED
        };
        assert!(!Policy::new(&config, &remote, ALL).stateless_files);
        config.default_permissions = false;
        let policy = Policy::new(&config, &KERNEL_BACKED, ALL);
        assert!(!policy.stateless_files && !policy.stateless_directories);
    }

    #[test]
    fn without_kernel_backed_files_writeback_is_used_where_enabled_and_granted() {
        let storage = StorageCapabilities {
            kernel_backed: false,
            ..KERNEL_BACKED
        };
        let granted = Granted {
            passthrough: false,
            writeback_cache: true,
            ..ALL
        };
        let fast = Policy::new(&OptimizedFUSEConfig::high_performance(), &storage, granted);
        assert_eq!(fast.io_mode, IoMode::WritebackCache);
        assert!(!fast.no_flush, "a close must report what writeback met");
        let balanced = Policy::new(&OptimizedFUSEConfig::balanced(), &storage, granted);
        assert_eq!(balanced.io_mode, IoMode::WriteThrough);
        assert!(balanced.io_mode_reason.is_some());
    }

    #[test]
    fn names_are_not_cached_when_the_storage_checks_and_others_may_enter() {
        let mut config = OptimizedFUSEConfig::balanced();
        config.default_permissions = false;
        let policy = Policy::new(&config, &KERNEL_BACKED, ALL);
        assert_eq!(policy.entry_ttl, Duration::ZERO);
        assert_eq!(policy.negative_ttl, Duration::ZERO);
        config.allow_other = false;
        let policy = Policy::new(&config, &KERNEL_BACKED, ALL);
        assert_eq!(policy.entry_ttl, Duration::from_secs(5));
    }

    #[test]
    fn what_nobody_else_changes_never_expires_unless_nothing_is_cached() {
        let mut config = OptimizedFUSEConfig::balanced();
        config.exclusive = true;
        let policy = Policy::new(&config, &KERNEL_BACKED, ALL);
        assert_eq!(
            [policy.attr_ttl, policy.entry_ttl, policy.negative_ttl],
            [UNLIMITED; 3]
        );
        let storage = StorageCapabilities {
            exclusive: true,
            ..KERNEL_BACKED
        };
        let safe = Policy::new(&OptimizedFUSEConfig::safe(), &storage, ALL);
        assert_eq!(safe.attr_ttl, UNLIMITED);
        assert_eq!(safe.negative_ttl, Duration::ZERO);
        let baseline = Policy::new(&OptimizedFUSEConfig::baseline(), &storage, ALL);
        assert_eq!(baseline.attr_ttl, Duration::ZERO);
    }

    #[test]
    fn the_first_refusal_turns_passthrough_off_and_is_kept() {
        let policy = Policy::new(&OptimizedFUSEConfig::balanced(), &KERNEL_BACKED, ALL);
        assert!(policy.passthrough());
        policy.refuse_passthrough("first".into());
        policy.refuse_passthrough("second".into());
        assert!(!policy.passthrough());
        assert_eq!(policy.passthrough_refusal(), Some("first"));
    }
}
