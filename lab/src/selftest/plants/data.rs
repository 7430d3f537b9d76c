//! Faults of the contents of files.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, OFlags};

use super::prelude::*;

pub(super) const PLANTS: &[Plant] = &[
    Plant {
        name: "append-at-stale-size",
        what: "an O_APPEND write goes to where the file ended when it was opened",
        on: BASELINE,
        caught_by: &[
            suite("data::append_two_descriptors_unaligned"),
            suite("data::append_two_processes"),
        ],
        bug: || Box::<AppendAtStaleSize>::default(),
    },
    Plant {
        name: "write-offset-32-bits",
        what: "the offset of a write is cut to 32 bits",
        on: BASELINE,
        caught_by: &[suite("data::large_sparse_offset")],
        bug: || Box::new(WriteOffset32Bits),
    },
    Plant {
        name: "read-not-continued",
        what: "a read of more than 64 KiB ends there",
        on: BASELINE,
        caught_by: &[fsx("no-mmap::seed_1")],
        bug: || Box::new(ReadNotContinued),
    },
    Plant {
        name: "tail-comes-back",
        what: "bytes cut off by truncate come back when the file grows",
        on: BASELINE,
        caught_by: &[
            suite("data::truncate_shrinks_and_zeroes"),
            fsx("no-mmap::seed_1"),
        ],
        bug: || Box::<TailComesBack>::default(),
    },
    Plant {
        name: "fsync-skipped",
        what: "fsync answers without writing anything",
        on: BASELINE,
        caught_by: &[suite("sync::reaches_disk")],
        bug: || Box::new(FsyncSkipped),
    },
    Plant {
        name: "punch-hole-skipped",
        what: "punching a hole does nothing",
        on: BASELINE,
        caught_by: &[suite("sparse::punch_hole"), fsx("no-mmap::seed_1")],
        bug: || Box::new(PunchHoleSkipped),
    },
    Plant {
        name: "holes-not-found",
        what: "SEEK_HOLE finds only the end of the file",
        on: BASELINE,
        caught_by: &[suite("sparse::seek_data_and_hole")],
        bug: || Box::new(HolesNotFound),
    },
    Plant {
        name: "copy-misses-last-byte",
        what: "copy_file_range leaves out the last byte and does not say so",
        on: BASELINE,
        caught_by: &[
            suite("data::copy_file_range_between_files"),
            fsx("no-mmap::seed_1"),
        ],
        bug: || Box::new(CopyMissesLastByte),
    },
    Plant {
        name: "unlink-empties-open-file",
        what: "removing the last name of an open file loses its data",
        on: BASELINE,
        caught_by: &[suite("unlink-open::read_and_write")],
        bug: || Box::new(UnlinkEmptiesOpenFile),
    },
    Plant {
        name: "rename-empties-open-target",
        what: "a file replaced by rename loses its data for those who have it open",
        on: BASELINE,
        caught_by: &[suite("rename::over_open_file")],
        bug: || Box::new(RenameEmptiesOpenTarget),
    },
];

/// Where the next write of each file open with `O_APPEND` goes.
#[derive(Default)]
struct AppendAtStaleSize(Mutex<HashMap<Fh, u64>>);

impl AppendAtStaleSize {
    fn opened(&self, fh: Fh, flags: OpenFlags, size: u64) {
        if flags.contains(OFlags::APPEND) {
            lock(&self.0).insert(fh, size);
        }
    }
}

impl Layer for AppendAtStaleSize {
    fn open(&self, inner: &Inner, caller: &Caller, ino: Ino, flags: OpenFlags) -> Result<Fh> {
        let fh = inner.open(caller, ino, flags)?;
        self.opened(fh, flags, inner.getattr(ino, Some(fh))?.size);
        Ok(fh)
    }

    fn create(
        &self,
        inner: &Inner,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
        mode: CreateMode,
        flags: OpenFlags,
    ) -> Result<(Entry, Fh)> {
        let (entry, fh) = inner.create(caller, parent, name, mode, flags)?;
        self.opened(fh, flags, entry.attr.size);
        Ok((entry, fh))
    }

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
        let mut ends = lock(&self.0);
        let Some(end) = ends.get_mut(&fh) else {
            return inner.write(caller, ino, fh, offset, data, flags);
        };
        let written = inner.write(caller, ino, fh, *end, data, flags)?;
        *end += written as u64;
        Ok(written)
    }

    fn release(&self, inner: &Inner, ino: Ino, fh: Fh) -> Result<()> {
        lock(&self.0).remove(&fh);
        inner.release(ino, fh)
    }
}

struct WriteOffset32Bits;

impl Layer for WriteOffset32Bits {
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
        let offset = offset & u64::from(u32::MAX);
        inner.write(caller, ino, fh, offset, data, flags)
    }
}

struct ReadNotContinued;

impl Layer for ReadNotContinued {
    fn read(&self, inner: &Inner, ino: Ino, fh: Fh, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let len = buf.len().min(64 << 10);
        inner.read(ino, fh, offset, &mut buf[..len])
    }

    /// A transport would otherwise read past this fault.
    fn file_to_read(&self, _: &Inner, _: Ino, _: Fh) -> Option<Arc<OwnedFd>> {
        None
    }
}

/// What was cut off from each file, and where it began.
#[derive(Default)]
struct TailComesBack(Mutex<HashMap<Ino, (u64, Vec<u8>)>>);

impl TailComesBack {
    fn keep(&self, inner: &Inner, ino: Ino, from: u64, to: u64) -> Result<()> {
        let mut tail = vec![
            0;
            usize::try_from(to - from)
                .unwrap_or(usize::MAX)
                .min(1 << 20)
        ];
        let fh = inner.open(&Caller::ROOT, ino, OFlags::RDONLY)?;
        let length = inner.read(ino, fh, from, &mut tail)?;
        inner.release(ino, fh)?;
        tail.truncate(length);
        lock(&self.0).insert(ino, (from, tail));
        Ok(())
    }

    fn bring_back(&self, inner: &Inner, ino: Ino, size: u64) -> Result<()> {
        let Some((from, tail)) = lock(&self.0).remove(&ino) else {
            return Ok(());
        };
        let room = usize::try_from(size.saturating_sub(from)).unwrap_or(usize::MAX);
        let tail = &tail[..tail.len().min(room)];
        let fh = inner.open(&Caller::ROOT, ino, OFlags::WRONLY)?;
        inner.write(&Caller::ROOT, ino, fh, from, tail, WriteFlags::default())?;
        inner.release(ino, fh)
    }
}

impl Layer for TailComesBack {
    fn setattr(&self, inner: &Inner, caller: &Caller, ino: Ino, changes: &SetAttr) -> Result<Attr> {
        let Some(size) = changes.size else {
            return inner.setattr(caller, ino, changes);
        };
        let before = inner.getattr(ino, None)?.size;
        if size < before {
            self.keep(inner, ino, size, before)?;
        }
        let attr = inner.setattr(caller, ino, changes)?;
        if size > before {
            self.bring_back(inner, ino, size)?;
        }
        Ok(attr)
    }
}

struct FsyncSkipped;

impl Layer for FsyncSkipped {
    fn fsync(&self, _: &Inner, _: Ino, _: Fh, _datasync: bool) -> Result<()> {
        Ok(())
    }
}

struct PunchHoleSkipped;

impl Layer for PunchHoleSkipped {
    fn fallocate(
        &self,
        inner: &Inner,
        caller: &Caller,
        ino: Ino,
        fh: Fh,
        mode: FallocateFlags,
        offset: u64,
        len: u64,
    ) -> Result<()> {
        if mode.contains(FallocateFlags::PUNCH_HOLE) {
            return Ok(());
        }
        inner.fallocate(caller, ino, fh, mode, offset, len)
    }
}

struct HolesNotFound;

impl Layer for HolesNotFound {
    fn lseek(&self, inner: &Inner, ino: Ino, fh: Fh, offset: u64, to: SeekTo) -> Result<u64> {
        let found = inner.lseek(ino, fh, offset, to)?;
        match to {
            SeekTo::Data => Ok(found),
            SeekTo::Hole => Ok(inner.getattr(ino, Some(fh))?.size),
        }
    }
}

struct CopyMissesLastByte;

impl Layer for CopyMissesLastByte {
    fn copy_file_range(
        &self,
        inner: &Inner,
        caller: &Caller,
        ino_in: Ino,
        fh_in: Fh,
        offset_in: u64,
        ino_out: Ino,
        fh_out: Fh,
        offset_out: u64,
        len: u64,
    ) -> Result<usize> {
        let copied = inner.copy_file_range(
            caller,
            ino_in,
            fh_in,
            offset_in,
            ino_out,
            fh_out,
            offset_out,
            len.saturating_sub(1),
        )?;
        // At the end of the file there is nothing to leave out.
        Ok(copied + usize::from(copied > 0))
    }
}

/// Empties the file of that name, if it is one and has no other.
fn empty_last_link(inner: &Inner, caller: &Caller, parent: Ino, name: &OsStr) -> Result<()> {
    let entry = match inner.lookup(caller, parent, name) {
        Ok(entry) => entry,
        Err(_) => return Ok(()),
    };
    let Attr {
        ino, kind, nlink, ..
    } = entry.attr;
    if kind == FileKind::RegularFile && nlink == 1 {
        let empty = SetAttr {
            size: Some(0),
            ..SetAttr::default()
        };
        inner.setattr(&Caller::ROOT, ino, &empty)?;
    }
    inner.forget(ino, 1);
    Ok(())
}

struct UnlinkEmptiesOpenFile;

impl Layer for UnlinkEmptiesOpenFile {
    fn unlink(&self, inner: &Inner, caller: &Caller, parent: Ino, name: &OsStr) -> Result<()> {
        empty_last_link(inner, caller, parent, name)?;
        inner.unlink(caller, parent, name)
    }
}

struct RenameEmptiesOpenTarget;

impl Layer for RenameEmptiesOpenTarget {
    fn rename(
        &self,
        inner: &Inner,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
        newparent: Ino,
        newname: &OsStr,
        flags: rustix::fs::RenameFlags,
    ) -> Result<()> {
        if flags.is_empty() && (parent, name) != (newparent, newname) {
            empty_last_link(inner, caller, newparent, newname)?;
        }
        inner.rename(caller, parent, name, newparent, newname, flags)
    }
}
