//! The system calls that `rustix` lacks, or that it cannot offer safely: the only unsafe code of
//! the suite.

use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;
use rustix::process::Pid;

fn check(result: libc::c_int) -> Result<libc::c_int, Errno> {
    if result < 0 {
        Err(last_errno())
    } else {
        Ok(result)
    }
}

fn last_errno() -> Errno {
    // SAFETY: errno is a thread-local integer that is always readable.
    Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}

/// Forks. `None` in the child.
///
/// Cases run in a process with one thread, so the child may do all that the parent may.
pub(crate) fn fork() -> Result<Option<Pid>, Errno> {
    // SAFETY: a process that runs a case has one thread when it forks.
    let pid = check(unsafe { libc::fork() })?;
    Ok(Pid::from_raw(pid))
}

/// Ends this process without running destructors or exit handlers (those are the parent's).
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: has no precondition.
    unsafe { libc::_exit(status) }
}

/// truncate(2).
pub(crate) fn truncate(path: &str, len: i64) -> Result<(), Errno> {
    let path = std::ffi::CString::new(path).map_err(|_| Errno::INVAL)?;
    // SAFETY: `path` is a string ended by NUL.
    check(unsafe { libc::truncate(path.as_ptr(), len) }).map(drop)
}

/// getxattr(2) with no buffer: the size of the value.
pub(crate) fn getxattr_size(path: &str, name: &str) -> Result<usize, Errno> {
    let text = |text: &str| std::ffi::CString::new(text).map_err(|_| Errno::INVAL);
    let (path, name) = (text(path)?, text(name)?);
    // SAFETY: both are strings ended by NUL; size 0 asks for the size and writes nothing.
    let n = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), std::ptr::null_mut(), 0) };
    if n < 0 {
        Err(last_errno())
    } else {
        Ok(n as usize)
    }
}

/// listxattr(2) with no buffer: the size of the list.
pub(crate) fn listxattr_size(path: &str) -> Result<usize, Errno> {
    let path = std::ffi::CString::new(path).map_err(|_| Errno::INVAL)?;
    // SAFETY: `path` is a string ended by NUL; size 0 asks for the size and writes nothing.
    let n = unsafe { libc::listxattr(path.as_ptr(), std::ptr::null_mut(), 0) };
    if n < 0 {
        Err(last_errno())
    } else {
        Ok(n as usize)
    }
}

/// ftruncate(2), with a signed length.
pub(crate) fn ftruncate(fd: impl AsFd, len: i64) -> Result<(), Errno> {
    // SAFETY: the descriptor is open.
    check(unsafe { libc::ftruncate(fd.as_fd().as_raw_fd(), len) }).map(drop)
}

/// pwrite(2), with a signed offset.
pub(crate) fn pwrite(fd: impl AsFd, bytes: &[u8], offset: i64) -> Result<usize, Errno> {
    let (fd, ptr) = (fd.as_fd().as_raw_fd(), bytes.as_ptr().cast());
    // SAFETY: the pointer and the length are those of `bytes`.
    let n = unsafe { libc::pwrite(fd, ptr, bytes.len(), offset) };
    if n < 0 {
        Err(last_errno())
    } else {
        Ok(n as usize)
    }
}

/// sync_file_range(2) over the whole file, with all three flags.
pub(crate) fn sync_file_range(fd: impl AsFd) -> Result<(), Errno> {
    let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE
        | libc::SYNC_FILE_RANGE_WRITE
        | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    // SAFETY: the descriptor is open; there is no pointer.
    check(unsafe { libc::sync_file_range(fd.as_fd().as_raw_fd(), 0, 0, flags) }).map(drop)
}

/// Stops ext4 from writing to its disk from now on, its journal included: `EXT4_IOC_SHUTDOWN` with
/// `EXT4_GOING_FLAGS_NOLOGFLUSH` (`fs/ext4/ext4.h`).
pub(crate) fn shut_down(fd: impl AsFd) -> Result<(), Errno> {
    const EXT4_IOC_SHUTDOWN: libc::c_ulong = 0x8004_587d; // _IOR('X', 125, __u32)
    const NOLOGFLUSH: u32 = 2;
    let flags = NOLOGFLUSH;
    // SAFETY: the descriptor is open, and the call reads 4 bytes from `flags`.
    check(unsafe {
        libc::ioctl(
            fd.as_fd().as_raw_fd(),
            EXT4_IOC_SHUTDOWN as _,
            &raw const flags,
        )
    })
    .map(drop)
}

/// Lets SIGALRM interrupt system calls, and sends it every `millis` milliseconds from now on: a
/// single one could arrive before the call that it is to interrupt.
pub(crate) fn alarm_every(millis: i64) -> Result<(), Errno> {
    extern "C" fn nothing(_: libc::c_int) {}
    let tick = libc::timeval {
        tv_sec: 0,
        tv_usec: millis * 1000,
    };
    let timer = libc::itimerval {
        it_interval: tick,
        it_value: tick,
    };
    // SAFETY: a zeroed sigaction is valid (no flags, empty mask); the handler does nothing; both
    // structures outlive the calls.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        check(libc::sigaction(
            libc::SIGALRM,
            &action,
            std::ptr::null_mut(),
        ))?;
        check(libc::setitimer(
            libc::ITIMER_REAL,
            &timer,
            std::ptr::null_mut(),
        ))
        .map(drop)
    }
}

/// fcntl(2) F_SETLEASE or F_GETLEASE.
pub(crate) fn set_lease(fd: impl AsFd, kind: libc::c_int) -> Result<(), Errno> {
    // SAFETY: the descriptor is open; the argument is an integer.
    check(unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_SETLEASE, kind) }).map(drop)
}

/// What to do with a record lock.
#[derive(Clone, Copy)]
pub(crate) enum LockOp {
    Set,
    Wait,
    Get,
    OfdSet,
    OfdGet,
}

/// Kind of a record lock.
pub(crate) const READ: i32 = libc::F_RDLCK;
pub(crate) const WRITE: i32 = libc::F_WRLCK;
pub(crate) const UNLOCK: i32 = libc::F_UNLCK;

/// A record lock as F_GETLK reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) kind: i32,
    pub(crate) start: i64,
    pub(crate) len: i64,
    pub(crate) pid: i32,
}

/// fcntl(2) with a `struct flock` from the start of the file.
pub(crate) fn lock(
    fd: impl AsFd,
    op: LockOp,
    kind: i32,
    start: i64,
    len: i64,
) -> Result<Record, Errno> {
    let command = match op {
        LockOp::Set => libc::F_SETLK,
        LockOp::Wait => libc::F_SETLKW,
        LockOp::Get => libc::F_GETLK,
        LockOp::OfdSet => libc::F_OFD_SETLK,
        LockOp::OfdGet => libc::F_OFD_GETLK,
    };
    // SAFETY: all fields of `flock` are integers; zero is valid (and l_pid must be 0 for OFD).
    let mut record: libc::flock = unsafe { std::mem::zeroed() };
    record.l_type = kind as libc::c_short;
    record.l_whence = libc::SEEK_SET as libc::c_short;
    record.l_start = start;
    record.l_len = len;
    // SAFETY: the descriptor is open and `record` outlives the call.
    check(unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), command, &mut record) })?;
    Ok(Record {
        kind: record.l_type.into(),
        start: record.l_start,
        len: record.l_len,
        pid: record.l_pid,
    })
}

/// A memory mapping. Bytes go in and out by copies: another process may change them at any time,
/// so there is never a reference to them.
pub(crate) struct Map {
    start: *mut u8,
    len: usize,
}

impl Map {
    /// Shared, readable and writable.
    pub(crate) fn shared(fd: impl AsFd, len: usize) -> Result<Self, Errno> {
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        Self::new(fd, len, prot, libc::MAP_SHARED)
    }

    /// Shared, readable.
    pub(crate) fn shared_read(fd: impl AsFd, len: usize) -> Result<Self, Errno> {
        Self::new(fd, len, libc::PROT_READ, libc::MAP_SHARED)
    }

    /// Private, readable and writable.
    pub(crate) fn private(fd: impl AsFd, len: usize) -> Result<Self, Errno> {
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        Self::new(fd, len, prot, libc::MAP_PRIVATE)
    }

    fn new(fd: impl AsFd, len: usize, prot: i32, flags: i32) -> Result<Self, Errno> {
        let fd = fd.as_fd().as_raw_fd();
        // SAFETY: the kernel chooses the address, so no existing mapping is touched.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, flags, fd, 0) };
        if start == libc::MAP_FAILED {
            return Err(last_errno());
        }
        Ok(Self {
            start: start.cast(),
            len,
        })
    }

    pub(crate) fn read(&self, offset: usize, len: usize) -> Vec<u8> {
        (offset..offset + len).map(|at| self.byte(at)).collect()
    }

    pub(crate) fn byte(&self, offset: usize) -> u8 {
        assert!(offset < self.len);
        // SAFETY: inside of the mapping. Volatile, since others change it.
        unsafe { self.start.add(offset).read_volatile() }
    }

    /// Only for mappings that are writable; elsewhere the process gets SIGSEGV.
    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.len);
        for (i, byte) in bytes.iter().enumerate() {
            // SAFETY: inside of the mapping.
            unsafe { self.start.add(offset + i).write_volatile(*byte) };
        }
    }

    /// pread(2) straight into the mapping.
    pub(crate) fn read_from(
        &self,
        fd: impl AsFd,
        at: usize,
        len: usize,
        offset: u64,
    ) -> Result<usize, Errno> {
        assert!(at + len <= self.len);
        let fd = fd.as_fd().as_raw_fd();
        // SAFETY: the range is inside of the mapping.
        let n = unsafe { libc::pread(fd, self.start.add(at).cast(), len, offset as i64) };
        if n < 0 {
            Err(last_errno())
        } else {
            Ok(n as usize)
        }
    }

    /// pwrite(2) straight from the mapping.
    pub(crate) fn write_to(
        &self,
        fd: impl AsFd,
        at: usize,
        len: usize,
        offset: u64,
    ) -> Result<usize, Errno> {
        assert!(at + len <= self.len);
        let fd = fd.as_fd().as_raw_fd();
        // SAFETY: the range is inside of the mapping.
        let n = unsafe { libc::pwrite(fd, self.start.add(at).cast(), len, offset as i64) };
        if n < 0 {
            Err(last_errno())
        } else {
            Ok(n as usize)
        }
    }

    /// msync(2) of all of it with MS_SYNC.
    pub(crate) fn sync(&self) -> Result<(), Errno> {
        // SAFETY: address and length are those of the mapping.
        check(unsafe { libc::msync(self.start.cast(), self.len, libc::MS_SYNC) }).map(drop)
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: address and length are those of the mapping, and nothing refers to it.
        let _ = unsafe { libc::munmap(self.start.cast(), self.len) };
    }
}

/// Memory whose address is a multiple of 4096, as O_DIRECT wants it.
pub(crate) struct Aligned(Vec<Page>);

#[repr(C, align(4096))]
#[derive(Clone, Copy)]
struct Page([u8; 4096]);

impl Aligned {
    pub(crate) fn new(pages: usize) -> Self {
        Self(vec![Page([0; 4096]); pages])
    }

    pub(crate) fn from_pattern(bytes: &[u8]) -> Self {
        let mut aligned = Self::new(bytes.len().div_ceil(4096));
        aligned.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
        aligned
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        let len = self.0.len() * 4096;
        // SAFETY: pages are arrays of bytes without padding, one after the other.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), len) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        let len = self.0.len() * 4096;
        // SAFETY: pages are arrays of bytes without padding, one after the other.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), len) }
    }
}
