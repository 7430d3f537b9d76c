//! Mount options and session settings, as `fuser` takes them.

use fuser::{Config, MountOption as Fuser, SessionACL};

use crate::config::{MountOption, OptimizedFUSEConfig};
use crate::platform::Platform;
use crate::transport::TransportError;

pub(super) fn session_config(config: &OptimizedFUSEConfig, options: &[MountOption]) -> Config {
    let mut session = Config::default();
    session.n_threads = Some(config.worker_threads.max(1));
    session.clone_fd = config.worker_threads > 1;
    session.acl = access(options);
    let options = Platform::CURRENT.mount_options(config, options);
    session.mount_options = options.iter().filter_map(option).collect();
    session
}

/// Options that must not be ignored and that `fuser` cannot pass on.
pub(super) fn refuse(options: &[MountOption]) -> Result<(), TransportError> {
    match options.contains(&MountOption::NoSymFollow) {
        true => Err(TransportError::Option {
            option: MountOption::NoSymFollow.to_string(),
            transport: "fuser",
        }),
        false => Ok(()),
    }
}

fn access(options: &[MountOption]) -> SessionACL {
    if options.contains(&MountOption::AllowOther) {
        SessionACL::All
    } else if options.contains(&MountOption::AllowRoot) {
        SessionACL::RootAndOwner
    } else {
        SessionACL::Owner
    }
}

fn option(option: &MountOption) -> Option<Fuser> {
    Some(match option {
        MountOption::AllowOther | MountOption::AllowRoot => return None,
        MountOption::FSName(name) => Fuser::FSName(name.clone()),
        // `fuser` hands its own Subtype only to the mount helper; as a plain option both the
        // kernel and the helper take it, and the type shows as `fuse.dynamicfs`.
        MountOption::Subtype(name) => Fuser::CUSTOM(format!("subtype={name}")),
        MountOption::DefaultPermissions => Fuser::DefaultPermissions,
        MountOption::AutoUnmount => Fuser::AutoUnmount,
        MountOption::Ro => Fuser::RO,
        MountOption::Rw => Fuser::RW,
        MountOption::Suid => Fuser::Suid,
        MountOption::NoSuid => Fuser::NoSuid,
        MountOption::Dev => Fuser::Dev,
        MountOption::NoDev => Fuser::NoDev,
        MountOption::Exec => Fuser::Exec,
        MountOption::NoExec => Fuser::NoExec,
        MountOption::Atime => Fuser::Atime,
        MountOption::NoAtime => Fuser::NoAtime,
        // What the kernel does anyway.
        MountOption::RelAtime
        | MountOption::DirAtime
        | MountOption::NoLazyTime
        | MountOption::SymFollow
        | MountOption::Async => return None,
        // Times are the storage's affair: the kernel keeps none for a FUSE mount.
        MountOption::StrictAtime | MountOption::NoDirAtime | MountOption::LazyTime => {
            tracing::warn!(%option, "has no effect on this mount: the backing file system keeps the times");
            return None;
        }
        // Refused before, see `refuse`.
        MountOption::NoSymFollow => return None,
        MountOption::Sync => Fuser::Sync,
        MountOption::DirSync => Fuser::DirSync,
        MountOption::Custom(text) => Fuser::CUSTOM(text.clone()),
    })
}
