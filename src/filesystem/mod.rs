//! The filesystem: a storage tied to the caches, and the answers a transport sends.
//!
//! Requests reach [`DynamicFS`] as this project's own types and leave it as [`Result`]s, so nothing
//! here knows how a request arrived. One file per group of operations:
//!
//! | file | operations |
//! |---|---|
//! | `names` | lookup, forget, mknod, mkdir, symlink, link, unlink, rmdir, rename |
//! | `attributes` | getattr, setattr, access, statfs |
//! | `files` | open, create, release, flush, fsync, fallocate, lseek, copy_file_range |
//! | `data` | read, write, and what runs ahead of and behind them |
//! | `directories` | opendir, readdir, readdirplus, releasedir, fsyncdir |
//! | `xattrs` | getxattr, listxattr, setxattr, removexattr |
//! | `changes` | what the storage tells of changes behind the mount |
//! | `locking` | getlk, setlk, and what a close releases |

mod absent_names;
mod answers;
mod attributes;
mod changes;
mod data;
mod directories;
mod files;
mod invalidation;
mod listings;
mod lock_watch;
mod locking;
pub mod locks;
mod names;
mod opens;
mod policy;
mod xattrs;

pub use answers::{AttrAnswer, DirPlusEntry, EntryAnswer, FileAccess, Opened};
pub use invalidation::{Invalidator, KernelNotifier};
pub use locks::{Conflict, LockKind, LockManager, LockRange, LockRequest, LockType, WaitId};
pub use policy::{Granted, Policy};
pub(crate) use policy::{
    UNLIMITED, is_exclusive, names_must_expire, wants_passthrough, wants_stateless_files,
};

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crate::cache::XAttrCache;
use crate::config::OptimizedFUSEConfig;
use crate::stats::{Snapshot, Statistics};
use crate::storage::{FilesystemInterface, StorageCapabilities};

use absent_names::AbsentNames;
use listings::Listings;
use lock_watch::LockWatch;
use opens::OpenInodes;

/// A storage with everything that makes it fast: lock manager, extended attribute cache, readahead,
/// writeback, and the policy that the kernel's grants lead to.
///
/// ```
/// use dynamicfs::{DynamicFS, OptimizedFUSEConfig};
/// use dynamicfs::storage::MemoryStorage;
///
/// let config = OptimizedFUSEConfig::high_performance();
/// let fs = DynamicFS::new_with_config(Box::new(MemoryStorage::new()), config);
/// assert!(fs.config().enable_readahead);
/// ```
pub struct DynamicFS {
    storage: Arc<dyn FilesystemInterface>,
    capabilities: StorageCapabilities,
    config: OptimizedFUSEConfig,
    policy: OnceLock<Policy>,
    lock_manager: Arc<LockManager>,
    lock_watch: LockWatch,
    xattr_cache: Option<XAttrCache>,
    data_path: data::DataPath,
    opens: OpenInodes,
    listings: Listings,
    /// On a mount that watches for changes.
    absent_names: OnceLock<AbsentNames>,
    invalidator: Invalidator,
    statistics: Statistics,
    started: Instant,
}

impl DynamicFS {
    /// With the default configuration, [`OptimizedFUSEConfig::balanced`].
    pub fn new(storage: Box<dyn FilesystemInterface>) -> DynamicFS {
        DynamicFS::new_with_config(storage, OptimizedFUSEConfig::default())
    }

    /// With a configuration of one's own.
    ///
    /// What the storage and the kernel cannot do is settled at the mount, and reported there.
    pub fn new_with_config(
        storage: Box<dyn FilesystemInterface>,
        config: OptimizedFUSEConfig,
    ) -> DynamicFS {
        let storage: Arc<dyn FilesystemInterface> = Arc::from(storage);
        let capabilities = storage.capabilities();
        let xattr_cache =
            (config.enable_xattr_cache && capabilities.xattrs).then(|| XAttrCache::new(&config));
        DynamicFS {
            data_path: data::DataPath::new(&storage, &capabilities, &config),
            storage,
            capabilities,
            policy: OnceLock::new(),
            lock_manager: Arc::new(LockManager::new()),
            lock_watch: LockWatch::default(),
            xattr_cache,
            opens: OpenInodes::new(),
            listings: Listings::new(),
            absent_names: OnceLock::new(),
            invalidator: Invalidator::start(),
            statistics: Statistics::new(),
            started: Instant::now(),
            config,
        }
    }

    /// The configuration, as it was asked for.
    pub fn config(&self) -> &OptimizedFUSEConfig {
        &self.config
    }

    /// The mount is made with an option by which others than its owner enter.
    pub(crate) fn let_others_in(&mut self) {
        self.config.allow_other = true;
    }

    /// What the storage is.
    pub fn storage_capabilities(&self) -> StorageCapabilities {
        self.capabilities
    }

    /// Where transports count requests.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// The thread that tells the kernel what to drop.
    pub fn invalidator(&self) -> &Invalidator {
        &self.invalidator
    }

    /// Settles how files are served, once the kernel has said what it grants. A transport calls it
    /// between the handshake and the first request; a second call changes nothing.
    pub fn settle(&self, granted: Granted) -> &Policy {
        self.policy
            .get_or_init(|| Policy::new(&self.config, &self.capabilities, granted))
    }

    /// How files are served. Before [`settle`](Self::settle), as if the kernel granted nothing.
    pub fn policy(&self) -> &Policy {
        self.settle(Granted::default())
    }

    /// All figures of this mount at this moment.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.statistics.snapshot();
        snapshot.uptime_secs = self.started.elapsed().as_secs_f64();
        snapshot.xattr_cache = self.xattr_cache.as_ref().map(XAttrCache::statistics);
        snapshot.readahead = self.data_path.readahead_statistics();
        snapshot.inodes = self.storage.inode_count();
        snapshot.open_files = self.opens.open_files();
        snapshot.passthrough_opens = self.opens.passthrough_opens();
        snapshot.plain_opens = self.opens.plain_opens();
        snapshot.invalidations = self.invalidator.sent();
        snapshot
    }

    /// The mount is gone: writes out what is held and lets go of it. Transports call it once, after
    /// the last request.
    pub fn destroy(&self) {
        self.invalidator.stop();
        self.lock_watch.stop();
        if let Err(error) = self.data_path.flush_all() {
            tracing::error!(%error, "unwritten data was lost at unmount");
        }
        self.storage.destroy();
    }
}

impl std::fmt::Debug for DynamicFS {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DynamicFS")
            .field("capabilities", &self.capabilities)
            .field("config", &self.config)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
