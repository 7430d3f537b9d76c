//! A thread of the load: random operations in a subtree of its own, each compared with a model at once.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::fs::{FallocateFlags, OFlags, XattrFlags};
use rustix::io::Errno;

use super::big::Big;
use super::model::{Model, Name};
use super::operation::Operation;
use super::shared::Shared;
use super::watch::Board;
use crate::material::Random;
use crate::suite::sys::Map;
use crate::suite::util;

/// Longest content of a small file.
const LONGEST: usize = 128 << 10;

/// Longest piece that is written at once.
const PIECE: usize = 16 << 10;

/// The one extended attribute of a file.
const LABEL: &str = "user.soak";

/// What it works on, and what it has done there.
#[derive(Debug)]
pub(super) struct Worker {
    number: usize,
    root: PathBuf,
    random: Random,
    model: Model,
    big: Big,
    shared: Shared,
    step: u64,
}

impl Worker {
    /// Makes the subtree in the mount `root`. The big file will have so many blocks.
    pub(super) fn new(number: usize, seed: u64, root: &Path, blocks: usize) -> Result<Self> {
        let seed = Random::new(seed ^ (number as u64) << 32).next();
        let worker = Worker {
            number,
            root: root.join(format!("w{number}")),
            random: Random::new(seed),
            model: Model::new(),
            big: Big::new(seed, blocks),
            shared: Shared::new(root, seed),
            step: 0,
        };
        util::mkdir(&worker.root)?;
        util::mkdir(worker.root.join(worker.model.directory(0)))?;
        util::create(worker.root.join("big"))?;
        Ok(worker)
    }

    /// Works until `end`, or until `stop` says so; then compares everything.
    ///
    /// # Errors
    ///
    /// The first thing that is not as it should be, with the step at which it was.
    pub(super) fn work(
        &mut self,
        end: Instant,
        stop: impl Fn() -> bool,
        board: &Board,
    ) -> Result<()> {
        while Instant::now() < end {
            if stop() {
                return Ok(());
            }
            self.step(board)?;
        }
        self.compare_all(board)
    }

    fn step(&mut self, board: &Board) -> Result<()> {
        self.step += 1;
        let (operation, subject) = self.choose();
        let path = format!("w{}/{}", self.number, self.model.path(subject));
        let (thread, step) = (self.number, self.step);
        let result = board.during(thread, operation, path.clone(), || {
            self.perform(operation, subject)
        });
        result.with_context(|| format!("thread {thread}, step {step}, {operation:?} {path}"))
    }

    /// An operation that is possible, and the file that it is about.
    fn choose(&mut self) -> (Operation, Name) {
        let operation = Operation::any(&mut self.random);
        let makes_a_name = matches!(
            operation,
            Operation::Create | Operation::Copy | Operation::Link
        );
        let operation = match makes_a_name && self.model.is_full() {
            true => Operation::Unlink,
            false => operation,
        };
        match self.model.any_name(&mut self.random) {
            Some(name) if operation != Operation::Create => (operation, name),
            _ => (Operation::Create, self.model.free_name(&mut self.random)),
        }
    }

    fn perform(&mut self, operation: Operation, subject: Name) -> Result<()> {
        match operation {
            Operation::Create => self.create(subject),
            Operation::Write => self.write(subject),
            Operation::Append => self.append(subject),
            Operation::Read => self.read(subject),
            Operation::MapWrite => self.map_write(subject),
            Operation::MapRead => self.map_read(subject),
            Operation::Stat => self.stat(subject),
            Operation::Chmod => self.chmod(subject),
            Operation::SetXattr => self.set_label(subject),
            Operation::GetXattr => self.check_label(subject),
            Operation::RemoveXattr => self.remove_label(subject),
            Operation::Link => self.link(subject),
            Operation::Unlink => self.unlink(subject),
            Operation::Rename => self.rename(subject),
            Operation::MakeDirectory => self.make_directory(),
            Operation::RemoveDirectory => self.remove_directory(),
            Operation::RenameDirectory => self.rename_directory(),
            Operation::List => self.list(subject.directory),
            Operation::Truncate => self.truncate(subject),
            Operation::Allocate => self.allocate(subject),
            Operation::Punch => self.punch(subject),
            Operation::Sync => Ok(rustix::fs::fsync(self.open(subject, OFlags::RDWR)?)?),
            Operation::Copy => self.copy(subject),
            Operation::WriteBig => self.write_big(),
            Operation::ReadBig => self.read_big(),
            Operation::Shared => self.shared.step(),
        }
    }

    fn path(&self, name: Name) -> PathBuf {
        self.root.join(self.model.path(name))
    }

    fn open(&self, name: Name, flags: OFlags) -> Result<OwnedFd> {
        Ok(util::open(self.path(name), flags)?)
    }

    fn length(&self, name: Name) -> usize {
        self.model.file(name).map_or(0, |file| file.content.len())
    }

    /// Bytes that were never there before.
    fn bytes(&mut self, longest: usize) -> Vec<u8> {
        let length = 1 + self.random.below(longest);
        util::pattern(self.random.next(), length)
    }

    fn create(&mut self, name: Name) -> Result<()> {
        let bytes = self.bytes(LONGEST / 2);
        let path = self.path(name);
        util::write_all(util::create(&path)?, &bytes)?;
        util::chmod(&path, 0o644)?;
        self.model.create(name, bytes, 0o644);
        Ok(())
    }

    /// Changes the content in the model.
    fn content(&mut self, name: Name, change: impl FnOnce(&mut Vec<u8>)) {
        if let Some(file) = self.model.file_mut(name) {
            change(&mut file.content);
        }
    }

    fn write(&mut self, name: Name) -> Result<()> {
        let bytes = self.bytes(PIECE);
        let limit = (LONGEST - PIECE).min(self.length(name));
        let at = self.random.below(limit + 1);
        util::write_at(self.open(name, OFlags::WRONLY)?, &bytes, at as u64)?;
        self.content(name, |content| {
            let end = at + bytes.len();
            content.resize(content.len().max(end), 0);
            content[at..end].copy_from_slice(&bytes);
        });
        Ok(())
    }

    fn append(&mut self, name: Name) -> Result<()> {
        if self.length(name) > LONGEST - PIECE {
            return self.truncate(name);
        }
        let bytes = self.bytes(PIECE);
        util::write_all(self.open(name, OFlags::WRONLY | OFlags::APPEND)?, &bytes)?;
        self.content(name, |content| content.extend_from_slice(&bytes));
        Ok(())
    }

    fn read(&self, name: Name) -> Result<()> {
        self.expect(name, &util::read_all(self.path(name))?)
    }

    /// Fails unless `found` is the content of a file.
    fn expect(&self, name: Name, found: &[u8]) -> Result<()> {
        let file = self.model.file(name).context("the model lacks it")?;
        let expected = &file.content;
        ensure!(
            found.len() == expected.len(),
            "{} bytes instead of {}",
            found.len(),
            expected.len()
        );
        match found.iter().zip(expected).position(|(a, b)| a != b) {
            None => Ok(()),
            Some(at) => bail!(
                "byte {at} of {} is {:#04x} instead of {:#04x}",
                found.len(),
                found[at],
                expected[at]
            ),
        }
    }

    fn map_write(&mut self, name: Name) -> Result<()> {
        let length = self.length(name);
        if length == 0 {
            return Ok(());
        }
        let map = Map::shared(self.open(name, OFlags::RDWR)?, length)?;
        let at = self.random.below(length);
        let bytes = self.bytes(PIECE.min(length - at));
        map.write(at, &bytes);
        if self.random.below(8) == 0 {
            map.sync()?;
        }
        self.content(name, |content| {
            content[at..at + bytes.len()].copy_from_slice(&bytes);
        });
        Ok(())
    }

    fn map_read(&self, name: Name) -> Result<()> {
        let length = self.length(name);
        if length == 0 {
            return Ok(());
        }
        let map = Map::shared_read(self.open(name, OFlags::RDONLY)?, length)?;
        self.expect(name, &map.read(0, length))
    }

    fn stat(&self, name: Name) -> Result<()> {
        let file = self.model.file(name).context("the model lacks it")?;
        let path = self.path(name);
        let found = (
            util::size_of(&path)?,
            util::mode_of(&path)?,
            util::nlink_of(&path)?,
        );
        let expected = (file.content.len() as u64, file.mode, file.links);
        ensure!(
            found == expected,
            "size, mode and links are {found:?} instead of {expected:?}"
        );
        Ok(())
    }

    fn chmod(&mut self, name: Name) -> Result<()> {
        let mode = 0o600 | self.random.below(0o200) as u32;
        util::chmod(self.path(name), mode)?;
        if let Some(file) = self.model.file_mut(name) {
            file.mode = mode;
        }
        Ok(())
    }

    fn set_label(&mut self, name: Name) -> Result<()> {
        let label = self.bytes(200);
        rustix::fs::setxattr(self.path(name), LABEL, &label, XattrFlags::empty())?;
        if let Some(file) = self.model.file_mut(name) {
            file.label = Some(label);
        }
        Ok(())
    }

    fn check_label(&self, name: Name) -> Result<()> {
        let mut value = vec![0; 256];
        let found = match rustix::fs::getxattr(self.path(name), LABEL, &mut value[..]) {
            Ok(length) => Some(&value[..length]),
            Err(Errno::NODATA) => None,
            Err(error) => return Err(error.into()),
        };
        let file = self.model.file(name).context("the model lacks it")?;
        ensure!(
            found == file.label.as_deref(),
            "the attribute {LABEL} is {found:?} instead of {:?}",
            file.label
        );
        Ok(())
    }

    fn remove_label(&mut self, name: Name) -> Result<()> {
        let removed = rustix::fs::removexattr(self.path(name), LABEL);
        let file = self.model.file_mut(name).context("the model lacks it")?;
        let expected = file.label.take().map(drop).ok_or(Errno::NODATA);
        ensure!(
            removed == expected,
            "removing {LABEL} gives {removed:?} instead of {expected:?}"
        );
        Ok(())
    }

    fn link(&mut self, name: Name) -> Result<()> {
        if self.model.may_link(name) {
            let new = self.model.free_name(&mut self.random);
            rustix::fs::link(self.path(name), self.path(new))?;
            self.model.link(name, new);
        }
        Ok(())
    }

    /// A file that is open can be read after its name is gone.
    fn unlink(&mut self, name: Name) -> Result<()> {
        let file = self.open(name, OFlags::RDONLY)?;
        rustix::fs::unlink(self.path(name))?;
        self.expect(name, &util::read_at(&file, LONGEST, 0)?)?;
        self.model.unlink(name);
        Ok(())
    }

    fn rename(&mut self, name: Name) -> Result<()> {
        let over = self.model.any_name(&mut self.random);
        let new = match over.filter(|_| self.random.below(2) == 0) {
            Some(over) => over,
            None => self.model.free_name(&mut self.random),
        };
        rustix::fs::rename(self.path(name), self.path(new))?;
        self.model.rename(name, new);
        Ok(())
    }

    fn directory(&self, directory: u32) -> PathBuf {
        self.root.join(self.model.directory(directory))
    }

    fn make_directory(&mut self) -> Result<()> {
        if !self.model.has_all_directories() {
            let directory = self.model.add_directory();
            util::mkdir(self.directory(directory))?;
        }
        Ok(())
    }

    fn remove_directory(&mut self) -> Result<()> {
        let Some(directory) = self.model.any_directory(&mut self.random) else {
            return Ok(());
        };
        let removed = rustix::fs::rmdir(self.directory(directory));
        let expected = match self.model.is_empty(directory) {
            true => Ok(()),
            false => Err(Errno::NOTEMPTY),
        };
        ensure!(
            removed == expected,
            "rmdir gives {removed:?} instead of {expected:?}"
        );
        if removed.is_ok() {
            self.model.remove_directory(directory);
        }
        Ok(())
    }

    fn rename_directory(&mut self) -> Result<()> {
        if let Some(directory) = self.model.any_directory(&mut self.random) {
            let before = self.directory(directory);
            self.model.rename_directory(directory);
            rustix::fs::rename(before, self.directory(directory))?;
        }
        Ok(())
    }

    fn list(&self, directory: u32) -> Result<()> {
        compare_list(&self.directory(directory), self.model.list(directory))
    }

    fn truncate(&mut self, name: Name) -> Result<()> {
        let length = self.random.below(LONGEST / 2);
        rustix::fs::ftruncate(self.open(name, OFlags::WRONLY)?, length as u64)?;
        self.content(name, |content| content.resize(length, 0));
        Ok(())
    }

    fn allocate(&mut self, name: Name) -> Result<()> {
        let (at, length) = self.range();
        let file = self.open(name, OFlags::RDWR)?;
        rustix::fs::fallocate(file, FallocateFlags::empty(), at as u64, length as u64)?;
        self.content(name, |content| {
            content.resize(content.len().max(at + length), 0);
        });
        Ok(())
    }

    fn punch(&mut self, name: Name) -> Result<()> {
        let (at, length) = self.range();
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let file = self.open(name, OFlags::RDWR)?;
        rustix::fs::fallocate(file, flags, at as u64, length as u64)?;
        self.content(name, |content| {
            let end = content.len().min(at + length);
            content[at.min(end)..end].fill(0);
        });
        Ok(())
    }

    /// Some bytes of a small file, or past its end: where they begin, and how many.
    fn range(&mut self) -> (usize, usize) {
        let at = self.random.below(LONGEST / 2);
        (at, 1 + self.random.below(PIECE))
    }

    fn copy(&mut self, name: Name) -> Result<()> {
        let new = self.model.free_name(&mut self.random);
        let from = self.open(name, OFlags::RDONLY)?;
        let to = util::create(self.path(new))?;
        util::chmod(self.path(new), 0o644)?;
        let mut left = self.length(name);
        while left > 0 {
            match rustix::fs::copy_file_range(&from, None, &to, None, left)? {
                0 => break,
                copied => left = left.saturating_sub(copied),
            }
        }
        let file = self.model.file(name).context("the model lacks it")?;
        let content = file.content.clone();
        self.model.create(new, content, 0o644);
        self.read(new).context("what was copied")
    }

    fn open_big(&self, flags: OFlags) -> Result<OwnedFd> {
        Ok(util::open(self.root.join("big"), flags)?)
    }

    /// A few blocks in a row.
    fn blocks(&mut self) -> std::ops::Range<usize> {
        let first = self.random.below(self.big.blocks());
        first..self.big.blocks().min(first + 4)
    }

    fn write_big(&mut self) -> Result<()> {
        let file = self.open_big(OFlags::WRONLY)?;
        self.blocks()
            .try_for_each(|block| self.big.write(&file, block))
    }

    fn read_big(&mut self) -> Result<()> {
        let file = self.open_big(OFlags::RDONLY)?;
        self.blocks()
            .try_for_each(|block| self.big.check(&file, block))
    }

    /// Everything that the model knows. Each file is an operation of its own for who watches.
    fn compare_all(&self, board: &Board) -> Result<()> {
        let thread = self.number;
        let look = |path: String, work: &dyn Fn() -> Result<()>| {
            let said = path.clone();
            let result = board.during(thread, Operation::Read, path, work);
            result.map_err(|error| {
                anyhow!("thread {thread}, at the end of a round, {said}: {error:#}")
            })
        };
        for name in self.model.names() {
            look(format!("w{thread}/{}", self.model.path(name)), &|| {
                self.stat(name)?;
                self.read(name)?;
                self.check_label(name)
            })?;
        }
        for directory in self.model.directories() {
            let path = format!("w{thread}/{}", self.model.directory(directory));
            look(path, &|| self.list(directory))?;
        }
        look(format!("w{thread}"), &|| {
            let mut names = self.model.directory_names();
            names.insert(0, "big".to_owned());
            compare_list(&self.root, names)
        })?;
        for block in 0..self.big.blocks() {
            look(format!("w{thread}/big"), &|| {
                self.big.check(self.open_big(OFlags::RDONLY)?, block)
            })?;
        }
        Ok(())
    }
}

/// Fails unless a directory has these names, which are sorted.
fn compare_list(directory: &Path, expected: Vec<String>) -> Result<()> {
    let found = util::names(directory).map_err(|failure| anyhow!("{failure}"))?;
    ensure!(
        found == expected,
        "the directory has {found:?} instead of {expected:?}"
    );
    Ok(())
}
