//! Faults of attributes: times, counts, figures.

use std::collections::HashSet;

use rustix::fs::IFlags;

use super::prelude::*;

pub(super) const PLANTS: &[Plant] = &[
    Plant {
        name: "mtime-kept-by-write",
        what: "a write leaves the modification time as it was",
        on: BASELINE,
        caught_by: &[suite("timestamps::mtime_of_writes")],
        bug: || Box::new(MtimeKeptByWrite),
    },
    Plant {
        name: "mtime-kept-by-truncate",
        what: "truncate leaves the modification time as it was",
        on: BASELINE,
        caught_by: &[suite("timestamps::mtime_of_writes")],
        bug: || Box::new(MtimeKeptByTruncate),
    },
    Plant {
        name: "times-without-nanoseconds",
        what: "a time that is set loses its nanoseconds",
        on: SAFE,
        caught_by: &[
            suite("timestamps::nanoseconds"),
            pjdfstest("utimensat::subsecond"),
        ],
        bug: || Box::new(TimesWithoutNanoseconds),
    },
    Plant {
        name: "ctime-is-mtime",
        what: "the change time is that of the contents",
        on: SAFE,
        caught_by: &[
            suite("timestamps::ctime_of_changes"),
            pjdfstest("chmod::update_ctime::regular"),
        ],
        bug: || Box::new(CtimeIsMtime),
    },
    Plant {
        name: "nlink-kept-by-unlink",
        what: "the link count stays when a name is removed",
        on: BASELINE,
        caught_by: &[
            suite("metadata::link_counts"),
            suite("unlink-open::attributes"),
            pjdfstest("link::remove_link::regular"),
        ],
        bug: || Box::<NlinkKeptByUnlink>::default(),
    },
    Plant {
        name: "no-blocks",
        what: "no file takes any blocks",
        on: BASELINE,
        caught_by: &[suite("metadata::blocks_grow")],
        bug: || Box::new(NoBlocks),
    },
    Plant {
        name: "everything-is-free",
        what: "all blocks of the file system are said to be free",
        on: SAFE,
        caught_by: &[suite("metadata::statfs")],
        bug: || Box::new(EverythingIsFree),
    },
    Plant {
        name: "flags-not-set",
        what: "setting the flags of an inode does nothing",
        on: SAFE,
        caught_by: &[suite("metadata::inode_flags")],
        bug: || Box::new(FlagsNotSet),
    },
];

fn set_mtime(inner: &Inner, ino: Ino, mtime: Timestamp) -> Result<Attr> {
    let changes = SetAttr {
        mtime: Some(SetTime::At(mtime)),
        ..SetAttr::default()
    };
    inner.setattr(&Caller::ROOT, ino, &changes)
}

struct MtimeKeptByWrite;

impl Layer for MtimeKeptByWrite {
    fn write(
        &self,
        inner: &Inner,
        caller: &Caller,
        ino: Ino,
        fh: Fh,
        offset: u64,
        data: &[u8],
        flags: WriteFlags,
    ) -> Result<usize> {
        let before = inner.getattr(ino, Some(fh))?.mtime;
        let written = inner.write(caller, ino, fh, offset, data, flags)?;
        set_mtime(inner, ino, before)?;
        Ok(written)
    }
}

struct MtimeKeptByTruncate;

impl Layer for MtimeKeptByTruncate {
    fn setattr(&self, inner: &Inner, caller: &Caller, ino: Ino, changes: &SetAttr) -> Result<Attr> {
        let before = inner.getattr(ino, None)?.mtime;
        let attr = inner.setattr(caller, ino, changes)?;
        match changes.size {
            Some(_) => set_mtime(inner, ino, before),
            None => Ok(attr),
        }
    }
}

struct TimesWithoutNanoseconds;

impl Layer for TimesWithoutNanoseconds {
    fn setattr(&self, inner: &Inner, caller: &Caller, ino: Ino, changes: &SetAttr) -> Result<Attr> {
        let whole = |time: Option<SetTime>| {
            time.map(|time| match time {
                SetTime::At(time) => SetTime::At(Timestamp { nanos: 0, ..time }),
                SetTime::Now => SetTime::Now,
            })
        };
        let changes = SetAttr {
            atime: whole(changes.atime),
            mtime: whole(changes.mtime),
            ..*changes
        };
        inner.setattr(caller, ino, &changes)
    }
}

struct CtimeIsMtime;

impl Layer for CtimeIsMtime {
    fn lookup(&self, inner: &Inner, caller: &Caller, parent: Ino, name: &OsStr) -> Result<Entry> {
        let mut entry = inner.lookup(caller, parent, name)?;
        entry.attr.ctime = entry.attr.mtime;
        Ok(entry)
    }

    fn getattr(&self, inner: &Inner, ino: Ino, fh: Option<Fh>) -> Result<Attr> {
        let attr = inner.getattr(ino, fh)?;
        Ok(Attr {
            ctime: attr.mtime,
            ..attr
        })
    }

    fn setattr(&self, inner: &Inner, caller: &Caller, ino: Ino, changes: &SetAttr) -> Result<Attr> {
        let attr = inner.setattr(caller, ino, changes)?;
        Ok(Attr {
            ctime: attr.mtime,
            ..attr
        })
    }
}

/// The inodes that lost a name.
#[derive(Default)]
struct NlinkKeptByUnlink(Mutex<HashSet<Ino>>);

impl NlinkKeptByUnlink {
    fn count(&self, attr: Attr) -> Attr {
        let kept = lock(&self.0).contains(&attr.ino);
        Attr {
            nlink: attr.nlink + u32::from(kept),
            ..attr
        }
    }
}

impl Layer for NlinkKeptByUnlink {
    fn unlink(&self, inner: &Inner, caller: &Caller, parent: Ino, name: &OsStr) -> Result<()> {
        let ino = inner.lookup(caller, parent, name)?.attr.ino;
        let removed = inner.unlink(caller, parent, name);
        if removed.is_ok() {
            lock(&self.0).insert(ino);
        }
        inner.forget(ino, 1);
        removed
    }

    fn lookup(&self, inner: &Inner, caller: &Caller, parent: Ino, name: &OsStr) -> Result<Entry> {
        let entry = inner.lookup(caller, parent, name)?;
        Ok(Entry {
            attr: self.count(entry.attr),
            ..entry
        })
    }

    fn getattr(&self, inner: &Inner, ino: Ino, fh: Option<Fh>) -> Result<Attr> {
        Ok(self.count(inner.getattr(ino, fh)?))
    }
}

struct NoBlocks;

impl Layer for NoBlocks {
    fn lookup(&self, inner: &Inner, caller: &Caller, parent: Ino, name: &OsStr) -> Result<Entry> {
        let mut entry = inner.lookup(caller, parent, name)?;
        entry.attr.blocks = 0;
        Ok(entry)
    }

    fn getattr(&self, inner: &Inner, ino: Ino, fh: Option<Fh>) -> Result<Attr> {
        let attr = inner.getattr(ino, fh)?;
        Ok(Attr { blocks: 0, ..attr })
    }
}

struct EverythingIsFree;

impl Layer for EverythingIsFree {
    fn statfs(&self, inner: &Inner, ino: Ino) -> Result<StatFs> {
        let figures = inner.statfs(ino)?;
        Ok(StatFs {
            bfree: figures.blocks,
            bavail: figures.blocks,
            ..figures
        })
    }
}

struct FlagsNotSet;

impl Layer for FlagsNotSet {
    fn setflags(&self, _: &Inner, _: &Caller, _: Ino, _: IFlags) -> Result<()> {
        Ok(())
    }
}
