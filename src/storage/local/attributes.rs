//! Attributes: getattr, setattr, access, statfs.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{
    Access, AtFlags, Gid, IFlags, Mode, OFlags, Statx, StatxTimestamp, Timespec, Timestamps,
    UTIME_NOW, UTIME_OMIT, Uid,
};

use super::LocalStorage;
use super::descriptors::{reopen, stat};
use super::identity::Groups;
use super::inodes::Node;
use super::sys::{self, ProcPath};
use crate::storage::types::*;

pub(super) fn kind_of(stat: &Statx) -> Option<FileKind> {
    FileKind::from_mode(u32::from(stat.stx_mode))
}

pub(super) fn timestamp(time: &StatxTimestamp) -> Timestamp {
    Timestamp {
        secs: time.tv_sec,
        nanos: time.tv_nsec,
    }
}

/// The kernel's 32-bit encoding of a device number (`new_encode_dev`).
fn encode_dev(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

/// The reverse of [`encode_dev`], as mknod(2) takes it.
pub(super) fn decode_dev(rdev: u32) -> u64 {
    let major = (rdev >> 8) & 0xfff;
    let minor = (rdev & 0xff) | ((rdev >> 12) & 0xfff00);
    rustix::fs::makedev(major, minor)
}

/// What statx(2) said of the inode `ino`.
pub(super) fn attr_of(ino: Ino, stat: &Statx) -> Result<Attr> {
    let has_birth = stat.stx_mask & rustix::fs::StatxFlags::BTIME.bits() != 0;
    Ok(Attr {
        ino,
        size: stat.stx_size,
        blocks: stat.stx_blocks,
        blksize: stat.stx_blksize,
        kind: kind_of(stat).ok_or(Errno::IO)?,
        perm: stat.stx_mode & 0o7777,
        nlink: stat.stx_nlink,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        rdev: encode_dev(stat.stx_rdev_major, stat.stx_rdev_minor),
        atime: timestamp(&stat.stx_atime),
        mtime: timestamp(&stat.stx_mtime),
        ctime: timestamp(&stat.stx_ctime),
        btime: has_birth.then(|| timestamp(&stat.stx_btime)),
    })
}

pub(super) fn getattr(storage: &LocalStorage, ino: Ino, fh: Option<Fh>) -> Result<Attr> {
    if let Some(file) = fh.and_then(|fh| storage.files.get(fh)) {
        return attr_of(ino, &stat(file.fd.as_fd(), c"")?);
    }
    let node = storage.inodes.get(ino)?;
    attr_of(ino, &storage.stat_node(&node)?)
}

impl LocalStorage {
    /// Attributes of a node, through a descriptor that is known to be of the same inode.
    pub(super) fn stat_node(&self, node: &std::sync::Arc<Node>) -> Result<Statx> {
        stat(self.any_fd(node)?.as_fd(), c"")
    }
}

pub(super) fn setattr(
    storage: &LocalStorage,
    caller: &Caller,
    ino: Ino,
    changes: &SetAttr,
) -> Result<Attr> {
    let node = storage.inodes.get(ino)?;
    let fd = storage.any_fd(&node)?;
    let fd = fd.as_fd();
    // Each step takes away set-id bits as the system call of the same kind does; an explicit mode
    // comes after those that could.
    if changes.uid.is_some() || changes.gid.is_some() {
        chown(storage, caller, fd, changes)?;
    } else if changes.kill_suidgid && changes.size.is_none() {
        kill_privileges(storage, caller, fd)?;
    }
    if let Some(size) = changes.size {
        truncate(storage, caller, &node, fd, size, changes.fh)?;
    }
    if let Some(mode) = changes.mode {
        chmod(storage, caller, fd, mode & 0o7777, changes)?;
    }
    if changes.atime.is_some() || changes.mtime.is_some() {
        set_times(storage, caller, fd, changes)?;
    }
    attr_of(ino, &stat(fd, c"")?)
}

fn chown(
    storage: &LocalStorage,
    caller: &Caller,
    fd: BorrowedFd<'_>,
    changes: &SetAttr,
) -> Result<()> {
    let identity = &storage.identity;
    let _checked = match identity.checks {
        PermissionChecks::Storage => Some(identity.checked(caller)?),
        // Whether S_ISGID without group execution stays depends on the caller's groups.
        PermissionChecks::Kernel => {
            identity.acting(caller, Groups::OfCaller)?;
            None
        }
    };
    let uid = changes.uid.map(Uid::from_raw);
    let gid = changes.gid.map(Gid::from_raw);
    rustix::fs::chownat(fd, c"", uid, gid, AtFlags::EMPTY_PATH)
}

/// A chown(2) to nobody new drops what a write drops, the group of the caller considered
/// (`chown_common` and `setattr_should_drop_sgid` of the kernel).
fn kill_privileges(storage: &LocalStorage, caller: &Caller, fd: BorrowedFd<'_>) -> Result<()> {
    storage.identity.acting(caller, Groups::OfCaller)?;
    rustix::fs::chownat(fd, c"", None, None, AtFlags::EMPTY_PATH)
}

fn truncate(
    storage: &LocalStorage,
    caller: &Caller,
    node: &Node,
    fd: BorrowedFd<'_>,
    size: u64,
    fh: Option<Fh>,
) -> Result<()> {
    match node.kind {
        FileKind::RegularFile => {}
        FileKind::Directory => return Err(Errno::ISDIR),
        _ => return Err(Errno::INVAL),
    }
    if i64::try_from(size).is_err() {
        return Err(Errno::INVAL);
    }
    if let Some(file) = fh
        .and_then(|fh| storage.files.get(fh))
        .filter(|f| f.writable)
    {
        storage.identity.acting(caller, Groups::Any)?;
        return rustix::fs::ftruncate(&file.fd, size);
    }
    let open = || reopen(fd, OFlags::WRONLY);
    if storage.identity.checks == PermissionChecks::Storage {
        let file = {
            let _checked = storage.identity.checked(caller)?;
            storage.descriptors.with_room(open)?
        };
        storage.identity.acting(caller, Groups::Any)?;
        return rustix::fs::ftruncate(&file, size);
    }
    storage.identity.acting(caller, Groups::Any)?;
    let file = storage.descriptors.with_room(open)?;
    rustix::fs::ftruncate(&file, size)
}

fn chmod(
    storage: &LocalStorage,
    caller: &Caller,
    fd: BorrowedFd<'_>,
    mode: u32,
    changes: &SetAttr,
) -> Result<()> {
    // With another change, the kernel asks only for what that change takes away: set-id bits.
    // Whoever may write may cause that without being the owner.
    let combined = changes.size.is_some() || changes.uid.is_some() || changes.gid.is_some();
    let set_ids = libc::S_ISUID | libc::S_ISGID;
    let now = match combined {
        true => Some(u32::from(stat(fd, c"")?.stx_mode) & 0o7777),
        false => None,
    };
    let mut mode = mode;
    let _checked = if let Some(now) = now.filter(|now| mode & !set_ids == now & !set_ids) {
        // The kernel keeps S_ISGID without group execution, which ext4 takes from those who are
        // not in the group: what the other change has just taken away stays away.
        mode &= now;
        storage.identity.daemon()?;
        None
    } else {
        match storage.identity.checks {
            PermissionChecks::Storage => Some(storage.identity.checked(caller)?),
            // The kernel has taken S_ISGID from the mode where the caller may not set it.
            PermissionChecks::Kernel => {
                storage.identity.daemon()?;
                None
            }
        }
    };
    let mode = Mode::from_raw_mode(mode);
    match rustix::fs::fchmod(fd, mode) {
        // No open file (`O_PATH`).
        Err(Errno::BADF) => rustix::fs::chmod(ProcPath::new(fd).as_c_str(), mode),
        other => other,
    }
}

fn set_times(
    storage: &LocalStorage,
    caller: &Caller,
    fd: BorrowedFd<'_>,
    changes: &SetAttr,
) -> Result<()> {
    let spec = |time: Option<SetTime>| match time {
        None => Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        Some(SetTime::Now) => Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_NOW,
        },
        Some(SetTime::At(time)) => Timespec {
            tv_sec: time.secs,
            tv_nsec: time.nanos.into(),
        },
    };
    let times = Timestamps {
        last_access: spec(changes.atime),
        last_modification: spec(changes.mtime),
    };
    // Times that come with a size are the kernel's own, of the truncation.
    let _checked = match changes.size {
        None => Some(storage.identity.checked(caller)?),
        Some(_) => None,
    };
    rustix::fs::utimensat(fd, c"", &times, AtFlags::EMPTY_PATH)
}

pub(super) fn access(
    storage: &LocalStorage,
    caller: &Caller,
    ino: Ino,
    mask: Access,
) -> Result<()> {
    let fd = storage.fd_of(ino)?;
    let _checked = storage.identity.checked(caller)?;
    let path = ProcPath::new(&fd);
    rustix::fs::accessat(rustix::fs::CWD, path.as_c_str(), mask, AtFlags::EACCESS)
}

pub(super) fn statfs(storage: &LocalStorage, ino: Ino) -> Result<StatFs> {
    let figures = rustix::fs::fstatvfs(storage.fd_of(ino)?)?;
    let small = |figure: u64| u32::try_from(figure).unwrap_or(u32::MAX);
    Ok(StatFs {
        blocks: figures.f_blocks,
        bfree: figures.f_bfree,
        bavail: figures.f_bavail,
        files: figures.f_files,
        ffree: figures.f_ffree,
        bsize: small(figures.f_bsize),
        namelen: small(figures.f_namemax),
        frsize: small(figures.f_frsize),
    })
}

/// Opens an inode for an ioctl on its flags. Never a FIFO, socket or device; the ioctls of symbolic
/// links cannot be reached, as on ext4.
fn open_for_flags(storage: &LocalStorage, ino: Ino) -> Result<std::os::fd::OwnedFd> {
    let node = storage.inodes.get(ino)?;
    if !matches!(node.kind, FileKind::RegularFile | FileKind::Directory) {
        return Err(Errno::NOTTY);
    }
    let fd = storage.fd(&node)?;
    storage.identity.daemon()?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    storage.descriptors.with_room(|| reopen(fd.as_fd(), flags))
}

/// Flags of an inode: they are no secret to whoever could open it.
pub(super) fn getflags(storage: &LocalStorage, ino: Ino) -> Result<IFlags> {
    rustix::fs::ioctl_getflags(open_for_flags(storage, ino)?)
}

pub(super) fn setflags(
    storage: &LocalStorage,
    caller: &Caller,
    ino: Ino,
    flags: IFlags,
) -> Result<()> {
    let file = open_for_flags(storage, ino)?;
    // Ownership and CAP_LINUX_IMMUTABLE: the kernel has checked both for its caller
    // (`vfs_fileattr_set`), except where the storage is to check.
    let _checked = storage.identity.checked(caller)?;
    let result = rustix::fs::ioctl_setflags(file, flags);
    storage.inodes.get(ino)?.folding.forget();
    result
}

/// Extended flags and project of an inode.
pub(super) fn get_fsxattr(storage: &LocalStorage, ino: Ino) -> Result<FsXAttr> {
    sys::get_fsxattr(open_for_flags(storage, ino)?.as_fd())
}

pub(super) fn set_fsxattr(
    storage: &LocalStorage,
    caller: &Caller,
    ino: Ino,
    attributes: &FsXAttr,
) -> Result<()> {
    let file = open_for_flags(storage, ino)?;
    let _checked = storage.identity.checked(caller)?;
    sys::set_fsxattr(file.as_fd(), attributes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_survive_the_encoding() {
        for (major, minor) in [(0, 0), (1, 3), (8, 255), (259, 256), (0xfff, 0xfffff)] {
            let decoded = decode_dev(encode_dev(major, minor));
            assert_eq!(decoded, rustix::fs::makedev(major, minor));
        }
    }
}
