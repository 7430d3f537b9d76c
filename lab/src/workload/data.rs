//! Reading and writing one file.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use anyhow::Result;
use rustix::fs::{Advice, fadvise};

use super::{Room, Workload};

const BLOCK: usize = 1 << 20;
/// The test of this module needs no more than a few.
const BLOCKS: u64 = if cfg!(test) { 4 } else { 256 };
const PAGE: usize = 4096;
const RANDOM_OPERATIONS: u64 = 8_192;

const COLD: &str = "mount's page cache dropped (posix_fadvise DONTNEED on the mount's file), \
                    backing file in the page cache of ext4 (just written there)";
const WARM: &str = "file in the page cache, written out before the clock starts";

pub(super) fn workloads() -> Vec<Workload> {
    vec![
        Workload {
            name: "sequential read 1 MiB",
            caches: COLD,
            prepare: write_behind,
            before: cool,
            run: read_sequentially,
        },
        Workload {
            name: "random read 4 KiB",
            caches: COLD,
            prepare: write_behind,
            before: cool,
            run: read_randomly,
        },
        Workload {
            name: "sequential write 1 MiB",
            caches: WARM,
            prepare: write_before,
            before: Room::settle,
            run: write_file,
        },
        Workload {
            name: "random write 4 KiB",
            caches: WARM,
            prepare: write_before,
            before: Room::settle,
            run: write_randomly,
        },
    ]
}

/// For reading: written behind the mount, so that the page cache of ext4 holds it in the same way
/// for all.
fn write_behind(room: &Room) -> Result<()> {
    write_file(&room.backing)
}

fn write_before(room: &Room) -> Result<()> {
    write_file(&room.dir)
}

/// Overwrites: the allocation of blocks is the same work for all, and hides the rest.
fn write_file(dir: &Path) -> Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(dir.join("data"))?;
    let block = vec![0x5a_u8; BLOCK];
    for index in 0..BLOCKS {
        file.write_all_at(&block, index * BLOCK as u64)?;
    }
    Ok(())
}

fn read_sequentially(dir: &Path) -> Result<()> {
    let file = File::open(dir.join("data"))?;
    let mut block = vec![0_u8; BLOCK];
    for index in 0..BLOCKS {
        file.read_exact_at(&mut block, index * BLOCK as u64)?;
    }
    Ok(())
}

fn read_randomly(dir: &Path) -> Result<()> {
    let file = File::open(dir.join("data"))?;
    let mut page = [0_u8; PAGE];
    for offset in offsets() {
        file.read_exact_at(&mut page, offset)?;
    }
    Ok(())
}

fn write_randomly(dir: &Path) -> Result<()> {
    let file = OpenOptions::new().write(true).open(dir.join("data"))?;
    let page = [0xa5_u8; PAGE];
    for offset in offsets() {
        file.write_all_at(&page, offset)?;
    }
    Ok(())
}

/// The same page offsets in every run (a full-period linear congruential generator).
fn offsets() -> impl Iterator<Item = u64> {
    let pages = BLOCKS * (BLOCK / PAGE) as u64;
    let mut state = 1_u64;
    (0..RANDOM_OPERATIONS).map(move |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % pages * PAGE as u64
    })
}

/// Empties the page cache of the mount, and of nothing else. A bind mount has none of its own.
fn cool(room: &Room) -> Result<()> {
    room.settle()?;
    let file = File::open(room.dir.join("data"))?;
    if file.metadata()?.dev() != room.backing.metadata()?.dev() {
        fadvise(file, 0, None, Advice::DontNeed)?;
    }
    Ok(())
}
