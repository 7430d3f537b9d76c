//! A tree of xfstests as guests get it: on a disk of its own, and on the disk of the programs the
//! libraries of this machine, on which it was linked.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use walkdir::WalkDir;

use crate::images::{Image, libraries};
use crate::suites::xfstests::Xfstests;

/// How a program of Linux begins.
const ELF: &[u8] = b"\x7fELF";

/// Makes the disk in `shared`, unless it is there.
pub(super) fn disk(image: &Image, xfstests: &Xfstests, shared: &Path) -> Result<PathBuf> {
    let disk = shared.join("xfstests.disk");
    if !disk.exists() {
        let tree = &xfstests.tree;
        image
            .tree_disk(tree, &disk)
            .with_context(|| format!("cannot make a disk of {}", tree.display()))?;
    }
    Ok(disk)
}

/// Copies what the programs of the tree load to the directory `at`.
pub(super) fn add_libraries(xfstests: &Xfstests, at: &Path) -> Result<()> {
    fs::create_dir(at)?;
    for library in libraries_of(&xfstests.tree)? {
        let name = library.file_name().context("a library without a name")?;
        fs::copy(&library, at.join(name))
            .with_context(|| format!("cannot copy {}", library.display()))?;
    }
    Ok(())
}

fn libraries_of(tree: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut all = BTreeSet::new();
    for entry in WalkDir::new(tree) {
        let entry = entry?;
        if entry.file_type().is_file() && is_program(entry.path())? {
            all.extend(libraries(entry.path())?);
        }
    }
    Ok(all)
}

fn is_program(file: &Path) -> Result<bool> {
    if fs::metadata(file)?.permissions().mode() & 0o111 == 0 {
        return Ok(false);
    }
    let mut magic = Vec::new();
    File::open(file)?
        .take(ELF.len() as u64)
        .read_to_end(&mut magic)?;
    Ok(magic == ELF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_libraries_are_those_of_all_programs_in_the_tree() {
        let tree = tempfile::tempdir().unwrap();
        let deep = tree.path().join("ltp");
        fs::create_dir(&deep).unwrap();
        fs::write(tree.path().join("check"), "#!/bin/sh\n").unwrap();
        assert!(libraries_of(tree.path()).unwrap().is_empty());
        let program = std::env::current_exe().unwrap();
        std::os::unix::fs::symlink("nowhere", deep.join("dangling")).unwrap();
        fs::copy(&program, deep.join("fsstress")).unwrap();
        let expected: BTreeSet<PathBuf> = libraries(&program).unwrap().into_iter().collect();
        assert!(!expected.is_empty());
        assert_eq!(libraries_of(tree.path()).unwrap(), expected);
    }
}
