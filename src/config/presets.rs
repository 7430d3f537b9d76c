//! The presets: four points on the line from "trust nothing cached" to "cache all you can".

use serde::{Deserialize, Serialize};

use super::{
    IoMode, KernelFeatures, LockMode, OpenPolicy, OptimizedFUSEConfig, ReadDirPlus, TransportChoice,
};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// A named set of values for every field of [`OptimizedFUSEConfig`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// For everything.
    #[default]
    Balanced,
    /// For reading much, streaming, builds: longer lifetimes, larger windows.
    HighPerformance,
    /// For databases and for backing data that others change: short lifetimes, never dirty data.
    Safe,
    /// No optimisation at all: one thread, zero lifetimes, no caches. What the others are measured
    /// against.
    Baseline,
}

impl Preset {
    /// All of them, in the order of presentation.
    pub const ALL: [Preset; 4] = [
        Preset::Balanced,
        Preset::HighPerformance,
        Preset::Safe,
        Preset::Baseline,
    ];

    /// The values.
    pub fn config(self) -> OptimizedFUSEConfig {
        match self {
            Preset::Balanced => OptimizedFUSEConfig::balanced(),
            Preset::HighPerformance => OptimizedFUSEConfig::high_performance(),
            Preset::Safe => OptimizedFUSEConfig::safe(),
            Preset::Baseline => OptimizedFUSEConfig::baseline(),
        }
    }
}

impl OptimizedFUSEConfig {
    /// The default: names and attributes for 5 s, 128 KiB of readahead, no dirty data.
    pub fn balanced() -> Self {
        OptimizedFUSEConfig {
            attr_timeout_secs: 5,
            attr_timeout_millis: 0,
            entry_timeout_secs: 5,
            entry_timeout_millis: 0,
            negative_timeout_secs: 1,
            negative_timeout_millis: 0,
            enable_readahead: true,
            readahead_size: 128 * KIB,
            worker_threads: std::thread::available_parallelism().map_or(1, |n| n.get().min(8)),
            enable_writeback: false,
            writeback_buffer_size: 4 * MIB,
            xattrs: true,
            enable_xattr_cache: true,
            xattr_cache_size: 1_000,
            xattr_cache_bytes: 8 * MIB,
            xattr_cache_ttl_secs: 30,
            xattr_cache_ttl_millis: 0,
            max_read_size: MIB,
            max_write_size: MIB,
            max_background: 64,
            request_timeout_secs: 0,
            request_timeout_millis: 0,
            io_mode: IoMode::Passthrough,
            open: OpenPolicy::Auto,
            lock_mode: LockMode::Kernel,
            readdirplus: ReadDirPlus::Auto,
            kernel_features: KernelFeatures::All,
            watch: false,
            exclusive: false,
            birth_time: true,
            cpu_latency_qos: false,
            splice_read: false,
            splice_move: false,
            transport: TransportChoice::Auto,
            allow_other: true,
            default_permissions: true,
            allow_idmap: false,
            security_ctx: false,
        }
    }

    /// Names and attributes for 10 s, 256 KiB of readahead, writeback where the storage has no
    /// kernel-backed file.
    pub fn high_performance() -> Self {
        OptimizedFUSEConfig {
            attr_timeout_secs: 10,
            entry_timeout_secs: 10,
            negative_timeout_secs: 2,
            readahead_size: 256 * KIB,
            enable_writeback: true,
            writeback_buffer_size: 16 * MIB,
            xattr_cache_size: 5_000,
            xattr_cache_bytes: 32 * MIB,
            xattr_cache_ttl_secs: 60,
            max_read_size: 2 * MIB,
            max_write_size: 2 * MIB,
            birth_time: false,
            cpu_latency_qos: true,
            ..Self::balanced()
        }
    }

    /// Names and attributes for 1 s, names that do not exist not at all, no readahead of our own,
    /// never dirty data.
    pub fn safe() -> Self {
        OptimizedFUSEConfig {
            attr_timeout_secs: 1,
            entry_timeout_secs: 1,
            negative_timeout_secs: 0,
            enable_readahead: false,
            writeback_buffer_size: 0,
            xattr_cache_size: 64,
            xattr_cache_bytes: MIB,
            xattr_cache_ttl_secs: 1,
            ..Self::balanced()
        }
    }

    /// No optimisation: one thread of the crate `fuser`, zero lifetimes, no caches, nothing asked of the
    /// kernel. The yardstick of every "faster than plain FUSE".
    pub fn baseline() -> Self {
        OptimizedFUSEConfig {
            attr_timeout_secs: 0,
            entry_timeout_secs: 0,
            negative_timeout_secs: 0,
            enable_readahead: false,
            worker_threads: 1,
            writeback_buffer_size: 0,
            enable_xattr_cache: false,
            max_read_size: 128 * KIB,
            max_write_size: 128 * KIB,
            max_background: 16,
            io_mode: IoMode::WriteThrough,
            readdirplus: ReadDirPlus::Off,
            kernel_features: KernelFeatures::Minimal,
            transport: TransportChoice::Fuser,
            ..Self::balanced()
        }
    }
}
