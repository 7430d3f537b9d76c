//! The CPU clock of another process, which no wrapper offers.

use std::io;
use std::time::Duration;

use rustix::process::Pid;

/// CPU time of all threads of a process, those that ended included, exact to the scheduler's
/// nanoseconds (clock_getcpuclockid(3)).
pub(super) fn cpu_time(pid: Pid) -> io::Result<Duration> {
    let mut clock = 0;
    // SAFETY: `clock` is valid for a write; the call reads and writes nothing else.
    let error = unsafe { libc::clock_getcpuclockid(pid.as_raw_nonzero().get(), &raw mut clock) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is valid for a write; the call reads and writes nothing else.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// CPU time of the programs that this process waited for (getrusage(2)).
pub(super) fn cpu_time_of_children() -> io::Result<Duration> {
    // SAFETY: a plain structure of numbers, for which all zeros is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is valid for a write; the call writes nothing else.
    if unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    Ok(time(usage.ru_utime) + time(usage.ru_stime))
}
