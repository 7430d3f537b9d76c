//! `git status`: what a prompt, an editor or a build asks all the time.

use std::fs::{self, File, FileTimes};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Result;

use super::places::fixture;
use super::programs::{LIMIT, settings};
use super::{Caches, Fixtures, Group, Material, Room, Turn, Workload};
use crate::material;
use crate::program::{Settings, run, run_silent};

/// Older than any index: git reads again what changed in the second in which it wrote its index.
const LONG_AGO: Duration = Duration::from_secs(1_000_000_000);

/// A clone, copied: the index has the inode numbers and change times of other files.
const CLONE: Material = Material::Own {
    make: |dir, fixtures| {
        let settings = Settings::in_directory(&fixtures.dir)?;
        let mut cp = settings.command("cp", dir);
        run_silent(cp.arg("-a").arg(clone(fixtures)?).arg("clone"), LIMIT)
    },
};

/// Files of the repository, and a symbolic link.
fn files(fixtures: &Fixtures) -> u64 {
    fixtures.amount(1_000, 300)
}

pub(super) fn workloads() -> [Workload; 3] {
    let hot = Workload {
        name: "git-status-hot",
        group: Group::RealWork,
        operation: "a file of the 1,000 (quick: 300) that git status compares with its index",
        caches: Caches::Hot,
        quick: true,
        material: CLONE,
        before: renew_index,
        run: again,
    };
    let cold = Workload {
        name: "git-status-cold",
        caches: Caches::ColdNames,
        quick: false,
        run: once,
        ..hot
    };
    let first = Workload {
        name: "git-status-first",
        operation: "a file of the 1,000 (quick: 300) that git status reads, because the index was \
                    written for another copy, and writes into its index",
        before: read_files,
        ..cold
    };
    [first, hot, cold]
}

fn clone(fixtures: &Fixtures) -> Result<PathBuf> {
    fixture(fixtures, "clone", |clone| {
        let settings = Settings::in_directory(&fixtures.dir)?;
        let origin = fixture(fixtures, "origin.git", |origin| {
            let history = fixtures.path("history");
            fs::write(&history, material::history(files(fixtures) as usize, 1))?;
            settings.import_history(origin, &history, LIMIT)
        })?;
        let mut git = settings.git(&fixtures.dir);
        run(git.args(["clone", "-q"]).arg(origin).arg(clone), LIMIT)?;
        age_files(&settings, clone)
    })
}

fn age_files(settings: &Settings, clone: &Path) -> Result<()> {
    let files = run(settings.git(clone).args(["ls-files", "dir-*"]), LIMIT)?;
    let long_ago = FileTimes::new().set_modified(UNIX_EPOCH + LONG_AGO);
    for file in files.lines() {
        File::open(clone.join(file))?.set_times(long_ago)?;
    }
    Ok(())
}

fn old_index(room: &Room) -> Result<()> {
    let index = fs::read(clone(&room.fixtures)?.join(".git/index"))?;
    Ok(fs::write(room.dir.join("clone/.git/index"), index)?)
}

/// All files once, as the turn will do.
fn read_files(room: &Room) -> Result<()> {
    old_index(room)?;
    renew_index(room)?;
    old_index(room)
}

/// Nothing has changed. What is found is written into the index, as it is by default.
fn status(settings: &Settings, room: &Room) -> Result<()> {
    let mut git = settings.git(&room.dir.join("clone"));
    run_silent(git.args(["status", "--porcelain"]), LIMIT)
}

fn renew_index(room: &Room) -> Result<()> {
    status(&settings(room)?, room)
}

fn again(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let settings = settings(room)?;
    turn.repeat_whole(files(&room.fixtures), |_| status(&settings, room))
}

fn once(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let settings = settings(room)?;
    turn.timed(|| status(&settings, room).map(|()| files(&room.fixtures)))
}
