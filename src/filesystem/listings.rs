//! When each directory was last listed with attributes.
//!
//! The kernel can keep a listing (`FOPEN_CACHE_DIR`), but a kept listing primes no names: once they
//! have expired, each costs a lookup, where a fresh listing brings them all in a few requests. So a
//! listing is kept only as long as the names that came with it.

use std::collections::HashMap;
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
}
