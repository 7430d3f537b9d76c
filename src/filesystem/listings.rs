//! When each directory was last listed with attributes.
//!
//! The kernel can keep a listing (`FOPEN_CACHE_DIR`), but a kept listing primes no names: once they
//! have expired, each costs a lookup, where a fresh listing brings them all in a few requests. So a
//! listing is kept only as long as the names that came with it. Where opening a directory is a request, its
//! answer says whether the listing may still be used ([`Listings`]); where it is none, the kernel is
//! told when the time has come ([`Expiry`]).

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::storage::Ino;

const SHARDS: usize = 16;

/// The table; it holds a directory from its first listing until the kernel forgets it.
pub(super) struct Listings {
    shards: [Mutex<HashMap<Ino, Instant>>; SHARDS],
}

impl Listings {
    pub(super) fn new() -> Listings {
        Listings {
            shards: std::array::from_fn(|_| Mutex::new(HashMap::new())),
        }
    }

    fn shard(&self, ino: Ino) -> &Mutex<HashMap<Ino, Instant>> {
        &self.shards[ino as usize % SHARDS]
    }

    /// A listing starts now.
    pub(super) fn begin(&self, ino: Ino) {
        self.shard(ino).lock().insert(ino, Instant::now());
    }

    /// Whether the last listing is younger than `ttl`.
    pub(super) fn is_fresh(&self, ino: Ino, ttl: Duration) -> bool {
        self.shard(ino)
            .lock()
            .get(&ino)
            .is_some_and(|listed| listed.elapsed() < ttl)
    }

    /// The kernel forgot the directory.
    pub(super) fn forget(&self, ino: Ino) {
        self.shard(ino).lock().remove(&ino);
    }
}

/// Listings remembered at most. One that is not ends when the directory changes or the kernel needs the
/// memory, and its names are looked up one by one until then.
const REMEMBERED: usize = 1 << 16;

/// Which listings end when. All have the same lifetime, so what came first ends first.
#[derive(Default)]
pub(super) struct Expiry {
    queue: VecDeque<(Instant, Ino)>,
    /// The end of the last listing of each directory in the queue: the earlier ones were replaced.
    last: HashMap<Ino, Instant>,
}

impl Expiry {
    /// A listing of `ino` ends at `due`, and not before.
    pub(super) fn add(&mut self, ino: Ino, due: Instant) {
        if self.queue.len() < REMEMBERED {
            self.queue.push_back((due, ino));
            self.last.insert(ino, due);
        }
    }

    /// When to [`take`](Self::take) next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.queue.front().map(|(due, _)| *due)
    }

    /// A directory whose listing has ended by `now`.
    pub(super) fn take(&mut self, now: Instant) -> Option<Ino> {
        while let Some(&(due, ino)) = self.queue.front().filter(|(due, _)| *due <= now) {
            self.queue.pop_front();
            if self.last.get(&ino) == Some(&due) {
                self.last.remove(&ino);
                return Some(ino);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_fresh_for_its_lifetime_only() {
        let listings = Listings::new();
        assert!(!listings.is_fresh(1, Duration::from_secs(5)));
        listings.begin(1);
        assert!(listings.is_fresh(1, Duration::from_secs(5)));
        assert!(!listings.is_fresh(1, Duration::ZERO));
        listings.forget(1);
        assert!(!listings.is_fresh(1, Duration::from_secs(5)));
    }

    #[test]
    fn the_last_listing_of_a_directory_ends_it() {
        let mut expiry = Expiry::default();
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        expiry.add(1, at(1));
        expiry.add(2, at(2));
        expiry.add(1, at(3));
        assert_eq!(expiry.next_due(), Some(at(1)));
        assert_eq!(expiry.take(at(0)), None);
        assert_eq!(expiry.take(at(2)), Some(2));
        assert_eq!(expiry.take(at(2)), None);
        assert_eq!(expiry.take(at(9)), Some(1));
        assert_eq!((expiry.next_due(), expiry.take(at(9))), (None, None));
        assert!(expiry.last.is_empty());
    }
}
