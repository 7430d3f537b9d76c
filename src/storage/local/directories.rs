//! Listing directories.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use rustix::fs::{Access, OFlags, SeekFrom};

use super::LocalStorage;
use super::attributes::{access, timestamp};
use super::descriptors::{reopen, stat};
use super::inodes::Node;
use super::listings;
use super::look_ahead::{self, LookAhead};
use super::sys;
use crate::storage::types::*;

/// Bytes of directory records read at once: what glibc's readdir(3) takes.
const BUFFER_SIZE: usize = 32 << 10;

/// Size of a record before its name (`struct linux_dirent64`).
const RECORD_HEADER: usize = 19;

/// A change time younger than this may be that of a change still to come: file systems take time from a
/// clock that moves once a tick, 10 ms at most.
const TICK: Duration = Duration::from_millis(10);

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
    /// Something was read.
    begun: bool,
    /// Another listing may go on from here.
    shared: bool,
    /// Change time of a shared directory when `buffer` was filled; `None` where that tells nothing.
    filled_at: Option<Timestamp>,
}

/// The change time of a directory, unless a change to come may have the same.
fn settled_change_time(fd: BorrowedFd<'_>) -> Result<Option<Timestamp>> {
    let changed = timestamp(&stat(fd, c"")?.stx_ctime);
    let age = SystemTime::now().duration_since(changed.into());
    Ok(age.is_ok_and(|age| age > TICK).then_some(changed))
}

/// One record, as the kernel lays it out.
struct Record<'a> {
    ino: u64,
    cookie: u64,
    length: usize,
    kind: Option<FileKind>,
    name: &'a OsStr,
    /// The records after it that are read already.
    rest: &'a [u8],
}

impl Record<'_> {
    fn is_dots(&self) -> bool {
        self.name == "." || self.name == ".."
    }

    /// The names of the records after it.
    fn names_ahead(&self) -> Vec<OsString> {
        let mut ahead = Vec::new();
        let mut rest = self.rest;
        while let Some(record) = parse(rest) {
            if !record.is_dots() {
                ahead.push(record.name.to_owned());
            }
            rest = record.rest;
        }
        ahead
    }
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
        rest: &bytes[length..],
    })
}

impl Records {
    /// Goes to the place after `cookie`.
    fn seek(&mut self, fd: BorrowedFd<'_>, cookie: u64) -> Result<()> {
        // From the start always anew: rewinddir(3) must show what was made since.
        if cookie == self.cookie && (cookie != 0 || !self.begun) {
            return Ok(());
        }
        rustix::fs::seek(fd, SeekFrom::Start(cookie))?;
        (self.at, self.end, self.cookie) = (0, 0, cookie);
        Ok(())
    }

    /// Drops what is read ahead if the directory has changed since.
    fn forget_outdated(&mut self, fd: BorrowedFd<'_>) -> Result<()> {
        if self.at == self.end {
            return Ok(());
        }
        let now = timestamp(&stat(fd, c"")?.stx_ctime);
        if self.filled_at != Some(now) {
            rustix::fs::seek(fd, SeekFrom::Start(self.cookie))?;
            (self.at, self.end) = (0, 0);
        }
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
        self.filled_at = if self.shared {
            settled_change_time(fd)?
        } else {
            None
        };
        self.begun = true;
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
    let directory = {
        let _checked = storage.identity.checked(caller)?;
        OpenDirectory::open(storage, node, &path)?
    };
    Ok(storage.directories.insert(directory))
}

/// Runs `walk` on the open directory `fh`, or for the handle 0 on the listing of `ino` that has come to
/// `offset`. `walk` says whether there may be more to come.
fn on_directory(
    storage: &LocalStorage,
    ino: Ino,
    fh: Fh,
    offset: u64,
    walk: impl FnOnce(&OpenDirectory) -> Result<bool>,
) -> Result<()> {
    if fh == NO_HANDLE {
        return listings::go_on(storage, ino, offset, walk);
    }
    walk(&*storage.directories.require(fh)?).map(drop)
}

/// Walks the records after `offset`; `sink` says whether it took one. Returns whether there was any.
fn walk(
    directory: &OpenDirectory,
    offset: u64,
    mut sink: impl FnMut(&Record<'_>) -> DirSink,
) -> Result<bool> {
    let fd = directory.fd.as_fd();
    let mut records = directory.records.lock();
    records.seek(fd, offset)?;
    let mut any = false;
    while records.fill(fd)? {
        any = true;
        let record = parse(&records.buffer[records.at..records.end]).ok_or(Errno::IO)?;
        if sink(&record) == DirSink::Full {
            break;
        }
        let (length, cookie) = (record.length, record.cookie);
        records.at += length;
        records.cookie = cookie;
    }
    Ok(any)
}

impl OpenDirectory {
    /// As this thread's identity may; `path` names the inode.
    pub(super) fn open(
        storage: &LocalStorage,
        node: Arc<Node>,
        path: &OwnedFd,
    ) -> Result<OpenDirectory> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let open = || reopen(path.as_fd(), flags);
        Ok(OpenDirectory {
            fd: storage.descriptors.with_room(open)?,
            node,
            records: Mutex::default(),
        })
    }

    /// For listings that another may go on with.
    pub(super) fn shared(mut self) -> OpenDirectory {
        self.records.get_mut().shared = true;
        self
    }

    pub(super) fn serial(&self) -> u64 {
        self.node.serial
    }

    /// The cookie that the listing has come to.
    pub(super) fn cookie(&self) -> u64 {
        self.records.lock().cookie
    }

    /// Drops what is read ahead if the directory has changed since: another listing may go on from here.
    pub(super) fn forget_outdated(&self) -> Result<()> {
        self.records.lock().forget_outdated(self.fd.as_fd())
    }

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
    ino: Ino,
    fh: Fh,
    offset: u64,
    sink: &mut dyn FnMut(&DirEntry<'_>) -> DirSink,
) -> Result<()> {
    on_directory(storage, ino, fh, offset, |directory| {
        walk(directory, offset, |record| {
            sink(&DirEntry {
                ino: directory.listed_ino(storage, record),
                offset: record.cookie,
                kind: record.kind,
                name: record.name,
            })
        })
    })
}

pub(super) fn readdirplus(
    storage: &LocalStorage,
    caller: &Caller,
    ino: Ino,
    fh: Fh,
    offset: u64,
    sink: &mut dyn FnMut(&DirEntry<'_>, Option<&Entry>) -> DirSink,
) -> Result<()> {
    // The right to search, asked once: without it, names come without attributes.
    let may_search = storage.identity.checks == PermissionChecks::Kernel
        || access(storage, caller, ino, Access::EXEC_OK).is_ok();
    let mut list =
        |directory: &OpenDirectory, ahead: &mut LookAhead<'_, '_>, record: &Record<'_>| {
            let look = || looked_up(storage, directory, record.name);
            let entry = match may_search && !record.is_dots() {
                true => ahead.look(look, || record.names_ahead()),
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
        };
    on_directory(storage, ino, fh, offset, |directory| {
        look_ahead::listing(directory.fd.as_fd(), |ahead| {
            walk(directory, offset, |record| list(directory, ahead, record))
        })
    })
}

fn looked_up(storage: &LocalStorage, directory: &OpenDirectory, name: &OsStr) -> Option<Entry> {
    let dir = directory.fd.as_fd();
    let found = stat(dir, name).ok()?;
    storage.entry(&directory.node, dir, name, &found).ok()
}

pub(super) fn fsyncdir(storage: &LocalStorage, ino: Ino, fh: Fh, datasync: bool) -> Result<()> {
    if fh == NO_HANDLE {
        let directory = listings::open(storage, storage.inodes.get(ino)?)?;
        return crate::platform::sync(&directory.fd, datasync);
    }
    let directory = storage.directories.require(fh)?;
    crate::platform::sync(&directory.fd, datasync)
}
