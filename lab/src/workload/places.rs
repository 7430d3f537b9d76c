//! What the workloads' directories have in common: how their files are named, made, warmed and
//! cooled.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
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

/// Paths that differ in the number at their end, all in the same memory: to make one anew costs as
/// much as a part of what is timed.
#[derive(Debug)]
pub(super) struct Numbered {
    path: Vec<u8>,
    /// Length without the number.
    fixed: usize,
}

impl Numbered {
    pub(super) fn new(dir: &Path, prefix: &str) -> Self {
        let path = dir.join(prefix).into_os_string().into_vec();
        let fixed = path.len();
        Numbered { path, fixed }
    }

    pub(super) fn at(&mut self, number: u64) -> Result<&Path> {
        self.path.truncate(self.fixed);
        write!(self.path, "{number}")?;
        Ok(Path::new(OsStr::from_bytes(&self.path)))
    }
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

/// Makes the directory of a turn.
pub(super) fn fresh(room: &Room) -> Result<()> {
    Ok(fs::create_dir(room.dir.join(of_turn(turns(room))))?)
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

/// Reads the file to its end.
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
    let unwritten = pages(&open_behind(room, name)?)?.map_or(0, |pages| pages.unwritten);
    ensure!(
        unwritten == 0,
        "fsync was answered and not done: {unwritten} pages of the file behind the mount are not written"
    );
    Ok(())
}

/// After direct reads through the mount of a file whose pages were dropped: fails when some are
/// cached behind it again, because then the daemon did not pass `O_DIRECT` on. `name` is relative to
/// the room.
pub(super) fn check_read_directly(room: &Room, name: impl AsRef<Path>) -> Result<()> {
    let file = open_behind(room, name)?;
    let all = file.metadata()?.len() / rustix::param::page_size() as u64;
    let cached = pages(&file)?.map_or(0, |pages| pages.cached);
    ensure!(
        cached * 100 <= all,
        "direct reads were served from the page cache behind the mount: {cached} pages"
    );
    Ok(())
}

/// Opens a file behind the mount.
pub(super) fn open_behind(room: &Room, name: impl AsRef<Path>) -> Result<File> {
    let path = room.backing.join(name);
    File::open(&path).with_context(|| format!("cannot open {}", path.display()))
}

/// What the page cache has of a file; kernels before 6.5 cannot tell.
fn pages(file: &File) -> Result<Option<sys::Pages>> {
    match sys::pages(file) {
        Ok(pages) => Ok(Some(pages)),
        Err(Errno::NOSYS) => Ok(None),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_number_of_a_path_changes() {
        let mut paths = Numbered::new(Path::new("/a"), "f-");
        assert_eq!(paths.at(10).unwrap(), Path::new("/a/f-10"));
        assert_eq!(paths.at(7).unwrap(), Path::new("/a/f-7"));
    }

    #[test]
    fn direct_reads_that_left_pages_behind_are_found_out() {
        let place = tempfile::tempdir().unwrap();
        let room = Room {
            dir: place.path().join("mount"),
            backing: place.path().to_owned(),
            fixtures: Fixtures {
                dir: place.path().to_owned(),
                quick: true,
            },
        };
        let file = File::create(room.backing.join("file")).unwrap();
        file.set_len(1 << 20).unwrap();
        check_read_directly(&room, "file").unwrap();
        fs::write(room.backing.join("file"), vec![1; 1 << 20]).unwrap();
        if pages(&file).unwrap().is_some() {
            let error = check_read_directly(&room, "file").unwrap_err().to_string();
            assert!(error.ends_with("behind the mount: 256 pages"), "{error}");
        }
    }
}
