//! The extended attribute cache beside the obvious alternative: one `lru::LruCache` behind one
//! mutex, with the same lifetimes, the same clock and lookups by borrowed key.
//!
//! `cargo bench --bench xattr_cache`. One iteration is `OPERATIONS` operations, split over the
//! threads, so items per second are those of all threads together.

use std::borrow::Borrow;
use std::ffi::OsStr;
use std::hash::{Hash, Hasher};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use dynamicfs::cache::{CachedXAttr, XAttrCache};
use dynamicfs::config::OptimizedFUSEConfig;
use lru::LruCache;
use parking_lot::Mutex;
use rustix::time::{ClockId, Timespec, clock_gettime};

const ENTRIES: usize = 5_000;
const OPERATIONS: usize = 400_000;
const THREADS: [usize; 2] = [1, 8];
const NAME: &str = "user.checksum";
const VALUE: [u8; 32] = [7; 32];
const TTL: Duration = Duration::from_secs(60);

fn main() {
    divan::main();
}

/// What both caches can do.
trait Cache: Sync {
    fn with_entries(entries: usize) -> Self;
    fn hit(&self, ino: u64) -> bool;
    fn put(&self, ino: u64);
}

impl Cache for XAttrCache {
    fn with_entries(entries: usize) -> XAttrCache {
        let mut config = OptimizedFUSEConfig::high_performance();
        config.xattr_cache_size = entries;
        XAttrCache::new(config)
    }

    fn hit(&self, ino: u64) -> bool {
        !matches!(self.lookup(ino, NAME), CachedXAttr::Unknown)
    }

    fn put(&self, ino: u64) {
        let ticket = self.begin(ino);
        self.put_if_current(ticket, NAME, &VALUE);
    }
}

/// The contender.
struct OneMutex(Mutex<LruCache<Owned, Known>>);

struct Known {
    value: Arc<[u8]>,
    expires: Duration,
}

#[derive(PartialEq, Eq, Hash)]
struct Owned(u64, Box<OsStr>);

/// Lets a borrowed name be looked up.
trait Key {
    fn parts(&self) -> (u64, &OsStr);
}

impl Key for Owned {
    fn parts(&self) -> (u64, &OsStr) {
        (self.0, &self.1)
    }
}

impl Key for (u64, &OsStr) {
    fn parts(&self) -> (u64, &OsStr) {
        *self
    }
}

impl<'a> Borrow<dyn Key + 'a> for Owned {
    fn borrow(&self) -> &(dyn Key + 'a) {
        self
    }
}

impl Hash for dyn Key + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl PartialEq for dyn Key + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for dyn Key + '_ {}

impl Cache for OneMutex {
    fn with_entries(entries: usize) -> OneMutex {
        let entries = NonZeroUsize::new(entries).expect("a size");
        OneMutex(Mutex::new(LruCache::new(entries)))
    }

    fn hit(&self, ino: u64) -> bool {
        let key = (ino, OsStr::new(NAME));
        let now = coarse_now();
        let found = match self.0.lock().get(&key as &dyn Key) {
            Some(known) if known.expires > now => Some(Arc::clone(&known.value)),
            _ => None,
        };
        found.is_some()
    }

    fn put(&self, ino: u64) {
        let (key, value) = (Owned(ino, OsStr::new(NAME).into()), Arc::from(&VALUE[..]));
        let expires = coarse_now() + TTL;
        self.0.lock().put(key, Known { value, expires });
    }
}

fn coarse_now() -> Duration {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::MonotonicCoarse);
    Duration::new(tv_sec as u64, tv_nsec as u32)
}

/// Runs `operation` `OPERATIONS` times on `threads` threads, each with its own sequence of numbers
/// (xorshift; the same on each run).
fn measure<C: Cache>(
    bencher: Bencher<'_, '_>,
    threads: usize,
    cache: &C,
    operation: fn(&C, u64) -> bool,
    expected: bool,
) {
    let worker = |thread: usize| {
        let mut random = 0x2545_F491_4F6C_DD1D ^ (thread as u64 + 1);
        for _ in 0..OPERATIONS / threads {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            assert_eq!(operation(cache, black_box(random)), expected);
        }
    };
    bencher.counter(ItemsCount::new(OPERATIONS)).bench(|| {
        if threads == 1 {
            return worker(0);
        }
        std::thread::scope(|scope| {
            for thread in 0..threads {
                scope.spawn(move || worker(thread));
            }
        });
    });
}

/// A cache with room for `entries` inodes of which the first half has an attribute.
fn half_full<C: Cache>() -> C {
    let cache = C::with_entries(ENTRIES);
    for ino in 0..PRESENT {
        cache.put(ino);
    }
    cache
}

const PRESENT: u64 = ENTRIES as u64 / 2;

#[divan::bench(types = [XAttrCache, OneMutex], args = THREADS, sample_count = 20, sample_size = 1)]
fn hits<C: Cache>(bencher: Bencher<'_, '_>, threads: usize) {
    let hit = |cache: &C, random: u64| cache.hit(random % PRESENT);
    measure(bencher, threads, &half_full::<C>(), hit, true);
}

#[divan::bench(types = [XAttrCache, OneMutex], args = THREADS, sample_count = 20, sample_size = 1)]
fn misses<C: Cache>(bencher: Bencher<'_, '_>, threads: usize) {
    let miss = |cache: &C, random: u64| cache.hit(PRESENT + random % PRESENT);
    measure(bencher, threads, &half_full::<C>(), miss, false);
}

/// Twenty times as many inodes as fit: nearly every put evicts.
#[divan::bench(types = [XAttrCache, OneMutex], args = THREADS, sample_count = 20, sample_size = 1)]
fn puts_with_eviction<C: Cache>(bencher: Bencher<'_, '_>, threads: usize) {
    let put = |cache: &C, random: u64| {
        cache.put(random % (20 * ENTRIES as u64));
        true
    };
    measure(bencher, threads, &C::with_entries(ENTRIES), put, true);
}

/// Of inodes without an attribute: what each FORGET pays.
#[divan::bench(args = THREADS, sample_count = 20, sample_size = 1)]
fn idle_invalidations(bencher: Bencher<'_, '_>, threads: usize) {
    let invalidate = |cache: &XAttrCache, random: u64| {
        cache.invalidate(PRESENT + random % PRESENT);
        true
    };
    measure(
        bencher,
        threads,
        &half_full::<XAttrCache>(),
        invalidate,
        true,
    );
}

/// What a hit would pay for the precise time.
#[divan::bench(sample_size = 10_000)]
fn clock_precise() -> Instant {
    Instant::now()
}

/// What it pays.
#[divan::bench(sample_size = 10_000)]
fn clock_coarse() -> Duration {
    coarse_now()
}
