//! The detectors of all inodes.

use std::borrow::Borrow;
use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;

use super::detector::Detector;
use crate::config::OptimizedFUSEConfig;
use crate::stats::ReadAheadStatistics;

/// A power of two. More than the threads that usually serve a mount.
const SHARDS: usize = 16;

/// With 16 shards 4,096 inodes are followed: about 1 MiB.
const INODES_PER_SHARD: usize = 256;

/// What should be fetched, because a run of reads will want it next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadAheadHint {
    /// The file.
    pub ino: u64,
    /// First byte.
    pub offset: u64,
    /// Bytes; at least 1, at most the configured `readahead_size`.
    pub size: usize,
}

/// Recognises runs of reads, inode by inode, and says what to fetch ahead of them.
///
/// The third read that continues two others makes a run: forward, backward, or with a constant
/// stride (then the next piece is hinted). Reads of contiguous runs may overtake each other, as
/// they do when several threads serve them. The window begins at twice the size of a read and
/// doubles to `readahead_size`; reads elsewhere halve it, and five in a row end the run. Within a
/// run no byte is hinted twice. Reads larger than `readahead_size` cause no hints: the next read
/// would not fit.
///
/// One run is followed per inode, whoever reads. Up to 4,096 inodes are followed (in 16 shards); of
/// more, those read least recently start anew.
///
/// ```
/// use dynamicfs::{OptimizedFUSEConfig, ReadAheadManager};
///
/// # fn background_prefetch(_: u64, offset: u64, _: usize) { assert_eq!(offset, 3 * 4096) }
/// # let config = OptimizedFUSEConfig::balanced();
/// # let (ino, size) = (2, 4096);
/// let manager = ReadAheadManager::new(config);
///
/// # for offset in [0, 4096, 8192] {
/// // Record access
/// if let Some(hint) = manager.record_access(ino, offset, size) {
///     // Sequential pattern detected!
///     background_prefetch(hint.ino, hint.offset, hint.size);
/// }
/// # }
/// # assert_eq!(manager.statistics().triggered, 1);
/// ```
#[derive(Debug)]
pub struct ReadAheadManager {
    max_window: u64,
    shards: Box<[Shard]>,
}

/// Aligned so that no two shards share a cache line (128: the adjacent-line prefetcher works on
/// pairs).
#[derive(Debug)]
#[repr(align(128))]
struct Shard(Mutex<Inodes>);

#[derive(Debug)]
struct Inodes {
    detectors: LruCache<u64, Detector>,
    figures: ReadAheadStatistics,
}

impl ReadAheadManager {
    /// A manager whose window is `readahead_size` of `config`.
    pub fn new(config: impl Borrow<OptimizedFUSEConfig>) -> ReadAheadManager {
        const LIMIT: NonZeroUsize = NonZeroUsize::new(INODES_PER_SHARD).unwrap();
        let shard = || {
            // Not `new`, which allocates for the limit at once.
            let mut detectors = LruCache::unbounded();
            detectors.resize(LIMIT);
            Shard(Mutex::new(Inodes {
                detectors,
                figures: ReadAheadStatistics::default(),
            }))
        };
        ReadAheadManager {
            max_window: config.borrow().readahead_size as u64,
            shards: std::iter::repeat_with(shard).take(SHARDS).collect(),
        }
    }

    /// Takes note that `size` bytes were read at `offset`, and says what to fetch now. For files
    /// whose size is not known; a hint may lie beyond the end.
    pub fn record_access(&self, ino: u64, offset: u64, size: usize) -> Option<ReadAheadHint> {
        self.record_access_in(ino, offset, size, u64::MAX)
    }

    /// As [`record_access`](Self::record_access), in a file of `file_size` bytes: no hint passes
    /// its end. A read of 0 bytes is not counted.
    pub fn record_access_in(
        &self,
        ino: u64,
        offset: u64,
        size: usize,
        file_size: u64,
    ) -> Option<ReadAheadHint> {
        if size == 0 {
            return None;
        }
        let mut inodes = self.shard(ino).lock();
        let Inodes { detectors, figures } = &mut *inodes;
        let seen = detectors
            .get_or_insert_mut(ino, || Detector::new(self.max_window))
            .observe(offset, size as u64, file_size);
        if seen.hit {
            figures.hits += 1;
        } else {
            figures.misses += 1;
        }
        if let Some(pattern) = seen.started {
            tracing::trace!(ino, ?pattern, "run of reads");
        }
        let hint = seen.hint?;
        let len = hint.end - hint.start;
        figures.triggered += 1;
        figures.bytes_prefetched += len;
        Some(ReadAheadHint {
            ino,
            offset: hint.start,
            // At most `max_window`, which came from a usize.
            size: len as usize,
        })
    }

    /// Forgets the reads of an inode, when an open of it is closed. Other opens of it are
    /// recognised anew, which takes three reads.
    pub fn close(&self, ino: u64) {
        self.shard(ino).lock().detectors.pop(&ino);
    }

    /// What was read and hinted since the manager was made. `bytes_wasted` is 0: only who fetches
    /// knows it ([`Prefetcher::figures`](super::Prefetcher::figures)).
    pub fn statistics(&self) -> ReadAheadStatistics {
        let mut sum = ReadAheadStatistics::default();
        for shard in &self.shards {
            let figures = shard.0.lock().figures;
            sum.triggered += figures.triggered;
            sum.hits += figures.hits;
            sum.misses += figures.misses;
            sum.bytes_prefetched += figures.bytes_prefetched;
        }
        sum
    }

    fn shard(&self, ino: u64) -> &Mutex<Inodes> {
        &self.shards[ino as usize % SHARDS].0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;

    #[test]
    fn hints_end_at_end_of_file_and_hits_are_counted() {
        let manager = ReadAheadManager::new(OptimizedFUSEConfig::balanced());
        let hints: Vec<_> = (0..5)
            .filter_map(|i| manager.record_access_in(9, i * 4096, 4 * KIB, 5 * 4096))
            .collect();
        let hint = ReadAheadHint {
            ino: 9,
            offset: 3 * 4096,
            size: 8 * KIB,
        };
        assert_eq!(hints, [hint]);
        let expected = ReadAheadStatistics {
            triggered: 1,
            hits: 2,
            misses: 3,
            bytes_prefetched: 8192,
            bytes_wasted: 0,
        };
        assert_eq!(manager.statistics(), expected);
    }

    #[test]
    fn inodes_are_told_apart() {
        let manager = ReadAheadManager::new(OptimizedFUSEConfig::balanced());
        for i in 0..3 {
            // One file sequentially through the reads of three.
            assert_eq!(manager.record_access(i, i * 4096, 4096), None);
        }
    }

    #[test]
    fn a_close_forgets() {
        let manager = ReadAheadManager::new(OptimizedFUSEConfig::balanced());
        manager.record_access(1, 0, 4096);
        manager.record_access(1, 4096, 4096);
        manager.close(1);
        assert_eq!(manager.record_access(1, 8192, 4096), None);
    }

    #[test]
    fn memory_is_bounded() {
        let manager = ReadAheadManager::new(OptimizedFUSEConfig::balanced());
        for ino in 0..10 * (SHARDS * INODES_PER_SHARD) as u64 {
            manager.record_access(ino, 0, 4096);
        }
        for shard in &manager.shards {
            assert_eq!(shard.0.lock().detectors.len(), INODES_PER_SHARD);
        }
    }
}
