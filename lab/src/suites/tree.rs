//! What a directory holds, entry by entry, and its hash.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{lgetxattr, llistxattr};
use sha2::{Digest, Sha256};

use crate::hash::{hash_bytes, hash_file, hex};

/// The file type in `st_mode` (inode(7)).
const TYPE: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;

/// One entry. Times are left out: they differ from run to run.
#[derive(Clone, PartialEq, Eq)]
struct Entry {
    mode: u32,
    uid: u32,
    gid: u32,
    links: u64,
    size: u64,
    /// SHA-256 of the bytes of a file, or of the target of a symlink.
    content: String,
    /// Extended attributes by name, where they were asked for.
    xattrs: BTreeMap<OsString, Vec<u8>>,
}

impl Entry {
    fn read(path: &Path, metadata: &Metadata) -> Result<Self> {
        let content = match metadata.mode() & TYPE {
            REGULAR => hash_file(path)?,
            SYMLINK => hash_bytes(fs::read_link(path)?.as_os_str().as_bytes()),
            _ => String::new(),
        };
        Ok(Entry {
            mode: metadata.mode(),
            uid: metadata.uid(),
            gid: metadata.gid(),
            links: metadata.nlink(),
            size: metadata.size(),
            content,
            xattrs: BTreeMap::new(),
        })
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "mode {:o}, owner {}:{}, {} links, {} bytes",
            self.mode, self.uid, self.gid, self.links, self.size
        )?;
        if let Some(start) = self.content.get(..12) {
            write!(f, ", sha256 {start}…")?;
        }
        if !self.xattrs.is_empty() {
            write!(f, ", attributes {:?}", self.xattrs)?;
        }
        Ok(())
    }
}

/// A directory and all below it: names, types, modes, owners, sizes, link counts, contents and
/// targets of symlinks.
pub(crate) struct Tree {
    entries: BTreeMap<PathBuf, Entry>,
}

impl Tree {
    /// Reads it; the directory itself is the entry with the empty name.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let mut entries = BTreeMap::new();
        let mut directories = vec![PathBuf::new()];
        let top = Entry::read(root, &fs::symlink_metadata(root)?)?;
        entries.insert(PathBuf::new(), top);
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(root.join(&directory))? {
                let name = directory.join(entry?.file_name());
                let path = root.join(&name);
                let metadata = fs::symlink_metadata(&path)
                    .with_context(|| format!("listed, but: {}", path.display()))?;
                if metadata.is_dir() {
                    directories.push(name.clone());
                }
                let entry = Entry::read(&path, &metadata)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                if entries.insert(name, entry).is_some() {
                    bail!("{} was listed twice", path.display());
                }
            }
        }
        Ok(Tree { entries })
    }

    /// The same with the extended attributes of all entries.
    pub(crate) fn read_with_xattrs(root: &Path) -> Result<Self> {
        let mut tree = Tree::read(root)?;
        for (name, entry) in &mut tree.entries {
            let path = root.join(name);
            entry.xattrs = xattrs(&path)
                .with_context(|| format!("extended attributes of {}", path.display()))?;
        }
        Ok(tree)
    }

    /// The tree without what lies under `name`, such as `.git`, which holds times of the run.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.entries.retain(|path, _| !path.starts_with(name));
        self
    }

    /// One hash of everything but the sizes of directories, which tell how entries came and went.
    pub(crate) fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        for (path, entry) in &self.entries {
            let size = if entry.mode & TYPE == DIRECTORY {
                0
            } else {
                entry.size
            };
            hasher.update(path.as_os_str().as_bytes());
            hasher.update([0]);
            for number in [
                u64::from(entry.mode),
                u64::from(entry.uid),
                u64::from(entry.gid),
                entry.links,
                size,
            ] {
                hasher.update(number.to_le_bytes());
            }
            hasher.update(&entry.content);
            hasher.update([0]);
            for (name, value) in &entry.xattrs {
                hasher.update(name.as_bytes());
                hasher.update([0]);
                hasher.update((value.len() as u64).to_le_bytes());
                hasher.update(value);
            }
        }
        hex(&hasher.finalize())
    }

    /// How many entries, the directory itself among them.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The first few entries that are not the same in both, in words; `None` when all are.
    pub(crate) fn difference(&self, other: &Tree, names: [&str; 2]) -> Option<String> {
        let word =
            |entry: Option<&Entry>| entry.map_or_else(|| "missing".to_owned(), ToString::to_string);
        let only_other = other
            .entries
            .keys()
            .filter(|path| !self.entries.contains_key(*path));
        let lines: Vec<String> = self
            .entries
            .keys()
            .chain(only_other)
            .map(|path| (path, self.entries.get(path), other.entries.get(path)))
            .filter(|(_, left, right)| left != right)
            .take(5)
            .map(|(path, left, right)| {
                format!(
                    "{:?}: {} {}; {} {}",
                    path,
                    names[0],
                    word(left),
                    names[1],
                    word(right)
                )
            })
            .collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

/// Room for a list of names, or for a value: the most that the kernel hands over (`XATTR_SIZE_MAX`).
const XATTR_MAX: usize = 64 << 10;

fn xattrs(path: &Path) -> Result<BTreeMap<OsString, Vec<u8>>> {
    let mut list = vec![0; XATTR_MAX];
    let length = llistxattr(path, &mut list[..])?;
    let names = list[..length].split(|byte| *byte == 0);
    names
        .filter(|name| !name.is_empty())
        .map(|name| {
            let name = OsStr::from_bytes(name);
            let mut value = vec![0; XATTR_MAX];
            let length = lgetxattr(path, name, &mut value[..])?;
            value.truncate(length);
            Ok((name.to_owned(), value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn sample(root: &Path) {
        fs::create_dir(root.join("d")).unwrap();
        fs::write(root.join("d/f"), "content").unwrap();
        symlink("d/f", root.join("s")).unwrap();
    }

    #[test]
    fn equal_trees_have_equal_hashes() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let trees = dirs.each_ref().map(|dir| {
            sample(dir.path());
            Tree::read(dir.path()).unwrap()
        });
        assert_eq!(trees[0].len(), 4);
        assert_eq!(trees[0].hash(), trees[1].hash());
        assert_eq!(trees[0].difference(&trees[1], ["a", "b"]), None);
    }

    #[test]
    fn attributes_count_where_they_are_asked_for() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        for dir in &dirs {
            sample(dir.path());
        }
        let file = dirs[0].path().join("d/f");
        let set = rustix::fs::setxattr(&file, "user.a", b"x", rustix::fs::XattrFlags::empty());
        if set == Err(rustix::io::Errno::OPNOTSUPP) {
            eprintln!("not run: no user attributes in {}", file.display());
            return;
        }
        set.unwrap();
        let [a, b] = dirs.each_ref().map(|dir| Tree::read(dir.path()).unwrap());
        assert_eq!(a.hash(), b.hash());
        let [a, b] = dirs
            .each_ref()
            .map(|dir| Tree::read_with_xattrs(dir.path()).unwrap());
        assert_ne!(a.hash(), b.hash());
        let difference = a.difference(&b, ["left", "right"]).unwrap();
        assert!(
            difference.contains("d/f") && difference.contains("user.a"),
            "{difference}"
        );
    }

    #[test]
    fn every_kind_of_change_is_seen_and_named() {
        type Change = fn(&Path);
        let changes: [(&str, Change); 6] = [
            ("d/f", |root| {
                fs::write(root.join("d/f"), "CONTENT").unwrap();
            }),
            ("d/f", |root| {
                let mode = fs::Permissions::from_mode(0o4700);
                fs::set_permissions(root.join("d/f"), mode).unwrap();
            }),
            ("d/f", |root| {
                fs::hard_link(root.join("d/f"), root.join("link")).unwrap();
            }),
            ("s", |root| {
                fs::remove_file(root.join("s")).unwrap();
                symlink("d/g", root.join("s")).unwrap();
            }),
            ("s", |root| fs::remove_file(root.join("s")).unwrap()),
            ("new", |root| fs::write(root.join("new"), "").unwrap()),
        ];
        for (name, change) in changes {
            let dir = tempfile::tempdir().unwrap();
            sample(dir.path());
            let before = Tree::read(dir.path()).unwrap();
            change(dir.path());
            let after = Tree::read(dir.path()).unwrap();
            assert_ne!(before.hash(), after.hash());
            let difference = before.difference(&after, ["before", "after"]).unwrap();
            assert!(difference.contains(&format!("{name:?}: ")), "{difference}");
        }
    }

    #[test]
    fn a_file_is_hashed_as_sha256sum_does() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("f"), "abc").unwrap();
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash_file(&dir.path().join("f")).unwrap(), expected);
        assert_eq!(hash_bytes(b"abc"), expected);
    }
}
