//! Names and attributes: what is there, and what is not.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use rustix::fs::symlink;
use rustix::io::Errno;

use super::places::{EMPTY, HOT, Numbered, lstat, make_files, nothing, paths};
use super::{Caches, Fixtures, Group, Material, Room, Turn, Workload};

/// Many names of empty files, only looked at: a file that has pages in the page cache keeps its
/// inode in memory when those of others are dropped.
pub(super) const NAMES: Material = Material::Shared {
    name: "names",
    make: |dir, fixtures| make_files(dir, count(fixtures), b""),
};

const LINKS: Material = Material::Shared {
    name: "links",
    make: |dir, _| {
        for index in 0..HOT {
            symlink(format!("somewhere/else-{index}"), dir.join(link(index)))?;
        }
        Ok(())
    },
};

fn count(fixtures: &Fixtures) -> u64 {
    fixtures.amount(4_000, 1_500)
}

fn link(index: usize) -> String {
    format!("link-{index}")
}

pub(super) fn workloads() -> Vec<Workload> {
    let hot = Workload {
        name: "",
        group: Group::Metadata,
        operation: "",
        caches: Caches::Hot,
        quick: false,
        material: NAMES,
        before: nothing,
        run: |_, _| Ok(()),
    };
    vec![
        Workload {
            name: "stat-hot",
            operation: "an lstat, round and round over some hundred files",
            quick: true,
            before: warm,
            run: stat_again,
            ..hot
        },
        Workload {
            name: "stat-cold",
            operation: "an lstat of a file, each once",
            caches: Caches::ColdNames,
            quick: true,
            run: stat_once,
            ..hot
        },
        Workload {
            name: "lookup-absent-hot",
            operation: "an lstat of a name that is not there, round and round over some hundred",
            before: |room| absent(room).iter().try_for_each(|path| miss(path)),
            run: miss_again,
            ..hot
        },
        Workload {
            name: "lookup-absent-new",
            operation: "an lstat of a name that is not there, each asked for once",
            caches: Caches::New,
            quick: true,
            run: miss_new,
            ..hot
        },
        Workload {
            name: "mkdir-rmdir",
            operation: "a directory made and removed",
            caches: Caches::New,
            material: EMPTY,
            before: nothing,
            run: make_and_remove,
            ..hot
        },
        Workload {
            name: "symlink-read",
            operation: "a readlink, round and round over some hundred symbolic links",
            material: LINKS,
            before: |room| links(room).iter().try_for_each(|path| read_link(path)),
            run: read_links,
            ..hot
        },
    ]
}

/// All names, each once, in an order of no locality.
pub(super) fn all_names(room: &Room) -> Vec<PathBuf> {
    paths(&room.dir, count(&room.fixtures))
}

fn hot_names(room: &Room) -> Vec<PathBuf> {
    paths(&room.dir, 3 * HOT as u64)
}

fn warm(room: &Room) -> Result<()> {
    hot_names(room).iter().try_for_each(|path| lstat(path))
}

fn stat_again(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let paths = hot_names(room);
    turn.repeat(u64::MAX, |index| {
        lstat(&paths[index as usize % paths.len()])
    })
}

fn stat_once(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let paths = all_names(room);
    turn.repeat(paths.len() as u64, |index| lstat(&paths[index as usize]))
}

/// Names that are not there, in directories where others are.
fn absent(room: &Room) -> Vec<PathBuf> {
    (0..HOT)
        .map(|index| room.dir.join(format!("d{}/absent-{index}", index % 10)))
        .collect()
}

fn miss(path: &Path) -> Result<()> {
    let result = rustix::fs::lstat(path);
    ensure!(
        matches!(result, Err(Errno::NOENT)),
        "{} should not be there: {result:?}",
        path.display()
    );
    Ok(())
}

fn miss_again(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let paths = absent(room);
    turn.repeat(u64::MAX, |index| miss(&paths[index as usize % paths.len()]))
}

fn miss_new(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    // An earlier turn has asked for its names already.
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    let mut paths: Vec<Numbered> = (0..10)
        .map(|directory| Numbered::new(&room.dir, &format!("d{directory}/new-{now}-")))
        .collect();
    turn.repeat(u64::MAX, |index| {
        miss(paths[index as usize % 10].at(index)?)
    })
}

fn make_and_remove(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let mut paths = Numbered::new(&room.dir, "directory-");
    turn.repeat(u64::MAX, |index| {
        let path = paths.at(index)?;
        fs::create_dir(path)?;
        Ok(fs::remove_dir(path)?)
    })
}

fn links(room: &Room) -> Vec<PathBuf> {
    (0..HOT).map(|index| room.dir.join(link(index))).collect()
}

fn read_link(path: &Path) -> Result<()> {
    fs::read_link(path)?;
    Ok(())
}

fn read_links(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let paths = links(room);
    turn.repeat(u64::MAX, |index| {
        read_link(&paths[index as usize % paths.len()])
    })
}
