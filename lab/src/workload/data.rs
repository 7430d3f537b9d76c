//! Reading and writing one file.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::fs::{Advice, fadvise};

use super::places::{
    EMPTY, check_read_directly, check_written_out, cool, drop_pages, nothing, open_behind,
    warm_file,
};
use super::{Caches, Fixtures, Group, Material, Room, Turn, Workload};
use crate::material::{self, Random};
use crate::suite::sys::Map;

/// The file of each room.
const DATA_FILE: &str = "data";

const KIB_128: usize = 128 << 10;
pub(super) const MIB: usize = 1 << 20;
pub(super) const PAGE: usize = 4096;

/// What is appended at a time: a line of a log.
pub(super) const RECORD: [u8; 128] = [b'r'; 128];

/// One file, only read.
pub(super) const DATA: Material = Material::Shared {
    name: "data",
    make: |dir, fixtures| {
        material::large_file(&dir.join(DATA_FILE), read_bytes(fixtures), |_| {})?;
        Ok(())
    },
};

/// One file to be overwritten: the allocation of blocks would be the same work for all, and hide
/// the rest.
const OVERWRITTEN: Material = Material::Own {
    make: |dir, fixtures| {
        Ok(fs::write(
            dir.join(DATA_FILE),
            vec![1; write_bytes(fixtures)],
        )?)
    },
};

fn read_bytes(fixtures: &Fixtures) -> u64 {
    fixtures.amount(64, 16) << 20
}

fn write_bytes(fixtures: &Fixtures) -> usize {
    fixtures.amount(32, 8) as usize * MIB
}

pub(super) fn workloads() -> Vec<Workload> {
    let mut all = reads();
    all.extend(writes());
    all
}

fn reads() -> Vec<Workload> {
    let read = Workload {
        name: "",
        group: Group::Data,
        operation: "",
        caches: Caches::ColdData,
        quick: false,
        material: DATA,
        before: cool_data,
        run: read_cold::<MIB>,
    };
    vec![
        Workload {
            name: "read-seq-128k-cold",
            operation: "a read of 128 KiB, in order",
            run: read_cold::<KIB_128>,
            ..read
        },
        Workload {
            name: "read-seq-128k-hot",
            operation: "a read of 128 KiB, in order",
            caches: Caches::Hot,
            before: warm_data,
            run: read_again::<KIB_128>,
            ..read
        },
        Workload {
            name: "read-seq-1m-cold",
            operation: "a read of 1 MiB, in order",
            quick: true,
            ..read
        },
        Workload {
            name: "read-seq-1m-hot",
            operation: "a read of 1 MiB, in order",
            caches: Caches::Hot,
            before: warm_data,
            run: read_again::<MIB>,
            ..read
        },
        Workload {
            name: "read-mmap-cold",
            operation: "a mapped page touched, in order",
            run: touch_cold,
            ..read
        },
        Workload {
            name: "read-mmap-hot",
            operation: "a mapped page touched, in order; the file is mapped anew for each pass",
            caches: Caches::Hot,
            quick: true,
            before: warm_data,
            run: touch_again,
            ..read
        },
        Workload {
            name: "read-rand-4k-cold",
            operation: "a read of 4 KiB, each page of the file once at most",
            quick: true,
            run: read_randomly,
            ..read
        },
    ]
}

fn writes() -> Vec<Workload> {
    let write = Workload {
        name: "",
        group: Group::Data,
        operation: "",
        caches: Caches::New,
        quick: true,
        material: OVERWRITTEN,
        before: nothing,
        run: write_in_order::<MIB>,
    };
    vec![
        Workload {
            name: "write-seq-1m",
            operation: "1 MiB of a file overwritten, in order; fsync after each pass",
            ..write
        },
        Workload {
            name: "write-seq-4k",
            operation: "4 KiB of a file overwritten, in order; fsync after each pass",
            run: write_in_order::<PAGE>,
            ..write
        },
        Workload {
            name: "write-rand-4k",
            operation: "4 KiB of a file overwritten, in no order; fsync after each 2,048",
            run: write_randomly,
            ..write
        },
        Workload {
            name: "append-fsync",
            operation: "128 bytes appended, then fsync",
            material: EMPTY,
            run: append,
            ..write
        },
    ]
}

pub(super) fn data(room: &Room) -> PathBuf {
    room.dir.join(DATA_FILE)
}

/// In the page cache behind the mount, and not in its own.
fn cool_data(room: &Room) -> Result<()> {
    cool(room, &data(room))?;
    warm_file(&room.backing.join(DATA_FILE))
}

/// In both: direct reads before this have dropped the pages behind the mount.
pub(super) fn warm_data(room: &Room) -> Result<()> {
    warm_file(&room.backing.join(DATA_FILE))?;
    warm_file(&data(room))
}

/// In neither.
pub(super) fn drop_data(room: &Room) -> Result<()> {
    cool(room, &data(room))?;
    let behind = open_behind(room, DATA_FILE)?;
    Ok(fadvise(&behind, 0, None, Advice::DontNeed)?)
}

/// After direct reads. Those of a native directory asked nobody but its file system.
pub(super) fn check_data_read_directly(room: &Room) -> Result<()> {
    if room.is_mounted() {
        check_read_directly(room, DATA_FILE)?;
    }
    Ok(())
}

/// Pass after pass, each after the mount's pages were dropped.
fn read_cold<const BLOCK: usize>(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let file = File::open(data(room))?;
    let blocks = file.metadata()?.len() / BLOCK as u64;
    let mut buffer = vec![0; BLOCK];
    turn.repeat_after_pauses(
        blocks,
        |_| drop_pages(room, &file).map(|()| true),
        |index| Ok(file.read_exact_at(&mut buffer, index * BLOCK as u64)?),
    )
}

fn read_again<const BLOCK: usize>(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let file = File::open(data(room))?;
    let blocks = file.metadata()?.len() / BLOCK as u64;
    let mut buffer = vec![0; BLOCK];
    turn.repeat(u64::MAX, |index| {
        Ok(file.read_exact_at(&mut buffer, index % blocks * BLOCK as u64)?)
    })
}

fn touch_cold(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let file = File::open(data(room))?;
    let len = file.metadata()?.len() as usize;
    // Mapped within the round: pages that are mapped are not dropped.
    let mut map = None;
    let pages = (len / PAGE) as u64;
    turn.repeat_after_pauses(
        pages,
        |_| drop_pages(room, &file).map(|()| true),
        |index| {
            if index == 0 {
                map = Some(Map::shared_read(&file, len)?);
            }
            touch_page(map.as_ref(), index);
            if index + 1 == pages {
                map = None;
            }
            Ok(())
        },
    )
}

fn touch_again(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let file = File::open(data(room))?;
    let len = file.metadata()?.len() as usize;
    let pages = (len / PAGE) as u64;
    let mut map = None;
    turn.repeat(u64::MAX, |index| {
        if index.is_multiple_of(pages) {
            // In a mapping that was touched before, there is nothing left to do.
            map = None;
            map = Some(Map::shared_read(&file, len)?);
        }
        touch_page(map.as_ref(), index % pages);
        Ok(())
    })
}

fn touch_page(map: Option<&Map>, page: u64) {
    if let Some(map) = map {
        std::hint::black_box(map.byte(page as usize * PAGE));
    }
}

/// Offsets of all pages of the file, in no order, the same each time.
pub(super) fn offsets(path: &Path) -> Result<Vec<u64>> {
    let pages = path.metadata()?.len() as usize / PAGE;
    let order = Random::new(1).shuffled(pages);
    Ok(order.into_iter().map(|page| (page * PAGE) as u64).collect())
}

fn read_randomly(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let offsets = offsets(&data(room))?;
    let file = File::open(data(room))?;
    let mut page = [0; PAGE];
    turn.repeat_after_pauses(
        offsets.len() as u64,
        |_| drop_pages(room, &file).map(|()| true),
        |index| Ok(file.read_exact_at(&mut page, offsets[index as usize])?),
    )
}

fn write_in_order<const BLOCK: usize>(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let file = OpenOptions::new().write(true).open(data(room))?;
    let blocks = (write_bytes(&room.fixtures) / BLOCK) as u64;
    let block = vec![2; BLOCK];
    turn.repeat_in_rounds(
        blocks,
        |index| Ok(file.write_all_at(&block, index % blocks * BLOCK as u64)?),
        || Ok(file.sync_all()?),
    )?;
    check_written_out(room, DATA_FILE)
}

fn write_randomly(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let offsets = offsets(&data(room))?;
    let file = OpenOptions::new().write(true).open(data(room))?;
    let page = [3; PAGE];
    turn.repeat_in_rounds(
        2_048,
        |index| Ok(file.write_all_at(&page, offsets[index as usize % offsets.len()])?),
        || Ok(file.sync_all()?),
    )?;
    check_written_out(room, DATA_FILE)
}

fn append(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(data(room))?;
    turn.repeat(u64::MAX, |_| {
        file.write_all(&RECORD)?;
        Ok(file.sync_all()?)
    })?;
    check_written_out(room, DATA_FILE)
}
