//! What the workloads' directories have in common: how their files are named, made, warmed and
//! cooled.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{Advice, fadvise};
use rustix::io::Errno;

use super::{Fixtures, Material, Room, sys};
use crate::material::Random;

/// What small files hold.
pub(super) const CONTENT: [u8; 4096] = [7; 4096];

/// Files in one directory, where there are several.
const PER_DIRECTORY: usize = 100;

/// How many files a hot loop of expensive operations goes round: each is used once to warm it,
/// through the slowest contestant.
pub(super) const HOT: usize = 300;

/// An empty directory that the workload fills itself.
pub(super) const EMPTY: Material = Material::Own {
    make: |_, _| Ok(()),
};

#[allow(
    clippy::unnecessary_wraps,
    reason = "the signature of every preparation"
)]
pub(super) fn nothing(_: &Room) -> Result<()> {
    Ok(())
}

/// Name of a file among many, with its directory.
fn name(index: usize) -> String {
    format!("d{}/f{index}", index / PER_DIRECTORY)
}

/// Creates a file of [`CONTENT`] that must not be there yet.
pub(super) fn create_file(path: &Path) -> Result<()> {
    Ok(File::create_new(path)?.write_all(&CONTENT)?)
}

/// Makes `count` files in directories of 100.
pub(super) fn make_files(root: &Path, count: u64, content: &[u8]) -> Result<()> {
    for index in 0..count as usize {
        if index.is_multiple_of(PER_DIRECTORY) {
            fs::create_dir(root.join(format!("d{}", index / PER_DIRECTORY)))?;
        }
        fs::write(root.join(name(index)), content)?;
    }
    Ok(())
}

/// Paths of the first `count` files of [`make_files`], in an order of no locality, the same each
/// time.
pub(super) fn paths(root: &Path, count: u64) -> Vec<PathBuf> {
    Random::new(count)
        .shuffled(count as usize)
        .into_iter()
        .map(|index| root.join(name(index)))
        .collect()
}

/// The `most` first names that are in the directory now, read behind the mount: the mount sees
/// nothing of it. In an order of no locality.
pub(super) fn names_behind(room: &Room, most: usize) -> Result<Vec<String>> {
    let mut names = fs::read_dir(&room.backing)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<Vec<_>>>()?;
    names.sort_unstable();
    let order = Random::new(1).shuffled(names.len());
    Ok(order
        .into_iter()
        .take(most)
        .map(|index| names[index].clone())
        .collect())
}

/// Each turn leaves what it makes in a directory of its own, because removing what an earlier one
/// made would cost more.
fn of_turn(number: usize) -> String {
    format!("turn-{number}")
}

/// How many turns there were, seen behind the mount.
fn turns(room: &Room) -> usize {
    (0..)
        .take_while(|&number| room.backing.join(of_turn(number)).exists())
        .count()
}

/// Makes the directory of a turn. All is written out, so that the turn does not pay for what was
/// before it.
pub(super) fn fresh(room: &Room) -> Result<()> {
    fs::create_dir(room.dir.join(of_turn(turns(room))))?;
    room.settle()
}

/// The name of the directory that [`fresh`] made last.
pub(super) fn newest(room: &Room) -> Result<String> {
    let last = turns(room).checked_sub(1);
    Ok(of_turn(last.context("no directory was made for the turn")?))
}

/// The directory that [`fresh`] made last, on the mount.
pub(super) fn new(room: &Room) -> Result<PathBuf> {
    Ok(room.dir.join(newest(room)?))
}

/// lstat(2) as C programs call it. That of the standard library asks for the birth time too, which
/// is a request of its own where the daemon answers STATX.
pub(super) fn lstat(path: &Path) -> Result<()> {
    rustix::fs::lstat(path)?;
    Ok(())
}

/// Reads the file to its end through the mount.
pub(super) fn warm_file(path: &Path) -> Result<()> {
    let mut file = File::open(path)?;
    let mut block = vec![0; 1 << 20];
    while file.read(&mut block)? > 0 {}
    Ok(())
}

/// Empties the mount's page cache of a file, or of a listing, and no other cache.
pub(super) fn cool(room: &Room, path: &Path) -> Result<()> {
    room.settle()?;
    drop_pages(room, &File::open(path)?)
}

/// The same for an open file whose pages are not dirty. A native directory or a bind mount has no
/// pages of its own.
pub(super) fn drop_pages(room: &Room, file: &File) -> Result<()> {
    if file.metadata()?.dev() != room.backing.metadata()?.dev() {
        fadvise(file, 0, None, Advice::DontNeed)?;
    }
    Ok(())
}

/// After an fsync through the mount: fails when pages of the file behind it are still dirty, because
/// then its speed means nothing. `name` is relative to the room. Kernels before 6.5 cannot tell.
pub(super) fn check_written_out(room: &Room, name: impl AsRef<Path>) -> Result<()> {
    let path = room.backing.join(name);
    let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    match sys::unwritten_pages(&file) {
        Ok(0) | Err(Errno::NOSYS) => Ok(()),
        Ok(pages) => bail!(
            "fsync was answered and not done: {pages} pages of the file behind the mount are not written"
        ),
        Err(error) => Err(error).context("cachestat"),
    }
}

/// A file or directory in the fixtures, made once.
pub(super) fn fixture(
    fixtures: &Fixtures,
    name: &str,
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let path = fixtures.path(name);
    if !path.exists() {
        let unfinished = fixtures.path(format!("{name}.unfinished"));
        make(&unfinished)?;
        fs::rename(unfinished, &path)?;
    }
    Ok(path)
}
