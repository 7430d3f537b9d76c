//! System calls that `rustix` does not wrap, or wraps for the whole process only.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::thread::UnshareFlags;

use crate::storage::types::{FsXAttr, Result};

/// Longest file handle that Linux makes (`MAX_HANDLE_SZ` in `exportfs.h`).
const MAX_HANDLE_SIZE: usize = 128;

/// A file handle as name_to_handle_at(2) gives it: names an inode of one file system for ever.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct RawHandle {
    kind: i32,
    bytes: Box<[u8]>,
}

impl RawHandle {
    /// From the parts of a `struct file_handle`; `None` beyond the longest that there is.
    pub(super) fn new(kind: i32, bytes: &[u8]) -> Option<RawHandle> {
        (bytes.len() <= MAX_HANDLE_SIZE).then(|| RawHandle {
            kind,
            bytes: bytes.into(),
        })
    }
}

/// `struct file_handle`, with room for the longest.
#[repr(C)]
struct HandleBuffer {
    handle_bytes: u32,
    handle_type: i32,
    f_handle: [u8; MAX_HANDLE_SIZE],
}

impl HandleBuffer {
    fn new() -> HandleBuffer {
        HandleBuffer {
            handle_bytes: MAX_HANDLE_SIZE as u32,
            handle_type: 0,
            f_handle: [0; MAX_HANDLE_SIZE],
        }
    }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// `struct fsxattr` of the kernel's `fs.h`.
#[repr(C)]
#[derive(Default, Clone, Copy)]
struct RawFsXAttr {
    xflags: u32,
    extsize: u32,
    nextents: u32,
    projid: u32,
    cowextsize: u32,
    pad: [u8; 8],
}

const FS_IOC_FSGETXATTR: u32 = 0x801c_581f;
const FS_IOC_FSSETXATTR: u32 = 0x401c_5820;

/// Extended flags and project of an open inode.
pub(super) fn get_fsxattr(fd: BorrowedFd<'_>) -> Result<FsXAttr> {
    let mut raw = RawFsXAttr::default();
    // SAFETY: the number encodes a write of 28 bytes to the argument, which has that size and
    // outlives the call.
    let result = unsafe {
        libc::ioctl(
            fd.as_raw_fd(),
            FS_IOC_FSGETXATTR as libc::Ioctl,
            &raw mut raw,
        )
    };
    if result != 0 {
        return Err(last_errno());
    }
    Ok(FsXAttr {
        xflags: raw.xflags,
        extsize: raw.extsize,
        nextents: raw.nextents,
        projid: raw.projid,
        cowextsize: raw.cowextsize,
    })
}

/// Sets extended flags and project of an open inode.
pub(super) fn set_fsxattr(fd: BorrowedFd<'_>, attributes: &FsXAttr) -> Result<()> {
    let raw = RawFsXAttr {
        xflags: attributes.xflags,
        extsize: attributes.extsize,
        nextents: attributes.nextents,
        projid: attributes.projid,
        cowextsize: attributes.cowextsize,
        pad: [0; 8],
    };
    // SAFETY: the number encodes a read of 28 bytes from the argument, which has that size and
    // outlives the call.
    let result = unsafe {
        libc::ioctl(
            fd.as_raw_fd(),
            FS_IOC_FSSETXATTR as libc::Ioctl,
            &raw const raw,
        )
    };
    if result != 0 {
        return Err(last_errno());
    }
    Ok(())
}

bitflags::bitflags! {
    /// `MOUNT_ATTR_*` of the kernel's `mount.h`, those of times of access. Without any, times are relative.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) struct MountAttributes: u64 {
        /// All of the field that the next two are values of.
        const ATIME = libc::MOUNT_ATTR__ATIME;
        const NOATIME = libc::MOUNT_ATTR_NOATIME;
        const STRICTATIME = libc::MOUNT_ATTR_STRICTATIME;
        const NODIRATIME = libc::MOUNT_ATTR_NODIRATIME;
    }
}

/// Gives a mount, and those inside it, attributes in the place of others (mount_setattr(2)).
pub(super) fn set_mount_attributes(
    mount: BorrowedFd<'_>,
    set: MountAttributes,
    clear: MountAttributes,
) -> Result<()> {
    let attributes = libc::mount_attr {
        attr_set: set.bits(),
        attr_clr: clear.bits(),
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the path ends with NUL, the structure has the size that is given, and both outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result != 0 {
        return Err(last_errno());
    }
    Ok(())
}

/// The handle of `name` in `dir` (of `dir` itself for the empty name) and the id of its mount.
/// A symbolic link is not followed.
pub(super) fn name_to_handle(dir: BorrowedFd<'_>, name: &CStr) -> Result<(RawHandle, i32)> {
    let mut buffer = HandleBuffer::new();
    let mut mount_id: libc::c_int = 0;
    let flags = if name.is_empty() {
        libc::AT_EMPTY_PATH
    } else {
        0
    };
    // SAFETY: the name ends with NUL; the buffer has the layout of `struct file_handle` with the
    // number of bytes that `handle_bytes` declares; both outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            dir.as_raw_fd(),
            name.as_ptr(),
            &raw mut buffer,
            &raw mut mount_id,
            flags,
        )
    };
    if result < 0 {
        return Err(last_errno());
    }
    let length = buffer.handle_bytes as usize;
    let bytes = buffer.f_handle.get(..length).ok_or(Errno::OVERFLOW)?;
    let handle = RawHandle {
        kind: buffer.handle_type,
        bytes: bytes.into(),
    };
    Ok((handle, mount_id))
}

/// Opens the inode that `handle` names, on the mount of `mount`.
pub(super) fn open_by_handle(
    mount: BorrowedFd<'_>,
    handle: &RawHandle,
    flags: OFlags,
) -> Result<OwnedFd> {
    let mut buffer = HandleBuffer::new();
    buffer.handle_bytes = handle.bytes.len() as u32;
    buffer.handle_type = handle.kind;
    buffer.f_handle[..handle.bytes.len()].copy_from_slice(&handle.bytes);
    let flags = (flags | OFlags::NOFOLLOW | OFlags::CLOEXEC).bits();
    // SAFETY: the buffer has the layout of `struct file_handle` and outlives the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_open_by_handle_at,
            mount.as_raw_fd(),
            &raw const buffer,
            flags,
        )
    };
    if fd < 0 {
        return Err(last_errno());
    }
    // SAFETY: the kernel just made this descriptor and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Reads raw directory records (`struct linux_dirent64`) into `buffer`; 0 at the end.
pub(super) fn getdents(dir: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize> {
    // SAFETY: the kernel writes at most `buffer.len()` bytes into the buffer.
    let result = unsafe {
        libc::syscall(
            libc::SYS_getdents64,
            dir.as_raw_fd(),
            buffer.as_mut_ptr(),
            buffer.len(),
        )
    };
    if result < 0 {
        return Err(last_errno());
    }
    Ok(result as usize)
}

/// Sets the file system user id of this thread alone. setfsuid(2) reports no errors, so the id
/// is asked for afterwards.
pub(super) fn set_thread_fsuid(uid: u32) -> Result<()> {
    // SAFETY: no memory is involved; an id of -1 changes nothing and returns the present one.
    let now = unsafe {
        libc::syscall(libc::SYS_setfsuid, uid);
        libc::syscall(libc::SYS_setfsuid, u32::MAX)
    };
    if now as u32 == uid {
        Ok(())
    } else {
        Err(Errno::PERM)
    }
}

/// Sets the file system group id of this thread alone.
pub(super) fn set_thread_fsgid(gid: u32) -> Result<()> {
    // SAFETY: as for `set_thread_fsuid`.
    let now = unsafe {
        libc::syscall(libc::SYS_setfsgid, gid);
        libc::syscall(libc::SYS_setfsgid, u32::MAX)
    };
    if now as u32 == gid {
        Ok(())
    } else {
        Err(Errno::PERM)
    }
}

/// Gives this thread its own umask (and root and working directory).
pub(super) fn unshare_umask() -> Result<()> {
    // SAFETY: only `CLONE_FS` is unshared; descriptors stay common to all threads.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS) }
}

/// The name under which procfs shows a descriptor of this thread, in a buffer of its own.
pub(super) struct ProcPath {
    bytes: [u8; 40],
    length: usize,
}

impl ProcPath {
    /// `thread-self` and not `self`: it works after the first thread of the process has ended,
    /// and after a fork.
    pub(super) fn new(fd: impl AsFd) -> ProcPath {
        use std::io::Write;
        let mut path = ProcPath {
            bytes: [0; 40],
            length: 0,
        };
        let mut rest = &mut path.bytes[..39];
        let room = rest.len();
        // 21 bytes and at most 10 digits always fit.
        let _ = write!(rest, "/proc/thread-self/fd/{}", fd.as_fd().as_raw_fd());
        path.length = room - rest.len();
        path
    }

    pub(super) fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_with_nul(&self.bytes[..=self.length]).unwrap_or(c"")
    }
}

/// Flags of the opens that only name an inode.
pub(super) const NAME_ONLY: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Closes a descriptor and tells what close(2) says; the descriptor is gone in any case.
pub(super) fn close(fd: OwnedFd) -> Result<()> {
    use std::os::fd::IntoRawFd;
    // SAFETY: the descriptor was owned and is given up here; nobody uses its number again.
    let result = unsafe { libc::close(fd.into_raw_fd()) };
    if result < 0 {
        Err(last_errno())
    } else {
        Ok(())
    }
}
