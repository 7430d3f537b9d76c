//! Figures that the caches report, as plain data.

use serde::{Deserialize, Serialize};

/// What the extended attribute cache did since the mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct XAttrCacheStatistics {
    /// Lookups answered from the cache, "there is no such attribute" included.
    pub hits: u64,
    /// Lookups that had to ask the storage.
    pub misses: u64,
    /// Entries pushed out by newer ones, for want of entries or bytes.
    pub evictions: u64,
    /// Entries found too old.
    pub expirations: u64,
    /// Entries removed because the attribute or its inode changed.
    pub invalidations: u64,
    /// Entries held now.
    pub entries: u64,
    /// Entries that fit.
    pub capacity: u64,
    /// Bytes of names and values held now.
    pub bytes: u64,
    /// Bytes that fit.
    pub byte_capacity: u64,
}

impl XAttrCacheStatistics {
    /// Hits among all lookups, 0.0 to 1.0; 0.0 before the first.
    pub fn hit_rate(&self) -> f64 {
        ratio(self.hits, self.hits + self.misses)
    }

    /// Entries held among those that fit, 0.0 to 1.0.
    pub fn utilization(&self) -> f64 {
        ratio(self.entries, self.capacity)
    }
}

/// What readahead did since the mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReadAheadStatistics {
    /// Prefetches that a detected pattern caused.
    pub triggered: u64,
    /// Reads that found all their bytes already asked for by a prefetch.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// Bytes asked for ahead.
    pub bytes_prefetched: u64,
    /// Bytes asked for ahead that were dropped before any read wanted them.
    pub bytes_wasted: u64,
}

impl ReadAheadStatistics {
    /// Hits among all reads, 0.0 to 1.0; 0.0 before the first.
    pub fn hit_rate(&self) -> f64 {
        ratio(self.hits, self.hits + self.misses)
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}
