//! Compares what is there after a cut with what may be there.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::Log;
use super::model::{Allowed, Entry, allowed};
use super::sequence::Promise;

/// Something that is not as promised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// Relative to the writer's directory, whose part names the promise.
    pub path: String,
    /// The transaction whose change is missing, when there is one.
    pub transaction: Option<u64>,
    /// What is wrong.
    pub what: String,
}

impl Loss {
    /// The promise that was broken; `None` when the directories of all promises are missing.
    pub fn promise(&self) -> Option<Promise> {
        Promise::at(&self.path)
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)?;
        match self.transaction {
            Some(n) => write!(f, " (transaction {n})"),
            None => Ok(()),
        }
    }
}

/// What is not in `root`, the writer's directory, although it was acknowledged, and what is there
/// although nobody wrote it. Empty when all is well.
///
/// # Errors
///
/// When the directory cannot be read.
pub fn verify(root: &Path, log: &Log) -> Result<Vec<Loss>> {
    let mut found = BTreeMap::new();
    read_tree(root, "", &mut found)?;
    let allowed = allowed(log);
    let mut losses = Vec::new();
    for (path, allowed) in &allowed {
        if let Some((offset, what)) = difference(found.remove(path), allowed) {
            losses.push(Loss {
                path: path.clone(),
                transaction: allowed.changed_by(offset),
                what,
            });
        }
    }
    losses.extend(found.into_keys().map(|path| Loss {
        path,
        transaction: None,
        what: "is there, and nobody made it".to_owned(),
    }));
    Ok(losses)
}

/// The same behind a mount, and through it where there is one.
///
/// # Errors
///
/// When a directory cannot be read.
pub fn verify_both(source: &Path, mounted: Option<&Path>, log: &Log) -> Result<Vec<Loss>> {
    let mut losses = verify(source, log)?;
    if let Some(mounted) = mounted {
        for loss in verify(mounted, log).context("through the mount")? {
            if !losses.contains(&loss) {
                losses.push(loss);
            }
        }
    }
    Ok(losses)
}

fn read_tree(root: &Path, below: &str, found: &mut BTreeMap<String, Entry>) -> Result<()> {
    let directory = root.join(below);
    let cannot = || format!("cannot read {}", directory.display());
    for entry in fs::read_dir(&directory).with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        let name = entry.file_name();
        let path = Path::new(below).join(&name).display().to_string();
        if entry.file_type()?.is_dir() {
            read_tree(root, &path, found)?;
            found.insert(path, Entry::Directory);
        } else {
            let bytes = fs::read(entry.path())
                .with_context(|| format!("cannot read {}", entry.path().display()))?;
            found.insert(path, Entry::File(bytes));
        }
    }
    Ok(())
}

/// The first byte that is wrong, unless it is the name, and how. Of several inodes that may be there, the one that comes
/// closest tells it.
fn difference(found: Option<Entry>, allowed: &Allowed) -> Option<(Option<u64>, String)> {
    let Some(found) = found else {
        return (!allowed.absent).then(|| (None, "is missing".to_owned()));
    };
    let wrong = allowed.inodes.iter().map(|states| mixture(&found, states));
    // `None`, no difference, is the least.
    let closest =
        wrong.min_by_key(|wrong| wrong.as_ref().map(|(offset, _)| std::cmp::Reverse(*offset)));
    match closest {
        Some(wrong) => wrong.map(|(offset, what)| (Some(offset), what)),
        None => Some((None, "is there, and should be gone".to_owned())),
    }
}

/// What of `found` is in none of the states. A length between the shortest and the longest is
/// allowed, and so are zeros where one of the states has nothing yet.
fn mixture(found: &Entry, states: &[Entry]) -> Option<(u64, String)> {
    let files: Vec<&[u8]> = states.iter().filter_map(contents).collect();
    let Some(bytes) = contents(found) else {
        let directory = states.contains(&Entry::Directory);
        return (!directory).then(|| (0, "is a directory, and should be a file".to_owned()));
    };
    let lengths = files.iter().map(|file| file.len());
    let (Some(shortest), Some(longest)) = (lengths.clone().min(), lengths.max()) else {
        return Some((0, "is a file, and should be a directory".to_owned()));
    };
    let wrong = bytes.iter().enumerate().take(longest).find(|&(at, byte)| {
        let fits = |file: &&[u8]| file.get(at).map_or(*byte == 0, |expected| expected == byte);
        !files.iter().any(fits)
    });
    if let Some((at, byte)) = wrong {
        let zero = if *byte == 0 { ", a zero," } else { "" };
        return Some((at as u64, format!("byte {at}{zero} was not written there")));
    }
    if (shortest..=longest).contains(&bytes.len()) {
        return None;
    }
    let expected = if shortest == longest {
        format!("{shortest}")
    } else {
        format!("{shortest} to {longest}")
    };
    Some((
        bytes.len().min(longest) as u64,
        format!("has {} bytes, and should have {expected}", bytes.len()),
    ))
}

fn contents(entry: &Entry) -> Option<&[u8]> {
    match entry {
        Entry::Directory => None,
        Entry::File(bytes) => Some(bytes),
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::power::writer;

    fn written(last: u64) -> (tempfile::TempDir, Log) {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::new(11);
        writer::write(dir.path(), log.seed, Some(last), &mut |event| {
            log.note(event).unwrap();
            ControlFlow::Continue(())
        })
        .unwrap();
        (dir, log)
    }

    fn losses(dir: &tempfile::TempDir, log: &Log) -> Vec<String> {
        let losses = verify(dir.path(), log).unwrap();
        losses.iter().map(Loss::to_string).collect()
    }

    #[test]
    fn what_was_written_is_there() {
        let (dir, mut log) = written(100);
        assert_eq!((log.begun, log.acknowledged), (101, 101));
        assert_eq!(losses(&dir, &log), [""; 0]);
        // The last may be there in part, so it may be there in full.
        log.acknowledged -= 1;
        assert_eq!(losses(&dir, &log), [""; 0]);
        // One that was never begun may not.
        log.begun -= 1;
        assert_eq!(losses(&dir, &log).len(), 1);
    }

    #[test]
    fn each_kind_of_loss_is_named() {
        let (dir, log) = written(60);
        let path = |name: &str| dir.path().join(name);
        let data = path("overwrite_fsync/data");
        let mut bytes = fs::read(&data).unwrap();
        bytes[40_000] ^= 1;
        fs::write(&data, &bytes).unwrap();
        fs::remove_file(path("create_fsync/f1")).unwrap();
        fs::write(path("link_fsync/odd"), "").unwrap();
        let log0 = fs::File::options()
            .write(true)
            .open(path("append_o_sync/log0"));
        log0.unwrap().set_len(10).unwrap();
        let found = losses(&dir, &log);
        let begin = [
            "append_o_sync/log0: has 10 bytes, and should have ",
            "create_fsync/f1: is missing (transaction ",
            "overwrite_fsync/data: byte 40000 was not written there (transaction ",
            "link_fsync/odd: is there, and nobody made it",
        ];
        assert_eq!(found.len(), begin.len(), "{found:?}");
        for (found, begin) in found.iter().zip(begin) {
            assert!(found.starts_with(begin), "{found:?}");
        }
    }

    #[test]
    fn bytes_of_one_inode_may_be_mixed_and_those_of_two_may_not() {
        let file = |text: &str| Entry::File(text.into());
        let allowed = |inodes| {
            let mut allowed = Allowed::default();
            allowed.inodes = inodes;
            allowed
        };
        let one = allowed(vec![vec![file("aaa"), file("bbbb")]]);
        let two = allowed(vec![vec![file("aaa")], vec![file("bbb")]]);
        for fits in ["aaa", "abab", "bbb\0", "aba"] {
            assert_eq!(difference(Some(file(fits)), &one), None, "{fits}");
        }
        for odd in ["aac", "a", "aaaaa"] {
            assert!(difference(Some(file(odd)), &one).is_some(), "{odd}");
        }
        assert_eq!(difference(Some(file("bbb")), &two), None);
        assert_eq!(
            difference(Some(file("aab")), &two),
            Some((Some(2), "byte 2 was not written there".to_owned()))
        );
        assert!(difference(None, &two).is_some());
        assert!(difference(Some(Entry::Directory), &two).is_some());
    }
}
