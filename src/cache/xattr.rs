//! The cache of extended attributes.

use std::borrow::Borrow;
use std::ffi::OsStr;
use std::hash::BuildHasher;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::DefaultHashBuilder;
use parking_lot::Mutex;

use super::clock::Clock;
use super::shard::{Entry, Key, Shard};
use crate::config::OptimizedFUSEConfig;
use crate::stats::XAttrCacheStatistics;

/// More shards than this do not help: a lock is held for some 50 ns.
const MAX_SHARDS: usize = 32;
/// A shard of fewer entries evicts too much while others have room.
const MIN_SHARD_ENTRIES: usize = 64;
/// A shard takes several values of the greatest size (64 KiB, `XATTR_SIZE_MAX`).
const MIN_SHARD_BYTES: usize = 256 * 1024;
/// Inodes of a shard share this many generations: few enough to be cheap, enough that a change of
/// one inode seldom discards what is being fetched for another.
const GENERATIONS: usize = 64;

/// What the cache knows of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CachedXAttr {
    /// It has this value.
    Value(Arc<[u8]>),
    /// It does not exist (`ENODATA`).
    Absent,
    /// Nothing: ask the storage.
    Unknown,
}

/// The state of an inode before the storage was asked, from [`XAttrCache::begin`].
/// Good for the cache that gave it.
#[derive(Debug, Clone, Copy)]
#[must_use = "it is what makes the later put safe"]
pub struct Ticket {
    ino: u64,
    generation: u64,
}

/// A cache of extended attributes: least recently used out first, bounded in entries, bytes and age.
///
/// The kernel caches no extended attributes of a FUSE mount, so each getxattr(2) is a request; this
/// cache answers it without the storage.
///
/// ```
/// # use dynamicfs::{OptimizedFUSEConfig, XAttrCache};
/// # struct Storage;
/// # impl Storage {
/// #     fn getxattr(&self, _ino: u64, _name: &str) -> Result<Vec<u8>, dynamicfs::Errno> {
/// #         Ok(b"value".to_vec())
/// #     }
/// # }
/// # fn getxattr(cache: &XAttrCache, storage: &Storage, ino: u64) -> Result<Vec<u8>, dynamicfs::Errno> {
/// if let Some(value) = cache.get(ino, "user.test") { return Ok(value); }
/// let value = storage.getxattr(ino, "user.test")?;
/// cache.put(ino, "user.test", value.clone());
/// # Ok(value)
/// # }
/// # let cache = XAttrCache::new(OptimizedFUSEConfig::balanced());
/// # assert_eq!(getxattr(&cache, &Storage, 1)?, b"value");
/// # assert_eq!(getxattr(&cache, &Storage, 1)?, b"value");
/// # assert_eq!((cache.statistics().hits, cache.statistics().misses), (1, 1));
/// # Ok::<(), dynamicfs::Errno>(())
/// ```
///
/// # Changes while the storage is asked
///
/// The snippet is right only where no other thread changes attributes: one that sets the attribute
/// between `getxattr` and `put` invalidates too early, and the old value stays for its lifetime.
/// Where that can happen, take a ticket first. The changer invalidates *after* the storage has
/// changed, which makes the tickets of that inode worthless:
///
/// ```
/// # use dynamicfs::{OptimizedFUSEConfig, XAttrCache};
/// # let cache = XAttrCache::new(OptimizedFUSEConfig::balanced());
/// # let ino = 1;
/// let ticket = cache.begin(ino);
/// let value = b"old"; // From the storage. Meanwhile, in another thread:
/// cache.invalidate_attr(ino, "user.test");
/// cache.put_if_current(ticket, "user.test", value);
/// assert_eq!(cache.get(ino, "user.test"), None);
/// ```
///
/// # What is never cached
///
/// `security.*` and `system.posix_acl_*`: the kernel decides on access with them, and the kernel
/// changes some by itself (file capabilities go with the first write). Putting them does nothing;
/// looking them up is [`CachedXAttr::Unknown`] and counts neither as hit nor as miss.
///
/// # Budgets
///
/// Entries (`xattr_cache_size`), known absences among them, and bytes of names and values
/// (`xattr_cache_bytes`; the 130 bytes or so of bookkeeping per entry are bounded by the former).
/// Both are split evenly over the shards, and all attributes of an inode are in one shard: one
/// inode can use only a part of the cache. There are up to 32 shards, fewer where a shard would get
/// less than 64 entries or 256 KiB; a cache of 64 entries is one shard and exactly LRU. An entry
/// that exceeds the bytes of its shard is not cached.
///
/// # Age
///
/// An entry is used for `xattr_cache_ttl` after it was put, not after its last use, and up to one
/// tick of the kernel's timer (1 to 10 ms) longer. With a lifetime of 0 nothing is cached.
pub struct XAttrCache {
    /// As many as a power of two.
    shards: Box<[Slice]>,
    ttl_nanos: u64,
    hasher: DefaultHashBuilder,
    clock: Clock,
}

/// A shard with its lock, on cache lines of its own (128: the prefetcher takes them in pairs).
#[repr(align(128))]
struct Slice {
    shard: Mutex<Shard>,
    /// Changed only with the shard locked, so a put that has the lock sees each earlier change.
    generations: [AtomicU64; GENERATIONS],
}

impl XAttrCache {
    /// An empty cache of the size and lifetime in `config`. Whether `config` wants a cache at all
    /// (`enable_xattr_cache`) is the caller's to ask.
    pub fn new(config: impl Borrow<OptimizedFUSEConfig>) -> XAttrCache {
        XAttrCache::with_clock(config.borrow(), Clock::Coarse)
    }

    pub(super) fn with_clock(config: &OptimizedFUSEConfig, clock: Clock) -> XAttrCache {
        let hasher = DefaultHashBuilder::default();
        let (entries, bytes) = (config.xattr_cache_size, config.xattr_cache_bytes);
        let count = shard_count(entries, bytes);
        let slice = |index| Slice {
            shard: Mutex::new(Shard::new(
                share(entries, count, index),
                share(bytes, count, index),
                hasher.clone(),
            )),
            generations: [const { AtomicU64::new(0) }; GENERATIONS],
        };
        XAttrCache {
            shards: (0..count).map(slice).collect(),
            ttl_nanos: u64::try_from(config.xattr_cache_ttl().as_nanos()).unwrap_or(u64::MAX),
            hasher,
            clock,
        }
    }

    /// The value of an attribute, if it is cached. A known absence is `None` too (and a hit in the
    /// statistics): [`lookup`](Self::lookup) tells them apart.
    pub fn get(&self, ino: u64, name: impl AsRef<OsStr>) -> Option<Vec<u8>> {
        match self.lookup(ino, name) {
            CachedXAttr::Value(value) => Some(value.to_vec()),
            CachedXAttr::Absent | CachedXAttr::Unknown => None,
        }
    }

    /// What is known of an attribute. Allocates nothing: the value is shared with the cache.
    pub fn lookup(&self, ino: u64, name: impl AsRef<OsStr>) -> CachedXAttr {
        let name = name.as_ref();
        if !is_cacheable(name) {
            return CachedXAttr::Unknown;
        }
        let (key, now) = (self.key(ino, name), self.clock.nanos());
        self.slice(ino).shard.lock().lookup(key, now)
    }

    /// Remembers a value. Only for those who know that nobody changes the attribute meanwhile; the
    /// others use [`put_if_current`](Self::put_if_current).
    pub fn put(&self, ino: u64, name: impl AsRef<OsStr>, value: impl Into<Arc<[u8]>>) {
        self.insert(ino, name.as_ref(), None, || Some(value.into()));
    }

    /// Remembers that there is no such attribute; as unguarded as [`put`](Self::put).
    pub fn put_absent(&self, ino: u64, name: impl AsRef<OsStr>) {
        self.insert(ino, name.as_ref(), None, || None);
    }

    /// To be called before the storage is asked for what is to be put.
    pub fn begin(&self, ino: u64) -> Ticket {
        // Acquire: who sees the generation of a change also sees that the storage has changed.
        let generation = self.slice(ino).generation(ino).load(Ordering::Acquire);
        Ticket { ino, generation }
    }

    /// Remembers a value of the inode of `ticket`, unless something of that inode was invalidated
    /// since [`begin`](Self::begin). Inodes share generations, so another inode's change may
    /// discard the value as well; that costs one more request to the storage.
    pub fn put_if_current(&self, ticket: Ticket, name: impl AsRef<OsStr>, value: &[u8]) {
        let value = || Some(value.into());
        self.insert(ticket.ino, name.as_ref(), Some(ticket), value);
    }

    /// Remembers that there is no such attribute, on the condition of
    /// [`put_if_current`](Self::put_if_current).
    pub fn put_absent_if_current(&self, ticket: Ticket, name: impl AsRef<OsStr>) {
        self.insert(ticket.ino, name.as_ref(), Some(ticket), || None);
    }

    /// Forgets all attributes of an inode. Call it *after* the storage has changed.
    pub fn invalidate(&self, ino: u64) {
        let slice = self.slice(ino);
        let mut shard = slice.shard.lock();
        slice.advance(ino);
        shard.invalidate(ino);
    }

    /// Forgets one attribute. Call it *after* the storage has changed.
    pub fn invalidate_attr(&self, ino: u64, name: impl AsRef<OsStr>) {
        let key = self.key(ino, name.as_ref());
        let slice = self.slice(ino);
        let mut shard = slice.shard.lock();
        slice.advance(ino);
        shard.invalidate_attr(key);
    }

    /// Forgets everything; the entries count as invalidated. The counters go on.
    pub fn clear(&self) {
        for slice in &self.shards {
            let mut shard = slice.shard.lock();
            for generation in &slice.generations {
                generation.fetch_add(1, Ordering::Release);
            }
            shard.clear();
        }
    }

    /// What the cache did since it was created, and what it holds. The shards are read one after
    /// the other, so the sums are not of one moment.
    pub fn statistics(&self) -> XAttrCacheStatistics {
        let mut sum = XAttrCacheStatistics::default();
        for slice in &self.shards {
            // All fields named, so that a new one is not left out here.
            let XAttrCacheStatistics {
                hits,
                misses,
                evictions,
                expirations,
                invalidations,
                entries,
                capacity,
                bytes,
                byte_capacity,
            } = slice.shard.lock().statistics();
            sum.hits += hits;
            sum.misses += misses;
            sum.evictions += evictions;
            sum.expirations += expirations;
            sum.invalidations += invalidations;
            sum.entries += entries;
            sum.capacity += capacity;
            sum.bytes += bytes;
            sum.byte_capacity += byte_capacity;
        }
        sum
    }

    fn insert(
        &self,
        ino: u64,
        name: &OsStr,
        ticket: Option<Ticket>,
        value: impl FnOnce() -> Option<Arc<[u8]>>,
    ) {
        if self.ttl_nanos == 0 || !is_cacheable(name) {
            return;
        }
        let now = self.clock.nanos();
        // Built before the lock is taken: allocating and copying are the long part.
        let entry = Entry {
            ino,
            name: name.into(),
            hash: self.key(ino, name).hash,
            value: value(),
            expires: now.saturating_add(self.ttl_nanos),
        };
        let slice = self.slice(ino);
        let mut shard = slice.shard.lock();
        if ticket.is_none_or(|ticket| slice.is_current(ticket)) {
            let removed = shard.insert(entry, now);
            drop(shard);
            drop(removed);
        }
    }

    fn key<'a>(&self, ino: u64, name: &'a OsStr) -> Key<'a> {
        let hash = self.hasher.hash_one((ino, name.as_bytes()));
        Key { ino, name, hash }
    }

    fn slice(&self, ino: u64) -> &Slice {
        &self.shards[shard_of(ino, self.shards.len())]
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        for slice in &self.shards {
            slice.shard.lock().check();
        }
    }
}

impl Slice {
    fn generation(&self, ino: u64) -> &AtomicU64 {
        &self.generations[spread(ino) % GENERATIONS]
    }

    /// Makes the tickets of `ino` worthless. The shard must be locked.
    fn advance(&self, ino: u64) {
        self.generation(ino).fetch_add(1, Ordering::Release);
    }

    /// Whether nothing of the inode was invalidated since. The shard must be locked.
    fn is_current(&self, ticket: Ticket) -> bool {
        self.generation(ticket.ino).load(Ordering::Relaxed) == ticket.generation
    }
}

/// Whether values of this name may outlive the request that read them.
fn is_cacheable(name: &OsStr) -> bool {
    let name = name.as_bytes();
    !name.starts_with(b"security.") && !name.starts_with(b"system.posix_acl_")
}

/// Bits of an inode number that choose shard and generation.
const SPREAD_BITS: u32 = 11;

/// An inode number spread over `SPREAD_BITS` bits, the upper of which choose the shard. The
/// multiplier is 2^64 divided by the golden ratio, which puts neighbouring numbers, the usual case,
/// evenly apart (Knuth's multiplicative hashing).
fn spread(ino: u64) -> usize {
    (ino.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (u64::BITS - SPREAD_BITS)) as usize
}

fn shard_of(ino: u64, count: usize) -> usize {
    (spread(ino) * count) >> SPREAD_BITS
}

/// How many shards, a power of two.
fn shard_count(entries: usize, bytes: usize) -> usize {
    let most = (entries / MIN_SHARD_ENTRIES)
        .min(bytes / MIN_SHARD_BYTES)
        .clamp(1, MAX_SHARDS);
    1 << most.ilog2()
}

/// The part of shard `index` when `total` is split over `count`: together exactly `total`.
fn share(total: usize, count: usize, index: usize) -> usize {
    total / count + usize::from(index < total % count)
}

#[cfg(test)]
mod tests {
    use super::{MAX_SHARDS, is_cacheable, shard_count, shard_of, share};
    use std::collections::HashMap;

    #[test]
    fn small_caches_have_few_shards() {
        const MIB: usize = 1 << 20;
        assert_eq!(shard_count(64, MIB), 1);
        assert_eq!(shard_count(1_000, 8 * MIB), 8);
        assert_eq!(shard_count(5_000, 32 * MIB), 32);
        assert_eq!(shard_count(10_000_000, 4096 * MIB), MAX_SHARDS);
        assert_eq!(shard_count(10_000_000, MIB), 4);
        assert_eq!(shard_count(1, 4096), 1);
    }

    #[test]
    fn the_shares_add_up() {
        for (total, count) in [(1_000, 8), (1_001, 8), (7, 8), (0, 1)] {
            let shares = (0..count).map(|index| share(total, count, index));
            assert_eq!(shares.sum::<usize>(), total);
        }
    }

    #[test]
    fn neighbouring_inodes_fall_evenly_on_the_shards() {
        for start in [1, 1 << 20, u64::MAX - 5_000] {
            let mut counts: HashMap<usize, u32> = HashMap::new();
            for ino in start..start + 1_024 {
                *counts.entry(shard_of(ino, 32)).or_default() += 1;
            }
            let (least, most) = (
                counts.values().min().unwrap(),
                counts.values().max().unwrap(),
            );
            assert!(
                counts.len() == 32 && *least >= 16 && *most <= 64,
                "{counts:?}"
            );
        }
    }

    #[test]
    fn names_the_kernel_decides_with_are_not_cacheable() {
        for name in [
            "security.capability",
            "security.selinux",
            "system.posix_acl_access",
            "system.posix_acl_default",
        ] {
            assert!(!is_cacheable(name.as_ref()), "{name}");
        }
        for name in [
            "user.security.x",
            "trusted.overlay.opaque",
            "system.nfs4_acl",
            "security",
        ] {
            assert!(is_cacheable(name.as_ref()), "{name}");
        }
    }
}
