//! Calls that make data durable: that they are answered, and that data are there below.

use std::os::fd::OwnedFd;

use rustix::fs::{fdatasync, fsync, syncfs};

use super::prelude::*;
use crate::workload::sys::pages;

/// How often the kernel's own writeback may be faster than a look at what there is to write.
const WRITEBACK_ATTEMPTS: usize = 5;

pub(super) const CASES: &[Case] = &[
    case!(
        "sync",
        every_call,
        "fsync, fdatasync, syncfs and sync_file_range succeed"
    ),
    case!("sync", directory, "a directory can be synced"),
    case!(
        "sync",
        read_only_descriptor,
        "a read-only descriptor can be synced"
    ),
    case!(
        "sync",
        synchronous_writes,
        "O_SYNC and O_DSYNC writes are complete"
    ),
    case!(
        "sync",
        reaches_backing,
        "synced data are read below the mount while open here"
    ),
    case!(
        "sync",
        reaches_disk,
        "fsync, fdatasync and O_SYNC leave nothing unwritten below the mount",
        cachestat
    ),
    case!(
        "sync",
        syncfs_reaches_disk,
        "syncfs leaves nothing unwritten below the mount",
        cachestat
    ),
    case!("sync", not_for_pipes, "a FIFO cannot be synced"),
];

fn every_call(_: &Cx) -> Checked {
    let fd = create("f")?;
    for round in 0..3 {
        write_all(&fd, &pattern(round, 50_000))?;
        fsync(&fd)?;
        write_all(&fd, b"x")?;
        fdatasync(&fd)?;
        write_all(&fd, b"y")?;
        sys::sync_file_range(&fd)?;
    }
    syncfs(&fd)?;
    same!(size_of("f")?, 150_006);
    Ok(())
}

fn directory(_: &Cx) -> Checked {
    mkdir("d")?;
    write_file("d/f", "x")?;
    let dir = open("d", OFlags::RDONLY | OFlags::DIRECTORY)?;
    fsync(&dir)?;
    fdatasync(&dir)?;
    Ok(())
}

fn read_only_descriptor(_: &Cx) -> Checked {
    write_file("f", "x")?;
    let fd = read_only("f")?;
    fsync(&fd)?;
    fdatasync(&fd)?;
    Ok(())
}

fn synchronous_writes(cx: &Cx) -> Checked {
    for (name, flag) in [("sync", OFlags::SYNC), ("dsync", OFlags::DSYNC)] {
        let fd = open(name, OFlags::WRONLY | OFlags::CREATE | flag)?;
        write_all(&fd, &pattern(1, 10_001))?;
        same!(
            hash(&read_all(cx.backing().join(name))?),
            hash(&pattern(1, 10_001))
        );
    }
    Ok(())
}

fn reaches_backing(cx: &Cx) -> Checked {
    let fd = create("f")?;
    for round in 0..5 {
        let bytes = pattern(round, 30_001);
        write_at(&fd, &bytes, round * 30_001)?;
        fsync(&fd)?;
        let below = read_all(cx.backing().join("f"))?;
        same!(below.len() as u64, (round + 1) * 30_001);
        ensure!(below.ends_with(&bytes));
    }
    Ok(())
}

/// Pages of the file below the mount that are not on the disk yet.
fn unwritten(cx: &Cx, name: &str) -> Result<u64, Errno> {
    let below = read_only(cx.backing().join(name))?;
    Ok(pages(&below)?.unwritten)
}

fn reaches_disk(cx: &Cx) -> Checked {
    let fd = create("f")?;
    for (round, sync) in [fsync::<&OwnedFd>, fdatasync].into_iter().enumerate() {
        let seen = write_until_unwritten(cx, &fd, round as u64)?;
        cx.observe(format!("{round} to write"), seen);
        sync(&fd)?;
        same!(unwritten(cx, "f")?, 0);
    }
    for (name, flag) in [("sync", OFlags::SYNC), ("dsync", OFlags::DSYNC)] {
        let fd = open(name, OFlags::WRONLY | OFlags::CREATE | flag)?;
        write_all(&fd, &pattern(1, 300_000))?;
        same!(unwritten(cx, name)?, 0);
    }
    Ok(())
}

/// Writes, and says whether that is seen to wait for the disk: otherwise there is nothing to show. The
/// kernel's own writeback may have been faster, but hardly again and again.
fn write_until_unwritten(cx: &Cx, fd: &OwnedFd, seed: u64) -> Result<bool, Errno> {
    for _ in 0..WRITEBACK_ATTEMPTS {
        write_all(fd, &pattern(seed, 300_000))?;
        if unwritten(cx, "f")? > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

fn syncfs_reaches_disk(cx: &Cx) -> Checked {
    let fd = create("f")?;
    let mut seen = false;
    for _ in 0..WRITEBACK_ATTEMPTS {
        write_all(&fd, &pattern(1, 300_000))?;
        syncfs(&fd)?;
        seen |= unwritten(cx, "f")? > 0;
    }
    cx.observe("to write", seen);
    Ok(())
}

fn not_for_pipes(cx: &Cx) -> Checked {
    use rustix::fs::{CWD, FileType, mknodat};
    mknodat(CWD, "p", FileType::Fifo, 0o600.into(), 0)?;
    let fd = open("p", OFlags::RDONLY | OFlags::NONBLOCK)?;
    same!(code(&fsync(&fd)), "EINVAL");
    cx.observe_code(
        "seek",
        &rustix::fs::seek(&fd, rustix::fs::SeekFrom::Start(0)),
    );
    Ok(())
}
