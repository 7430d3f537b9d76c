//! How long single operations take.

use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::Result;

use super::data::{DATA, PAGE, data, offsets, warm_data};
use super::names::{NAMES, all_names};
use super::places::{EMPTY, lstat, nothing};
use super::{Caches, Group, Room, Turn, Workload};

pub(super) fn workloads() -> Vec<Workload> {
    let statfs = Workload {
        name: "latency-statfs",
        group: Group::Latency,
        operation: "a statfs, which nobody caches",
        caches: Caches::Hot,
        quick: true,
        material: EMPTY,
        before: |room| statfs(room),
        run: |room, turn| turn.repeat_each_timed(u64::MAX, |_| statfs(room)),
    };
    vec![
        statfs,
        Workload {
            name: "latency-lookup",
            operation: "an lstat of a file whose name is not cached, each once",
            caches: Caches::ColdNames,
            material: NAMES,
            before: nothing,
            run: look_up,
            ..statfs
        },
        Workload {
            name: "latency-read-4k",
            operation: "a read of 4 KiB, from the page cache where there is one",
            caches: Caches::Hot,
            material: DATA,
            before: warm_data,
            run: read,
            ..statfs
        },
    ]
}

fn statfs(room: &Room) -> Result<()> {
    rustix::fs::statfs(&room.dir)?;
    Ok(())
}

fn look_up(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let paths = all_names(room);
    turn.repeat_each_timed(paths.len() as u64, |index| lstat(&paths[index as usize]))
}

fn read(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let offsets = offsets(&data(room))?;
    let file = File::open(data(room))?;
    let mut page = [0; PAGE];
    turn.repeat_each_timed(u64::MAX, |index| {
        Ok(file.read_exact_at(&mut page, offsets[index as usize % offsets.len()])?)
    })
}
