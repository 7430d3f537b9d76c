//! The system calls that have no safe wrapper: mmap(2), fcntl(2) locks, file handles, ids of mounts, signal handlers.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A shared mapping of a file, readable and writable.
pub struct Mapping {
    address: *mut libc::c_void,
    len: usize,
}

impl Mapping {
    /// Maps the first `len` bytes of `file`, which must be that long while it is mapped.
    pub fn shared(file: &File, len: usize) -> io::Result<Mapping> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory in use.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                protection,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Mapping { address, len })
    }

    /// How many of its pages are in memory, mincore(2): all that the page cache has of the file, whoever read them.
    pub fn cached_pages(&self) -> io::Result<usize> {
        let mut pages = vec![0_u8; self.len.div_ceil(rustix::param::page_size())];
        // SAFETY: the range is the mapping that `self` owns, and there is a byte for each of its pages.
        check(unsafe { libc::mincore(self.address, self.len, pages.as_mut_ptr()) })?;
        Ok(pages.iter().filter(|&page| page & 1 != 0).count())
    }

    /// msync(2) with `MS_SYNC`.
    pub fn sync(&self) -> io::Result<()> {
        // SAFETY: the range is the mapping that `self` owns.
        check(unsafe { libc::msync(self.address, self.len, libc::MS_SYNC) })
    }
}

impl Deref for Mapping {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: mapped until `self` is dropped; the tests change the file only between accesses.
        unsafe { std::slice::from_raw_parts(self.address.cast(), self.len) }
    }
}

impl DerefMut for Mapping {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` makes this the only slice of this mapping.
        unsafe { std::slice::from_raw_parts_mut(self.address.cast(), self.len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is the mapping that `self` owns, and no slice of it is left.
        unsafe { libc::munmap(self.address, self.len) };
    }
}

/// A byte range lock, as fcntl(2) takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lock {
    /// `F_RDLCK`, `F_WRLCK` or `F_UNLCK`.
    pub kind: i32,
    pub start: i64,
    pub len: i64,
    /// Who holds it, in answers.
    pub pid: i32,
}

/// `F_SETLK`, `F_SETLKW`, `F_GETLK` and their `F_OFD_` relatives. Returns the lock as the kernel
/// left it.
pub fn lock(file: &File, command: i32, lock: Lock) -> io::Result<Lock> {
    let mut raw = libc::flock {
        l_type: lock.kind as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: lock.start,
        l_len: lock.len,
        l_pid: 0,
    };
    // SAFETY: these commands read and write one `struct flock`, which lives across the call.
    check(unsafe { libc::fcntl(file.as_raw_fd(), command, &mut raw) })?;
    Ok(Lock {
        kind: i32::from(raw.l_type),
        start: raw.l_start,
        len: raw.l_len,
        pid: raw.l_pid,
    })
}

/// Maps the ids of a detached mount as a user namespace does (mount_setattr(2), `MOUNT_ATTR_IDMAP`).
pub fn map_ids(mount: BorrowedFd<'_>, namespace: BorrowedFd<'_>) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: namespace.as_raw_fd() as u64,
    };
    // SAFETY: the path ends with NUL, the structure has the size that is given, and both outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    check(result as libc::c_int)
}

/// A file handle: `struct file_handle` with room for the longest (`MAX_HANDLE_SZ`).
#[repr(C)]
pub struct Handle {
    handle_bytes: u32,
    handle_type: i32,
    bytes: [u8; 128],
}

impl Handle {
    /// name_to_handle_at(2).
    pub fn of(path: &Path) -> io::Result<Handle> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        let mut handle = Handle {
            handle_bytes: 128,
            handle_type: 0,
            bytes: [0; 128],
        };
        let mut mount_id: libc::c_int = 0;
        // SAFETY: the path ends with NUL, the handle has the room that it declares, and all outlive
        // the call.
        let result = unsafe {
            libc::syscall(
                libc::SYS_name_to_handle_at,
                libc::AT_FDCWD,
                path.as_ptr(),
                &raw mut handle,
                &raw mut mount_id,
                0,
            )
        };
        check(result as libc::c_int)?;
        Ok(handle)
    }

    /// open_by_handle_at(2), for reading, on the mount that `any` is on.
    pub fn open(&mut self, any: &File) -> io::Result<File> {
        let flags = libc::O_RDONLY | libc::O_CLOEXEC;
        // SAFETY: the handle is one that the kernel has made, and outlives the call.
        let result = unsafe {
            libc::syscall(
                libc::SYS_open_by_handle_at,
                any.as_raw_fd(),
                &raw mut *self,
                flags,
            )
        };
        check(result as libc::c_int)?;
        // SAFETY: the kernel just made this descriptor and nobody else knows of it.
        Ok(unsafe { File::from_raw_fd(result as i32) })
    }
}

/// Lets SIGALRM interrupt system calls (no `SA_RESTART`) and do nothing else.
pub fn catch_alarms() {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: an all-zero `sigaction` is a valid one, and a handler that does nothing is
    // async-signal-safe.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
        libc::sigaction(libc::SIGALRM, &action, std::ptr::null_mut());
    }
}

/// Sends a signal to one thread, tgkill(2).
pub fn signal_thread(pid: u32, tid: u32, signal: i32) -> io::Result<()> {
    // SAFETY: the arguments are plain numbers.
    let result = unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, signal) };
    check(result as libc::c_int)
}

fn check(result: libc::c_int) -> io::Result<()> {
    match result {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
