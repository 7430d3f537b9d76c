//! What the writer does, decided by a seed alone: the same sequence for who writes and for who verifies.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::material::Random;

/// Size of the files that are overwritten, truncated and mapped.
const DATA: u64 = 64 << 10;

/// The longest single write: a few pages, and rarely a multiple of one.
const LONGEST: u64 = 12_000;

/// After that many appends a log starts anew, so that what is verified stays small.
const APPENDS: u64 = 24;

/// A way to make a change durable. Each works in a directory of its own name, so that what is missing
/// after a cut tells which promise was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Promise {
    /// A new file: fsync(2) of it and of its directory.
    CreateFsync,
    /// Bytes at the end: fdatasync(2).
    AppendFdatasync,
    /// Bytes at the end through a descriptor with `O_SYNC`.
    AppendOSync,
    /// Bytes at the end through a descriptor with `O_DSYNC`.
    AppendODsync,
    /// Bytes amid a file: fsync(2).
    OverwriteFsync,
    /// Shorter or longer: ftruncate(2), fsync(2).
    TruncateFsync,
    /// The way of editors: a new file, fsync(2), rename(2) over the old one, fsync(2) of the directory.
    /// Old or new, nothing else is ever there.
    RenameOverFsync,
    /// A directory to another name: fsync(2) of the parent.
    RenameDirectoryFsync,
    /// A second name: link(2), fsync(2) of the directory.
    LinkFsync,
    /// A removed name: unlink(2), fsync(2) of the directory.
    UnlinkFsync,
    /// A new directory and a file in it: fsync(2) of all three.
    MkdirFsync,
    /// Bytes through a shared mapping: msync(2) with `MS_SYNC`.
    MmapMsync,
    /// Bytes through a shared mapping: fsync(2) of the descriptor.
    MmapFsync,
    /// Several files changed without a word, then sync(2).
    Sync,
    /// The same, then syncfs(2).
    Syncfs,
}

impl Promise {
    /// All of them.
    pub const ALL: [Promise; 15] = [
        Promise::CreateFsync,
        Promise::AppendFdatasync,
        Promise::AppendOSync,
        Promise::AppendODsync,
        Promise::OverwriteFsync,
        Promise::TruncateFsync,
        Promise::RenameOverFsync,
        Promise::RenameDirectoryFsync,
        Promise::LinkFsync,
        Promise::UnlinkFsync,
        Promise::MkdirFsync,
        Promise::MmapMsync,
        Promise::MmapFsync,
        Promise::Sync,
        Promise::Syncfs,
    ];

    /// Its name, that of its directory and of its case.
    pub fn name(self) -> &'static str {
        match self {
            Promise::CreateFsync => "create_fsync",
            Promise::AppendFdatasync => "append_fdatasync",
            Promise::AppendOSync => "append_o_sync",
            Promise::AppendODsync => "append_o_dsync",
            Promise::OverwriteFsync => "overwrite_fsync",
            Promise::TruncateFsync => "truncate_fsync",
            Promise::RenameOverFsync => "rename_over_fsync",
            Promise::RenameDirectoryFsync => "rename_directory_fsync",
            Promise::LinkFsync => "link_fsync",
            Promise::UnlinkFsync => "unlink_fsync",
            Promise::MkdirFsync => "mkdir_fsync",
            Promise::MmapMsync => "mmap_msync",
            Promise::MmapFsync => "mmap_fsync",
            Promise::Sync => "sync",
            Promise::Syncfs => "syncfs",
        }
    }

    /// The one that works at `path`, which is relative to the writer's directory.
    pub fn at(path: &str) -> Option<Promise> {
        let directory = path.split('/').next()?;
        Promise::ALL
            .into_iter()
            .find(|promise| promise.name() == directory)
    }

    /// A path in its directory.
    fn path(self, name: &str) -> String {
        format!("{}/{name}", self.name())
    }
}

/// How bytes get into a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// pwrite(2); the file is made when it is not there.
    Plain,
    /// write(2) with `O_APPEND | O_SYNC`.
    AppendSync,
    /// write(2) with `O_APPEND | O_DSYNC`.
    AppendDataSync,
    /// Stores into a shared mapping.
    Mapped,
    /// The same, then msync(2).
    MappedSync,
}

/// One system call, or as few as it takes. Paths are relative to the writer's directory, and `""` is
/// that directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Bytes into a file.
    Write {
        /// The file.
        file: String,
        /// Where; for an append, its length.
        offset: u64,
        /// What.
        bytes: Vec<u8>,
        /// How.
        way: Way,
    },
    /// ftruncate(2).
    Truncate {
        /// The file.
        file: String,
        /// Its length from now on.
        len: u64,
    },
    /// mkdir(2).
    Mkdir(String),
    /// rename(2). A file that is renamed was synced before.
    Rename(String, String),
    /// link(2).
    Link(String, String),
    /// unlink(2).
    Unlink(String),
    /// fsync(2) of a file or a directory.
    Fsync(String),
    /// fdatasync(2).
    Fdatasync(String),
    /// syncfs(2).
    Syncfs,
    /// sync(2).
    Sync,
}

/// Steps that end with a promise kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Its number.
    pub n: u64,
    /// What is promised; `None` for the first, which makes what the others change.
    pub promise: Option<Promise>,
    /// What is done.
    pub steps: Vec<Step>,
}

/// The transactions of a seed, without an end: first the one that makes directories and files, then all
/// promises in turn, shuffled anew in each round.
#[derive(Debug)]
pub struct Sequence {
    seed: u64,
    next: u64,
    order: Random,
    round: VecDeque<Promise>,
    /// How often each promise had its turn.
    turns: [u64; Promise::ALL.len()],
    /// Length of each promise's log.
    logs: [u64; Promise::ALL.len()],
}

impl Sequence {
    /// Length of a round.
    pub const ROUND: u64 = Promise::ALL.len() as u64;

    /// From the beginning.
    pub fn new(seed: u64) -> Self {
        Sequence {
            seed,
            next: 0,
            order: Random::new(seed),
            round: VecDeque::new(),
            turns: [0; Promise::ALL.len()],
            logs: [0; Promise::ALL.len()],
        }
    }

    fn draw_promise(&mut self) -> Promise {
        if self.round.is_empty() {
            let order = self.order.shuffled(Promise::ALL.len());
            self.round = order.into_iter().map(|at| Promise::ALL[at]).collect();
        }
        self.round.pop_front().expect("a round is never empty")
    }

    /// Appends to the log of `promise`, or starts it anew.
    fn append(&mut self, promise: Promise, draw: &mut Draw, way: Way) -> Vec<Step> {
        let (turns, len) = (
            self.turns[promise as usize],
            &mut self.logs[promise as usize],
        );
        let file = promise.path(&format!("log{}", turns / APPENDS));
        let fresh = turns % APPENDS == 0;
        let offset = if fresh { 0 } else { *len };
        let bytes = draw.bytes();
        *len = offset + bytes.len() as u64;
        let mut steps = vec![Step::Write {
            file,
            offset,
            bytes,
            way,
        }];
        if fresh {
            steps.push(Step::Fsync(promise.name().to_owned()));
        }
        steps
    }

    fn steps(&mut self, promise: Promise, draw: &mut Draw) -> Vec<Step> {
        let turn = self.turns[promise as usize];
        let path = |name: &str| promise.path(name);
        let directory = || Step::Fsync(promise.name().to_owned());
        let (data, new) = (path("data"), path(&format!("f{turn}")));
        match promise {
            Promise::CreateFsync => vec![draw.new_file(&new), Step::Fsync(new), directory()],
            Promise::AppendFdatasync => {
                let mut steps = self.append(promise, draw, Way::Plain);
                let Step::Write { file, .. } = &steps[0] else {
                    unreachable!("an append begins with a write");
                };
                steps.insert(1, Step::Fdatasync(file.clone()));
                steps
            }
            Promise::AppendOSync => self.append(promise, draw, Way::AppendSync),
            Promise::AppendODsync => self.append(promise, draw, Way::AppendDataSync),
            Promise::OverwriteFsync => vec![draw.overwrite(&data, Way::Plain), Step::Fsync(data)],
            Promise::TruncateFsync => vec![
                Step::Truncate {
                    file: data.clone(),
                    len: draw.below(2 * DATA),
                },
                Step::Fsync(data),
            ],
            Promise::RenameOverFsync => vec![
                draw.new_file(&path("new")),
                Step::Fsync(path("new")),
                Step::Rename(path("new"), data),
                directory(),
            ],
            Promise::RenameDirectoryFsync => vec![
                Step::Rename(path(&format!("d{turn}")), path(&format!("d{}", turn + 1))),
                directory(),
            ],
            Promise::LinkFsync => vec![Step::Link(data, new), directory()],
            // In turn made and removed.
            Promise::UnlinkFsync if turn.is_multiple_of(2) => {
                let file = path("file");
                vec![draw.new_file(&file), Step::Fsync(file), directory()]
            }
            Promise::UnlinkFsync => vec![Step::Unlink(path("file")), directory()],
            Promise::MkdirFsync => {
                let (sub, file) = (path(&format!("d{turn}")), path(&format!("d{turn}/file")));
                vec![
                    Step::Mkdir(sub.clone()),
                    draw.new_file(&file),
                    Step::Fsync(file),
                    Step::Fsync(sub),
                    directory(),
                ]
            }
            Promise::MmapMsync => vec![draw.overwrite(&data, Way::MappedSync)],
            Promise::MmapFsync => vec![draw.overwrite(&data, Way::Mapped), Step::Fsync(data)],
            Promise::Syncfs | Promise::Sync => vec![
                draw.overwrite(&data, Way::Plain),
                draw.new_file(&new),
                draw.new_file(&path("other")),
                if promise == Promise::Sync {
                    Step::Sync
                } else {
                    Step::Syncfs
                },
            ],
        }
    }

    /// The transaction that all others build on.
    fn first(draw: &mut Draw) -> Vec<Step> {
        let mut steps = Vec::new();
        for promise in Promise::ALL {
            let (directory, data) = (promise.name().to_owned(), promise.path("data"));
            let (sub, file) = (promise.path("d0"), promise.path("d0/file"));
            steps.push(Step::Mkdir(directory.clone()));
            steps.push(Step::Write {
                file: data.clone(),
                offset: 0,
                bytes: draw.exactly(DATA),
                way: Way::Plain,
            });
            steps.push(Step::Fsync(data));
            if promise == Promise::RenameDirectoryFsync {
                steps.push(Step::Mkdir(sub.clone()));
                steps.push(draw.new_file(&file));
                steps.push(Step::Fsync(file));
                steps.push(Step::Fsync(sub));
            }
            steps.push(Step::Fsync(directory));
        }
        steps.push(Step::Fsync(String::new()));
        steps
    }
}

impl Iterator for Sequence {
    type Item = Transaction;

    fn next(&mut self) -> Option<Transaction> {
        let n = self.next;
        self.next += 1;
        let mut draw = Draw(Random::new(self.seed ^ n.wrapping_mul(0x9e37_79b9)));
        if n == 0 {
            return Some(Transaction {
                n,
                promise: None,
                steps: Sequence::first(&mut draw),
            });
        }
        let promise = self.draw_promise();
        let steps = self.steps(promise, &mut draw);
        self.turns[promise as usize] += 1;
        Some(Transaction {
            n,
            promise: Some(promise),
            steps,
        })
    }
}

/// Sizes, places and contents of one transaction.
struct Draw(Random);

impl Draw {
    fn below(&mut self, limit: u64) -> u64 {
        self.0.next() % limit
    }

    fn exactly(&mut self, len: u64) -> Vec<u8> {
        let mut bytes = vec![0; len.next_multiple_of(8) as usize];
        self.0.fill(&mut bytes);
        bytes.truncate(len as usize);
        bytes
    }

    fn bytes(&mut self) -> Vec<u8> {
        let len = 1 + self.below(LONGEST);
        self.exactly(len)
    }

    /// A file from its first byte. One that is there already keeps what is longer.
    fn new_file(&mut self, file: &str) -> Step {
        Step::Write {
            file: file.to_owned(),
            offset: 0,
            bytes: self.bytes(),
            way: Way::Plain,
        }
    }

    /// Bytes amid a file of [`DATA`] bytes.
    fn overwrite(&mut self, file: &str, way: Way) -> Step {
        let bytes = self.bytes();
        Step::Write {
            file: file.to_owned(),
            offset: self.below(DATA - bytes.len() as u64),
            bytes,
            way,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_sequence() {
        let of = |seed| Sequence::new(seed).take(40).collect::<Vec<_>>();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn every_round_has_every_promise() {
        let round = Sequence::ROUND as usize;
        let all: Vec<Transaction> = Sequence::new(3).take(1 + 3 * round).collect();
        for chunk in all[1..].chunks(round) {
            let mut promises: Vec<_> = chunk.iter().filter_map(|t| t.promise).collect();
            promises.sort();
            assert_eq!(promises, Promise::ALL);
        }
    }

    #[test]
    fn a_path_names_its_promise() {
        for promise in Promise::ALL {
            assert_eq!(Promise::at(&promise.path("d0/file")), Some(promise));
        }
        assert_eq!(Promise::at("lost+found"), None);
    }
}
