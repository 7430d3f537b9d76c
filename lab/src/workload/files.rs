//! Small files: made, opened, read, renamed, removed.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::places::{
    CONTENT, EMPTY, HOT, create_file, fresh, lstat, make_files, names_behind, new, paths,
};
use super::{Caches, Fixtures, Group, Material, Room, Turn, Workload};

/// Small files, only read.
const FILES: Material = Material::Shared {
    name: "files",
    make: |dir, fixtures| make_files(dir, count(fixtures), &CONTENT),
};

/// So few files are made again through the mount when the prepared ones are used up.
const REFILL: usize = 400;

fn count(fixtures: &Fixtures) -> u64 {
    fixtures.amount(2_000, 800)
}

/// How many files a turn unlinks or renames at most, all looked up before.
fn per_turn(fixtures: &Fixtures) -> usize {
    fixtures.amount(2_000, 1_000) as usize
}

pub(super) fn workloads() -> Vec<Workload> {
    let mut all = changes();
    all.extend(opens());
    all
}

fn changes() -> Vec<Workload> {
    let change = Workload {
        name: "",
        group: Group::Metadata,
        operation: "",
        caches: Caches::Hot,
        quick: true,
        material: EMPTY,
        before: fresh,
        run: create,
    };
    vec![
        Workload {
            name: "create-4k",
            operation: "a file created, 4 KiB written, closed; up to 8,000 in one directory, as far \
                        as the time allows",
            caches: Caches::New,
            ..change
        },
        Workload {
            name: "stat-after-create",
            operation: "an lstat of a file that was created and written through the mount just \
                        before, each once; up to 20 times 300",
            run: stat_created,
            ..change
        },
        Workload {
            name: "rename",
            operation: "a file renamed within its directory to a name that was not there, each 20 \
                        times at most",
            material: Material::Own {
                make: |dir, fixtures| make_flat(dir, per_turn(fixtures), b""),
            },
            before: warm_names,
            run: rename,
            ..change
        },
        Workload {
            name: "unlink",
            operation: "a file of 4 KiB unlinked",
            material: Material::Own {
                make: |dir, fixtures| make_flat(dir, 2 * per_turn(fixtures), &CONTENT),
            },
            before: refill,
            run: unlink,
            ..change
        },
    ]
}

fn opens() -> Vec<Workload> {
    let open = Workload {
        name: "",
        group: Group::Metadata,
        operation: "",
        caches: Caches::Hot,
        quick: true,
        material: FILES,
        before: warm_files,
        run: open_again,
    };
    vec![
        Workload {
            name: "open-close-hot",
            operation: "a file opened for reading and closed, round and round over some hundred",
            ..open
        },
        Workload {
            name: "open-read-close-hot",
            operation: "a file of 4 KiB opened, read to its end, closed, round and round over \
                        some hundred",
            run: read_again,
            ..open
        },
        Workload {
            name: "open-read-close-cold",
            operation: "a file of 4 KiB opened, read to its end, closed, each once; each was read \
                        before, then names were dropped and data kept, and with them the inodes \
                        of files that have data",
            caches: Caches::ColdNames,
            quick: false,
            before: |room| read_all(&all_files(room)),
            run: read_once,
            ..open
        },
    ]
}

fn flat(index: usize) -> String {
    format!("f{index}")
}

fn make_flat(dir: &Path, count: usize, content: &[u8]) -> Result<()> {
    (0..count).try_for_each(|index| Ok(fs::write(dir.join(flat(index)), content)?))
}

fn create(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let dir = new(room)?;
    let paths: Vec<PathBuf> = (0..8_000).map(|index| dir.join(flat(index))).collect();
    turn.repeat(paths.len() as u64, |index| {
        create_file(&paths[index as usize])
    })
}

/// So many files are made through the mount, then the clock starts, then each is asked for.
const MADE: u64 = 300;

/// And that so often: a fast contestant would fill the image.
const ROUNDS: u64 = 20;

fn stat_created(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let dir = new(room)?;
    let paths = RefCell::new(Vec::new());
    turn.repeat_after_pauses(
        MADE,
        |round| {
            if round == ROUNDS {
                return Ok(false);
            }
            let mut paths = paths.borrow_mut();
            paths.clear();
            paths.extend((0..MADE).map(|index| dir.join(flat((round * MADE + index) as usize))));
            paths.iter().try_for_each(|path| create_file(path))?;
            Ok(true)
        },
        |index| lstat(&paths.borrow()[index as usize]),
    )
}

/// What a turn renames or unlinks.
fn victims(room: &Room) -> Result<Vec<PathBuf>> {
    let names = names_behind(room, per_turn(&room.fixtures))?;
    Ok(names.into_iter().map(|name| room.dir.join(name)).collect())
}

fn warm_names(room: &Room) -> Result<()> {
    victims(room)?.iter().try_for_each(|path| lstat(path))
}

/// How often a turn renames a file at most.
const RENAMES: usize = 20;

fn rename(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let mut paths = victims(room)?;
    let (files, renames) = (paths.len(), RENAMES * paths.len());
    for index in 0..renames {
        paths.push(next_name(&paths[index]));
    }
    turn.repeat(renames as u64, |index| {
        let index = index as usize;
        Ok(fs::rename(&paths[index], &paths[index + files])?)
    })
}

/// The same with the number of renames behind it, so that no name is used twice.
fn next_name(path: &Path) -> PathBuf {
    let renames = path.extension().and_then(|number| number.to_str());
    let renames: u64 = renames.and_then(|number| number.parse().ok()).unwrap_or(0);
    path.with_extension((renames + 1).to_string())
}

fn refill(room: &Room) -> Result<()> {
    if victims(room)?.len() < REFILL {
        make_flat(&room.dir, REFILL, &CONTENT)?;
    }
    warm_names(room)
}

fn unlink(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let paths = victims(room)?;
    turn.repeat(paths.len() as u64, |index| {
        Ok(fs::remove_file(&paths[index as usize])?)
    })
}

fn hot_files(room: &Room) -> Vec<PathBuf> {
    paths(&room.dir, HOT as u64)
}

fn all_files(room: &Room) -> Vec<PathBuf> {
    paths(&room.dir, count(&room.fixtures))
}

fn warm_files(room: &Room) -> Result<()> {
    read_all(&hot_files(room))
}

fn read_all(paths: &[PathBuf]) -> Result<()> {
    let mut buffer = Vec::new();
    paths.iter().try_for_each(|path| read(path, &mut buffer))
}

/// Opens, reads until there is nothing more, closes.
fn read(path: &Path, buffer: &mut Vec<u8>) -> Result<()> {
    buffer.clear();
    File::open(path)?.read_to_end(buffer)?;
    Ok(())
}

fn open_again(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let paths = hot_files(room);
    turn.repeat(u64::MAX, |index| {
        File::open(&paths[index as usize % paths.len()])?;
        Ok(())
    })
}

fn read_again(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let paths = hot_files(room);
    let mut buffer = Vec::new();
    turn.repeat(u64::MAX, |index| {
        read(&paths[index as usize % paths.len()], &mut buffer)
    })
}

fn read_once(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let paths = all_files(room);
    let mut buffer = Vec::new();
    turn.repeat(paths.len() as u64, |index| {
        read(&paths[index as usize], &mut buffer)
    })
}

#[cfg(test)]
mod tests {
    use super::super::Budget;
    use super::*;
    use crate::meter::Meter;

    #[test]
    fn files_to_unlink_are_made_again_when_they_are_used_up() {
        let place = tempfile::tempdir().unwrap();
        let room = Room {
            dir: place.path().join("room"),
            backing: place.path().join("room"),
            fixtures: Fixtures {
                dir: place.path().join("fixtures"),
                quick: true,
            },
        };
        let all = workloads();
        let workload = all.iter().find(|one| one.name == "unlink").unwrap();
        let Material::Own { make } = workload.material else {
            panic!("unlinked files are not shared");
        };
        fs::create_dir(&room.dir).unwrap();
        make(&room.dir, &room.fixtures).unwrap();
        let (meter, files) = (Meter::default(), per_turn(&room.fixtures) as u64);
        let budget = Budget {
            time: std::time::Duration::from_secs(30),
            operations: u64::MAX,
        };
        for expected in [files, files, REFILL as u64, REFILL as u64] {
            (workload.before)(&room).unwrap();
            let mut turn = Turn::new(budget, &meter);
            (workload.run)(&room, &mut turn).unwrap();
            assert_eq!(turn.finish().unwrap().operations, expected);
        }
    }

    #[test]
    fn no_name_is_used_twice() {
        let once = next_name(Path::new("/a/f7"));
        assert_eq!(once, Path::new("/a/f7.1"));
        assert_eq!(next_name(&once), Path::new("/a/f7.2"));
    }
}
