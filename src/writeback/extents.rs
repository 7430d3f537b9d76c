//! Dirty bytes of one file, as pieces that never overlap.

use std::collections::BTreeMap;

use crate::storage::{Errno, Fh, Result};

/// Largest piece, and largest write to the sink, in bytes: what a FUSE write request carries at
/// most by default, and small enough that growing a piece copies little.
pub(super) const MAX_PIECE: usize = 1 << 20;

#[derive(Debug)]
struct Piece {
    /// The open file of the latest write to this piece.
    fh: Fh,
    data: Vec<u8>,
}

/// Pieces by offset. Sequential writes grow one piece; other neighbours are joined when written
/// out, because joining them at each write would copy them again and again.
#[derive(Debug, Default)]
pub(super) struct Extents {
    pieces: BTreeMap<u64, Piece>,
}

impl Extents {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// End of the last piece.
    pub(super) fn end(&self) -> Option<u64> {
        let (start, piece) = self.pieces.last_key_value()?;
        Some(start + piece.data.len() as u64)
    }

    /// Puts `data` at `offset`, over what is there. Returns by how many bytes it grew.
    pub(super) fn write(&mut self, fh: Fh, offset: u64, data: &[u8]) -> usize {
        let end = offset + data.len() as u64;
        let mut grown = 0;
        let mut position = offset;
        while position < end {
            let rest = &data[(position - offset) as usize..];
            let taken = match self.pieces.range_mut(..=position).next_back() {
                Some((start, piece)) if position < start + piece.data.len() as u64 => {
                    let within = (position - start) as usize;
                    let n = rest.len().min(piece.data.len() - within);
                    piece.data[within..within + n].copy_from_slice(&rest[..n]);
                    piece.fh = fh;
                    n
                }
                _ => {
                    let next = self.pieces.range(position..).next();
                    let gap = next.map_or(end, |(start, _)| end.min(*start)) - position;
                    let n = self.fill_gap(fh, position, &rest[..gap as usize]);
                    grown += n;
                    n
                }
            };
            position += taken as u64;
        }
        grown
    }

    /// Stores bytes where there are none: at the end of the piece before, or as a new one.
    fn fill_gap(&mut self, fh: Fh, position: u64, data: &[u8]) -> usize {
        if let Some((start, piece)) = self.pieces.range_mut(..position).next_back()
            && start + piece.data.len() as u64 == position
            && piece.data.len() < MAX_PIECE
        {
            let n = data.len().min(MAX_PIECE - piece.data.len());
            piece.data.extend_from_slice(&data[..n]);
            piece.fh = fh;
            return n;
        }
        let n = data.len().min(MAX_PIECE);
        let data = data[..n].to_vec();
        self.pieces.insert(position, Piece { fh, data });
        n
    }

    /// Drops what is at or after `from`. Returns by how many bytes it shrank.
    pub(super) fn truncate(&mut self, from: u64) -> usize {
        let cut = self.pieces.split_off(&from);
        let mut freed = cut.values().map(|piece| piece.data.len()).sum();
        if let Some((start, piece)) = self.pieces.iter_mut().next_back() {
            let keep = (from - start).min(piece.data.len() as u64) as usize;
            freed += piece.data.len() - keep;
            piece.data.truncate(keep);
        }
        freed
    }

    /// The parts of `offset..offset + len` that are dirty, copied.
    pub(super) fn copy_range(&self, offset: u64, len: usize, into: &mut Vec<(usize, Vec<u8>)>) {
        let end = offset.saturating_add(len as u64);
        let first = self.pieces.range(..=offset).next_back();
        let first = first.map_or(offset, |(start, _)| *start);
        for (start, piece) in self.pieces.range(first..end) {
            let from = offset.max(*start);
            let to = end.min(start + piece.data.len() as u64);
            if from < to {
                let bytes = &piece.data[(from - start) as usize..(to - start) as usize];
                into.push(((from - offset) as usize, bytes.to_vec()));
            }
        }
    }

    /// Hands everything to `sink` in order of offset, neighbours joined up to [`MAX_PIECE`]. A run
    /// that fails does not keep the others from being tried; returns the first error.
    pub(super) fn write_out(
        &self,
        mut sink: impl FnMut(Fh, u64, &[u8]) -> Result<usize>,
    ) -> Result<()> {
        let mut outcome = Ok(());
        let mut pieces = self.pieces.iter().peekable();
        let mut joined = Vec::new();
        while let Some((start, piece)) = pieces.next() {
            let (mut run, mut fh) = (piece.data.as_slice(), piece.fh);
            joined.clear();
            while let Some((next, more)) = pieces.next_if(|(next, more)| {
                **next == start + run.len().max(joined.len()) as u64
                    && run.len().max(joined.len()) + more.data.len() <= MAX_PIECE
            }) {
                debug_assert!(next > start);
                if joined.is_empty() {
                    joined.extend_from_slice(run);
                }
                joined.extend_from_slice(&more.data);
                fh = more.fh;
            }
            if !joined.is_empty() {
                run = &joined;
            }
            let written = write_fully(&mut sink, fh, *start, run);
            outcome = outcome.and(written);
        }
        outcome
    }
}

/// Writes all of `data`, however little the sink takes at once.
fn write_fully(
    sink: &mut impl FnMut(Fh, u64, &[u8]) -> Result<usize>,
    fh: Fh,
    offset: u64,
    data: &[u8],
) -> Result<()> {
    let mut done = 0;
    while done < data.len() {
        match sink(fh, offset + done as u64, &data[done..]) {
            // A sink that takes nothing and gives no reason would be asked for ever.
            Ok(0) => return Err(Errno::IO),
            Ok(n) => done += n.min(data.len() - done),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
