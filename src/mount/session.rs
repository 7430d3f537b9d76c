//! A mount from its handshake to its end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use serde::{Deserialize, Serialize};

use super::place::{Given, Place};
use super::unmount::{UnmountError, UnmountMode};
use crate::config::{ConfigErrors, MountOption};
use crate::filesystem::DynamicFS;
use crate::stats::Snapshot;
use crate::transport::{self, Negotiated, TransportError};

use super::cpu_latency::{self, AwakeProcessors};
use super::report;

/// Why a mount could not be made, or did not end well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MountError {
    /// The configuration contradicts itself or is out of range.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The transport failed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// `watch` was asked for, and changes cannot be noticed: with long lifetimes they would not be seen.
    #[error(
        "cannot watch for changes behind the mount: {0}; leave watch out, and choose lifetimes that bound how stale things may be"
    )]
    Watch(#[source] std::io::Error),
    /// The connection that was given as mountpoint cannot be looked at.
    #[error("{}: {source}; give the number of a descriptor of /dev/fuse that is open here", .mountpoint.display())]
    Given {
        /// The mountpoint as given.
        mountpoint: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The connection that was given lets others in, and nobody would check what they may.
    #[error(
        "{} was mounted with allow_other and without default_permissions, so nobody would check permissions; mount it with both, or set default_permissions=false, and the storage checks",
        .mountpoint.display()
    )]
    Unchecked {
        /// Where it is mounted.
        mountpoint: PathBuf,
    },
    /// `allow_idmap` was asked for of a mount in which the kernel does not check permissions, as far as can be seen:
    /// requests would come without the ids of their callers.
    #[error(
        "allow_idmap is only for mounts with default_permissions and without allow_root: requests come without the ids of their callers, so only the kernel can check them"
    )]
    Idmap,
    /// The serving thread could not be started.
    #[error("cannot start a thread to serve the mount: {0}")]
    Thread(#[source] std::io::Error),
    /// The serving thread panicked: a bug.
    #[error("the thread that served the mount panicked")]
    Panicked,
    /// The mount could not be taken away.
    #[error(transparent)]
    Unmount(#[from] UnmountError),
}

/// What a mount asked for, what it was granted, and what is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountReport {
    /// Release of the running kernel.
    pub kernel: String,
    /// Version of the FUSE protocol that it speaks.
    pub abi: String,
    /// How requests arrive.
    pub transport: String,
    /// The way of file data that is in force.
    pub io_mode: String,
    /// Every capability and limit.
    pub capabilities: Vec<Negotiated>,
}

/// Mounts `fs` and serves it until it is unmounted, by whomever.
///
/// ```no_run
/// use std::path::Path;
/// use dynamicfs::storage::MemoryStorage;
/// use dynamicfs::{DynamicFS, OptimizedFUSEConfig};
///
/// # fn main() -> Result<(), dynamicfs::mount::MountError> {
/// let config = OptimizedFUSEConfig::high_performance();
/// let options = config.to_mount_options();
/// let dynamic_fs = DynamicFS::new_with_config(Box::new(MemoryStorage::new()), config);
/// dynamicfs::mount::mount(dynamic_fs, Path::new("/mnt"), &options)?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// See [`MountError`].
pub fn mount(fs: DynamicFS, mountpoint: &Path, options: &[MountOption]) -> Result<(), MountError> {
    spawn(fs, mountpoint, options)?.wait()
}

/// Mounts `fs` and serves it in threads of its own.
///
/// The mount answers when this returns. Dropping the handle unmounts.
///
/// The mountpoint `/dev/fd/N` is a connection that somebody else has mounted and whose `/dev/fuse` is open here
/// under the number N: nothing is mounted then, and the descriptor stays the caller's to close. Where that mount is
/// in sight it is as any other; where not, dropping the handle only ends the service (see [`given`]).
///
/// [`given`]: crate::transport::given
///
/// # Errors
/// See [`MountError`]; nothing is mounted then.
pub fn spawn(
    mut fs: DynamicFS,
    mountpoint: &Path,
    options: &[MountOption],
) -> Result<MountHandle, MountError> {
    fs.config().validate()?;
    let given = Given::named(mountpoint).transpose();
    let given = given.map_err(|source| MountError::Given {
        mountpoint: mountpoint.to_owned(),
        source,
    })?;
    if let Some(given) = &given {
        take_over(&mut fs, given)?;
    }
    let options = in_force(&mut fs, options);
    check_idmap(&fs, given.as_ref(), &options)?;
    let fs = Arc::new(fs);
    let transport = transport::of(fs.config().transport);
    let session = transport.mount(fs.clone(), mountpoint, &options)?;
    fs.invalidator().attach(session.notifier());
    let watched = watch(&fs)?;
    let (awake, latency) = cpu_latency::of(&fs);
    let negotiation = session.negotiation().clone();
    let place = Place::new(mountpoint, given.as_ref(), session.ender());
    let thread = std::thread::Builder::new()
        .name("dynamicfs-serve".into())
        .spawn(move || session.serve())
        .map_err(MountError::Thread)?;
    let readahead = place
        .is_in_sight()
        .then(|| report::raise_readahead(&fs, place.path()));
    let unseen = given.and_then(|given| given.unseen(fs.config()));
    Ok(MountHandle {
        report: report::assemble(
            transport.name(),
            &fs,
            negotiation,
            [readahead.flatten(), watched, latency, unseen]
                .into_iter()
                .flatten(),
        ),
        fs,
        place,
        thread: Some(thread),
        _awake: awake,
    })
}

/// Brings a filesystem into line with the mount that somebody else has made for it.
fn take_over(fs: &mut DynamicFS, given: &Given) -> Result<(), MountError> {
    if given.lets_others_in() {
        fs.let_others_in();
    }
    match given.mountpoint() {
        Some(mountpoint) if fs.config().default_permissions && given.is_unchecked() => {
            let mountpoint = mountpoint.to_owned();
            Err(MountError::Unchecked { mountpoint })
        }
        _ => Ok(()),
    }
}

/// Whether ids may be mapped, where they are to be: the kernel would refuse the handshake of a mount in which it does
/// not check permissions, and `allow_root` is checked by ids that do not come.
fn check_idmap(
    fs: &DynamicFS,
    given: Option<&Given>,
    options: &[MountOption],
) -> Result<(), MountError> {
    let has = |option| options.contains(&option);
    let checked = match given {
        Some(given) => given.is_checked(),
        None => has(MountOption::DefaultPermissions),
    };
    let some_only = has(MountOption::AllowRoot) && !has(MountOption::AllowOther);
    if fs.config().allow_idmap && (!checked || some_only) {
        return Err(MountError::Idmap);
    }
    Ok(())
}

/// The options without those that have nothing to do. `default_permissions` has the kernel ask for the
/// attributes of a directory after each change in it, to check a caller again whom it has let in already;
/// where only root enters, no check could fail.
fn in_force(fs: &mut DynamicFS, options: &[MountOption]) -> Vec<MountOption> {
    let lets_others_in =
        |option: &MountOption| matches!(option, MountOption::AllowOther | MountOption::AllowRoot);
    if options.iter().any(lets_others_in) {
        // Whatever the configuration says: this is what the kernel will do.
        fs.let_others_in();
    }
    let unneeded = fs.config().leaves_checks_out();
    let needed = |option: &&MountOption| !unneeded || **option != MountOption::DefaultPermissions;
    options.iter().filter(needed).cloned().collect()
}

/// Begins to watch for changes behind the mount, if that is wanted and there can be any.
fn watch(fs: &Arc<DynamicFS>) -> Result<Option<Negotiated>, MountError> {
    if !fs.config().watch {
        return Ok(None);
    }
    let watch = |granted: &str| Negotiated::limit("watch", "true", granted);
    if fs.storage_capabilities().exclusive {
        return Ok(Some(
            watch("no").because("nothing else changes this storage"),
        ));
    }
    let method = fs
        .watch()
        .map_err(|error| MountError::Watch(error.into()))?;
    Ok(Some(watch(&method.to_string())))
}

/// A mount that is being served.
#[derive(Debug)]
pub struct MountHandle {
    fs: Arc<DynamicFS>,
    report: MountReport,
    place: Place,
    thread: Option<JoinHandle<Result<(), TransportError>>>,
    _awake: Option<AwakeProcessors>,
}

impl MountHandle {
    /// What was negotiated, and what came of it since: a backing file refused after the mount shows
    /// here too.
    pub fn report(&self) -> MountReport {
        self.reporter()()
    }

    /// Makes [`report`](Self::report)s, also after the handle is given up to [`wait`](Self::wait).
    pub fn reporter(&self) -> impl Fn() -> MountReport + Send + Sync + use<> {
        let (fs, report) = (self.fs.clone(), self.report.clone());
        move || {
            let mut report = report.clone();
            report::update(&mut report, fs.policy());
            report
        }
    }

    /// All figures at this moment.
    pub fn statistics(&self) -> Snapshot {
        self.fs.snapshot()
    }

    /// The filesystem that is served.
    pub fn filesystem(&self) -> &Arc<DynamicFS> {
        &self.fs
    }

    /// Where it is mounted. For a connection that was given and whose mount is out of sight, the descriptor
    /// by a name that is its own on this machine: `/proc/PID/fd/N`.
    pub fn mountpoint(&self) -> &Path {
        self.place.path()
    }

    /// Something to unmount with from another thread.
    pub fn unmounter(&self) -> Unmounter {
        Unmounter {
            place: self.place.clone(),
        }
    }

    /// Waits until the mount is gone, by whomever it is unmounted.
    ///
    /// # Errors
    /// When the connection to the kernel broke instead.
    pub fn wait(mut self) -> Result<(), MountError> {
        self.join()
    }

    /// Unmounts and waits until the last request is answered.
    ///
    /// # Errors
    /// [`UnmountError::Busy`] leaves the mount as it is, but gives up the handle: it is then
    /// detached and ends with its last user.
    pub fn unmount(mut self) -> Result<(), MountError> {
        self.place.leave(UnmountMode::Normal)?;
        self.join()
    }

    fn join(&mut self) -> Result<(), MountError> {
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(served)) => Ok(served?),
            Some(Err(_)) => Err(MountError::Panicked),
        }
    }
}

impl Drop for MountHandle {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            if thread.is_finished() {
                return;
            }
            if let Err(error) = self.place.leave(UnmountMode::Lazy) {
                tracing::warn!(%error, "a mount outlives its handle");
            } else if thread.join().is_err() {
                tracing::error!("the thread that served {:?} panicked", self.place);
            }
        }
    }
}

/// Unmounts from another thread, in a signal loop say.
#[derive(Debug, Clone)]
pub struct Unmounter {
    place: Place,
}

impl Unmounter {
    /// Unmounts, or ends the service of a mount that is out of reach; [`MountHandle::wait`] then returns.
    ///
    /// # Errors
    /// See [`UnmountError`].
    pub fn unmount(&self, mode: UnmountMode) -> Result<(), UnmountError> {
        self.place.leave(mode)
    }
}
