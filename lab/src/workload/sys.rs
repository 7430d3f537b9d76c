//! cachestat(2), which no wrapper offers.

use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;

/// The same on all architectures (`include/uapi/asm-generic/unistd.h` of the kernel).
const SYS_CACHESTAT: libc::c_long = 451;

/// `struct cachestat_range`; a length of 0 means up to the end.
#[repr(C)]
struct Range {
    off: u64,
    len: u64,
}

/// `struct cachestat`, numbers of pages.
#[repr(C)]
#[derive(Default)]
struct CacheStat {
    cache: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// Pages of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pages {
    /// In the page cache.
    pub(crate) cached: u64,
    /// Of these, not on the disk yet.
    pub(crate) unwritten: u64,
}

/// What the page cache has of a file. Since Linux 6.5.
pub(crate) fn pages(file: impl AsFd) -> Result<Pages, Errno> {
    let mut range = Range { off: 0, len: 0 };
    let mut stat = CacheStat::default();
    // SAFETY: both structures have the layout that the kernel knows, and live during the call, which
    // reads the first and writes the second.
    let result = unsafe {
        libc::syscall(
            SYS_CACHESTAT,
            file.as_fd().as_raw_fd(),
            &raw mut range,
            &raw mut stat,
            0,
        )
    };
    if result < 0 {
        // SAFETY: errno is a thread-local integer that is always readable.
        return Err(Errno::from_raw_os_error(unsafe {
            *libc::__errno_location()
        }));
    }
    Ok(Pages {
        cached: stat.cache,
        unwritten: stat.dirty + stat.writeback,
    })
}
