//! Listing directories.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::{Access, OFlags, SeekFrom};

use super::LocalStorage;
use super::attributes::access;
use super::descriptors::{reopen, stat};
use super::inodes::Node;
use super::sys;
use crate::storage::types::*;

/// Bytes of directory records read at once: what glibc's readdir(3) takes.
const BUFFER_SIZE: usize = 32 << 10;

/// Size of a record before its name (`struct linux_dirent64`).
const RECORD_HEADER: usize = 19;

/// An open directory.
pub(super) struct OpenDirectory {
    node: Arc<Node>,
    fd: OwnedFd,
    records: Mutex<Records>,
}

/// Records read ahead.
#[derive(Default)]
struct Records {
    buffer: Vec<u8>,
    /// The next record in `buffer`.
    at: usize,
    /// End of the records in `buffer`.
    end: usize,
    /// The cookie after which `at` is.
    cookie: u64,
}

/// One record, as the kernel lays it out.
struct Record<'a> {
    ino: u64,
    cookie: u64,
    length: usize,
    kind: Option<FileKind>,
    name: &'a OsStr,
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.try_into().ok()?))
}

fn kind_of_record(d_type: u8) -> Option<FileKind> {
    // DT_* is the type part of the mode (`IFTODT` in dirent.h).
    FileKind::from_mode(u32::from(d_type) << 12)
}

fn parse(bytes: &[u8]) -> Option<Record<'_>> {
    let length = u16::from_ne_bytes(bytes.get(16..18)?.try_into().ok()?) as usize;
    let name = bytes.get(RECORD_HEADER..length)?;
    let name = &name[..name.iter().position(|&b| b == 0)?];
    Some(Record {
        ino: number(bytes.get(0..8)?)?,
        cookie: number(bytes.get(8..16)?)?,
        length,
        kind: kind_of_record(*bytes.get(18)?),
        name: OsStr::from_bytes(name),
    })
}

impl Records {
    /// Goes to the place after `cookie`.
    fn seek(&mut self, fd: BorrowedFd<'_>, cookie: u64) -> Result<()> {
        // From the start always anew: rewinddir(3) must show what was made since.
        if cookie != 0 && cookie == self.cookie {
            return Ok(());
        }
        rustix::fs::seek(fd, SeekFrom::Start(cookie))?;
        (self.at, self.end, self.cookie) = (0, 0, cookie);
        Ok(())
    }

    /// Is there a record at `at`? Reads more if needed.
    fn fill(&mut self, fd: BorrowedFd<'_>) -> Result<bool> {
        if self.at < self.end {
            return Ok(true);
        }
        self.buffer.resize(BUFFER_SIZE, 0);
        self.end = 0;
        self.at = 0;
        self.end = sys::getdents(fd, &mut self.buffer)?;
        Ok(self.end > 0)
    }
}

pub(super) fn opendir(storage: &LocalStorage, caller: &Caller, ino: Ino) -> Result<Fh> {
    let node = storage.inodes.get(ino)?;
    if node.kind != FileKind::Directory {
        return Err(Errno::NOTDIR);
    }
    let path = storage.fd(&node)?;
    let fd = {
        let _checked = storage.identity.checked(caller)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        storage
            .descriptors
            .with_room(|| reopen(path.as_fd(), flags))?
    };
    Ok(storage.directories.insert(OpenDirectory {
        node,
        fd,
        records: Mutex::default(),
    }))
}

/// Walks the records after `offset`; `sink` says whether it took one.
fn walk(
    directory: &OpenDirectory,
    offset: u64,
    mut sink: impl FnMut(&Record<'_>) -> DirSink,
) -> Result<()> {
    let fd = directory.fd.as_fd();
    let mut records = directory.records.lock();
    records.seek(fd, offset)?;
    while records.fill(fd)? {
        let record = parse(&records.buffer[records.at..records.end]).ok_or(Errno::IO)?;
        if sink(&record) == DirSink::Full {
            return Ok(());
        }
        let (length, cookie) = (record.length, record.cookie);
        records.at += length;
        records.cookie = cookie;
    }
    Ok(())
}

impl OpenDirectory {
    /// `d_ino` of a record. The parent of the root is the root.
    fn listed_ino(&self, storage: &LocalStorage, record: &Record<'_>) -> Ino {
        if record.name == "." || (record.name == ".." && self.node.id == ROOT_INO) {
            return self.node.id;
        }
        storage.inodes.listed_ino(self.node.key.dev, record.ino)
    }
}

pub(super) fn readdir(
    storage: &LocalStorage,
    fh: Fh,
    offset: u64,
    sink: &mut dyn FnMut(&DirEntry<'_>) -> DirSink,
) -> Result<()> {
    let directory = storage.directories.require(fh)?;
    walk(&directory, offset, |record| {
        sink(&DirEntry {
            ino: directory.listed_ino(storage, record),
            offset: record.cookie,
            kind: record.kind,
            name: record.name,
        })
    })
}

pub(super) fn readdirplus(
    storage: &LocalStorage,
    caller: &Caller,
    fh: Fh,
    offset: u64,
    sink: &mut dyn FnMut(&DirEntry<'_>, Option<&Entry>) -> DirSink,
) -> Result<()> {
    let directory = storage.directories.require(fh)?;
    // The right to search, asked once: without it, names come without attributes.
    let may_search = storage.identity.checks == PermissionChecks::Kernel
        || access(storage, caller, directory.node.id, Access::EXEC_OK).is_ok();
    walk(&directory, offset, |record| {
        let dots = record.name == "." || record.name == "..";
        let entry = match may_search && !dots {
            true => looked_up(storage, &directory, record.name),
            false => None,
        };
        let ino = match &entry {
            Some(entry) => entry.attr.ino,
            None => directory.listed_ino(storage, record),
        };
        let dirent = DirEntry {
            ino,
            offset: record.cookie,
            kind: entry.map(|e| e.attr.kind).or(record.kind),
            name: record.name,
        };
        let answer = sink(&dirent, entry.as_ref());
        if let (DirSink::Full, Some(entry)) = (answer, &entry) {
            storage.forget_lookups(entry.attr.ino, 1);
        }
        answer
    })
}

fn looked_up(storage: &LocalStorage, directory: &OpenDirectory, name: &OsStr) -> Option<Entry> {
    let dir = directory.fd.as_fd();
    let found = stat(dir, name).ok()?;
    storage.entry(&directory.node, dir, name, &found).ok()
}

pub(super) fn fsyncdir(storage: &LocalStorage, fh: Fh, datasync: bool) -> Result<()> {
    let directory = storage.directories.require(fh)?;
    crate::platform::sync(&directory.fd, datasync)
}
