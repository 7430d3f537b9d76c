//! What the prefetcher's threads and its callers share, under one lock.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::blocks::{BlockCache, BlockId, Pieces};
use crate::storage::{Fh, Ino};

/// A block that should be fetched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job {
    pub(super) block: BlockId,
    pub(super) fh: Fh,
}

/// A block that is being fetched.
#[derive(Debug)]
struct Flight {
    /// Grows with each flight.
    id: u64,
    block: BlockId,
    /// The block was changed, or the inode closed, since the fetch began.
    outdated: bool,
    /// As `outdated`, if the file turns out to end in the block.
    outdated_if_short: bool,
}

/// How the blocks of a request stand.
pub(super) enum Lookup {
    Found(Pieces),
    /// A block is being fetched: look again when a flight has ended.
    UnderWay,
    Missing,
}

#[derive(Debug)]
pub(super) struct State {
    block_size: u64,
    limit: usize,
    cache: BlockCache,
    queue: VecDeque<Job>,
    flights: Vec<Flight>,
    next_flight: u64,
    fetched: u64,
    pub(super) stop: bool,
}

impl State {
    /// At most `limit` blocks are held, those being fetched included; as many may be queued.
    pub(super) fn new(block_size: usize, limit: usize) -> State {
        State {
            block_size: block_size as u64,
            limit,
            cache: BlockCache::new(block_size, limit),
            queue: VecDeque::new(),
            flights: Vec::new(),
            next_flight: 0,
            fetched: 0,
            stop: false,
        }
    }

    /// Looks a request up. Blocks it lacks are taken off the queue: the caller is about to read
    /// them itself.
    pub(super) fn lookup(&mut self, ino: Ino, offset: u64, len: usize) -> Lookup {
        let missing = match self.cache.find(ino, offset, len) {
            Ok(pieces) => return Lookup::Found(pieces),
            Err(number) => (ino, number),
        };
        if self.is_under_way(missing) {
            return Lookup::UnderWay;
        }
        let end = offset.saturating_add(len as u64);
        let size = self.block_size;
        self.queue.retain(|job| {
            let start = job.block.1 * size;
            job.block.0 != ino || start < offset || start.saturating_add(size) > end
        });
        Lookup::Missing
    }

    /// Queues the blocks of a range that are neither there nor coming; returns how many. The
    /// oldest jobs make room.
    pub(super) fn enqueue(&mut self, ino: Ino, fh: Fh, range: Range<u64>) -> usize {
        if range.is_empty() {
            return 0;
        }
        let mut queued = 0;
        let numbers = range.start / self.block_size..=(range.end - 1) / self.block_size;
        for number in numbers.take(self.limit) {
            let block = (ino, number);
            if self.cache.contains(block)
                || self.is_under_way(block)
                || self.queue.iter().any(|job| job.block == block)
            {
                continue;
            }
            if self.queue.len() == self.limit {
                self.queue.pop_front();
            }
            self.queue.push_back(Job { block, fh });
            queued += 1;
        }
        queued
    }

    /// The next block to fetch, with the number of its flight. Its room is reserved.
    pub(super) fn take_off(&mut self) -> Option<(u64, Job)> {
        let job = self.queue.pop_front()?;
        let id = self.next_flight;
        self.next_flight += 1;
        self.flights.push(Flight {
            id,
            block: job.block,
            outdated: false,
            outdated_if_short: false,
        });
        self.cache.make_room(self.flights.len());
        Some((id, job))
    }

    /// Ends a flight; `data` is what it brought, shorter than a block where the file ends.
    pub(super) fn land(&mut self, id: u64, data: Option<Arc<Vec<u8>>>) {
        let Some(index) = self.flights.iter().position(|flight| flight.id == id) else {
            return;
        };
        let flight = self.flights.swap_remove(index);
        let Some(data) = data.filter(|data| !data.is_empty()) else {
            return;
        };
        self.fetched += data.len() as u64;
        let short = (data.len() as u64) < self.block_size;
        if flight.outdated || (short && flight.outdated_if_short) {
            self.cache.count_unwanted(data.len());
        } else {
            self.cache.insert(flight.block, data);
        }
    }

    /// Drops what a change of `range` makes untrue, and sees to it that fetches under way do not
    /// bring it back. Queued ones have yet to read, and will see the change.
    pub(super) fn invalidate(&mut self, ino: Ino, range: &Range<u64>) {
        self.cache.invalidate(ino, range);
        for flight in self
            .flights
            .iter_mut()
            .filter(|flight| flight.block.0 == ino)
        {
            let number = flight.block.1;
            flight.outdated |= self.cache.outdates(range, number, false);
            flight.outdated_if_short |= self.cache.outdates(range, number, true);
        }
    }

    /// Drops all of an inode. Returns a mark: fetches for the inode with numbers below it are
    /// still to be waited for.
    pub(super) fn forget(&mut self, ino: Ino) -> u64 {
        self.queue.retain(|job| job.block.0 != ino);
        self.invalidate(ino, &(0..u64::MAX));
        self.next_flight
    }

    pub(super) fn is_reading(&self, ino: Ino, before: u64) -> bool {
        let mut flights = self.flights.iter();
        flights.any(|flight| flight.block.0 == ino && flight.id < before)
    }

    pub(super) fn clear_queue(&mut self) {
        self.queue.clear();
    }

    /// Bytes fetched, and of these, bytes dropped unread.
    pub(super) fn figures(&self) -> (u64, u64) {
        (self.fetched, self.cache.wasted())
    }

    /// Blocks that wait to be fetched.
    #[cfg(test)]
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Blocks cached and being fetched.
    pub(super) fn held(&self) -> usize {
        self.cache.len() + self.flights.len()
    }

    /// Whether a fetch under way will bring this block.
    fn is_under_way(&self, block: BlockId) -> bool {
        let mut flights = self.flights.iter();
        flights.any(|flight| flight.block == block && !flight.outdated)
    }
}
