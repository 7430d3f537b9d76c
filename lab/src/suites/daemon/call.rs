//! Callers: processes that use a mount until a call fails. Each is a process of its own, because a call
//! that hangs cannot be taken back, and a fault in a mapping ends who has it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::suite::sys::{self, LockOp, Map};

/// Size of the files that callers read: more than is read ahead.
pub(super) const DATA: usize = 4 << 20;

/// The directory of [`Call::Create`].
const CREATED: &str = "created";

/// Bytes of one durable append.
pub(super) const BLOCK: usize = 5_000;

/// What a caller does, again and again. After the first, which uses what was opened before, each time
/// with another open: a file that is open in passthrough does not need its daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum Call {
    /// Looks up names that do not exist.
    Lookup,
    /// Reads a file.
    Read,
    /// Writes into a file.
    Write,
    /// Writes a byte and syncs the file.
    Fsync,
    /// Lists a directory.
    Readdir,
    /// Creates and removes a file.
    Create,
    /// Touches the pages of a mapping.
    Mmap,
    /// Waits for a lock that somebody holds.
    Lock,
    /// Holds that lock.
    Hold,
    /// Appends blocks and syncs each; says how many are durable.
    Append,
    /// Creates files for ever, so that the daemon has more and more to remember.
    Grow,
}

impl Call {
    /// Those that wait for an answer of the daemon; those whose one call is several requests come last.
    pub(super) const WAITING: [Call; 7] = [
        Call::Lookup,
        Call::Write,
        Call::Fsync,
        Call::Readdir,
        Call::Create,
        Call::Read,
        Call::Mmap,
    ];

    /// Its name on the command line and in names of cases.
    pub(super) fn name(self) -> &'static str {
        match self {
            Call::Lookup => "lookup",
            Call::Read => "read",
            Call::Write => "write",
            Call::Fsync => "fsync",
            Call::Readdir => "readdir",
            Call::Create => "create",
            Call::Mmap => "mmap",
            Call::Lock => "lock",
            Call::Hold => "hold",
            Call::Append => "append",
            Call::Grow => "grow",
        }
    }
}

/// What a caller says, a line each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Said {
    /// All is open; the call comes after a line on standard input.
    Ready,
    /// So many blocks are durable.
    Durable(usize),
    /// A call failed with this number.
    Failed(i32),
}

/// What the files of [`Call::WAITING`] are named, and `lock` and `log` for the others.
pub(super) fn make_files(directory: &Path) -> Result<()> {
    for name in ["read", "mmap"] {
        fs::write(directory.join(name), vec![7; DATA])?;
    }
    for name in ["write", "fsync", "lock", "log"] {
        fs::write(directory.join(name), "")?;
    }
    Ok(fs::create_dir(directory.join(CREATED))?)
}

/// The whole life of a caller: opens its files in `directory`, waits for a line on standard input, and
/// calls until a call fails.
///
/// # Errors
///
/// When the files cannot be opened, or nobody listens.
pub fn serve(call: Call, directory: &Path) -> Result<()> {
    // What is mounted may be detached meanwhile: names are looked up from within.
    std::env::set_current_dir(directory)
        .with_context(|| format!("cannot enter {}", directory.display()))?;
    let caller = Caller::new(call)?;
    say(&Said::Ready)?;
    if call != Call::Hold {
        wait_for_line()?;
        let error = caller.call_until_error();
        say(&Said::Failed(error.raw_os_error().unwrap_or(0)))?;
    }
    // Whoever started it decides when its descriptors are closed.
    wait_for_line()
}

fn wait_for_line() -> Result<()> {
    io::stdin().lock().read_line(&mut String::new())?;
    Ok(())
}

fn say(said: &Said) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(said)?)?;
    Ok(out.flush()?)
}

struct Caller {
    call: Call,
    file: Option<File>,
    map: Option<Map>,
}

impl Caller {
    fn new(call: Call) -> Result<Self> {
        let name = match call {
            Call::Read => Some("read"),
            Call::Write => Some("write"),
            Call::Fsync => Some("fsync"),
            Call::Mmap => Some("mmap"),
            Call::Lock | Call::Hold => Some("lock"),
            Call::Lookup | Call::Readdir | Call::Create | Call::Append | Call::Grow => None,
        };
        let file = name.map(open).transpose()?;
        let map = match &file {
            Some(file) if call == Call::Mmap => Some(Map::shared_read(file, DATA)?),
            _ => None,
        };
        if let (Some(file), Call::Hold) = (&file, call) {
            sys::lock(file, LockOp::Set, sys::WRITE, 0, 1)?;
        }
        Ok(Caller { call, file, map })
    }

    fn call_until_error(mut self) -> io::Error {
        let mut turn = 0;
        loop {
            if let Err(error) = self.once(turn) {
                return error;
            }
            turn += 1;
        }
    }

    fn once(&mut self, turn: usize) -> io::Result<()> {
        match self.call {
            Call::Lookup => match fs::symlink_metadata(format!("missing-{turn}")) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                other => other.map(drop),
            },
            Call::Read => self.reopened(turn, "read", |file| {
                file.read_exact_at(&mut vec![0; DATA], 0)
            }),
            Call::Write => self.reopened(turn, "write", |file| file.write_all_at(&[3; 70_000], 0)),
            Call::Fsync => self.reopened(turn, "fsync", |file| {
                file.write_all_at(&[turn as u8], turn as u64 % 100)?;
                file.sync_all()
            }),
            Call::Readdir => fs::read_dir(".")?.try_for_each(|entry| entry.map(drop)),
            Call::Create => {
                // Within a directory, creating waits for whoever lists it.
                let name = format!("{CREATED}/{turn}");
                File::create(&name)?;
                fs::remove_file(&name)
            }
            Call::Mmap => self.fault(turn),
            Call::Lock => {
                let file = self.file.as_ref().expect("opened before");
                Ok(sys::lock(file, LockOp::Wait, sys::WRITE, 0, 1).map(drop)?)
            }
            Call::Hold => Ok(()),
            Call::Append => append(turn),
            Call::Grow => File::create(format!("grown-{turn}")).map(drop),
        }
    }

    /// With the file that was opened before, later with another of the same name. The one is open until
    /// the other is: no close comes between the calls.
    fn reopened(
        &mut self,
        turn: usize,
        name: &str,
        call: impl FnOnce(&File) -> io::Result<()>,
    ) -> io::Result<()> {
        if turn > 0 {
            self.file = Some(open(name)?);
        }
        call(self.file.as_ref().expect("opened before"))
    }

    fn fault(&mut self, turn: usize) -> io::Result<()> {
        if turn > 0 {
            let file = open("mmap")?;
            self.map = Some(Map::shared_read(&file, DATA)?);
            self.file = Some(file);
        }
        let map = self.map.as_ref().expect("mapped before");
        for page in 0..DATA / 4096 {
            map.byte(page * 4096);
        }
        Ok(())
    }
}

fn open(name: &str) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(name)
}

fn append(turn: usize) -> io::Result<()> {
    let mut log = OpenOptions::new().append(true).open("log")?;
    log.write_all(&[turn as u8; BLOCK])?;
    log.sync_all()?;
    say(&Said::Durable(turn + 1)).map_err(io::Error::other)
}
