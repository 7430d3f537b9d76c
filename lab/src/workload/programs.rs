//! Programs that people use.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};

use super::directories::walk_once;
use super::places::{check_written_out, fixture, fresh, new, newest};
use super::{Caches, Fixtures, Group, Material, Room, Turn, Workload, mix, repository};
use crate::material::{self, NEEDLE};
use crate::program::{Settings, run, run_silent};

/// Limit of one program.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

/// Trees to remove, one a turn.
const TREES: usize = 6;

/// Source files, only read.
const SOURCES: Material = Material::Shared {
    name: "sources",
    make: |dir, fixtures| material::sources(dir, files(fixtures)),
};

fn files(fixtures: &Fixtures) -> u64 {
    fixtures.amount(500, 200)
}

fn inserts(fixtures: &Fixtures) -> u64 {
    fixtures.amount(100, 40)
}

pub(super) fn workloads() -> Vec<Workload> {
    let mut all = Vec::from(trees());
    all.extend(repository::workloads());
    all.extend(searches());
    all.extend(builds());
    all.push(mix::workload());
    all
}

fn trees() -> [Workload; 3] {
    let untar = Workload {
        name: "untar",
        group: Group::RealWork,
        operation: "a file of the 500 (quick: 200) of an archive, in directories of 25, extracted \
                    by tar",
        caches: Caches::New,
        quick: true,
        material: Material::Own {
            make: |_, fixtures| archive(fixtures).map(drop),
        },
        before: fresh,
        run: untar,
    };
    let copy = Workload {
        name: "cp-r",
        operation: "a file of the 500 (quick: 200) of a tree, in directories of 25, copied by \
                    cp -r; the original was read before",
        material: Material::Own {
            make: |dir, fixtures| tree(&dir.join("tree"), fixtures),
        },
        before: |room| {
            search(&settings(room)?, room, "tree")?;
            fresh(room)
        },
        run: copy,
        ..untar
    };
    let remove = Workload {
        name: "rm-rf",
        operation: "a file of the 500 (quick: 200) of a tree, in directories of 25, removed by \
                    rm -rf",
        caches: Caches::Hot,
        material: Material::Own {
            make: |dir, fixtures| {
                (0..TREES).try_for_each(|index| tree(&dir.join(format!("tree-{index}")), fixtures))
            },
        },
        before: provide_tree,
        run: remove,
        ..untar
    };
    [untar, copy, remove]
}

fn searches() -> [Workload; 2] {
    let hot = Workload {
        name: "ripgrep-hot",
        group: Group::RealWork,
        operation: "a file of 500 (quick: 200), in directories of 25, searched by rg",
        caches: Caches::Hot,
        quick: true,
        material: SOURCES,
        before: search_once,
        run: search_again,
    };
    let cold = Workload {
        name: "ripgrep-cold",
        operation: "a file of 500 (quick: 200), in directories of 25, searched by rg; each was read \
                    before, then names were dropped and data kept, and with them the inodes of \
                    files that have data",
        caches: Caches::ColdNames,
        quick: false,
        run: search_cold,
        ..hot
    };
    [hot, cold]
}

fn builds() -> [Workload; 2] {
    let build = Workload {
        name: "cargo-build",
        group: Group::RealWork,
        operation: "two crates built by cargo",
        caches: Caches::New,
        quick: false,
        material: Material::Own {
            make: |dir, _| material::workspace(dir),
        },
        before: fresh,
        run: build,
    };
    let insert = Workload {
        name: "sqlite-inserts",
        operation: "a row inserted by sqlite3 in a transaction of its own: rollback journal, \
                    synchronous=FULL; the first transaction makes the table too",
        material: Material::Own {
            make: |_, fixtures| statements(fixtures).map(drop),
        },
        run: insert,
        ..build
    };
    [build, insert]
}

fn tree(root: &Path, fixtures: &Fixtures) -> Result<()> {
    fs::create_dir(root)?;
    material::sources(root, files(fixtures))
}

pub(super) fn settings(room: &Room) -> Result<Settings> {
    Settings::in_directory(&room.fixtures.dir)
}

fn archive(fixtures: &Fixtures) -> Result<PathBuf> {
    fixture(fixtures, "sources.tar", |archive| {
        let sources = fixture(fixtures, "sources", |sources| tree(sources, fixtures))?;
        let settings = Settings::in_directory(&fixtures.dir)?;
        let mut tar = settings.command("tar", &sources);
        tar.arg("-cf").arg(archive).arg(".");
        run_silent(&mut tar, LIMIT)
    })
}

fn untar(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let (archive, settings) = (archive(&room.fixtures)?, settings(room)?);
    let dir = new(room)?;
    turn.repeat_whole(files(&room.fixtures), |number| {
        let target = dir.join(number.to_string());
        fs::create_dir(&target)?;
        let mut tar = settings.command("tar", &target);
        run_silent(tar.arg("-xf").arg(&archive), LIMIT)
    })
}

fn copy(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let (settings, dir) = (settings(room)?, new(room)?);
    turn.repeat_whole(files(&room.fixtures), |number| {
        let target = dir.join(number.to_string());
        let mut cp = settings.command("cp", &room.dir);
        run_silent(cp.args(["-r", "tree"]).arg(target), LIMIT)
    })
}

/// The first tree that is left, seen behind the mount.
fn next_tree(room: &Room) -> Option<String> {
    (0..TREES)
        .map(|index| format!("tree-{index}"))
        .find(|name| room.backing.join(name).exists())
}

/// When earlier turns removed all trees, one is made through the mount.
fn provide_tree(room: &Room) -> Result<()> {
    if next_tree(room).is_none() {
        tree(&room.dir.join("tree-0"), &room.fixtures)?;
    }
    Ok(())
}

/// Tree after tree, each walked through before its turn comes.
fn remove(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let settings = settings(room)?;
    turn.timed_after_pauses(
        || match next_tree(room) {
            None => Ok(false),
            Some(name) => {
                walk_once(&room.dir.join(name))?;
                room.settle()?;
                Ok(true)
            }
        },
        || {
            let mut rm = settings.command("rm", &room.dir);
            rm.arg("-rf").args(next_tree(room));
            run_silent(&mut rm, LIMIT)?;
            Ok(files(&room.fixtures))
        },
    )
}

/// Finds the needle in every file below `tree`.
fn search(settings: &Settings, room: &Room, tree: &str) -> Result<()> {
    let mut rg = settings.command("rg", &room.dir);
    rg.args(["--no-config", "--no-ignore", "--files-with-matches"])
        .args(["--threads", "2", NEEDLE, tree]);
    let found = run(&mut rg, LIMIT)?.lines().count() as u64;
    let files = files(&room.fixtures);
    ensure!(found == files, "rg found {found} files instead of {files}");
    Ok(())
}

fn search_once(room: &Room) -> Result<()> {
    search(&settings(room)?, room, ".")
}

fn search_again(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let settings = settings(room)?;
    turn.repeat_whole(files(&room.fixtures), |_| search(&settings, room, "."))
}

fn search_cold(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let settings = settings(room)?;
    turn.timed(|| search(&settings, room, ".").map(|()| files(&room.fixtures)))
}

fn build(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let mut cargo = settings(room)?.cargo_build(&room.dir);
    cargo.arg("--target-dir").arg(new(room)?);
    turn.timed(|| {
        run_silent(&mut cargo, LIMIT)?;
        Ok(1)
    })
}

fn statements(fixtures: &Fixtures) -> Result<PathBuf> {
    fixture(fixtures, "inserts.sql", |path| {
        let mut sql = String::from(
            "PRAGMA synchronous=FULL;\nBEGIN;\nCREATE TABLE t(id INTEGER PRIMARY KEY, value TEXT);\n",
        );
        for id in 1..=inserts(fixtures) {
            writeln!(sql, "INSERT INTO t VALUES({id}, 'value {}');", id * id)?;
            if id == 1 {
                sql.push_str("COMMIT;\n");
            }
        }
        Ok(fs::write(path, sql)?)
    })
}

fn insert(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let read = format!(".read '{}'", statements(&room.fixtures)?.display());
    let settings = settings(room)?;
    let dir = newest(room)?;
    let database = |number| Path::new(&dir).join(format!("{number}.db"));
    turn.repeat_whole(inserts(&room.fixtures), |number| {
        let mut sqlite = settings.command("sqlite3", &room.dir);
        sqlite
            .args(["-batch", "-bail"])
            .arg(database(number))
            .arg(&read);
        run_silent(&mut sqlite, LIMIT)
    })?;
    check_written_out(room, database(0))
}
