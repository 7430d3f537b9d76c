//! Listings and tree walks.

use std::fs::{self, File, ReadDir};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, openat, statat};

use super::places::{cool, nothing};
use super::{Caches, Fixtures, Group, Material, Room, Turn, Workload};

/// As much as the C library asks for at a time.
const BUFFER: usize = 32 << 10;

/// One large directory of empty files.
const MANY: Material = Material::Lasting {
    name: "many",
    make: |dir, fixtures| fill(dir, many(fixtures)),
};

/// A directory that can be warmed through the slowest contestant.
const SOME: Material = Material::Shared {
    name: "some",
    make: |dir, fixtures| fill(dir, some(fixtures)),
};

/// A tree of empty files. See [`super::names::NAMES`].
const TREE: Material = Material::Shared {
    name: "tree",
    make: |dir, fixtures| {
        for outer in 0..fixtures.amount(15, 6) {
            for inner in 0..BRANCHES {
                let path = dir.join(format!("d{outer}/d{inner}"));
                fs::create_dir_all(&path)?;
                fill(&path, LEAVES)?;
            }
        }
        Ok(())
    },
};

const BRANCHES: u64 = 10;
const LEAVES: u64 = 20;

fn many(fixtures: &Fixtures) -> u64 {
    fixtures.amount(50_000, 5_000)
}

fn some(fixtures: &Fixtures) -> u64 {
    fixtures.amount(2_000, 1_000)
}

/// Entries of [`TREE`].
fn tree(fixtures: &Fixtures) -> u64 {
    fixtures.amount(15, 6) * (1 + BRANCHES * (1 + LEAVES))
}

fn fill(dir: &Path, files: u64) -> Result<()> {
    for index in 0..files {
        File::create(dir.join(format!("entry-{index}")))?;
    }
    Ok(())
}

pub(super) fn workloads() -> Vec<Workload> {
    let mut all = Vec::from(walks());
    all.extend(listings());
    all
}

fn walks() -> [Workload; 2] {
    let cold = Workload {
        name: "walk-cold",
        group: Group::Metadata,
        operation: "an entry of a tree of some thousand listed and lstat'ed",
        caches: Caches::ColdNames,
        quick: true,
        material: TREE,
        before: nothing,
        run: |room, turn| walk(room, turn, tree(&room.fixtures)),
    };
    let hot = Workload {
        name: "walk-hot",
        caches: Caches::Hot,
        before: |room| walk_once(&room.dir),
        run: |room, turn| walk(room, turn, u64::MAX),
        ..cold
    };
    [hot, cold]
}

fn listings() -> [Workload; 4] {
    let hot = Workload {
        name: "readdir-hot",
        group: Group::Directories,
        operation: "an entry listed, of a directory of 50,000 (quick: 5,000)",
        caches: Caches::Hot,
        quick: true,
        material: MANY,
        before: |room| list(&room.dir, many(&room.fixtures)),
        run: list_again,
    };
    let cold = Workload {
        name: "readdir-cold",
        caches: Caches::ColdNames,
        quick: false,
        before: cool_listing,
        run: list_once,
        ..hot
    };
    let stat_cold = Workload {
        name: "readdir-stat-cold",
        operation: "an entry listed and lstat'ed, of a directory of 50,000 (quick: 5,000), as \
                    far as the time allows",
        run: |room, turn| walk(room, turn, many(&room.fixtures)),
        ..cold
    };
    let stat_hot = Workload {
        name: "readdir-stat-hot",
        operation: "an entry listed and lstat'ed, of a directory of 2,000 (quick: 1,000), round \
                    and round as far as the time allows",
        material: SOME,
        before: |room| walk_once(&room.dir),
        run: |room, turn| walk(room, turn, u64::MAX),
        quick: false,
        ..hot
    };
    [hot, cold, stat_hot, stat_cold]
}

/// The mount's cache of a listing consists of pages, which outlive the dropping of names.
fn cool_listing(room: &Room) -> Result<()> {
    cool(room, &room.dir)
}

/// getdents64(2) until the end.
fn list(dir: &Path, expected: u64) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = openat(CWD, dir, flags, Mode::empty())?;
    let mut buffer = [MaybeUninit::uninit(); BUFFER];
    let mut entries = RawDir::new(fd, &mut buffer);
    let mut found = 0;
    while let Some(entry) = entries.next() {
        entry?;
        found += 1;
    }
    // With "." and "..", which not every file system lists.
    ensure!(
        (expected..=expected + 2).contains(&found),
        "{found} entries instead of {expected} in {}",
        dir.display()
    );
    Ok(())
}

fn list_once(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let entries = many(&room.fixtures);
    turn.timed(|| list(&room.dir, entries).map(|()| entries))
}

fn list_again(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let entries = many(&room.fixtures);
    turn.repeat_whole(entries, |_| list(&room.dir, entries))
}

/// Goes through a tree depth first, as find(1) does: lists, and lstat's each entry as it comes,
/// relative to its directory.
struct Walk {
    open: Vec<Level>,
}

struct Level {
    path: PathBuf,
    /// Not opened for reading: no request to a daemon.
    at: OwnedFd,
    entries: ReadDir,
}

impl Walk {
    fn begin(root: &Path) -> Result<Self> {
        let open = vec![Level::open(root.to_owned())?];
        Ok(Walk { open })
    }

    /// Whether there was another entry.
    fn step(&mut self) -> Result<bool> {
        while let Some(level) = self.open.last_mut() {
            let Some(entry) = level.entries.next() else {
                self.open.pop();
                continue;
            };
            let name = entry?.file_name();
            let stat = statat(&level.at, &name, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                let path = level.path.join(name);
                self.open.push(Level::open(path)?);
            }
            return Ok(true);
        }
        Ok(false)
    }
}

impl Level {
    fn open(path: PathBuf) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Level {
            at: openat(CWD, &path, flags, Mode::empty())?,
            entries: fs::read_dir(&path)?,
            path,
        })
    }
}

/// Lists and lstats all that is below `root`.
pub(super) fn walk_once(root: &Path) -> Result<()> {
    let mut walk = Walk::begin(root)?;
    while walk.step()? {}
    Ok(())
}

/// Begins again at the end, until `most` entries were seen.
fn walk(room: &Room, turn: &mut Turn<'_>, most: u64) -> Result<()> {
    let mut walk = Walk { open: Vec::new() };
    turn.repeat(most, |_| {
        if !walk.step()? {
            walk = Walk::begin(&room.dir)?;
            ensure!(walk.step()?, "{} is empty", room.dir.display());
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_sees_each_entry_once() {
        let dir = tempfile::tempdir().unwrap();
        let fixtures = Fixtures {
            dir: dir.path().to_owned(),
            quick: true,
        };
        let root = dir.path().join("tree");
        fs::create_dir(&root).unwrap();
        let Material::Shared { make, .. } = TREE else {
            panic!("the tree is shared")
        };
        make(&root, &fixtures).unwrap();
        let mut walk = Walk::begin(&root).unwrap();
        let mut seen = 0;
        while walk.step().unwrap() {
            seen += 1;
        }
        assert_eq!(seen, tree(&fixtures));
    }
}
