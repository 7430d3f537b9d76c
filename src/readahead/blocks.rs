//! Fetched blocks. Pure: no lock, no input or output.

use std::ops::Range;
use std::sync::Arc;

use lru::LruCache;

use crate::storage::Ino;

/// An aligned block of a file: inode and number.
pub(super) type BlockId = (Ino, u64);

/// Blocks of files, up to a number of them; the oldest goes first, but those that were read to
/// their end before all others: they have done their service.
#[derive(Debug)]
pub(super) struct BlockCache {
    block_size: usize,
    /// Blocks that fit.
    limit: usize,
    blocks: LruCache<BlockId, Block>,
    /// Bytes dropped that were never read.
    wasted: u64,
}

#[derive(Debug)]
struct Block {
    /// Shorter than a block where the file ends in it.
    data: Arc<Vec<u8>>,
    /// Bytes read, at most all; bytes read twice count twice.
    read: usize,
}

/// Pieces of blocks that together answer a read; copied without a lock.
pub(super) struct Pieces(Vec<(Arc<Vec<u8>>, Range<usize>)>);

impl Pieces {
    pub(super) fn copy_to(&self, buf: &mut [u8]) -> usize {
        let mut n = 0;
        for (data, range) in &self.0 {
            let piece = &data[range.clone()];
            buf[n..n + piece.len()].copy_from_slice(piece);
            n += piece.len();
        }
        n
    }
}

impl BlockCache {
    pub(super) fn new(block_size: usize, limit: usize) -> BlockCache {
        BlockCache {
            block_size,
            limit,
            blocks: LruCache::unbounded(),
            wasted: 0,
        }
    }

    pub(super) fn contains(&self, id: BlockId) -> bool {
        self.blocks.contains(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }

    pub(super) fn wasted(&self) -> u64 {
        self.wasted
    }

    /// The data of a request, or the first block that it lacks. Fewer bytes than asked where the
    /// file is known to end.
    pub(super) fn find(&mut self, ino: Ino, offset: u64, len: usize) -> Result<Pieces, u64> {
        let mut pieces = Vec::new();
        let mut rest = len;
        let mut position = offset;
        while rest > 0 {
            let number = position / self.block_size as u64;
            let block = self.blocks.peek(&(ino, number)).ok_or(number)?;
            let start = (position % self.block_size as u64) as usize;
            let end = (start + rest).min(self.block_size);
            let available = start.min(block.data.len())..end.min(block.data.len());
            pieces.push((Arc::clone(&block.data), available));
            if end > block.data.len() {
                break;
            }
            rest -= end - start;
            position += (end - start) as u64;
        }
        self.count_read(ino, offset, &pieces);
        Ok(Pieces(pieces))
    }

    fn count_read(&mut self, ino: Ino, offset: u64, pieces: &[(Arc<Vec<u8>>, Range<usize>)]) {
        let first = offset / self.block_size as u64;
        for (number, (data, range)) in (first..).zip(pieces) {
            let id = (ino, number);
            if let Some(block) = self.blocks.peek_mut(&id) {
                block.read = (block.read + range.len()).min(data.len());
            }
            if range.end == data.len() {
                self.blocks.demote(&id);
            }
        }
    }

    /// Keeps a block. The caller has made room.
    pub(super) fn insert(&mut self, id: BlockId, data: Arc<Vec<u8>>) {
        if let Some(old) = self.blocks.put(id, Block { data, read: 0 }) {
            self.count_dropped(&old);
        }
    }

    /// Drops blocks until `free` more fit.
    pub(super) fn make_room(&mut self, free: usize) {
        while self.blocks.len() + free > self.limit {
            let Some((_, block)) = self.blocks.pop_lru() else {
                return;
            };
            self.count_dropped(&block);
        }
    }

    /// Drops what a change of `range` makes untrue: the blocks it touches, and a block in which
    /// the file ended, if the change may have moved the end.
    pub(super) fn invalidate(&mut self, ino: Ino, range: &Range<u64>) {
        let outdated: Vec<BlockId> = self
            .blocks
            .iter()
            .filter(|(id, block)| {
                id.0 == ino && self.outdates(range, id.1, block.data.len() < self.block_size)
            })
            .map(|(id, _)| *id)
            .collect();
        for id in outdated {
            if let Some(block) = self.blocks.pop(&id) {
                self.count_dropped(&block);
            }
        }
    }

    /// Whether a change of `range` outdates a block. `short`: the file ended in it.
    pub(super) fn outdates(&self, range: &Range<u64>, number: u64, short: bool) -> bool {
        let start = number.saturating_mul(self.block_size as u64);
        let end = start.saturating_add(self.block_size as u64);
        range.end > start && (range.start < end || short)
    }

    /// Counts bytes that were fetched and cannot be kept.
    pub(super) fn count_unwanted(&mut self, bytes: usize) {
        self.wasted += bytes as u64;
    }

    fn count_dropped(&mut self, block: &Block) {
        self.wasted += (block.data.len() - block.read) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(limit: usize) -> BlockCache {
        BlockCache::new(4, limit)
    }

    fn read(cache: &mut BlockCache, offset: u64, len: usize) -> Option<Vec<u8>> {
        let mut buf = vec![0; len];
        let n = cache.find(1, offset, len).ok()?.copy_to(&mut buf);
        buf.truncate(n);
        Some(buf)
    }

    #[test]
    fn a_request_is_answered_whole_or_up_to_the_end_of_file() {
        let mut cache = cache(8);
        cache.insert((1, 0), Arc::new(b"abcd".to_vec()));
        assert_eq!(read(&mut cache, 1, 3).as_deref(), Some(&b"bcd"[..]));
        assert_eq!(read(&mut cache, 1, 4), None);
        cache.insert((1, 1), Arc::new(b"ef".to_vec()));
        assert_eq!(read(&mut cache, 1, 9).as_deref(), Some(&b"bcdef"[..]));
        assert_eq!(read(&mut cache, 7, 9).as_deref(), Some(&b""[..]));
        assert_eq!(cache.find(2, 0, 1).err(), Some(0));
    }

    #[test]
    fn blocks_read_to_their_end_go_first_and_unread_bytes_are_waste() {
        let mut cache = cache(2);
        cache.insert((1, 0), Arc::new(b"abcd".to_vec()));
        cache.insert((1, 1), Arc::new(b"efgh".to_vec()));
        assert!(read(&mut cache, 4, 4).is_some());
        cache.make_room(1);
        assert!(cache.contains((1, 0)) && !cache.contains((1, 1)));
        assert_eq!(cache.wasted(), 0);
        assert!(read(&mut cache, 1, 2).is_some());
        cache.make_room(2);
        assert_eq!((cache.len(), cache.wasted()), (0, 2));
    }

    #[test]
    fn a_change_behind_the_end_of_file_moves_the_end() {
        let mut cache = cache(8);
        cache.insert((1, 0), Arc::new(b"abcd".to_vec()));
        cache.insert((1, 1), Arc::new(b"e".to_vec()));
        cache.insert((2, 1), Arc::new(b"e".to_vec()));
        cache.invalidate(1, &(100..101));
        assert!(cache.contains((1, 0)) && !cache.contains((1, 1)) && cache.contains((2, 1)));
        cache.invalidate(1, &(4..5));
        assert!(cache.contains((1, 0)));
        cache.invalidate(1, &(3..4));
        assert!(!cache.contains((1, 0)));
    }
}
