//! Short forms of what nearly every case does. Relative paths: see [`super::Cx`].

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid};
use rustix::io::{Errno, Result};
use rustix::time::{ClockId, clock_gettime};

use super::Failure;

/// An old time that no operation sets by itself: 2001-09-09.
pub(crate) const LONG_AGO: i64 = 1_000_000_000;

pub(crate) fn open(path: impl AsRef<Path>, flags: OFlags) -> Result<OwnedFd> {
    open_mode(path, flags, 0o644)
}

pub(crate) fn open_mode(path: impl AsRef<Path>, flags: OFlags, mode: u32) -> Result<OwnedFd> {
    rustix::fs::open(
        path.as_ref(),
        flags | OFlags::CLOEXEC,
        Mode::from_raw_mode(mode),
    )
}

/// A new file, open for reading and writing.
pub(crate) fn create(path: impl AsRef<Path>) -> Result<OwnedFd> {
    open(path, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)
}

pub(crate) fn read_only(path: impl AsRef<Path>) -> Result<OwnedFd> {
    open(path, OFlags::RDONLY)
}

pub(crate) fn read_write(path: impl AsRef<Path>) -> Result<OwnedFd> {
    open(path, OFlags::RDWR)
}

pub(crate) fn write_file(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> Result<()> {
    let fd = open(path, OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC)?;
    write_all(&fd, bytes.as_ref())
}

pub(crate) fn write_all(fd: impl AsFd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        let n = rustix::io::write(&fd, bytes)?;
        bytes = &bytes[n..];
    }
    Ok(())
}

pub(crate) fn write_at(fd: impl AsFd, mut bytes: &[u8], mut offset: u64) -> Result<()> {
    while !bytes.is_empty() {
        let n = rustix::io::pwrite(&fd, bytes, offset)?;
        bytes = &bytes[n..];
        offset += n as u64;
    }
    Ok(())
}

pub(crate) fn read_all(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    let fd = read_only(path)?;
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        match rustix::io::read(&fd, &mut chunk)? {
            0 => return Ok(bytes),
            n => bytes.extend_from_slice(&chunk[..n]),
        }
    }
}

/// Up to `len` bytes at `offset`; fewer only at the end of the file.
pub(crate) fn read_at(fd: impl AsFd, len: usize, offset: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let mut done = 0;
    while done < len {
        match rustix::io::pread(&fd, &mut bytes[done..], offset + done as u64)? {
            0 => break,
            n => done += n,
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}

/// Bytes that differ for each `seed` and do not repeat within a page.
pub(crate) fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(step).take(len).collect()
}

/// A hash of contents for observations (FNV-1a: stable across runs and builds).
pub(crate) fn hash(bytes: &[u8]) -> String {
    let fold = |h: u64, b: &u8| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3);
    format!("{:016x}", bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold))
}

/// Two calls at the same moment, `rounds` times with a number each. The second is late by 0 to 2.4 ms,
/// mostly by little, so that every order of their parts comes up, also where a daemon has to wait for
/// a processor.
pub(crate) fn race<A: Send, B: Send>(
    rounds: u32,
    first: impl Fn(u32) -> A + Sync,
    second: impl Fn(u32) -> B + Sync,
) -> Vec<(A, B)> {
    let start = Barrier::new(2);
    std::thread::scope(|scope| {
        let seconds = scope.spawn(|| {
            let late = |round| {
                start.wait();
                let begin = Instant::now();
                let late = Duration::from_micros(u64::from(round % 50).pow(2));
                while begin.elapsed() < late {
                    std::thread::yield_now();
                }
                second(round)
            };
            (0..rounds).map(late).collect::<Vec<B>>()
        });
        let at_once = |round| {
            start.wait();
            first(round)
        };
        let firsts: Vec<A> = (0..rounds).map(at_once).collect();
        let seconds = seconds.join().unwrap_or_default();
        firsts.into_iter().zip(seconds).collect()
    })
}

/// Of two that make the same name, one succeeds and the other is told why not.
pub(crate) fn one_made_it(results: (Result<()>, Result<()>)) -> bool {
    let exists = Err(Errno::EXIST);
    results == (Ok(()), exists) || results == (exists, Ok(()))
}

pub(crate) fn lstat(path: impl AsRef<Path>) -> Result<Stat> {
    rustix::fs::lstat(path.as_ref())
}

pub(crate) fn exists(path: impl AsRef<Path>) -> bool {
    lstat(path).is_ok()
}

/// Permission bits, with suid, sgid and sticky.
pub(crate) fn perm(stat: &Stat) -> u32 {
    stat.st_mode & 0o7777
}

pub(crate) fn mode_of(path: impl AsRef<Path>) -> Result<u32> {
    Ok(perm(&lstat(path)?))
}

pub(crate) fn size_of(path: impl AsRef<Path>) -> Result<u64> {
    Ok(lstat(path)?.st_size as u64)
}

pub(crate) fn nlink_of(path: impl AsRef<Path>) -> Result<u64> {
    #[allow(clippy::useless_conversion)] // narrower on some architectures
    Ok(u64::from(lstat(path)?.st_nlink))
}

pub(crate) fn mkdir(path: impl AsRef<Path>) -> Result<()> {
    mkdir_mode(path, 0o755)
}

pub(crate) fn mkdir_mode(path: impl AsRef<Path>, mode: u32) -> Result<()> {
    rustix::fs::mkdir(path.as_ref(), Mode::from_raw_mode(mode))
}

pub(crate) fn chmod(path: impl AsRef<Path>, mode: u32) -> Result<()> {
    rustix::fs::chmod(path.as_ref(), Mode::from_raw_mode(mode))
}

pub(crate) fn chown(path: impl AsRef<Path>, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
    rustix::fs::chown(
        path.as_ref(),
        uid.map(Uid::from_raw),
        gid.map(Gid::from_raw),
    )
}

/// Names in a directory, sorted, without `.` and `..`.
pub(crate) fn names(path: impl AsRef<Path>) -> std::result::Result<Vec<String>, Failure> {
    let mut names = std::fs::read_dir(path)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

pub(crate) fn set_times(path: impl AsRef<Path>, atime: Timespec, mtime: Timespec) -> Result<()> {
    let times = Timestamps {
        last_access: atime,
        last_modification: mtime,
    };
    rustix::fs::utimensat(CWD, path.as_ref(), &times, AtFlags::SYMLINK_NOFOLLOW)
}

pub(crate) fn seconds(seconds: i64) -> Timespec {
    Timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    }
}

/// Sets access and modification time of `path` to [`LONG_AGO`].
pub(crate) fn age(path: impl AsRef<Path>) -> Result<()> {
    set_times(path, seconds(LONG_AGO), seconds(LONG_AGO))
}

pub(crate) fn mtime(stat: &Stat) -> (i64, u64) {
    (stat.st_mtime, stat.st_mtime_nsec)
}

pub(crate) fn ctime(stat: &Stat) -> (i64, u64) {
    (stat.st_ctime, stat.st_ctime_nsec)
}

/// The change time of `path`, once the kernel's coarse clock (which stamps files) has passed it:
/// what changes the file afterwards shows a later time.
pub(crate) fn ctime_then_tick(path: impl AsRef<Path>) -> std::result::Result<(i64, u64), Failure> {
    let stamp = ctime(&lstat(path)?);
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let now = clock_gettime(ClockId::RealtimeCoarse);
        if (now.tv_sec, now.tv_nsec as u64) > stamp {
            return Ok(stamp);
        }
        if Instant::now() > deadline {
            return Err(Failure::new("the change time lies in the future"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub(crate) fn readable_within(
    fd: impl AsFd,
    limit: Duration,
) -> std::result::Result<bool, Failure> {
    let deadline = Instant::now() + limit;
    loop {
        let rest = deadline.saturating_duration_since(Instant::now());
        let rest = Timespec::try_from(rest).map_err(|_| Errno::INVAL)?;
        match poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&rest)) {
            Err(Errno::INTR) => {}
            ready => return Ok(ready? > 0),
        }
    }
}
