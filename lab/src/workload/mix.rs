//! Several threads at once in one directory.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::places::{CONTENT, EMPTY, create_file, fresh, lstat, new};
use super::{Caches, Group, Room, Turn, Workload};

const THREADS: usize = 4;

/// Files that are there all the time.
const LASTING: usize = 32;

pub(super) fn workload() -> Workload {
    Workload {
        name: "mix",
        group: Group::RealWork,
        operation: "a step of one of 4 threads in one directory, in turn: create a file of 4 KiB, \
                    lstat it, read another one, rename the own one, list the directory, unlink",
        caches: Caches::New,
        quick: true,
        material: EMPTY,
        before,
        run,
    }
}

fn lasting(dir: &Path, index: usize) -> PathBuf {
    dir.join(format!("lasting-{}", index % LASTING))
}

fn before(room: &Room) -> Result<()> {
    fresh(room)?;
    let dir = new(room)?;
    for index in 0..LASTING {
        create_file(&lasting(&dir, index))?;
    }
    Ok(())
}

fn run(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let dir = new(room)?;
    turn.repeat_in_threads(THREADS, |thread, index| step(&dir, thread, index as usize))
}

fn step(dir: &Path, thread: usize, index: usize) -> Result<()> {
    let (number, kind) = (index / 6, index % 6);
    let created = dir.join(format!("created-{thread}-{number}"));
    let renamed = dir.join(format!("renamed-{thread}-{number}"));
    match kind {
        0 => create_file(&created)?,
        1 => lstat(&created)?,
        2 => {
            let mut content = [0; CONTENT.len()];
            File::open(lasting(dir, thread * 7 + number))?.read_exact(&mut content)?;
        }
        3 => fs::rename(created, renamed)?,
        4 => {
            let found = fs::read_dir(dir)?.count();
            ensure!(found >= LASTING, "{found} entries of {LASTING} are listed");
        }
        _ => fs::remove_file(renamed)?,
    }
    Ok(())
}
