//! Configuration: what is asked of the kernel and of the caches in this process.
//!
//! [`OptimizedFUSEConfig`] holds the values and a [`Preset`] fills it. [`Layers`] puts the file, the
//! environment, the mount options and the flags on top, and remembers where each value came from.
//! [`fields()`] is the one table of all settings, from which names, texts and ranges are taken.

mod error;
mod fields;
mod file;
mod layers;
mod mount_options;
mod names;
mod option_string;
mod origin;
mod presets;
mod suggest;
pub mod units;
mod validation;

pub use error::{ConfigError, ConfigErrors};
pub use fields::{Field, fields};
pub use layers::{DEFAULT_CONFIG_FILE, Layers, RESERVED_VARIABLES, Resolved, SettingInForce};
pub use mount_options::{MountOption, merge_mount_options};
pub use names::UnknownName;
pub use option_string::{ParsedOptions, parse_mount_options};
pub use origin::Origin;
pub use presets::Preset;
// For the programs of this workspace: not part of the library's interface.
#[doc(hidden)]
pub use suggest::nearest;
pub use units::ValueError;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::platform::Platform;

/// How file data move between an application and the storage.
///
/// An enum and not a set of switches: the kernel excludes the combinations (with
/// `FUSE_WRITEBACK_CACHE` granted it leaves passthrough off, see `fs/fuse/inode.c`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IoMode {
    /// The kernel reads and writes the file behind the mount itself; no request reaches the
    /// daemon. As coherent as the backing file. Where the storage or the kernel cannot, the mount
    /// falls back to [`WritebackCache`](IoMode::WritebackCache) if
    /// [`enable_writeback`](OptimizedFUSEConfig::enable_writeback) is set, otherwise to
    /// [`WriteThrough`](IoMode::WriteThrough). Linux 6.9.
    Passthrough,
    /// Reads and writes go through the page cache of the mount, and dirty pages are written later.
    /// The kernel owns size and modification time of a file: the backing data must not change
    /// behind the mount. Needs [`enable_writeback`](OptimizedFUSEConfig::enable_writeback).
    WritebackCache,
    /// Reads are cached, each write is a request before write(2) returns.
    WriteThrough,
    /// No page cache: each read and each write is a request (`FOPEN_DIRECT_IO`).
    Direct,
}

/// Whether open(2) of a file is a request.
///
/// A choice for a whole mount: the kernel takes the answer `ENOSYS` to one OPEN for all later ones
/// (`fc->no_open` in `fs/fuse/file.c`), and passthrough needs the answer of OPEN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpenPolicy {
    /// The library chooses; at present as [`Passthrough`](OpenPolicy::Passthrough).
    Auto,
    /// Each open and each last close is a request, and data can go by passthrough.
    Passthrough,
    /// Neither opens nor closes are requests; reads go through the page cache of the mount, which keeps
    /// small files between opens. Needs a storage that works without open files
    /// ([`StorageCapabilities::without_open`](crate::storage::StorageCapabilities::without_open)).
    Stateless,
}

/// Who arbitrates fcntl(2) and flock(2) locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LockMode {
    /// The kernel, among the processes that use this mount: no request, interruptible.
    Kernel,
    /// The daemon's `LockManager`: each lock is a request.
    Daemon,
}

/// Whether a directory listing returns attributes with the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReadDirPlus {
    /// Names only; a stat of each is a lookup.
    Off,
    /// The kernel decides from use: attributes once a listing is followed by lookups
    /// (`FUSE_READDIRPLUS_AUTO`).
    Auto,
    /// Always.
    On,
}

/// How requests reach this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TransportChoice {
    /// The one that suits this system: [`Linux`](TransportChoice::Linux) there, otherwise
    /// [`Fuser`](TransportChoice::Fuser).
    Auto,
    /// This library's own, over `/dev/fuse`: a leaner loop, and all that the kernel offers. Linux.
    Linux,
    /// The crate `fuser`. All systems.
    Fuser,
}

/// How much of what the kernel offers is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KernelFeatures {
    /// Nothing beyond the defaults of the transport: the yardstick.
    Minimal,
    /// All that this library honours and the kernel has.
    All,
}

/// Every setting of a mount, with the field names of the project's specification.
///
/// Start from a preset and change what differs:
///
/// ```
/// use dynamicfs::OptimizedFUSEConfig;
///
/// let mut config = OptimizedFUSEConfig::balanced();
///
/// // Increase cache for read-heavy workload
/// config.attr_timeout_secs = 15;
/// config.xattr_cache_size = 10000;
///
/// // Decrease for write-heavy workload
/// config.attr_timeout_secs = 1;
/// config.enable_writeback = false;
/// # assert!(config.validate().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OptimizedFUSEConfig {
    /// How long the kernel may use attributes without asking, whole seconds, 0 to 86,400.
    /// Default 5: an out-of-band change is seen within that time.
    pub attr_timeout_secs: u64,
    /// Milliseconds added to [`attr_timeout_secs`](Self::attr_timeout_secs), 0 to 999. Default 0.
    pub attr_timeout_millis: u32,
    /// How long the kernel may use a name without asking, whole seconds, 0 to 86,400. Default 5.
    pub entry_timeout_secs: u64,
    /// Milliseconds added to [`entry_timeout_secs`](Self::entry_timeout_secs), 0 to 999. Default 0.
    pub entry_timeout_millis: u32,
    /// How long the kernel may remember that a name does not exist, whole seconds, 0 to 86,400.
    /// Default 1: shorter than the others, because programs wait for files to appear.
    pub negative_timeout_secs: u64,
    /// Milliseconds added to [`negative_timeout_secs`](Self::negative_timeout_secs), 0 to 999.
    /// Default 0.
    pub negative_timeout_millis: u32,

    /// Detect sequential reads and fetch ahead of them. Default on.
    pub enable_readahead: bool,
    /// Largest readahead window in bytes, 4 KiB to 64 MiB. Default 128 KiB, the kernel's own.
    pub readahead_size: usize,

    /// Threads that serve requests, 1 to 256. Default: the CPUs of this machine, at most 8; more
    /// only hand cache lines around.
    pub worker_threads: usize,

    /// Let writes be acknowledged before the storage has them, where the storage has no
    /// kernel-backed file. Default off: a crash of the daemon then loses nothing acknowledged.
    pub enable_writeback: bool,
    /// Bytes of unwritten data held at most in this process, 0 to 1 GiB. Default 4 MiB.
    pub writeback_buffer_size: usize,

    /// Have extended attributes. Without them every call for one fails with `EOPNOTSUPP`, and the kernel does not ask at
    /// the first write of each file whether it has capabilities to lose (`security.capability`; they go all the same).
    /// ACLs of the storage are attributes: with [`default_permissions`](Self::default_permissions) the kernel then goes by
    /// the mode alone. Default on: programs lose what they keep in attributes.
    pub xattrs: bool,
    /// Cache extended attributes in this process (the kernel caches none). Default on.
    pub enable_xattr_cache: bool,
    /// Entries of the extended attribute cache, 1 to 10,000,000. Default 1,000.
    pub xattr_cache_size: usize,
    /// Bytes of names and values in that cache, 4 KiB to 4 GiB. Default 8 MiB.
    pub xattr_cache_bytes: usize,
    /// How long such an entry is used, whole seconds, 0 to 86,400. Default 30.
    pub xattr_cache_ttl_secs: u64,
    /// Milliseconds added to [`xattr_cache_ttl_secs`](Self::xattr_cache_ttl_secs), 0 to 999.
    /// Default 0.
    pub xattr_cache_ttl_millis: u32,

    /// Largest read request in bytes, 4 KiB to 16 MiB. Default 1 MiB.
    pub max_read_size: usize,
    /// Largest write request in bytes, 4 KiB to 16 MiB. Default 1 MiB. The kernel may grant less
    /// (`fs.fuse.max_pages_limit`).
    pub max_write_size: usize,
    /// Asynchronous requests (readahead, writeback) in flight, 1 to 65,535. Default 64.
    pub max_background: u16,

    /// How long a request may go without an answer before the kernel ends the connection, whole seconds,
    /// 0 (never) to 86,400: every caller then gets an error (`ECONNABORTED`, later `ENOTCONN`), where one that waits
    /// for a storage that hangs would wait for ever. Default 0: a storage may be slow, and the mount is lost with the
    /// first answer that is late. The kernel makes less than 15 seconds 15, looks every 15, and is bound by
    /// `fs.fuse.max_request_timeout` (Linux 6.15; native transport).
    pub request_timeout_secs: u64,
    /// Milliseconds added to [`request_timeout_secs`](Self::request_timeout_secs), 0 to 999; the kernel counts
    /// seconds that have begun. Default 0.
    pub request_timeout_millis: u32,

    /// The path of file data. Default passthrough.
    pub io_mode: IoMode,
    /// Whether open(2) is a request. Default auto: large files then move at the speed of the storage,
    /// where a stateless mount opens small ones ten times as fast.
    pub open: OpenPolicy,
    /// Who arbitrates locks. Default the kernel.
    pub lock_mode: LockMode,
    /// Attributes with directory listings. Default auto.
    pub readdirplus: ReadDirPlus,
    /// What is asked of the kernel. Default all.
    pub kernel_features: KernelFeatures,
    /// Tell programs that ask for it when a file was made (statx(2), `STATX_BTIME`). The answers to LOOKUP and
    /// READDIRPLUS have no room for it, so the first stat(2) of each file by such a program is one more
    /// request: the standard libraries of Rust and Node.js always ask, the C library's stat(2) never.
    /// Default on, except in the high-performance preset. Without effect with the transport `fuser`.
    pub birth_time: bool,
    /// Keep idle processors from halting while requests come fast (CPU latency QoS of 0 µs, `/dev/cpu_dma_latency`,
    /// Linux, root): a request wakes the daemon and its answer the caller, often on different processors, and in
    /// a virtual machine waking one that has halted takes longer than all else (20 µs each way measured, where the
    /// whole request takes 8 without). The price is power: they poll, all of the machine, as long as at least 5,000 requests
    /// come a second, and 50 ms longer. Default off, except in the high-performance preset.
    pub cpu_latency_qos: bool,
    /// Take requests by a pipe while large writes come, so that the data of those that pass the daemon go to the backing
    /// file without a copy in this process (`FUSE_SPLICE_READ`), from 64 KiB a request on. Whether a request is a write shows
    /// only when it has been taken, so a worker takes the sixteen after a large one in the same way, at a system call more
    /// each. Default off: files in passthrough do not write through the daemon, and requests of the presets' size fit into no
    /// pipe: the larger of [`max_read_size`](Self::max_read_size) and [`max_write_size`](Self::max_write_size), and two pages,
    /// must be within `fs.pipe-max-size` (1 MiB unless raised: 1016 KiB), or requests are read as without. Without effect with
    /// the transport `fuser`, and where the storage has no kernel-backed files.
    pub splice_read: bool,
    /// Move the pages of large reads that pass the daemon into the page cache of the mount, instead of copying them
    /// (`FUSE_SPLICE_MOVE`): the data are then in memory once. Default off: the pages leave the page cache of the backing
    /// file, so whoever else reads it must fetch them again, and it was slower than copying. Only pages that lie
    /// alone, are written back and are in nobody's use are moved, and never to a reader of direct I/O. Without effect
    /// with the transport `fuser`, and where the storage has no kernel-backed files.
    pub splice_move: bool,
    /// How requests reach this process. Default auto, in the baseline preset `fuser`.
    pub transport: TransportChoice,

    /// Watch the backing directory, and expire what others change in it as soon as it changes, so that long
    /// lifetimes stay safe (fanotify(7) with privileges, otherwise inotify(7)). Default off: it costs an
    /// event for each change on the whole backing file system.
    pub watch: bool,
    /// Nothing but this mount changes the backing directory: lifetimes that are not zero never end. Default
    /// off: a change that is made elsewhere all the same may never be seen.
    pub exclusive: bool,

    /// Let users other than the one who mounted enter (`allow_other`). Default on.
    pub allow_other: bool,
    /// Let the kernel check permissions from mode and ACL (`default_permissions`). Default on.
    /// Without it the storage checks each operation as the caller, and names are not cached when
    /// others may enter, because a cached name is not checked again. A mount that only root may enter
    /// goes without it in any case.
    pub default_permissions: bool,
    /// Let the mount be mounted again with ids mapped (`MOUNT_ATTR_IDMAP` of mount_setattr(2); Linux 6.12, native
    /// transport). Default off: the kernel then names the caller only of what is created. So the storage cannot check
    /// permissions, the blocks that the backing file system reserves are for nobody, and `trusted.*` attributes are listed
    /// to nobody.
    pub allow_idmap: bool,
    /// Give what is created the label that SELinux gives it for its caller in the mount (`FUSE_SECURITY_CTX`, Linux 5.17,
    /// native transport). Default off: what is created then bears the label that the policy has for the daemon in the
    /// directory behind. The usual policies give all files of a FUSE mount one label, so it pays where the mount has a
    /// context of its own (`context=` of mount(8)) or the policy tells files in it apart.
    pub security_ctx: bool,
}

impl OptimizedFUSEConfig {
    /// Whether nobody but root can enter the mount: then a check of permissions could only say yes.
    pub(crate) fn only_root_enters(&self) -> bool {
        let is_linux = Platform::CURRENT == Platform::Linux;
        is_linux && !self.allow_other && rustix::process::geteuid().is_root()
    }

    /// Whether the kernel is not asked to check although it could be: each change in a directory would cost
    /// a question more, to which there is one answer.
    pub(crate) fn leaves_checks_out(&self) -> bool {
        let optimises = self.kernel_features == KernelFeatures::All;
        // Through a mount with ids mapped, root is not the owner of everything.
        optimises && self.default_permissions && !self.allow_idmap && self.only_root_enters()
    }

    /// Lifetime of cached attributes.
    pub fn attr_timeout(&self) -> Duration {
        timeout(self.attr_timeout_secs, self.attr_timeout_millis)
    }

    /// Lifetime of cached names.
    pub fn entry_timeout(&self) -> Duration {
        timeout(self.entry_timeout_secs, self.entry_timeout_millis)
    }

    /// Lifetime of the memory that a name does not exist.
    pub fn negative_timeout(&self) -> Duration {
        timeout(self.negative_timeout_secs, self.negative_timeout_millis)
    }

    /// How long a request may go without an answer; zero is for ever.
    pub fn request_timeout(&self) -> Duration {
        timeout(self.request_timeout_secs, self.request_timeout_millis)
    }

    /// Lifetime of a cached extended attribute.
    pub fn xattr_cache_ttl(&self) -> Duration {
        timeout(self.xattr_cache_ttl_secs, self.xattr_cache_ttl_millis)
    }
}

impl Default for OptimizedFUSEConfig {
    fn default() -> Self {
        Self::balanced()
    }
}

fn timeout(secs: u64, millis: u32) -> Duration {
    Duration::from_secs(secs).saturating_add(Duration::from_millis(u64::from(millis)))
}
