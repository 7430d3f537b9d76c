//! Faults of listings.

use super::prelude::*;

pub(super) const PLANTS: &[Plant] = &[
    Plant {
        name: "listing-skips-at-chunk",
        what: "each further part of a listing leaves out its first name",
        on: BASELINE,
        caught_by: &[suite("directory::three_thousand")],
        bug: || Box::new(ListingSkipsAtChunk),
    },
    Plant {
        name: "listing-repeats-at-chunk",
        what: "each further part of a listing begins with the last name of the one before",
        on: BASELINE,
        caught_by: &[suite("directory::three_thousand")],
        bug: || Box::<ListingRepeatsAtChunk>::default(),
    },
    Plant {
        name: "listing-calls-links-files",
        what: "a listing calls symbolic links regular files",
        on: BASELINE,
        caught_by: &[suite("directory::types_and_inodes")],
        bug: || Box::new(ListingCallsLinksFiles),
    },
    Plant {
        name: "listing-without-dots",
        what: "a listing lacks . and ..",
        on: BASELINE,
        caught_by: &[suite("directory::dots_are_listed")],
        bug: || Box::new(ListingWithoutDots),
    },
];

type Sink<'a> = &'a mut dyn FnMut(&DirEntry<'_>) -> DirSink;

struct ListingSkipsAtChunk;

impl Layer for ListingSkipsAtChunk {
    fn readdir(&self, inner: &Inner, ino: Ino, fh: Fh, offset: u64, sink: Sink<'_>) -> Result<()> {
        let mut skip = offset != 0;
        inner.readdir(ino, fh, offset, &mut |entry| {
            if std::mem::take(&mut skip) {
                return DirSink::Taken;
            }
            sink(entry)
        })
    }
}

/// The name that each listing took last, with its number, cookie and kind.
type Last = (std::ffi::OsString, Ino, u64, Option<FileKind>);

#[derive(Default)]
struct ListingRepeatsAtChunk(Mutex<HashMap<(Ino, Fh), Last>>);

impl Layer for ListingRepeatsAtChunk {
    fn readdir(&self, inner: &Inner, ino: Ino, fh: Fh, offset: u64, sink: Sink<'_>) -> Result<()> {
        let listing = (ino, fh);
        let last = lock(&self.0).remove(&listing);
        if let Some((name, ino, cookie, kind)) = last
            && cookie == offset
        {
            sink(&DirEntry {
                ino,
                offset,
                kind,
                name: &name,
            });
        }
        inner.readdir(ino, fh, offset, &mut |entry| {
            let answer = sink(entry);
            if answer == DirSink::Taken {
                let taken = (entry.name.to_owned(), entry.ino, entry.offset, entry.kind);
                lock(&self.0).insert(listing, taken);
            }
            answer
        })
    }
}

struct ListingCallsLinksFiles;

impl Layer for ListingCallsLinksFiles {
    fn readdir(&self, inner: &Inner, ino: Ino, fh: Fh, offset: u64, sink: Sink<'_>) -> Result<()> {
        inner.readdir(ino, fh, offset, &mut |entry| {
            let kind = match entry.kind {
                Some(FileKind::Symlink) => Some(FileKind::RegularFile),
                kind => kind,
            };
            sink(&DirEntry { kind, ..*entry })
        })
    }
}

struct ListingWithoutDots;

impl Layer for ListingWithoutDots {
    fn readdir(&self, inner: &Inner, ino: Ino, fh: Fh, offset: u64, sink: Sink<'_>) -> Result<()> {
        inner.readdir(ino, fh, offset, &mut |entry| {
            if entry.name == "." || entry.name == ".." {
                return DirSink::Taken;
            }
            sink(entry)
        })
    }
}
