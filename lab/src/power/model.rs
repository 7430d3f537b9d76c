//! What may be there after a cut, from what was acknowledged and what was only begun.

use std::collections::BTreeMap;

use super::Log;
use super::sequence::{Sequence, Step};

/// A file or a directory at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    Directory,
    File(Vec<u8>),
}

/// Every state in which a path may be found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Allowed {
    /// As it is while the power is on; `None` when it is not there.
    now: Option<Entry>,
    /// It may be missing.
    pub(super) absent: bool,
    /// The states of each inode that may be there under this name. Bytes of several states of one
    /// inode may be mixed, those of different inodes never.
    pub(super) inodes: Vec<Vec<Entry>>,
    /// What changed it, in order.
    changes: Vec<Change>,
}

/// Which bytes a transaction wrote; none, when it changed the name alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Change {
    n: u64,
    start: u64,
    end: u64,
}

impl Allowed {
    /// The transaction that wrote the byte at `offset` last. Without an offset, or when none wrote it:
    /// the last that changed anything.
    pub(super) fn changed_by(&self, offset: Option<u64>) -> Option<u64> {
        let wrote = |change: &&Change| {
            offset.is_some_and(|offset| (change.start..change.end).contains(&offset))
        };
        let changes = || self.changes.iter().rev();
        let change = changes().find(wrote).or_else(|| changes().next());
        change.map(|change| change.n)
    }

    /// `n` changed the name alone.
    fn renamed_by(&mut self, n: u64) {
        self.changes.push(Change {
            n,
            start: 0,
            end: 0,
        });
    }

    /// A name for another inode, or its first one.
    fn becomes(&mut self, states: Vec<Entry>) {
        self.absent |= self.now.is_none();
        self.now = states.last().cloned();
        self.inodes.push(states);
    }

    fn goes(&mut self, n: u64) {
        self.absent = true;
        self.now = None;
        self.renamed_by(n);
    }

    /// The file gets the contents that `change` makes of those it has.
    fn rewrite(&mut self, change: Change, edit: impl FnOnce(&mut Vec<u8>)) {
        let (mut bytes, fresh) = match self.now.take() {
            Some(Entry::File(bytes)) => (bytes, false),
            // Created, it has a moment without contents.
            _ => (Vec::new(), true),
        };
        if fresh {
            self.becomes(vec![Entry::File(Vec::new())]);
        }
        edit(&mut bytes);
        let entry = Entry::File(bytes);
        self.now = Some(entry.clone());
        if let Some(states) = self.inodes.last_mut() {
            states.push(entry);
        }
        self.changes.push(change);
    }

    /// What was acknowledged has one state.
    fn settle(&mut self) {
        self.absent = self.now.is_none();
        self.inodes = self.now.iter().map(|entry| vec![entry.clone()]).collect();
    }
}

/// The allowed states of every path after a cut.
pub(super) fn allowed(log: &Log) -> BTreeMap<String, Allowed> {
    let mut model = Model::default();
    for transaction in Sequence::new(log.seed).take(log.begun as usize) {
        for step in &transaction.steps {
            model.step(transaction.n, step);
        }
        if transaction.n < log.acknowledged {
            model.paths.values_mut().for_each(Allowed::settle);
        }
    }
    model.paths
}

#[derive(Debug, Default)]
struct Model {
    paths: BTreeMap<String, Allowed>,
}

impl Model {
    fn at(&mut self, path: &str) -> &mut Allowed {
        self.paths.entry(path.to_owned()).or_default()
    }

    fn step(&mut self, n: u64, step: &Step) {
        match step {
            Step::Write {
                file,
                offset,
                bytes,
                ..
            } => {
                let (start, end) = (*offset, offset + bytes.len() as u64);
                self.at(file).rewrite(Change { n, start, end }, |contents| {
                    contents.resize(contents.len().max(end as usize), 0);
                    contents[start as usize..end as usize].copy_from_slice(bytes);
                });
            }
            Step::Truncate { file, len } => {
                let file = self.at(file);
                let change = Change {
                    n,
                    start: *len,
                    end: u64::MAX,
                };
                file.rewrite(change, |contents| contents.resize(*len as usize, 0));
            }
            Step::Mkdir(path) => {
                let directory = self.at(path);
                directory.becomes(vec![Entry::Directory]);
                directory.renamed_by(n);
            }
            Step::Rename(from, to) => self.rename(n, from, to),
            Step::Link(from, to) => self.copy_name(n, from, to),
            Step::Unlink(path) => self.at(path).goes(n),
            Step::Fsync(_) | Step::Fdatasync(_) | Step::Syncfs | Step::Sync => {}
        }
    }

    fn rename(&mut self, n: u64, from: &str, to: &str) {
        let below = format!("{from}/");
        let moved: Vec<String> = self
            .paths
            .iter()
            .filter(|(path, allowed)| {
                allowed.now.is_some() && (*path == from || path.starts_with(&below))
            })
            .map(|(path, _)| path.clone())
            .collect();
        for path in moved {
            self.copy_name(n, &path, &format!("{to}{}", &path[from.len()..]));
            self.at(&path).goes(n);
        }
    }

    /// `to` is another name of what is at `from`, which was synced.
    fn copy_name(&mut self, n: u64, from: &str, to: &str) {
        let source = self.at(from).clone();
        let target = self.at(to);
        target.becomes(source.now.into_iter().collect());
        target.changes.extend(source.changes);
        target.renamed_by(n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::power::sequence::{Promise, Way};

    fn write(file: &str, offset: u64, bytes: &[u8]) -> Step {
        Step::Write {
            file: file.to_owned(),
            offset,
            bytes: bytes.to_vec(),
            way: Way::Plain,
        }
    }

    #[test]
    fn what_is_acknowledged_has_one_state() {
        let log = Log {
            seed: 5,
            begun: 200,
            acknowledged: 200,
        };
        let paths = allowed(&log);
        assert!(
            paths
                .values()
                .all(|a| a.inodes.len() == usize::from(!a.absent))
        );
        let there = |promise: Promise| {
            let of = paths
                .iter()
                .filter(|(path, _)| Promise::at(path) == Some(promise));
            of.filter(|(_, allowed)| !allowed.absent).count()
        };
        assert!(there(Promise::CreateFsync) > 10);
        assert_eq!(
            there(Promise::RenameDirectoryFsync),
            4,
            "itself, data, one directory and its file"
        );
    }

    #[test]
    fn what_is_begun_has_all_states_of_each_inode() {
        let mut model = Model::default();
        model.step(0, &write("d/f", 0, b"old"));
        model.at("d/f").settle();
        model.step(1, &write("d/f", 1, b"xy"));
        model.step(1, &write("d/new", 0, b"new"));
        model.step(1, &Step::Rename("d/new".to_owned(), "d/f".to_owned()));
        let file = |text: &str| Entry::File(text.into());
        let (old, new) = (&model.paths["d/f"], &model.paths["d/new"]);
        assert!(!old.absent, "the old or the new one is always there");
        assert_eq!(
            old.inodes,
            [vec![file("old"), file("oxy")], vec![file("new")]]
        );
        assert!(new.absent);
        assert_eq!(new.inodes, [[file(""), file("new")]]);
        model.step(2, &Step::Link("d/f".to_owned(), "d/g".to_owned()));
        let link = &model.paths["d/g"];
        assert_eq!(link.changed_by(Some(1)), Some(1), "who wrote the byte");
        assert_eq!(link.changed_by(None), Some(2), "who made the name");
    }
}
