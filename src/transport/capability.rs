//! The capabilities of the kernel that this library knows, and which of them a mount asks for.

use crate::config::{IoMode, KernelFeatures, LockMode, OptimizedFUSEConfig, ReadDirPlus};
use crate::filesystem::{
    is_exclusive, names_must_expire, wants_passthrough, wants_stateless_files,
};
use crate::storage::StorageCapabilities;

macro_rules! capabilities {
    (
        portable { $($(#[$doc:meta])* $variant:ident => $name:literal,)* }
        native { $($(#[$native_doc:meta])* $native:ident => $native_name:literal,)* }
    ) => {
        /// An INIT flag of the FUSE protocol (`fuse.h`, "INIT request/reply flags").
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Capability {
            $($(#[$doc])* $variant,)*
            $($(#[$native_doc])* $native,)*
        }

        impl Capability {
            /// All of them.
            pub const ALL: &'static [Capability] =
                &[$(Capability::$variant,)* $(Capability::$native,)*];

            /// Those that every transport has something to say of. The others concern the form of
            /// messages, which a transport on a library does not decide.
            pub const PORTABLE: &'static [Capability] = &[$(Capability::$variant,)*];

            /// The kernel's name without `FUSE_`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Capability::$variant => $name,)*
                    $(Capability::$native => $native_name,)*
                }
            }
        }
    };
}

capabilities! {
    portable {
        /// Several reads of a file at a time.
        AsyncRead => "ASYNC_READ",
        /// Direct I/O in parallel.
        AsyncDio => "ASYNC_DIO",
        /// open(2) with `O_TRUNC` is one request.
        AtomicOTrunc => "ATOMIC_O_TRUNC",
        /// The storage applies the umask, so that default ACLs can override it.
        DontMask => "DONT_MASK",
        /// Cached pages are dropped when size or modification time changed.
        AutoInvalData => "AUTO_INVAL_DATA",
        /// Cached pages are dropped only when the filesystem says so.
        ExplicitInvalData => "EXPLICIT_INVAL_DATA",
        /// Lookups and listings in one directory run in parallel.
        ParallelDirops => "PARALLEL_DIROPS",
        /// Listings bring attributes.
        DoReaddirplus => "DO_READDIRPLUS",
        /// Listings bring attributes when that has paid before.
        ReaddirplusAuto => "READDIRPLUS_AUTO",
        /// Targets of symbolic links are cached.
        CacheSymlinks => "CACHE_SYMLINKS",
        /// The kernel checks and caches POSIX ACLs.
        PosixAcl => "POSIX_ACL",
        /// Dirty pages are kept and written later.
        WritebackCache => "WRITEBACK_CACHE",
        /// The kernel uses backing files itself.
        Passthrough => "PASSTHROUGH",
        /// Shared mappings of files open for direct I/O.
        DirectIoAllowMmap => "DIRECT_IO_ALLOW_MMAP",
        /// fcntl(2) locks are requests.
        PosixLocks => "POSIX_LOCKS",
        /// flock(2) locks are requests.
        FlockLocks => "FLOCK_LOCKS",
        /// The filesystem drops set-user-id bits itself, so writes need no check of their own.
        HandleKillprivV2 => "HANDLE_KILLPRIV_V2",
        /// The mount may be mounted again with ids mapped (mount_setattr(2)).
        AllowIdmap => "ALLOW_IDMAP",
    }
    native {
        /// INIT has 64 flags.
        InitExt => "INIT_EXT",
        /// Requests are longer than 32 pages.
        MaxPages => "MAX_PAGES",
        /// Inodes are found by number alone, so that handles (open_by_handle_at(2)) outlive the
        /// kernel's caches.
        ExportSupport => "EXPORT_SUPPORT",
        /// Setting an ACL says whether set-group-id goes.
        SetxattrExt => "SETXATTR_EXT",
        /// Names can be expired without being dropped.
        HasExpireOnly => "HAS_EXPIRE_ONLY",
        /// Data go from a kernel file into an answer without a copy in this process.
        SpliceWrite => "SPLICE_WRITE",
        /// Data of a WRITE go from the request into a kernel file without a copy in this process.
        SpliceRead => "SPLICE_READ",
        /// Pages of an answer are moved into the page cache of the mount instead of copied.
        SpliceMove => "SPLICE_MOVE",
        /// Creations bring the security label of what is created.
        SecurityCtx => "SECURITY_CTX",
        /// Creations bring the group of the caller that matters in the directory.
        CreateSuppGroup => "CREATE_SUPP_GROUP",
        /// Requests that were read and not answered come again when they are asked for, marked as such.
        HasResend => "HAS_RESEND",
        /// The kernel ends the connection when an answer takes too long.
        RequestTimeout => "REQUEST_TIMEOUT",
        /// Directories may be roots of mounts of their own, with device numbers of their own.
        Submounts => "SUBMOUNTS",
        /// Requests come over io_uring.
        OverIoUring => "OVER_IO_URING",
    }
}

/// Why nothing can be spliced.
const NOT_KERNEL_BACKED: &str = "the storage has no kernel-backed files";

/// Whether a capability is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// It is.
    Yes,
    /// It is not, because.
    No(String),
}

/// Decides for each of `capabilities` whether to ask the kernel for it.
pub fn plan(
    capabilities: &[Capability],
    config: &OptimizedFUSEConfig,
    storage: &StorageCapabilities,
) -> Vec<(Capability, Ask)> {
    capabilities
        .iter()
        .map(|&capability| (capability, ask(capability, config, storage)))
        .collect()
}

fn ask(capability: Capability, config: &OptimizedFUSEConfig, storage: &StorageCapabilities) -> Ask {
    let no = |why: &str| Ask::No(why.to_owned());
    let when = |wanted: bool, why: &str| if wanted { Ask::Yes } else { no(why) };
    if config.kernel_features == KernelFeatures::Minimal && !is_needed_for_correctness(capability) {
        return no("kernel_features is minimal");
    }
    let stateless = wants_stateless_files(config, storage).is_ok();
    let own_pages = keeps_own_pages(config, storage);
    match capability {
        Capability::AutoInvalData => when(own_pages.is_err(), "EXPLICIT_INVAL_DATA excludes it"),
        Capability::ExplicitInvalData => own_pages.map_or_else(no, |()| Ask::Yes),
        Capability::AtomicOTrunc => when(
            !stateless,
            "open is stateless, so only a SETATTR can truncate",
        ),
        Capability::DoReaddirplus | Capability::ReaddirplusAuto if names_must_expire(config) => {
            no("names are not cached when the storage checks permissions and others may enter")
        }
        Capability::DoReaddirplus => {
            when(config.readdirplus != ReadDirPlus::Off, "readdirplus is off")
        }
        Capability::ReaddirplusAuto => when(
            config.readdirplus == ReadDirPlus::Auto,
            "readdirplus is not auto",
        ),
        Capability::PosixAcl if !config.xattrs => no("ACLs are attributes, and xattrs is off"),
        Capability::PosixAcl if !storage.posix_acls => no("the storage has no ACLs"),
        Capability::PosixAcl if !config.default_permissions => {
            no("the kernel would check permissions, but default_permissions is off")
        }
        Capability::PosixAcl => when(
            !config.leaves_checks_out(),
            "the kernel would check permissions, but only root can enter the mount",
        ),
        Capability::Passthrough => {
            wants_passthrough(config, storage).map_or_else(no, |()| Ask::Yes)
        }
        Capability::WritebackCache => when(
            wants_writeback_cache(config, storage),
            "io_mode or enable_writeback does not want it, or passthrough excludes it",
        ),
        Capability::PosixLocks | Capability::FlockLocks => {
            when(config.lock_mode == LockMode::Daemon, "lock_mode is kernel")
        }
        Capability::DirectIoAllowMmap => {
            when(config.io_mode == IoMode::Direct, "io_mode is not direct")
        }
        Capability::SpliceWrite => when(storage.kernel_backed, NOT_KERNEL_BACKED),
        Capability::SpliceRead if !config.splice_read => no(
            "splice_read is off: it takes requests that fit into a pipe, and pays for large writes alone",
        ),
        Capability::SpliceRead => when(storage.kernel_backed, NOT_KERNEL_BACKED),
        Capability::SpliceMove if !config.splice_move => no(
            "splice_move is off: the pages would leave the page cache of the backing file, and it was slower",
        ),
        Capability::SpliceMove => when(storage.kernel_backed, NOT_KERNEL_BACKED),
        Capability::SecurityCtx if !config.security_ctx => {
            no("security_ctx is off: the policy labels what the daemon creates")
        }
        Capability::SecurityCtx => when(
            storage.security_labels,
            "the storage keeps no labels, or SELinux is not running",
        ),
        Capability::AllowIdmap => when(
            config.allow_idmap,
            "allow_idmap is off: most requests would come without the ids of their caller",
        ),
        Capability::RequestTimeout => when(
            !config.request_timeout().is_zero(),
            "request_timeout is 0: a storage may be slow",
        ),
        // Those whose consequences nobody here carries out.
        Capability::Submounts => no("a mount has one device number"),
        Capability::OverIoUring => no("requests are read from /dev/fuse"),
        _ => Ask::Yes,
    }
}

/// Whether cached pages stay until this mount changes them, or why not. The kernel would otherwise drop all pages
/// of a file when it learns of the new modification time of a write of its own, and ask for the attributes
/// of a file before it reads from them again.
fn keeps_own_pages(
    config: &OptimizedFUSEConfig,
    storage: &StorageCapabilities,
) -> Result<(), &'static str> {
    if !is_exclusive(config, storage) {
        Err("others may change the data, so AUTO_INVAL_DATA drops what is stale")
    } else if wants_passthrough(config, storage).is_ok() {
        Err("files in passthrough have no pages here, and would change behind those of others")
    } else {
        Ok(())
    }
}

/// Whether the mount wants the kernel's writeback cache: passthrough, where possible, excludes it.
pub fn wants_writeback_cache(config: &OptimizedFUSEConfig, storage: &StorageCapabilities) -> bool {
    match config.io_mode {
        IoMode::WritebackCache => true,
        IoMode::Passthrough => config.enable_writeback && !storage.kernel_backed,
        IoMode::WriteThrough | IoMode::Direct => false,
    }
}

/// What even the yardstick asks for: without it answers would be wrong, not only slow.
fn is_needed_for_correctness(capability: Capability) -> bool {
    matches!(
        capability,
        // What `fuser` always asks.
        Capability::AsyncRead
            // Default ACLs override the umask.
            | Capability::DontMask
            | Capability::PosixAcl
            // Locks go where the configuration says, mappings work in the mode it says.
            | Capability::PosixLocks
            | Capability::FlockLocks
            | Capability::DirectIoAllowMmap
            // The form of messages, which no measurement should depend on.
            | Capability::InitExt
            | Capability::MaxPages
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: StorageCapabilities = StorageCapabilities {
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

    fn asked(config: &OptimizedFUSEConfig, storage: &StorageCapabilities) -> Vec<Capability> {
        plan(Capability::ALL, config, storage)
            .into_iter()
            .filter(|(_, ask)| *ask == Ask::Yes)
            .map(|(capability, _)| capability)
            .collect()
    }

    #[test]
    fn passthrough_and_the_writeback_cache_are_never_asked_for_together() {
        for preset in crate::config::Preset::ALL {
            for kernel_backed in [true, false] {
                let storage = StorageCapabilities {
                    kernel_backed,
                    ..LOCAL
                };
                let asked = asked(&preset.config(), &storage);
                assert!(
                    !(asked.contains(&Capability::Passthrough)
                        && asked.contains(&Capability::WritebackCache)),
                    "{preset:?}"
                );
            }
        }
    }

    #[test]
    fn the_baseline_asks_only_for_what_correct_answers_need() {
        let asked = asked(&OptimizedFUSEConfig::baseline(), &LOCAL);
        assert_eq!(
            asked,
            [
                Capability::AsyncRead,
                Capability::DontMask,
                Capability::PosixAcl,
                Capability::InitExt,
                Capability::MaxPages
            ]
        );
    }

    #[test]
    fn a_stateless_mount_asks_for_nothing_that_needs_an_open() {
        let mut config = OptimizedFUSEConfig::balanced();
        config.open = crate::config::OpenPolicy::Stateless;
        let asked = asked(&config, &LOCAL);
        assert!(!asked.contains(&Capability::Passthrough));
        assert!(!asked.contains(&Capability::AtomicOTrunc));
    }

    #[test]
    fn data_are_spliced_further_where_that_was_asked_for_and_can_be() {
        let mut config = OptimizedFUSEConfig::balanced();
        let (read, moved) = (Capability::SpliceRead, Capability::SpliceMove);
        let found = |config: &OptimizedFUSEConfig, storage: &StorageCapabilities| {
            let asked = asked(config, storage);
            (asked.contains(&read), asked.contains(&moved))
        };
        assert_eq!(found(&config, &LOCAL), (false, false));
        config.splice_read = true;
        assert_eq!(found(&config, &LOCAL), (true, false));
        (config.splice_read, config.splice_move) = (false, true);
        assert_eq!(found(&config, &LOCAL), (false, true));
        config.splice_read = true;
        let memory = StorageCapabilities {
            kernel_backed: false,
            ..LOCAL
        };
        assert_eq!(found(&config, &memory), (false, false));
    }

    #[test]
    fn pages_are_dropped_by_the_kernel_unless_nobody_else_changes_them() {
        let memory = StorageCapabilities {
            kernel_backed: false,
            exclusive: true,
            ..LOCAL
        };
        let mut stateless = OptimizedFUSEConfig::balanced();
        stateless.open = crate::config::OpenPolicy::Stateless;
        let exclusive = |mut config: OptimizedFUSEConfig| {
            config.exclusive = true;
            config
        };
        for (config, storage, explicit) in [
            (OptimizedFUSEConfig::balanced(), LOCAL, false),
            (exclusive(OptimizedFUSEConfig::balanced()), LOCAL, false),
            (stateless.clone(), LOCAL, false),
            (exclusive(stateless), LOCAL, true),
            (OptimizedFUSEConfig::balanced(), memory, true),
        ] {
            let asked = asked(&config, &storage);
            assert_eq!(asked.contains(&Capability::ExplicitInvalData), explicit);
            assert_eq!(asked.contains(&Capability::AutoInvalData), !explicit);
        }
    }

    #[test]
    fn acls_are_left_to_the_storage_with_the_permission_checks() {
        let mut config = OptimizedFUSEConfig::balanced();
        config.default_permissions = false;
        let asked = asked(&config, &LOCAL);
        assert!(!asked.contains(&Capability::PosixAcl));
        assert!(!asked.contains(&Capability::DoReaddirplus));
    }

    #[test]
    fn labels_are_asked_for_when_they_are_wanted_and_kept() {
        let mut config = OptimizedFUSEConfig::balanced();
        for (wanted, kept) in [(false, false), (false, true), (true, false), (true, true)] {
            config.security_ctx = wanted;
            let storage = StorageCapabilities {
                security_labels: kept,
                ..LOCAL
            };
            let asked = asked(&config, &storage).contains(&Capability::SecurityCtx);
            assert_eq!(asked, wanted && kept);
        }
    }

    #[test]
    fn every_refusal_has_a_reason() {
        for preset in crate::config::Preset::ALL {
            for (capability, ask) in plan(Capability::ALL, &preset.config(), &LOCAL) {
                if let Ask::No(why) = ask {
                    assert!(!why.is_empty(), "{capability:?}");
                }
            }
        }
    }
}
