//! Behaviour of the extended attribute cache, with a clock that tests move.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;

use super::clock::Clock;
use super::{CachedXAttr, XAttrCache};
use crate::config::OptimizedFUSEConfig;

const MIB: usize = 1 << 20;

/// A cache whose entries live for a second of `clock`.
struct Setup {
    cache: XAttrCache,
    clock: Arc<AtomicU64>,
}

fn setup(entries: usize, bytes: usize) -> Setup {
    let mut config = OptimizedFUSEConfig::balanced();
    config.xattr_cache_size = entries;
    config.xattr_cache_bytes = bytes;
    config.xattr_cache_ttl_secs = 1;
    config.xattr_cache_ttl_millis = 0;
    let clock = Arc::new(AtomicU64::new(5));
    let cache = XAttrCache::with_clock(&config, Clock::Manual(Arc::clone(&clock)));
    Setup { cache, clock }
}

impl Setup {
    fn pass(&self, time: Duration) {
        self.clock
            .fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }
}

fn value(bytes: &[u8]) -> CachedXAttr {
    CachedXAttr::Value(bytes.into())
}

#[test]
fn a_value_is_found_under_its_inode_and_name_only() {
    let Setup { cache, .. } = setup(64, MIB);
    cache.put(1, "user.a", *b"one");
    assert_eq!(cache.get(1, "user.a").as_deref(), Some(&b"one"[..]));
    assert_eq!(cache.lookup(1, "user.b"), CachedXAttr::Unknown);
    assert_eq!(cache.lookup(2, "user.a"), CachedXAttr::Unknown);
    let figures = cache.statistics();
    assert_eq!((figures.hits, figures.misses), (1, 2));
    assert_eq!((figures.entries, figures.capacity), (1, 64));
    assert_eq!((figures.bytes, figures.byte_capacity), (9, MIB as u64));
}

#[test]
fn a_put_replaces_what_was_known() {
    let Setup { cache, .. } = setup(64, MIB);
    cache.put(1, "user.a", *b"old");
    cache.put(1, "user.a", *b"newer");
    assert_eq!(cache.lookup(1, "user.a"), value(b"newer"));
    cache.put_absent(1, "user.a");
    assert_eq!(cache.lookup(1, "user.a"), CachedXAttr::Absent);
    cache.put(1, "user.a", *b"");
    assert_eq!(cache.lookup(1, "user.a"), value(b""));
    let figures = cache.statistics();
    assert_eq!(
        (figures.entries, figures.bytes, figures.evictions),
        (1, 6, 0)
    );
    cache.check();
}

#[test]
fn absence_is_a_hit_of_its_own_kind() {
    let Setup { cache, .. } = setup(64, MIB);
    cache.put_absent(1, "user.a");
    assert_eq!(cache.lookup(1, "user.a"), CachedXAttr::Absent);
    assert_eq!(cache.get(1, "user.a"), None);
    let figures = cache.statistics();
    assert_eq!((figures.hits, figures.misses, figures.bytes), (2, 0, 6));
}

#[test]
fn entries_expire_a_lifetime_after_the_put_whatever_their_use() {
    let setup = setup(64, MIB);
    let cache = &setup.cache;
    cache.put(1, "user.a", *b"x");
    cache.put_absent(1, "user.b");
    setup.pass(Duration::from_nanos(999_999_999));
    assert_eq!(cache.lookup(1, "user.a"), value(b"x"));
    assert_eq!(cache.lookup(1, "user.b"), CachedXAttr::Absent);
    setup.pass(Duration::from_nanos(1));
    assert_eq!(cache.lookup(1, "user.a"), CachedXAttr::Unknown);
    assert_eq!(cache.lookup(1, "user.b"), CachedXAttr::Unknown);
    let figures = cache.statistics();
    assert_eq!((figures.hits, figures.misses), (2, 2));
    assert_eq!((figures.expirations, figures.evictions), (2, 0));
    assert_eq!((figures.entries, figures.bytes), (0, 0));
    cache.put(1, "user.a", *b"y");
    assert_eq!(cache.lookup(1, "user.a"), value(b"y"));
}

#[test]
fn a_put_starts_a_new_lifetime() {
    let setup = setup(64, MIB);
    setup.cache.put(1, "user.a", *b"x");
    setup.pass(Duration::from_millis(600));
    setup.cache.put(1, "user.a", *b"x");
    setup.pass(Duration::from_millis(600));
    assert_eq!(setup.cache.lookup(1, "user.a"), value(b"x"));
}

#[test]
fn a_lifetime_of_zero_caches_nothing() {
    let mut config = OptimizedFUSEConfig::balanced();
    config.xattr_cache_ttl_secs = 0;
    config.xattr_cache_ttl_millis = 0;
    let cache = XAttrCache::new(&config);
    cache.put(1, "user.a", *b"x");
    assert_eq!(cache.lookup(1, "user.a"), CachedXAttr::Unknown);
    assert_eq!(cache.statistics().entries, 0);
}

#[test]
fn the_clock_of_the_machine_expires_entries() {
    let mut config = OptimizedFUSEConfig::balanced();
    config.xattr_cache_ttl_secs = 0;
    config.xattr_cache_ttl_millis = 50;
    let cache = XAttrCache::new(config);
    cache.put(1, "user.a", *b"x");
    let start = std::time::Instant::now();
    while cache.lookup(1, "user.a") != CachedXAttr::Unknown {
        assert!(start.elapsed() < Duration::from_secs(10), "never expires");
        thread::yield_now();
    }
    // The put read a clock that was up to a tick behind.
    assert!(start.elapsed() >= Duration::from_millis(35), "too early");
}

#[test]
fn the_least_recently_used_entry_goes_first() {
    let Setup { cache, .. } = setup(3, MIB);
    for ino in 1..=3 {
        cache.put(ino, "user.a", *b"x");
    }
    // A lookup is a use, and so is a put.
    assert_eq!(cache.lookup(1, "user.a"), value(b"x"));
    cache.put(2, "user.a", *b"y");
    cache.put(4, "user.a", *b"x");
    assert_eq!(cache.lookup(3, "user.a"), CachedXAttr::Unknown);
    cache.put(5, "user.a", *b"x");
    assert_eq!(cache.lookup(1, "user.a"), CachedXAttr::Unknown);
    for ino in [2, 4, 5] {
        assert_ne!(cache.lookup(ino, "user.a"), CachedXAttr::Unknown);
    }
    assert_eq!(cache.statistics().evictions, 2);
    cache.check();
}

#[test]
fn an_expired_entry_that_makes_room_counts_as_expired() {
    let setup = setup(1, MIB);
    setup.cache.put(1, "user.a", *b"x");
    setup.pass(Duration::from_secs(1));
    setup.cache.put(2, "user.a", *b"x");
    let figures = setup.cache.statistics();
    assert_eq!((figures.expirations, figures.evictions), (1, 0));
}

#[test]
fn bytes_are_bounded_too() {
    let Setup { cache, .. } = setup(64, 4096);
    for ino in 0..4 {
        cache.put(ino, "user.a", vec![0; 1_018]);
    }
    assert_eq!(cache.statistics().bytes, 4096);
    // One byte more than there is: one entry goes.
    cache.put(9, "u", *b"");
    assert_eq!(cache.lookup(0, "user.a"), CachedXAttr::Unknown);
    assert_eq!(cache.statistics().entries, 4);
    // The greatest entry of all displaces the others.
    cache.put(10, "user.b", vec![0; 4_090]);
    let figures = cache.statistics();
    assert_eq!(
        (figures.entries, figures.bytes, figures.evictions),
        (1, 4096, 5)
    );
    cache.check();
}

#[test]
fn what_exceeds_the_bytes_is_not_cached_nor_is_what_it_replaces() {
    let Setup { cache, .. } = setup(64, 4096);
    cache.put(1, "user.a", *b"old");
    cache.put(2, "user.a", *b"x");
    cache.put(1, "user.a", vec![0; 4_091]);
    assert_eq!(cache.lookup(1, "user.a"), CachedXAttr::Unknown);
    assert_eq!(cache.lookup(2, "user.a"), value(b"x"));
}

#[test]
fn the_greatest_value_of_linux_fits_each_preset() {
    for config in [
        OptimizedFUSEConfig::safe(),
        OptimizedFUSEConfig::balanced(),
        OptimizedFUSEConfig::high_performance(),
    ] {
        let cache = XAttrCache::new(&config);
        for ino in 0..100 {
            cache.put(ino, "user.a", vec![1; 64 * 1024]);
            assert!(cache.get(ino, "user.a").is_some());
        }
    }
}

#[test]
fn budgets_hold_over_all_shards() {
    let Setup { cache, .. } = setup(1_003, 2 * MIB + 1);
    assert_eq!(cache.statistics().capacity, 1_003);
    assert_eq!(cache.statistics().byte_capacity, 2 * MIB as u64 + 1);
    for ino in 0..1_003 {
        cache.put(ino, "user.a", *b"x");
    }
    // Neighbouring inodes fall evenly on the shards: hardly any was evicted for want of balance.
    assert!(cache.statistics().entries >= 950);
    for ino in 0..10_000 {
        cache.put(ino, "user.a", vec![0; 5_000]);
    }
    let figures = cache.statistics();
    assert!(figures.entries <= 1_003 && figures.bytes <= 2 * MIB as u64 + 1);
    assert!(figures.bytes >= 19 * MIB as u64 / 10);
    cache.check();
}

#[test]
fn invalidation_forgets_one_attribute_or_all_of_one_inode() {
    let Setup { cache, .. } = setup(64, MIB);
    for ino in [1, 2] {
        for name in ["user.a", "user.b", "user.c"] {
            cache.put(ino, name, *b"x");
        }
    }
    cache.invalidate_attr(1, "user.a");
    cache.invalidate_attr(1, "user.unknown");
    assert_eq!(cache.lookup(1, "user.a"), CachedXAttr::Unknown);
    assert_eq!(cache.lookup(1, "user.b"), value(b"x"));
    cache.check();
    cache.invalidate(1);
    cache.invalidate(7);
    for name in ["user.b", "user.c"] {
        assert_eq!(cache.lookup(1, name), CachedXAttr::Unknown);
        assert_eq!(cache.lookup(2, name), value(b"x"));
    }
    let figures = cache.statistics();
    assert_eq!((figures.invalidations, figures.entries), (3, 3));
    cache.check();
    cache.clear();
    let figures = cache.statistics();
    assert_eq!(
        (figures.invalidations, figures.entries, figures.bytes),
        (6, 0, 0)
    );
    assert_eq!(figures.hits, 3);
    cache.put(1, "user.a", *b"x");
    cache.check();
}

#[test]
fn names_that_decide_on_access_are_neither_cached_nor_counted() {
    let Setup { cache, .. } = setup(64, MIB);
    for name in ["security.capability", "system.posix_acl_access"] {
        cache.put(1, name, *b"x");
        cache.put_absent(1, name);
        cache.put_if_current(cache.begin(1), name, b"x");
        cache.put_absent_if_current(cache.begin(1), name);
        assert_eq!(cache.lookup(1, name), CachedXAttr::Unknown);
        assert_eq!(cache.get(1, name), None);
    }
    let figures = cache.statistics();
    assert_eq!((figures.hits, figures.misses, figures.entries), (0, 0, 0));
}

#[test]
fn a_ticket_is_worthless_after_any_kind_of_invalidation() {
    let Setup { cache, .. } = setup(64, MIB);
    let changes: [fn(&XAttrCache); 3] = [
        |cache| cache.invalidate(1),
        |cache| cache.invalidate_attr(1, "user.a"),
        XAttrCache::clear,
    ];
    for change in changes {
        let ticket = cache.begin(1);
        cache.put_if_current(ticket, "user.a", b"x");
        assert_eq!(cache.lookup(1, "user.a"), value(b"x"));
        change(&cache);
        cache.put_if_current(ticket, "user.a", b"stale");
        cache.put_absent_if_current(ticket, "user.a");
        assert_eq!(cache.lookup(1, "user.a"), CachedXAttr::Unknown);
        cache.put_absent_if_current(cache.begin(1), "user.a");
        assert_eq!(cache.lookup(1, "user.a"), CachedXAttr::Absent);
    }
}

/// One writer counts the "storage" up and invalidates after each step; readers fill the cache. After
/// an invalidation has returned no lookup may find an older value.
#[test]
fn no_stale_value_survives_an_invalidation() {
    const STEPS: u64 = 20_000;
    let Setup { cache, .. } = setup(64, MIB);
    let storage = AtomicU64::new(0);
    let invalidated = AtomicU64::new(0);
    let done = AtomicBool::new(false);
    let cached = |known: CachedXAttr| match known {
        CachedXAttr::Value(bytes) => Some(u64::from_le_bytes((*bytes).try_into().unwrap())),
        _ => None,
    };
    let reader = || {
        let mut hits = 0_u64;
        // On a busy machine the writer may be done before this thread has run at all.
        while !done.load(Ordering::Relaxed) || hits == 0 {
            let least = invalidated.load(Ordering::SeqCst);
            if let Some(found) = cached(cache.lookup(1, "user.a")) {
                assert!(found >= least, "found {found} after {least} was told");
                hits += 1;
                continue;
            }
            let ticket = cache.begin(1);
            let fetched = storage.load(Ordering::SeqCst);
            if fetched.is_multiple_of(3) {
                thread::yield_now();
            }
            cache.put_if_current(ticket, "user.a", &fetched.to_le_bytes());
        }
        hits
    };
    let hits: u64 = thread::scope(|scope| {
        let readers: Vec<_> = (0..3).map(|_| scope.spawn(reader)).collect();
        for step in 1..=STEPS {
            storage.store(step, Ordering::SeqCst);
            cache.invalidate_attr(1, "user.a");
            invalidated.store(step, Ordering::SeqCst);
            if step.is_multiple_of(64) {
                thread::yield_now();
            }
        }
        done.store(true, Ordering::Relaxed);
        readers
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .sum()
    });
    assert!(hits > 0, "the readers never found anything");
    assert!(cache.statistics().invalidations > 0);
    cache.check();
}

#[test]
fn threads_that_do_everything_at_once_leave_it_sound() {
    let Setup { cache, .. } = setup(500, 2 * MIB);
    thread::scope(|scope| {
        for thread in 0..8_u64 {
            let cache = &cache;
            scope.spawn(move || {
                for step in 0..20_000_u64 {
                    let ino = (step * 31 + thread * 7) % 900;
                    match step % 7 {
                        0 => cache.invalidate(ino),
                        1 => cache.invalidate_attr(ino, "user.a"),
                        2 => cache.put_absent(ino, "user.b"),
                        3 | 4 => cache.put(ino, "user.a", ino.to_le_bytes()),
                        _ => match cache.lookup(ino, "user.a") {
                            CachedXAttr::Value(found) => assert_eq!(*found, ino.to_le_bytes()),
                            known => assert_eq!(known, CachedXAttr::Unknown),
                        },
                    }
                }
            });
        }
    });
    cache.check();
    assert!(cache.statistics().hits > 0);
}

/// An operation on a cache with few inodes and names, so that they meet often.
#[derive(Debug, Clone)]
enum Operation {
    Put(u64, u8, usize),
    PutAbsent(u64, u8),
    Lookup(u64, u8),
    Invalidate(u64),
    InvalidateAttr(u64, u8),
    Pass(u64),
    Clear,
}

fn operation() -> impl Strategy<Value = Operation> {
    let (ino, name) = (0..6_u64, 0..4_u8);
    let both = (ino.clone(), name);
    prop_oneof![
        6 => (both.clone(), 0..30_usize).prop_map(|((ino, name), len)| Operation::Put(ino, name, len)),
        2 => both.clone().prop_map(|(ino, name)| Operation::PutAbsent(ino, name)),
        6 => both.clone().prop_map(|(ino, name)| Operation::Lookup(ino, name)),
        1 => ino.prop_map(Operation::Invalidate),
        1 => both.prop_map(|(ino, name)| Operation::InvalidateAttr(ino, name)),
        1 => (0..600_u64).prop_map(Operation::Pass),
        1 => Just(Operation::Clear),
    ]
}

/// The same cache as a list in order of use, last used last.
#[derive(Default)]
struct Model {
    entries: Vec<Known>,
    now_millis: u64,
}

struct Known {
    ino: u64,
    name: u8,
    /// Length of the value.
    value: Option<usize>,
    put_millis: u64,
}

impl Model {
    const ENTRIES: usize = 8;
    const BYTES: usize = 100;

    fn put(&mut self, ino: u64, name: u8, value: Option<usize>) {
        self.entries
            .retain(|known| (known.ino, known.name) != (ino, name));
        self.entries.push(Known {
            ino,
            name,
            value,
            put_millis: self.now_millis,
        });
        while self.entries.len() > Self::ENTRIES || self.bytes() > Self::BYTES {
            self.entries.remove(0);
        }
    }

    fn bytes(&self) -> usize {
        let cost = |known: &Known| attr_name(known.name).len() + known.value.unwrap_or(0);
        self.entries.iter().map(cost).sum()
    }

    fn lookup(&mut self, ino: u64, name: u8) -> CachedXAttr {
        let matches = |known: &Known| (known.ino, known.name) == (ino, name);
        let Some(at) = self.entries.iter().position(matches) else {
            return CachedXAttr::Unknown;
        };
        let known = self.entries.remove(at);
        if known.put_millis + 1_000 <= self.now_millis {
            return CachedXAttr::Unknown;
        }
        let found = known
            .value
            .map_or(CachedXAttr::Absent, |len| value(&vec![name; len]));
        self.entries.push(known);
        found
    }
}

fn attr_name(name: u8) -> String {
    format!("user.{name}")
}

proptest! {
    #[test]
    fn it_behaves_as_a_list_in_order_of_use(
        operations in prop::collection::vec(operation(), 1..200)
    ) {
        let setup = setup(Model::ENTRIES, Model::BYTES);
        let (cache, mut model) = (&setup.cache, Model::default());
        for operation in operations {
            match operation {
                Operation::Put(ino, name, len) => {
                    cache.put(ino, attr_name(name), vec![name; len]);
                    model.put(ino, name, Some(len));
                }
                Operation::PutAbsent(ino, name) => {
                    cache.put_absent(ino, attr_name(name));
                    model.put(ino, name, None);
                }
                Operation::Lookup(ino, name) => prop_assert_eq!(
                    cache.lookup(ino, attr_name(name)),
                    model.lookup(ino, name)
                ),
                Operation::Invalidate(ino) => {
                    cache.invalidate(ino);
                    model.entries.retain(|known| known.ino != ino);
                }
                Operation::InvalidateAttr(ino, name) => {
                    cache.invalidate_attr(ino, attr_name(name));
                    model.entries.retain(|known| (known.ino, known.name) != (ino, name));
                }
                Operation::Pass(millis) => {
                    setup.pass(Duration::from_millis(millis));
                    model.now_millis += millis;
                }
                Operation::Clear => {
                    cache.clear();
                    model.entries.clear();
                }
            }
            cache.check();
            prop_assert_eq!(cache.statistics().entries, model.entries.len() as u64);
            prop_assert_eq!(cache.statistics().bytes, model.bytes() as u64);
        }
    }
}
