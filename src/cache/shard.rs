//! One part of the extended attribute cache: entries in order of use, found by name and by inode.

use std::ffi::OsStr;
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::CachedXAttr;
use super::list::{Links, List};
use crate::stats::XAttrCacheStatistics;

/// What an entry is found by, hashed before the shard is locked.
#[derive(Clone, Copy)]
pub(super) struct Key<'a> {
    pub(super) ino: u64,
    pub(super) name: &'a OsStr,
    pub(super) hash: u64,
}

/// What is known of an attribute.
pub(super) struct Entry {
    pub(super) ino: u64,
    pub(super) name: Box<OsStr>,
    /// That of the [`Key`].
    pub(super) hash: u64,
    /// `None`: known not to exist.
    pub(super) value: Option<Arc<[u8]>>,
    pub(super) expires: u64,
}

impl Entry {
    fn key(&self) -> Key<'_> {
        Key {
            ino: self.ino,
            name: &self.name,
            hash: self.hash,
        }
    }

    /// What it counts in the byte budget.
    fn cost(&self) -> usize {
        self.name.len() + self.value.as_ref().map_or(0, |value| value.len())
    }
}

/// Entries stand in slots. A hash table finds the slot of a name, and two lists run through the
/// slots: one in order of use, one per bucket of inodes. So a hit, a put and the removal of one
/// entry take constant time, and the removal of an inode visits its own entries and those of the
/// few inodes in the same bucket (there are at least as many buckets as entries). A second hash
/// table in place of the buckets made puts a fifth slower.
pub(super) struct Shard {
    capacity: usize,
    byte_capacity: usize,
    hasher: DefaultHashBuilder,
    slots: Vec<Option<Entry>>,
    free: Vec<u32>,
    by_name: HashTable<u32>,
    /// As many as a power of two; found by the hash of an inode number.
    buckets: Vec<List>,
    /// Front: used last. Back: the next to be evicted.
    order: List,
    order_links: Vec<Links>,
    bucket_links: Vec<Links>,
    /// The counters; what is held is filled in by [`Shard::statistics`].
    counters: XAttrCacheStatistics,
    bytes: usize,
}

impl Shard {
    pub(super) fn new(capacity: usize, byte_capacity: usize, hasher: DefaultHashBuilder) -> Shard {
        Shard {
            capacity,
            byte_capacity,
            hasher,
            slots: Vec::new(),
            free: Vec::new(),
            by_name: HashTable::new(),
            buckets: vec![List::EMPTY; MIN_BUCKETS],
            order: List::EMPTY,
            order_links: Vec::new(),
            bucket_links: Vec::new(),
            counters: XAttrCacheStatistics::default(),
            bytes: 0,
        }
    }

    pub(super) fn lookup(&mut self, key: Key<'_>, now: u64) -> CachedXAttr {
        let Some(slot) = self.find(key) else {
            self.counters.misses += 1;
            return CachedXAttr::Unknown;
        };
        let entry = entry(&self.slots, slot);
        if entry.expires <= now {
            self.remove_slot(slot);
            self.counters.expirations += 1;
            self.counters.misses += 1;
            return CachedXAttr::Unknown;
        }
        self.counters.hits += 1;
        let found = match &entry.value {
            Some(value) => CachedXAttr::Value(Arc::clone(value)),
            None => CachedXAttr::Absent,
        };
        self.order.move_to_front(&mut self.order_links, slot);
        found
    }

    /// Replaces what is known of the attribute. What does not fit is not kept, and neither is what
    /// was known before: it is no longer true.
    ///
    /// Returns an entry that had to go, if any, so that the caller frees it without the lock.
    pub(super) fn insert(&mut self, new: Entry, now: u64) -> Option<Entry> {
        let mut removed = self.find(new.key()).map(|slot| self.remove_slot(slot));
        let cost = new.cost();
        if self.capacity == 0 || cost > self.byte_capacity {
            self.counters.evictions += u64::from(removed.is_some());
            return removed;
        }
        while self.by_name.len() >= self.capacity || self.bytes + cost > self.byte_capacity {
            removed = Some(self.evict_one(now));
        }
        self.insert_new(new);
        removed
    }

    /// Forgets one attribute.
    pub(super) fn invalidate_attr(&mut self, key: Key<'_>) {
        if let Some(slot) = self.find(key) {
            self.remove_slot(slot);
            self.counters.invalidations += 1;
        }
    }

    /// Forgets all attributes of an inode.
    pub(super) fn invalidate(&mut self, ino: u64) {
        let mut next = self.buckets[self.bucket(ino)].front();
        while let Some(slot) = next {
            next = self.bucket_links[slot as usize].next();
            if entry(&self.slots, slot).ino == ino {
                self.remove_slot(slot);
                self.counters.invalidations += 1;
            }
        }
    }

    /// Forgets everything but the counters, and gives the memory back.
    pub(super) fn clear(&mut self) {
        let mut counters = self.counters;
        counters.invalidations += self.by_name.len() as u64;
        *self = Shard {
            counters,
            ..Shard::new(self.capacity, self.byte_capacity, self.hasher.clone())
        };
    }

    pub(super) fn statistics(&self) -> XAttrCacheStatistics {
        XAttrCacheStatistics {
            entries: self.by_name.len() as u64,
            capacity: self.capacity as u64,
            bytes: self.bytes as u64,
            byte_capacity: self.byte_capacity as u64,
            ..self.counters
        }
    }

    fn find(&self, key: Key<'_>) -> Option<u32> {
        let same = |&slot: &u32| {
            let entry = entry(&self.slots, slot);
            entry.ino == key.ino && *entry.name == *key.name
        };
        self.by_name.find(key.hash, same).copied()
    }

    fn evict_one(&mut self, now: u64) -> Entry {
        let slot = self.order.back().expect("a full shard holds an entry");
        let evicted = self.remove_slot(slot);
        let expired = evicted.expires <= now;
        // Nothing of use was lost with an expired entry.
        self.counters.evictions += u64::from(!expired);
        self.counters.expirations += u64::from(expired);
        evicted
    }

    fn insert_new(&mut self, new: Entry) {
        let (ino, hash) = (new.ino, new.hash);
        self.bytes += new.cost();
        let slot = self.place(new);
        self.order.push_front(&mut self.order_links, slot);

        let slots = &self.slots;
        self.by_name
            .insert_unique(hash, slot, |&slot| entry(slots, slot).hash);

        let bucket = self.bucket(ino);
        self.buckets[bucket].push_front(&mut self.bucket_links, slot);
    }

    fn bucket(&self, ino: u64) -> usize {
        self.hasher.hash_one(ino) as usize & (self.buckets.len() - 1)
    }

    /// Twice as many buckets.
    fn grow_buckets(&mut self) {
        self.buckets = vec![List::EMPTY; 2 * self.buckets.len()];
        for slot in 0..self.slots.len() {
            if let Some(entry) = &self.slots[slot] {
                let bucket = self.bucket(entry.ino);
                self.buckets[bucket].push_front(&mut self.bucket_links, slot as u32);
            }
        }
    }

    fn place(&mut self, new: Entry) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = Some(new);
            return slot;
        }
        if self.slots.len() == self.buckets.len() {
            self.grow_buckets();
        }
        let slot = u32::try_from(self.slots.len()).expect("capacity fits in 32 bits");
        self.slots.push(Some(new));
        self.order_links.push(Links::NONE);
        self.bucket_links.push(Links::NONE);
        slot
    }

    fn remove_slot(&mut self, slot: u32) -> Entry {
        let removed = self.slots[slot as usize].take().expect(OCCUPIED);
        self.free.push(slot);
        self.bytes -= removed.cost();
        self.order.remove(&mut self.order_links, slot);
        if let Ok(found) = self.by_name.find_entry(removed.hash, |&at| at == slot) {
            found.remove();
        }
        let bucket = self.bucket(removed.ino);
        self.buckets[bucket].remove(&mut self.bucket_links, slot);
        removed
    }
}

/// To begin with.
const MIN_BUCKETS: usize = 16;

const OCCUPIED: &str = "slots in tables and lists hold entries";

fn entry(slots: &[Option<Entry>], slot: u32) -> &Entry {
    slots[slot as usize].as_ref().expect(OCCUPIED)
}

#[cfg(test)]
impl Shard {
    /// Panics unless tables, lists, slots and sums agree.
    pub(super) fn check(&self) {
        use super::list::tests::slots;

        let occupied = self.slots.iter().flatten();
        let count = occupied.clone().count();
        assert!(count <= self.capacity && self.bytes <= self.byte_capacity);
        assert_eq!(count + self.free.len(), self.slots.len());
        assert_eq!(count, self.by_name.len());
        assert_eq!(occupied.map(Entry::cost).sum::<usize>(), self.bytes);
        assert_eq!(slots(self.order, &self.order_links).len(), count);
        let mut listed = 0;
        for (bucket, list) in self.buckets.iter().enumerate() {
            let entries = slots(*list, &self.bucket_links);
            for &slot in &entries {
                assert_eq!(self.bucket(entry(&self.slots, slot).ino), bucket);
            }
            listed += entries.len();
        }
        assert_eq!(listed, count);
    }
}
