//! The `fuser` trait, each method one call of [`DynamicFS`] and its answer.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::ffi::OsStr;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime};

use fuser::{
    AccessFlags, BackingId, BsdFileFlags, CopyFileRangeFlags, FileHandle, Filesystem, FopenFlags,
    INodeNo, IoctlFlags, KernelConfig, LockOwner, OpenFlags, PollEvents, PollFlags, PollNotifier,
    RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty,
    ReplyEntry, ReplyIoctl, ReplyLock, ReplyLseek, ReplyOpen, ReplyPoll, ReplyStatfs, ReplyWrite,
    ReplyXattr, Request, RequestId, TimeOrNow, WriteFlags,
};
use parking_lot::Mutex;
use rustix::fs::{Access, OFlags};

use super::convert::{
    FuserEntry, caller, errno, file_attr, file_type, open_flags, set_time, timestamp,
};
use super::gone;
use crate::filesystem::{DynamicFS, EntryAnswer, FileAccess, LockType};
use crate::platform::{self, F_UNLCK, FallocateFlags, Platform, XattrFlags};
use crate::stats::Opcode;
use crate::storage::{CreateMode, DirSink, Errno, Result, SeekTo, SetAttr};
use crate::transport::backing::BackingFiles;
use crate::transport::capability::Capability;
use crate::transport::ioctl::inode_ioctl;
use crate::transport::locks::{LockOp, Locker, raw_lock_kind};
use crate::transport::{Negotiation, handshake};

pub(super) struct Adapter {
    fs: Arc<DynamicFS>,
    negotiation: Arc<Mutex<Negotiation>>,
    backing: BackingFiles<BackingId>,
    /// Known once the session exists.
    device: Arc<OnceLock<RawFd>>,
}

thread_local! {
    /// Reads of a worker land here before they are sent.
    static READ_BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// The last request by which a worker forgot something.
    static LAST_FORGET: Cell<Option<RequestId>> = const { Cell::new(None) };
}

impl Adapter {
    pub(super) fn new(
        fs: Arc<DynamicFS>,
        negotiation: Arc<Mutex<Negotiation>>,
        device: Arc<OnceLock<RawFd>>,
    ) -> Adapter {
        Adapter {
            device,
            fs,
            negotiation,
            backing: BackingFiles::new(),
        }
    }

    /// Runs an operation and counts it.
    fn run<T>(&self, op: Opcode, operation: impl FnOnce(&DynamicFS) -> Result<T>) -> Result<T> {
        let started = Instant::now();
        let outcome = operation(&self.fs);
        self.fs.statistics().record(
            op,
            started.elapsed(),
            outcome.as_ref().map(drop).map_err(|e| *e),
        );
        outcome
    }

    fn entry(
        &self,
        op: Opcode,
        reply: ReplyEntry,
        operation: impl FnOnce(&DynamicFS) -> Result<EntryAnswer>,
    ) {
        match self.run(op, operation) {
            Ok(answer) => {
                let entry = FuserEntry::from(answer);
                reply.entry_with_ttls(
                    &entry.attr_ttl,
                    &entry.entry_ttl,
                    &entry.attr,
                    entry.generation,
                );
            }
            Err(error) => reply.error(errno(error)),
        }
    }

    fn empty(
        &self,
        op: Opcode,
        reply: ReplyEmpty,
        operation: impl FnOnce(&DynamicFS) -> Result<()>,
    ) {
        match self.run(op, operation) {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(errno(error)),
        }
    }

    /// Answers a request for `size` bytes of extended attribute, 0 asking for the length alone.
    fn xattr(
        &self,
        op: Opcode,
        size: u32,
        reply: ReplyXattr,
        operation: impl FnOnce(&DynamicFS) -> Result<Vec<u8>>,
    ) {
        match self.run(op, operation) {
            Ok(value) if size == 0 => reply.size(value.len() as u32),
            Ok(value) if value.len() > size as usize => reply.error(errno(Errno::RANGE)),
            Ok(value) => reply.data(&value),
            Err(error) => reply.error(errno(error)),
        }
    }
}

/// A lock of this caller. `fuser` does not say whether it is one of flock(2), which therefore is never
/// asked for.
fn locker(ino: INodeNo, fh: FileHandle, owner: LockOwner, pid: u32) -> Locker {
    Locker {
        ino: ino.0,
        fh: fh.0,
        owner: owner.0,
        pid,
        lock_type: LockType::Posix,
    }
}

fn oflags(flags: OpenFlags) -> OFlags {
    OFlags::from_bits_retain(flags.0 as u32)
}

fn create_mode(mode: u32, umask: u32) -> CreateMode {
    CreateMode { mode, umask }
}

impl Filesystem for Adapter {
    fn init(&mut self, _: &Request, kernel: &mut KernelConfig) -> std::io::Result<()> {
        *self.negotiation.lock() = handshake::negotiate(&self.fs, Capability::PORTABLE, kernel);
        Ok(())
    }

    fn destroy(&mut self) {
        if let Some(&device) = self.device.get() {
            gone::settle(device);
        }
    }

    fn lookup(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.entry(Opcode::Lookup, reply, |fs| {
            fs.lookup(&caller(req), parent.0, name)
        });
    }

    fn forget(&self, req: &Request, ino: INodeNo, nlookup: u64) {
        // `fuser` takes a BATCH_FORGET apart: all its parts have the number of that one request.
        let number = Some(req.unique());
        if LAST_FORGET.replace(number) == number {
            return self.fs.forget(ino.0, nlookup);
        }
        let _ = self.run(Opcode::Forget, |fs| {
            fs.forget(ino.0, nlookup);
            Ok(())
        });
    }

    fn getattr(&self, _: &Request, ino: INodeNo, fh: Option<FileHandle>, reply: ReplyAttr) {
        match self.run(Opcode::GetAttr, |fs| fs.getattr(ino.0, fh.map(|fh| fh.0))) {
            Ok(answer) => reply.attr(&answer.ttl, &file_attr(&answer.attr)),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn setattr(
        &self,
        req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        ctime: Option<SystemTime>,
        fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let changes = SetAttr {
            mode: mode.map(|mode| mode & 0o7777),
            uid,
            gid,
            size,
            atime: atime.map(set_time),
            mtime: mtime.map(set_time),
            ctime: ctime.map(timestamp),
            fh: fh.map(|fh| fh.0),
            kill_suidgid: false,
        };
        match self.run(Opcode::SetAttr, |fs| {
            fs.setattr(&caller(req), ino.0, &changes)
        }) {
            Ok(answer) => reply.attr(&answer.ttl, &file_attr(&answer.attr)),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        match self.run(Opcode::ReadLink, |fs| fs.readlink(ino.0)) {
            Ok(target) => reply.data(target.as_os_str().as_bytes()),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn mknod(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        self.entry(Opcode::MkNod, reply, |fs| {
            fs.mknod(&caller(req), parent.0, name, create_mode(mode, umask), rdev)
        });
    }

    fn mkdir(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        self.entry(Opcode::MkDir, reply, |fs| {
            fs.mkdir(&caller(req), parent.0, name, create_mode(mode, umask))
        });
    }

    fn unlink(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.empty(Opcode::Unlink, reply, |fs| {
            fs.unlink(&caller(req), parent.0, name)
        });
    }

    fn rmdir(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.empty(Opcode::RmDir, reply, |fs| {
            fs.rmdir(&caller(req), parent.0, name)
        });
    }

    fn symlink(
        &self,
        req: &Request,
        parent: INodeNo,
        link_name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        self.entry(Opcode::SymLink, reply, |fs| {
            fs.symlink(&caller(req), parent.0, link_name, target)
        });
    }

    fn rename(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let flags = platform::RenameFlags::from_bits_retain(flags.bits());
        self.empty(Opcode::Rename, reply, |fs| {
            fs.rename(&caller(req), parent.0, name, newparent.0, newname, flags)
        });
    }

    fn link(
        &self,
        req: &Request,
        ino: INodeNo,
        newparent: INodeNo,
        newname: &OsStr,
        reply: ReplyEntry,
    ) {
        self.entry(Opcode::Link, reply, |fs| {
            fs.link(&caller(req), ino.0, newparent.0, newname)
        });
    }

    fn open(&self, req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        match self.run(Opcode::Open, |fs| {
            fs.open(&caller(req), ino.0, oflags(flags))
        }) {
            Ok(mut opened) => {
                let register = |file: &OwnedFd| reply.open_backing(file);
                let id = self.backing.admit(&self.fs, ino.0, &mut opened, register);
                let flags = open_flags(&opened);
                let fh = FileHandle(opened.fh);
                match id {
                    Some(id) => reply.opened_passthrough(fh, flags, &id),
                    None => reply.opened(fh, flags),
                }
            }
            Err(error) => reply.error(errno(error)),
        }
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let flags = OFlags::from_bits_retain(flags as u32);
        match self.run(Opcode::Create, |fs| {
            fs.create(
                &caller(req),
                parent.0,
                name,
                create_mode(mode, umask),
                flags,
            )
        }) {
            Ok((answer, mut opened)) => {
                let entry = FuserEntry::from(answer);
                let register = |file: &OwnedFd| reply.open_backing(file);
                let ino = entry.attr.ino.0;
                let id = self.backing.admit(&self.fs, ino, &mut opened, register);
                let flags = open_flags(&opened);
                let (ttl, fh) = (entry.shorter_ttl(), FileHandle(opened.fh));
                match id {
                    Some(id) => reply.created_passthrough(
                        &ttl,
                        &entry.attr,
                        entry.generation,
                        fh,
                        flags,
                        &id,
                    ),
                    None => reply.created(&ttl, &entry.attr, entry.generation, fh, flags),
                }
            }
            Err(error) => reply.error(errno(error)),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        READ_BUFFER.with_borrow_mut(|buffer| {
            if buffer.len() < size as usize {
                buffer.resize(size as usize, 0);
            }
            let buffer = &mut buffer[..size as usize];
            match self.run(Opcode::Read, |fs| fs.read(ino.0, fh.0, offset, buffer)) {
                Ok(n) => {
                    self.fs.statistics().bytes_read(n as u64);
                    reply.data(&buffer[..n]);
                }
                Err(error) => reply.error(errno(error)),
            }
        });
    }

    fn write(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let flags = crate::storage::WriteFlags {
            from_page_cache: write_flags.contains(WriteFlags::FUSE_WRITE_CACHE),
        };
        match self.run(Opcode::Write, |fs| {
            fs.write(&caller(req), ino.0, fh.0, offset, data, flags)
        }) {
            Ok(n) => {
                self.fs.statistics().bytes_written(n as u64);
                reply.written(n as u32);
            }
            Err(error) => reply.error(errno(error)),
        }
    }

    fn flush(
        &self,
        _: &Request,
        ino: INodeNo,
        fh: FileHandle,
        lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        self.empty(Opcode::Flush, reply, |fs| {
            fs.flush(ino.0, fh.0, lock_owner.0)
        });
    }

    fn release(
        &self,
        _: &Request,
        ino: INodeNo,
        fh: FileHandle,
        flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.backing.release(ino.0);
        self.empty(Opcode::Release, reply, |fs| {
            fs.release(ino.0, fh.0, oflags(flags))
        });
    }

    fn fsync(&self, _: &Request, ino: INodeNo, fh: FileHandle, datasync: bool, reply: ReplyEmpty) {
        self.empty(Opcode::FSync, reply, |fs| fs.fsync(ino.0, fh.0, datasync));
    }

    fn opendir(&self, req: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        match self.run(Opcode::OpenDir, |fs| fs.opendir(&caller(req), ino.0)) {
            Ok(opened) => {
                let flags = match opened.access {
                    FileAccess::Cached { keep: true } => {
                        FopenFlags::FOPEN_CACHE_DIR | FopenFlags::FOPEN_KEEP_CACHE
                    }
                    FileAccess::Cached { keep: false } => FopenFlags::FOPEN_CACHE_DIR,
                    _ => FopenFlags::empty(),
                };
                reply.opened(FileHandle(opened.fh), flags);
            }
            Err(error) => reply.error(errno(error)),
        }
    }

    fn readdir(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let listed = self.run(Opcode::ReadDir, |fs| {
            fs.readdir(&caller(req), ino.0, fh.0, offset, &mut |dirent, kind| {
                let full = reply.add(
                    INodeNo(dirent.ino),
                    dirent.offset,
                    file_type(kind),
                    dirent.name,
                );
                if full { DirSink::Full } else { DirSink::Taken }
            })
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn readdirplus(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let listed = self.run(Opcode::ReadDirPlus, |fs| {
            fs.readdirplus(&caller(req), ino.0, fh.0, offset, &mut |plus| {
                let mut entry = FuserEntry::from(plus.entry.unwrap_or(EntryAnswer::Absent {
                    entry_ttl: std::time::Duration::ZERO,
                }));
                if plus.entry.is_none() {
                    // `.` and `..`: the kernel takes only number and kind, and counts no lookup.
                    entry.attr.ino = INodeNo(plus.dirent.ino);
                    entry.attr.kind = fuser::FileType::Directory;
                }
                let full = reply.add(
                    entry.attr.ino,
                    plus.dirent.offset,
                    plus.name(),
                    &entry.shorter_ttl(),
                    &entry.attr,
                    entry.generation,
                );
                if full { DirSink::Full } else { DirSink::Taken }
            })
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn releasedir(
        &self,
        _: &Request,
        ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.empty(Opcode::ReleaseDir, reply, |fs| fs.releasedir(ino.0, fh.0));
    }

    fn fsyncdir(
        &self,
        _: &Request,
        ino: INodeNo,
        fh: FileHandle,
        datasync: bool,
        reply: ReplyEmpty,
    ) {
        self.empty(Opcode::FSyncDir, reply, |fs| {
            fs.fsyncdir(ino.0, fh.0, datasync)
        });
    }

    fn statfs(&self, _: &Request, ino: INodeNo, reply: ReplyStatfs) {
        match self.run(Opcode::StatFs, |fs| fs.statfs(ino.0)) {
            Ok(s) => reply.statfs(
                s.blocks, s.bfree, s.bavail, s.files, s.ffree, s.bsize, s.namelen, s.frsize,
            ),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn setxattr(
        &self,
        req: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        position: u32,
        reply: ReplyEmpty,
    ) {
        let flags = XattrFlags::from_bits_retain(flags as u32);
        self.empty(Opcode::SetXAttr, reply, |fs| {
            let caller = caller(req);
            let stored = || fs.getxattr(&caller, ino.0, name);
            let value = Platform::CURRENT.xattr_written(name, position, value, stored)?;
            fs.setxattr(&caller, ino.0, name, &value, flags)
        });
    }

    fn getxattr(&self, req: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        self.xattr(Opcode::GetXAttr, size, reply, |fs| {
            fs.getxattr(&caller(req), ino.0, name)
        });
    }

    fn listxattr(&self, req: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        self.xattr(Opcode::ListXAttr, size, reply, |fs| {
            fs.listxattr(&caller(req), ino.0)
        });
    }

    fn removexattr(&self, req: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.empty(Opcode::RemoveXAttr, reply, |fs| {
            fs.removexattr(&caller(req), ino.0, name)
        });
    }

    fn access(&self, req: &Request, ino: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        let mask = Access::from_bits_retain(mask.bits() as _);
        self.empty(Opcode::Access, reply, |fs| {
            fs.access(&caller(req), ino.0, mask)
        });
    }

    fn getlk(
        &self,
        _: &Request,
        ino: INodeNo,
        fh: FileHandle,
        lock_owner: LockOwner,
        start: u64,
        end: u64,
        typ: i32,
        pid: u32,
        reply: ReplyLock,
    ) {
        let held = self.run(Opcode::GetLk, |fs| {
            match locker(ino, fh, lock_owner, pid).op((start, end), typ)? {
                LockOp::Lock(request) => fs.getlk(&request),
                LockOp::Unlock(_) => Err(Errno::INVAL),
            }
        });
        match held {
            Ok(Some(held)) => reply.locked(
                held.range.start(),
                held.range.end(),
                raw_lock_kind(held.kind),
                held.pid.unwrap_or(0),
            ),
            Ok(None) => reply.locked(0, 0, F_UNLCK, 0),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn setlk(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        lock_owner: LockOwner,
        start: u64,
        end: u64,
        typ: i32,
        pid: u32,
        sleep: bool,
        reply: ReplyEmpty,
    ) {
        match locker(ino, fh, lock_owner, pid).op((start, end), typ) {
            Ok(LockOp::Lock(request)) if sleep => {
                // The answer comes when the lock is granted, from whichever thread released it.
                let started = Instant::now();
                let fs = self.fs.clone();
                self.fs.setlk_waiting(&request, req.pid(), move |outcome| {
                    fs.statistics()
                        .record(Opcode::SetLk, started.elapsed(), outcome);
                    match outcome {
                        Ok(()) => reply.ok(),
                        Err(error) => reply.error(errno(error)),
                    }
                });
            }
            op => self.empty(Opcode::SetLk, reply, |fs| match op? {
                LockOp::Lock(request) => fs.setlk(&request),
                LockOp::Unlock(request) => fs.unlock(&request),
            }),
        }
    }

    fn fallocate(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let mode = FallocateFlags::from_bits_retain(mode as u32);
        self.empty(Opcode::Fallocate, reply, |fs| {
            fs.fallocate(&caller(req), ino.0, fh.0, mode, offset, length)
        });
    }

    fn ioctl(
        &self,
        req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        _flags: IoctlFlags,
        cmd: u32,
        in_data: &[u8],
        _out_size: u32,
        reply: ReplyIoctl,
    ) {
        let outcome = self.run(Opcode::IoCtl, |fs| {
            inode_ioctl(fs, &caller(req), ino.0, cmd, in_data)
        });
        match outcome {
            Ok(answer) => reply.ioctl(0, answer.as_ref()),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn poll(
        &self,
        _: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _notifier: PollNotifier,
        _events: PollEvents,
        _flags: PollFlags,
        reply: ReplyPoll,
    ) {
        // The kernel then answers itself, always ready, as for the files of any disk.
        let Err(error) = self.run(Opcode::Poll, |_| Err::<Infallible, _>(Errno::NOSYS));
        reply.error(errno(error));
    }

    fn lseek(
        &self,
        _: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let found = self.run(Opcode::LSeek, |fs| {
            let to = match whence {
                libc::SEEK_DATA => SeekTo::Data,
                libc::SEEK_HOLE => SeekTo::Hole,
                _ => return Err(Errno::INVAL),
            };
            let offset = u64::try_from(offset).map_err(|_| Errno::NXIO)?;
            fs.lseek(ino.0, fh.0, offset, to)
        });
        match found {
            Ok(offset) => reply.offset(offset as i64),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn copy_file_range(
        &self,
        req: &Request,
        ino_in: INodeNo,
        fh_in: FileHandle,
        offset_in: u64,
        ino_out: INodeNo,
        fh_out: FileHandle,
        offset_out: u64,
        len: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        match self.run(Opcode::CopyFileRange, |fs| {
            fs.copy_file_range(
                &caller(req),
                ino_in.0,
                fh_in.0,
                offset_in,
                ino_out.0,
                fh_out.0,
                offset_out,
                len,
            )
        }) {
            Ok(n) => reply.written(n as u32),
            Err(error) => reply.error(errno(error)),
        }
    }
}
