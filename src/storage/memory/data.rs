//! The contents of a regular file: a sparse map of chunks.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::budget::{Budget, Charge};
use crate::storage::{Errno, Result, SeekTo};

/// Granularity of allocation in bytes: the block size of ext4, so that holes fall where they fall
/// there.
pub(super) const CHUNK: u64 = 4096;

/// Largest size of a file in bytes, that of `off_t`.
pub(super) const MAX_SIZE: u64 = i64::MAX as u64;

/// One allocated block.
#[derive(Debug)]
enum Chunk {
    /// Allocated by fallocate(2) and not written: reads as zeros, is a hole to lseek(2).
    Reserved,
    Data(Box<[u8; CHUNK as usize]>),
}

/// Size and contents of a regular file.
#[derive(Debug)]
pub(super) struct FileData {
    size: u64,
    chunks: BTreeMap<u64, Chunk>,
    charge: Charge,
}

impl FileData {
    pub(super) fn new(budget: &Arc<Budget>) -> FileData {
        FileData {
            size: 0,
            chunks: BTreeMap::new(),
            charge: Charge::empty(budget),
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Space in use, in units of 512 bytes.
    pub(super) fn blocks(&self) -> u64 {
        self.chunks.len() as u64 * (CHUNK / 512)
    }

    /// Reads up to the end of file; holes are zeros.
    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) -> usize {
        let len = self.size.saturating_sub(offset).min(buf.len() as u64);
        let buf = &mut buf[..len as usize];
        for piece in pieces(offset, len) {
            let target = &mut buf[piece.at..piece.at + piece.len];
            match self.chunks.get(&piece.chunk) {
                Some(Chunk::Data(bytes)) => {
                    target.copy_from_slice(&bytes[piece.within..piece.within + piece.len]);
                }
                Some(Chunk::Reserved) | None => target.fill(0),
            }
        }
        len as usize
    }

    /// Writes; fewer bytes than given when space ran out on the way.
    ///
    /// # Errors
    /// `EFBIG` past the largest size, `ENOSPC` when not one byte fits.
    pub(super) fn write(&mut self, offset: u64, data: &[u8]) -> Result<usize> {
        if data.is_empty() {
            return Ok(0);
        }
        if offset >= MAX_SIZE {
            return Err(Errno::FBIG);
        }
        let len = (data.len() as u64).min(MAX_SIZE - offset);
        let mut done = 0;
        for piece in pieces(offset, len) {
            match self.chunk_for_writing(piece.chunk) {
                Ok(bytes) => bytes[piece.within..piece.within + piece.len]
                    .copy_from_slice(&data[piece.at..piece.at + piece.len]),
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
            }
            done += piece.len;
        }
        self.size = self.size.max(offset + done as u64);
        Ok(done)
    }

    fn chunk_for_writing(&mut self, index: u64) -> Result<&mut [u8; CHUNK as usize]> {
        if !self.chunks.contains_key(&index) {
            self.charge.grow(CHUNK)?;
        }
        let chunk = self.chunks.entry(index).or_insert(Chunk::Reserved);
        if let Chunk::Reserved = chunk {
            *chunk = Chunk::Data(Box::new([0; CHUNK as usize]));
        }
        match chunk {
            Chunk::Data(bytes) => Ok(bytes),
            Chunk::Reserved => unreachable!("just made into data"),
        }
    }

    /// Sets the size. What is cut off is gone: growing again shows zeros.
    pub(super) fn truncate(&mut self, size: u64) -> Result<()> {
        if size > MAX_SIZE {
            return Err(Errno::FBIG);
        }
        let first_unused = size.div_ceil(CHUNK);
        let freed = self.chunks.split_off(&first_unused).len() as u64;
        self.charge.shrink(freed * CHUNK);
        let rest = (size % CHUNK) as usize;
        if rest != 0
            && let Some(Chunk::Data(bytes)) = self.chunks.get_mut(&(size / CHUNK))
        {
            bytes[rest..].fill(0);
        }
        self.size = size;
        Ok(())
    }

    /// Allocates the range without writing it; grows the file unless `keep_size`.
    pub(super) fn allocate(&mut self, offset: u64, len: u64, keep_size: bool) -> Result<()> {
        let end = range_end(offset, len)?;
        let (first, last) = (offset / CHUNK, (end - 1) / CHUNK);
        let present = self.chunks.range(first..=last).count() as u64;
        // Charged before the first chunk is made: all or nothing, and no loop over a range that
        // can never fit.
        let missing = last - first + 1 - present;
        self.charge
            .grow(missing.checked_mul(CHUNK).ok_or(Errno::NOSPC)?)?;
        for index in first..=last {
            self.chunks.entry(index).or_insert(Chunk::Reserved);
        }
        if !keep_size {
            self.size = self.size.max(end);
        }
        Ok(())
    }

    /// Makes the range read as zeros and gives its whole chunks back.
    pub(super) fn punch(&mut self, offset: u64, len: u64) -> Result<()> {
        let end = range_end(offset, len)?;
        let first_whole = offset.div_ceil(CHUNK);
        let end_whole = end / CHUNK;
        if first_whole < end_whole {
            let mut inside = self.chunks.split_off(&first_whole);
            let mut after = inside.split_off(&end_whole);
            self.chunks.append(&mut after);
            self.charge.shrink(inside.len() as u64 * CHUNK);
        }
        self.zero_partial(offset, end);
        Ok(())
    }

    /// Makes the range read as zeros and keeps it allocated; grows the file unless `keep_size`.
    pub(super) fn zero(&mut self, offset: u64, len: u64, keep_size: bool) -> Result<()> {
        self.allocate(offset, len, keep_size)?;
        let end = range_end(offset, len)?;
        let (first_whole, end_whole) = (offset.div_ceil(CHUNK), end / CHUNK);
        if first_whole < end_whole {
            for (_, chunk) in self.chunks.range_mut(first_whole..end_whole) {
                *chunk = Chunk::Reserved;
            }
        }
        self.zero_partial(offset, end);
        Ok(())
    }

    /// Zeroes the parts of the first and the last chunk of `offset..end` that it does not fill.
    fn zero_partial(&mut self, offset: u64, end: u64) {
        for index in [offset / CHUNK, end / CHUNK] {
            let base = index * CHUNK;
            let from = offset.max(base) - base;
            let to = end.min(base.saturating_add(CHUNK)).saturating_sub(base);
            if from < to
                && to - from < CHUNK
                && let Some(Chunk::Data(bytes)) = self.chunks.get_mut(&index)
            {
                bytes[from as usize..to as usize].fill(0);
            }
        }
    }

    /// lseek(2) with `SEEK_DATA` and `SEEK_HOLE`, exact to a chunk.
    ///
    /// # Errors
    /// `ENXIO` at or past end of file, and when no data follow.
    pub(super) fn seek(&self, offset: u64, to: SeekTo) -> Result<u64> {
        if offset >= self.size {
            return Err(Errno::NXIO);
        }
        let first = offset / CHUNK;
        let mut data = self
            .chunks
            .range(first..)
            .filter(|(_, chunk)| matches!(chunk, Chunk::Data(_)))
            .map(|(index, _)| *index);
        match to {
            SeekTo::Data => data
                .next()
                .map(|index| offset.max(index * CHUNK))
                .filter(|found| *found < self.size)
                .ok_or(Errno::NXIO),
            SeekTo::Hole => {
                let mut hole = first;
                while data.next() == Some(hole) {
                    hole += 1;
                }
                Ok(offset.max(hole.saturating_mul(CHUNK)).min(self.size))
            }
        }
    }
}

/// The end of a range, checked as fallocate(2) checks it.
fn range_end(offset: u64, len: u64) -> Result<u64> {
    if len == 0 {
        return Err(Errno::INVAL);
    }
    offset
        .checked_add(len)
        .filter(|end| *end <= MAX_SIZE)
        .ok_or(Errno::FBIG)
}

/// The part of a range that lies in one chunk.
struct Piece {
    chunk: u64,
    /// Offset in the chunk.
    within: usize,
    /// Offset in the caller's buffer.
    at: usize,
    len: usize,
}

/// Cuts a range at the borders of the chunks.
fn pieces(offset: u64, len: u64) -> impl Iterator<Item = Piece> {
    let end = offset + len;
    let mut position = offset;
    std::iter::from_fn(move || {
        if position >= end {
            return None;
        }
        let within = position % CHUNK;
        let len = (CHUNK - within).min(end - position);
        let piece = Piece {
            chunk: position / CHUNK,
            within: within as usize,
            at: (position - offset) as usize,
            len: len as usize,
        };
        position += len;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SPAN: u64 = 6 * CHUNK;

    #[derive(Debug, Clone)]
    enum Step {
        Write(u64, u64, u8),
        Truncate(u64),
        Allocate(u64, u64, bool),
        Punch(u64, u64),
        Zero(u64, u64, bool),
    }

    fn step() -> impl Strategy<Value = Step> {
        let range = || (0..SPAN, 1..2 * CHUNK);
        prop_oneof![
            (range(), 1..=255u8).prop_map(|((o, l), b)| Step::Write(o, l, b)),
            (0..SPAN).prop_map(Step::Truncate),
            (range(), any::<bool>()).prop_map(|((o, l), k)| Step::Allocate(o, l, k)),
            range().prop_map(|(o, l)| Step::Punch(o, l)),
            (range(), any::<bool>()).prop_map(|((o, l), k)| Step::Zero(o, l, k)),
        ]
    }

    /// The same on a plain vector.
    fn apply(model: &mut Vec<u8>, step: &Step) {
        let grow = |model: &mut Vec<u8>, end: u64| {
            if model.len() < end as usize {
                model.resize(end as usize, 0);
            }
        };
        let fill = |model: &mut Vec<u8>, offset: u64, len: u64, byte: u8| {
            let end = model.len().min((offset + len) as usize);
            if (offset as usize) < end {
                model[offset as usize..end].fill(byte);
            }
        };
        match *step {
            Step::Write(offset, len, byte) => {
                grow(model, offset + len);
                fill(model, offset, len, byte);
            }
            Step::Truncate(size) => model.resize(size as usize, 0),
            Step::Allocate(offset, len, keep) if !keep => grow(model, offset + len),
            Step::Allocate(..) => {}
            Step::Punch(offset, len) => fill(model, offset, len, 0),
            Step::Zero(offset, len, keep) => {
                if !keep {
                    grow(model, offset + len);
                }
                fill(model, offset, len, 0);
            }
        }
    }

    proptest! {
        #[test]
        fn contents_follow_a_plain_vector(steps in prop::collection::vec(step(), 1..60)) {
            let budget = Budget::new(1 << 30);
            let mut file = FileData::new(&budget);
            let mut model = Vec::new();
            for step in &steps {
                match *step {
                    Step::Write(o, l, b) => {
                        prop_assert_eq!(file.write(o, &vec![b; l as usize]), Ok(l as usize));
                    }
                    Step::Truncate(size) => file.truncate(size).unwrap(),
                    Step::Allocate(o, l, keep) => file.allocate(o, l, keep).unwrap(),
                    Step::Punch(o, l) => file.punch(o, l).unwrap(),
                    Step::Zero(o, l, keep) => file.zero(o, l, keep).unwrap(),
                }
                apply(&mut model, step);
                let mut seen = vec![0xee; model.len() + 10];
                let n = file.read(0, &mut seen);
                prop_assert_eq!(&seen[..n], &model[..]);
                prop_assert_eq!(budget.used(), file.blocks() * 512);
            }
            // Whatever lseek calls a hole is zeros, and data and holes alternate to the end.
            let mut position = 0;
            while position < file.size() {
                let data = file.seek(position, SeekTo::Data).unwrap_or(file.size());
                prop_assert!(model[position as usize..data as usize].iter().all(|b| *b == 0));
                if data == file.size() { break; }
                let hole = file.seek(data, SeekTo::Hole).unwrap();
                prop_assert!(hole > data);
                position = hole;
            }
            drop(file);
            prop_assert_eq!(budget.used(), 0);
        }
    }

    #[test]
    fn limits_are_errors() {
        let budget = Budget::new(2 * CHUNK);
        let mut file = FileData::new(&budget);
        assert_eq!(file.truncate(MAX_SIZE + 1), Err(Errno::FBIG));
        assert_eq!(file.write(MAX_SIZE, b"x"), Err(Errno::FBIG));
        assert_eq!(file.write(MAX_SIZE - 1, b"xy"), Ok(1));
        assert_eq!(file.allocate(0, MAX_SIZE, true), Err(Errno::NOSPC));
        assert_eq!(file.allocate(1, MAX_SIZE, true), Err(Errno::FBIG));
        assert_eq!(file.punch(0, 0), Err(Errno::INVAL));
        assert_eq!(file.write(0, &[1; 2 * CHUNK as usize]), Ok(CHUNK as usize));
        assert_eq!(file.write(CHUNK, b"x"), Err(Errno::NOSPC));
        assert_eq!(file.size(), MAX_SIZE);
        assert_eq!(file.seek(CHUNK, SeekTo::Data), Ok(MAX_SIZE / CHUNK * CHUNK));
        assert_eq!(file.seek(0, SeekTo::Hole), Ok(CHUNK));
        file.truncate(0).unwrap();
        assert_eq!(budget.used(), 0);
    }
}
