//! Several threads at once in one directory.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::data::{MIB, RECORD};
use super::directories::walk_once;
use super::places::{CONTENT, EMPTY, Numbered, create_file, fresh, lstat, new, warm_file};
use super::{Caches, Group, Room, Turn, Workload, xattrs};

const THREADS: usize = 4;

/// Files that are there all the time.
const LASTING: usize = 32;

/// Directories of the tree, and files in each.
const BRANCHES: usize = 3;
const LEAVES: usize = 5;

/// The steps of [`Actor::step`].
const STEPS: u64 = 10;

pub(super) fn workload() -> Workload {
    Workload {
        name: "mix",
        group: Group::RealWork,
        operation: "a step of one of 4 threads in one directory, in turn: create a file of 4 KiB, \
                    lstat it, append 128 bytes to it and fsync, getxattr of another one, read that, \
                    read 1 MiB of a third, rename the own one, list the directory, walk a tree of \
                    18 entries, unlink",
        caches: Caches::New,
        quick: true,
        material: EMPTY,
        before,
        run,
    }
}

/// What all threads share.
struct Scene {
    dir: PathBuf,
    lasting: Vec<PathBuf>,
    large: PathBuf,
    tree: PathBuf,
}

impl Scene {
    fn of(room: &Room) -> Result<Self> {
        let dir = new(room)?;
        Ok(Scene {
            lasting: (0..LASTING)
                .map(|index| dir.join(format!("lasting-{index}")))
                .collect(),
            large: dir.join("large"),
            tree: dir.join("tree"),
            dir,
        })
    }

    fn set_up(&self) -> Result<()> {
        for path in &self.lasting {
            create_file(path)?;
            xattrs::attribute(path)?;
        }
        fs::write(&self.large, vec![1; MIB])?;
        for branch in 0..BRANCHES {
            let branch = self.tree.join(format!("d{branch}"));
            fs::create_dir_all(&branch)?;
            for leaf in 0..LEAVES {
                File::create(branch.join(format!("f{leaf}")))?;
            }
        }
        Ok(())
    }

    fn list(&self) -> Result<()> {
        let found = fs::read_dir(&self.dir)?.count();
        ensure!(found >= LASTING, "{found} entries of {LASTING} are listed");
        Ok(())
    }
}

fn before(room: &Room) -> Result<()> {
    fresh(room)?;
    let scene = Scene::of(room)?;
    scene.set_up()?;
    warm_file(&scene.large)?;
    walk_once(&scene.tree)
}

fn run(room: &Room, turn: &mut Turn<'_>) -> Result<()> {
    let scene = Scene::of(room)?;
    let actors = (0..THREADS).map(|thread| {
        let mut actor = Actor::new(&scene, thread);
        move |index| actor.step(index)
    });
    turn.repeat_in_threads(actors.collect())
}

/// One thread.
struct Actor<'a> {
    scene: &'a Scene,
    /// Which file it reads first.
    first: usize,
    created: Numbered,
    renamed: Numbered,
    block: Vec<u8>,
}

impl<'a> Actor<'a> {
    fn new(scene: &'a Scene, thread: usize) -> Self {
        Actor {
            scene,
            first: thread * 7,
            created: Numbered::new(&scene.dir, &format!("created-{thread}-")),
            renamed: Numbered::new(&scene.dir, &format!("renamed-{thread}-")),
            block: vec![0; MIB],
        }
    }

    fn step(&mut self, index: u64) -> Result<()> {
        let (number, scene) = (index / STEPS, self.scene);
        let another = &scene.lasting[(self.first + number as usize) % LASTING];
        match index % STEPS {
            0 => create_file(self.created.at(number)?),
            1 => lstat(self.created.at(number)?),
            2 => append(self.created.at(number)?),
            3 => xattrs::get(another),
            4 => read(another, &mut self.block[..CONTENT.len()]),
            5 => read(&scene.large, &mut self.block),
            6 => {
                let renamed = self.renamed.at(number)?;
                Ok(fs::rename(self.created.at(number)?, renamed)?)
            }
            7 => scene.list(),
            8 => walk_once(&scene.tree),
            _ => Ok(fs::remove_file(self.renamed.at(number)?)?),
        }
    }
}

fn append(path: &Path) -> Result<()> {
    let mut file = OpenOptions::new().append(true).open(path)?;
    file.write_all(&RECORD)?;
    Ok(file.sync_all()?)
}

fn read(path: &Path, block: &mut [u8]) -> Result<()> {
    Ok(File::open(path)?.read_exact(block)?)
}
