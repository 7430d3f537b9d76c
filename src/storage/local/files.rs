//! Open files and their contents.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{Access, Advice, AtFlags, FallocateFlags, OFlags, SeekFrom};
use rustix::pipe::{SpliceFlags, splice};

use super::LocalStorage;
use super::descriptors::reopen;
use super::identity::Groups;
use super::inodes::Node;
use super::names::single;
use super::sys::ProcPath;
use crate::storage::types::*;

/// The kernel opens for execve(2) (`__FMODE_EXEC`); open(2) cannot pass this bit.
const FOR_EXECUTION: OFlags = OFlags::from_bits_retain(0x20);

/// How often a creation meets a file that is gone when it is opened, before it gives up.
const CREATE_ATTEMPTS: usize = 16;

/// The flags with which the backing file is opened.
///
/// `O_APPEND` would make pwrite(2) ignore its offset and `O_DIRECT` would need aligned buffers:
/// both are the kernel's affair, which sends offsets and reopens for passthrough.
fn backing_flags(flags: OFlags, readable: bool) -> OFlags {
    let kept = OFlags::RWMODE | OFlags::TRUNC | OFlags::NOATIME | OFlags::SYNC | OFlags::DSYNC;
    let flags = flags & kept;
    if readable && flags & OFlags::RWMODE == OFlags::WRONLY {
        return (flags - OFlags::RWMODE) | OFlags::RDWR;
    }
    flags
}

fn is_writable(flags: OFlags) -> bool {
    flags & OFlags::RWMODE != OFlags::RDONLY
}

pub(super) fn open(
    storage: &LocalStorage,
    caller: &Caller,
    ino: Ino,
    flags: OpenFlags,
) -> Result<Fh> {
    let node = storage.inodes.get(ino)?;
    match node.kind {
        FileKind::RegularFile => {}
        FileKind::Directory => return Err(Errno::ISDIR),
        FileKind::Symlink => return Err(Errno::LOOP),
        // Opening a FIFO waits, opening a device acts: the kernel does both itself.
        _ => return Err(Errno::NXIO),
    }
    let opened = match storage.identity.checks {
        PermissionChecks::Storage => open_checked(storage, caller, &*storage.fd(&node)?, flags)?,
        PermissionChecks::Kernel => {
            if flags.contains(OFlags::TRUNC) {
                // Truncation drops set-id bits as the caller's would.
                storage.identity.acting(caller, Groups::Any)?;
            }
            let asked = flags;
            let flags = backing_flags(flags, storage.writeback_cache);
            let open = |flags| storage.descriptors.open(&storage.inodes, &node, flags);
            appending(asked, flags, open)?
        }
    };
    Ok(storage.insert_file(&node, opened, is_writable(flags)))
}

/// Opens with the flags of [`backing_flags`]. An append-only file (chattr(1)) opens for writing only
/// with `O_APPEND`, and there is no other place to write than its end.
fn appending(
    asked: OFlags,
    flags: OFlags,
    open: impl Fn(OFlags) -> Result<OwnedFd>,
) -> Result<OwnedFd> {
    match open(flags) {
        Err(Errno::PERM) if asked.contains(OFlags::APPEND) => open(flags | OFlags::APPEND),
        other => other,
    }
}

fn open_checked(
    storage: &LocalStorage,
    caller: &Caller,
    fd: &OwnedFd,
    flags: OFlags,
) -> Result<OwnedFd> {
    let reopen = |flags| storage.descriptors.with_room(|| reopen(fd.as_fd(), flags));
    let attempt = |wanted| appending(flags, wanted, reopen);
    let asked = backing_flags(flags, false);
    if flags.contains(FOR_EXECUTION) && !is_writable(flags) {
        {
            let _checked = storage.identity.checked(caller)?;
            let path = ProcPath::new(fd);
            let mask = Access::EXEC_OK;
            rustix::fs::accessat(rustix::fs::CWD, path.as_c_str(), mask, AtFlags::EACCESS)?;
        }
        // Executing does not take the right to read.
        return attempt(asked);
    }
    let _checked = storage.identity.checked(caller)?;
    let wanted = backing_flags(flags, storage.writeback_cache);
    match attempt(wanted) {
        // The caller may write and not read. Then the kernel's own reads fail, and only they.
        Err(Errno::ACCESS) if wanted != asked => attempt(asked),
        other => other,
    }
}

pub(super) fn create(
    storage: &LocalStorage,
    caller: &Caller,
    parent_ino: Ino,
    name: &OsStr,
    mode: CreateMode,
    flags: OpenFlags,
) -> Result<(Entry, Fh)> {
    let name = single(name)?;
    let parent = storage.inodes.get(parent_ino)?;
    let dir = storage.fd(&parent)?;
    let exclusive = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let backing = backing_flags(flags - OFlags::TRUNC, storage.writeback_cache) | exclusive;
    for _ in 0..CREATE_ATTEMPTS {
        // Always exclusively: whatever has the name already might be a FIFO, and must not be
        // opened unseen.
        let created = {
            let (_checked, mode) = storage.identity.creating(caller, mode.mode, mode.umask)?;
            storage
                .descriptors
                .with_room(|| rustix::fs::openat(&dir, name, backing, mode))
        };
        match created {
            Ok(fd) => {
                let location = Some((parent.clone(), name));
                let (node, entry) = storage.node_of_fd(fd.as_fd(), location)?;
                return Ok((entry, storage.insert_file(&node, fd, is_writable(flags))));
            }
            Err(Errno::EXIST) if !flags.contains(OFlags::EXCL) => {}
            Err(other) => return Err(other),
        }
        match open_existing(storage, caller, parent_ino, name, flags) {
            Err(Errno::NOENT) => {}
            other => return other,
        }
    }
    Err(Errno::STALE)
}

/// Somebody else made the name since the kernel looked.
fn open_existing(
    storage: &LocalStorage,
    caller: &Caller,
    parent: Ino,
    name: &OsStr,
    flags: OFlags,
) -> Result<(Entry, Fh)> {
    let entry = super::names::lookup(storage, caller, parent, name)?;
    let opened = match entry.attr.kind {
        FileKind::RegularFile => open(storage, caller, entry.attr.ino, flags),
        // The kernel follows links and opens special files; with this error it looks again.
        _ => Err(Errno::STALE),
    };
    match opened {
        Ok(fh) => Ok((entry, fh)),
        Err(error) => {
            storage.forget_lookups(entry.attr.ino, 1);
            Err(error)
        }
    }
}

pub(super) fn tmpfile(
    storage: &LocalStorage,
    caller: &Caller,
    parent: Ino,
    mode: CreateMode,
    flags: OpenFlags,
) -> Result<(Entry, Fh)> {
    let dir = storage.fd_of(parent)?;
    let backing = backing_flags(flags - OFlags::TRUNC, storage.writeback_cache);
    let backing = backing | (flags & OFlags::EXCL) | OFlags::TMPFILE | OFlags::CLOEXEC;
    let fd = {
        let (_checked, mode) = storage.identity.creating(caller, mode.mode, mode.umask)?;
        let open = || rustix::fs::openat(&dir, c".", backing, mode);
        storage.descriptors.with_room(open)?
    };
    let (node, entry) = storage.node_of_fd(fd.as_fd(), None)?;
    let opened = storage
        .pin(&node, fd.as_fd())
        .map(|()| storage.insert_file(&node, fd, is_writable(flags)));
    match opened {
        Ok(fh) => Ok((entry, fh)),
        Err(error) => {
            storage.forget_lookups(entry.attr.ino, 1);
            Err(error)
        }
    }
}

impl LocalStorage {
    /// Keeps an inode without a name within reach, until the kernel forgets it.
    fn pin(&self, node: &Node, fd: BorrowedFd<'_>) -> Result<()> {
        let pinned = self.descriptors.with_room(|| reopen(fd, OFlags::PATH))?;
        *node.pinned.lock() = Some(Arc::new(pinned));
        Ok(())
    }
}

pub(super) fn backing_file(storage: &LocalStorage, fh: Fh) -> Option<Arc<OwnedFd>> {
    // The kernel keeps the credentials of the thread that registers the file, and uses them for
    // every read and write through it.
    storage.identity.daemon().ok()?;
    Some(storage.files.get(fh)?.fd.clone())
}

pub(super) fn read(
    storage: &LocalStorage,
    ino: Ino,
    fh: Fh,
    offset: u64,
    buf: &mut [u8],
) -> Result<usize> {
    let file = storage.readable(ino, fh)?;
    in_steps(buf.len(), |done| {
        rustix::io::pread(&file, &mut buf[done..], offset + done as u64)
    })
}

pub(super) fn write(
    storage: &LocalStorage,
    caller: &Caller,
    (ino, fh): (Ino, Fh),
    offset: u64,
    data: &[u8],
    flags: WriteFlags,
) -> Result<usize> {
    let file = file_to_write(storage, caller, (ino, fh), offset, flags)?;
    in_steps(data.len(), |done| {
        rustix::io::pwrite(&file, &data[done..], offset + done as u64)
    })
}

pub(super) fn write_from(
    storage: &LocalStorage,
    caller: &Caller,
    (ino, fh): (Ino, Fh),
    mut offset: u64,
    (pipe, len): (BorrowedFd<'_>, usize),
    flags: WriteFlags,
) -> Result<usize> {
    let file = file_to_write(storage, caller, (ino, fh), offset, flags)?;
    // A file that is open for appending is refused (`EINVAL`).
    in_steps(len, |done| {
        let flags = SpliceFlags::NONBLOCK;
        splice(pipe, None, &file, Some(&mut offset), len - done, flags)
    })
}

/// The file to write to, by a thread that from now on is who writes.
fn file_to_write(
    storage: &LocalStorage,
    caller: &Caller,
    (ino, fh): (Ino, Fh),
    offset: u64,
    flags: WriteFlags,
) -> Result<Arc<OwnedFd>> {
    let file = storage.writable_at(ino, fh, offset)?;
    if flags.from_page_cache {
        storage.identity.daemon()?;
    } else {
        storage.identity.acting(caller, Groups::Any)?;
    }
    Ok(file)
}

/// Repeats `step`, which is told how many bytes are done, until `len` are, or there are no more. An error counts only
/// where nothing was done before it.
fn in_steps(len: usize, mut step: impl FnMut(usize) -> Result<usize>) -> Result<usize> {
    let mut done = 0;
    while done < len {
        match step(done) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(Errno::INTR) => {}
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Closing a duplicate makes a backing file system with delayed errors (NFS, quotas of a network
/// file system) tell them, as close(2) of the caller would.
pub(super) fn flush(storage: &LocalStorage, ino: Ino, fh: Fh) -> Result<()> {
    let file = storage.readable(ino, fh)?;
    let duplicate = || rustix::io::fcntl_dupfd_cloexec(&file, 0);
    let duplicate = storage.descriptors.with_room(duplicate)?;
    super::sys::close(duplicate)
}

pub(super) fn fsync(storage: &LocalStorage, ino: Ino, fh: Fh, datasync: bool) -> Result<()> {
    crate::platform::sync(&storage.readable(ino, fh)?, datasync)
}

pub(super) fn fallocate(
    storage: &LocalStorage,
    caller: &Caller,
    (ino, fh): (Ino, Fh),
    mode: FallocateFlags,
    offset: u64,
    len: u64,
) -> Result<()> {
    let file = storage.writable(ino, fh)?;
    storage.identity.acting(caller, Groups::Any)?;
    rustix::fs::fallocate(&file, mode, offset, len)
}

pub(super) fn lseek(
    storage: &LocalStorage,
    ino: Ino,
    fh: Fh,
    offset: u64,
    to: SeekTo,
) -> Result<u64> {
    let file = storage.readable(ino, fh)?;
    if i64::try_from(offset).is_err() {
        return Err(Errno::NXIO);
    }
    // Moves the offset of the descriptor, which nothing here uses.
    let position = match to {
        SeekTo::Data => SeekFrom::Data(offset),
        SeekTo::Hole => SeekFrom::Hole(offset),
    };
    rustix::fs::seek(&file, position)
}

pub(super) fn copy_file_range(
    storage: &LocalStorage,
    caller: &Caller,
    ((ino_in, fh_in), mut offset_in): ((Ino, Fh), u64),
    ((ino_out, fh_out), mut offset_out): ((Ino, Fh), u64),
    len: u64,
) -> Result<usize> {
    let from = storage.readable(ino_in, fh_in)?;
    let to = storage.writable(ino_out, fh_out)?;
    storage.identity.acting(caller, Groups::Any)?;
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    rustix::fs::copy_file_range(&from, Some(&mut offset_in), &to, Some(&mut offset_out), len)
}

pub(super) fn prefetch(
    storage: &LocalStorage,
    ino: Ino,
    fh: Fh,
    offset: u64,
    len: u64,
) -> Result<Prefetch> {
    let file = storage.readable(ino, fh)?;
    let len = std::num::NonZeroU64::new(len);
    rustix::fs::fadvise(&file, offset, len, Advice::WillNeed)?;
    Ok(Prefetch::Started)
}
