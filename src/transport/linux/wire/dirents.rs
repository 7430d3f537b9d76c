//! Listings: the data in the answers to READDIR and READDIRPLUS.

use std::os::unix::ffi::OsStrExt;

use zerocopy::{Immutable, IntoBytes};

use super::abi::{Dirent, Direntplus, EntryOut, record_align};
use crate::storage::{DirEntry, DirSink, FileKind};

/// Takes the entries of a listing until its buffer is full: a sink for
/// [`readdir`](crate::storage::FilesystemInterface::readdir).
#[derive(Debug)]
pub(crate) struct Listing<'a> {
    buffer: &'a mut [u8],
    used: usize,
}

impl<'a> Listing<'a> {
    /// An empty listing that may become as long as `buffer`: as many bytes as the request has room for.
    pub(crate) fn new(buffer: &'a mut [u8]) -> Listing<'a> {
        Listing { buffer, used: 0 }
    }

    /// An entry of READDIR. One that does not fit is not taken, not even in part.
    pub(crate) fn push(&mut self, entry: &DirEntry<'_>, kind: FileKind) -> DirSink {
        let fixed = dirent(entry, entry.ino, kind);
        self.record(&fixed, entry.name.as_bytes())
    }

    /// An entry of READDIRPLUS. One that is taken with a node id other than 0 counts as a lookup.
    ///
    /// The number that the listing shows is that of the attributes, as stat(2) will, where there are
    /// any.
    pub(crate) fn push_plus(
        &mut self,
        entry: &DirEntry<'_>,
        kind: FileKind,
        found: &EntryOut,
    ) -> DirSink {
        let ino = match found.nodeid {
            0 => entry.ino,
            _ => found.attr.ino,
        };
        let fixed = Direntplus {
            entry: *found,
            dirent: dirent(entry, ino, kind),
        };
        self.record(&fixed, entry.name.as_bytes())
    }

    /// The entries that were taken.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.used]
    }

    fn record<T: IntoBytes + Immutable>(&mut self, fixed: &T, name: &[u8]) -> DirSink {
        let (name_start, name_end) = (size_of::<T>(), size_of::<T>() + name.len());
        let len = record_align(name_end);
        let Some(record) = self.buffer[self.used..].get_mut(..len) else {
            return DirSink::Full;
        };
        record[..name_start].copy_from_slice(fixed.as_bytes());
        record[name_start..name_end].copy_from_slice(name);
        record[name_end..].fill(0);
        self.used += len;
        DirSink::Taken
    }
}

fn dirent(entry: &DirEntry<'_>, ino: u64, kind: FileKind) -> Dirent {
    Dirent {
        ino,
        off: entry.offset,
        // A name longer than this does not fit into any buffer.
        namelen: u32::try_from(entry.name.len()).unwrap_or(u32::MAX),
        kind: kind.mode_bits() >> 12,
    }
}
