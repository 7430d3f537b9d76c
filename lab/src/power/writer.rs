//! Does what the sequence says, on a directory.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::fs::{MemfdFlags, OFlags, memfd_create, syncfs};

use super::Event;
use super::sequence::{Sequence, Step, Transaction, Way};
use crate::suite::sys::Map;

/// Writes the transactions of `seed` into the empty directory `root`, up to and including `last`, or
/// without an end. `on_event` is told of each before and after; what it was told of must have left
/// the machine when it returns, and it may end the writing.
///
/// # Errors
///
/// When a system call fails.
pub fn write(
    root: &Path,
    seed: u64,
    last: Option<u64>,
    on_event: &mut dyn FnMut(Event) -> ControlFlow<()>,
) -> Result<()> {
    for transaction in Sequence::new(seed) {
        let n = transaction.n;
        if on_event(Event::Begun(n)).is_break() {
            break;
        }
        Writer { root, open: None }
            .perform(&transaction)
            .with_context(|| format!("transaction {n} of the writer with seed {seed}"))?;
        if on_event(Event::Acknowledged(n)).is_break() || last == Some(n) {
            break;
        }
    }
    Ok(())
}

/// A transaction at work.
struct Writer<'a> {
    root: &'a Path,
    /// The file written last: a sync goes to the descriptor that wrote, as programs do it.
    open: Option<(String, File)>,
}

impl Writer<'_> {
    fn perform(mut self, transaction: &Transaction) -> Result<()> {
        for step in &transaction.steps {
            self.step(step)?;
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Write {
                file,
                offset,
                bytes,
                way,
            } => self
                .write(file, *offset, bytes, *way)
                .with_context(|| format!("{way:?} write to {file}")),
            Step::Truncate { file, len } => {
                let opened = self.open(file, OpenOptions::new().write(true))?;
                opened
                    .set_len(*len)
                    .with_context(|| format!("ftruncate of {file}"))
            }
            Step::Mkdir(path) => {
                fs::create_dir(self.path(path)).with_context(|| format!("mkdir {path}"))
            }
            Step::Rename(from, to) => fs::rename(self.path(from), self.path(to))
                .with_context(|| format!("rename {from} to {to}")),
            Step::Link(from, to) => fs::hard_link(self.path(from), self.path(to))
                .with_context(|| format!("link {from} to {to}")),
            Step::Unlink(path) => {
                fs::remove_file(self.path(path)).with_context(|| format!("unlink {path}"))
            }
            Step::Fsync(path) => self
                .with_file(path, File::sync_all)
                .with_context(|| format!("fsync of {path:?}")),
            Step::Fdatasync(path) => self
                .with_file(path, File::sync_data)
                .with_context(|| format!("fdatasync of {path:?}")),
            Step::Syncfs => syncfs(File::open(self.root)?).context("syncfs"),
            Step::Sync => {
                rustix::fs::sync();
                Ok(())
            }
        }
    }

    fn write(&mut self, file: &str, offset: u64, bytes: &[u8], way: Way) -> Result<()> {
        let mut options = OpenOptions::new();
        match way {
            Way::Plain => {
                let opened = self.open(file, options.write(true).create(true))?;
                Ok(opened.write_all_at(bytes, offset)?)
            }
            Way::AppendSync | Way::AppendDataSync => {
                let flag = match way {
                    Way::AppendSync => OFlags::SYNC,
                    _ => OFlags::DSYNC,
                };
                options.append(true).create(true);
                options.custom_flags(flag.bits() as i32);
                Ok(self.open(file, &options)?.write_all(bytes)?)
            }
            Way::Mapped | Way::MappedSync => {
                let opened = self.open(file, options.read(true).write(true))?;
                let len = opened.metadata()?.len();
                let map = Map::shared(opened, len as usize)?;
                store(&map, offset as usize, bytes)?;
                if way == Way::MappedSync {
                    map.sync().context("msync")?;
                }
                Ok(())
            }
        }
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// Opens a file, and keeps it open.
    fn open(&mut self, file: &str, options: &OpenOptions) -> Result<&File> {
        let opened = options
            .open(self.path(file))
            .with_context(|| format!("open {file}"))?;
        Ok(&self.open.insert((file.to_owned(), opened)).1)
    }

    /// With the open file of that name, or another descriptor of it.
    fn with_file(&self, path: &str, sync: impl Fn(&File) -> std::io::Result<()>) -> Result<()> {
        match &self.open {
            Some((name, file)) if name == path => Ok(sync(file)?),
            _ => Ok(sync(&File::open(self.path(path))?)?),
        }
    }
}

/// Stores into a mapping, by the kernel's hand: without power it fails with EFAULT, where a store by
/// this process would be its end (SIGBUS).
fn store(map: &Map, offset: usize, bytes: &[u8]) -> Result<()> {
    let mut source = File::from(memfd_create("stored", MemfdFlags::CLOEXEC)?);
    source.write_all(bytes)?;
    let stored = map.read_from(&source, offset, bytes.len(), 0)?;
    ensure!(
        stored == bytes.len(),
        "only {stored} of {} bytes could be stored into the mapping",
        bytes.len()
    );
    Ok(())
}
