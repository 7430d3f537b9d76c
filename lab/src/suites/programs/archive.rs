//! tar(1) and rsync(1): everything that an archive keeps.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde_json::json;

use super::tree::Tree;
use super::{Cx, Seen};
use crate::hash::hash_file;
use crate::material;

/// The tree of [`material::tree`], off the mount.
pub(super) fn source(cx: &Cx) -> Result<PathBuf> {
    let source = cx.scratch.join("tree");
    if !source.exists() {
        fs::create_dir(&source)?;
        material::tree(&source)?;
    }
    Ok(source)
}

/// The same bytes for the same tree: sorted, owners by number, with extended attributes. The
/// times of files are kept, to the second.
fn pack(cx: &Cx, tree: &Path, archive: &Path) -> Result<()> {
    cx.run_silent(
        cx.command("tar")
            .args(["--create", "--sort=name", "--numeric-owner", "--format=pax"])
            .args(["--pax-option=delete=atime,delete=ctime,exthdr.name=%d/x/%f"])
            .args(["--xattrs", "--xattrs-include=user.*", "--file"])
            .arg(archive)
            .arg("--directory")
            .arg(tree)
            .arg("."),
    )
}

/// Extracts the archive of the tree.
pub(super) fn extract(cx: &Cx) -> Result<Seen> {
    cx.fresh()?;
    let source = source(cx)?;
    let archive = cx.scratch.join("tree.tar");
    pack(cx, &source, &archive)?;
    let target = cx.dir.join("tree");
    fs::create_dir(&target)?;
    cx.run_silent(
        cx.command("tar")
            .args([
                "--extract",
                "--preserve-permissions",
                "--numeric-owner",
                "--same-owner",
            ])
            .args(["--xattrs", "--xattrs-include=user.*", "--file"])
            .arg(&archive)
            .arg("--directory")
            .arg(&target),
    )?;
    let tree = Tree::read(&target)?;
    Ok(Seen::from([
        ("entries".to_owned(), json!(tree.len())),
        ("tree".to_owned(), json!(tree.hash())),
    ]))
}

/// The archive of what was extracted has the bytes of the first one: times and extended
/// attributes have survived too.
pub(super) fn archive_again(cx: &Cx) -> Result<Seen> {
    let archive = cx.dir.join("again.tar");
    pack(cx, &cx.dir.join("tree"), &archive)?;
    let (again, first) = (
        hash_file(&archive)?,
        hash_file(&cx.scratch.join("tree.tar"))?,
    );
    ensure!(
        again == first,
        "the archive of the extracted tree has other bytes: {again}, not {first}"
    );
    Ok(Seen::new())
}

/// Copies, and finds nothing left to do the second time.
pub(super) fn rsync_twice(cx: &Cx) -> Result<Seen> {
    cx.fresh()?;
    let mut from = source(cx)?.into_os_string();
    from.push("/");
    let target = cx.dir.join("tree");
    let flags = [
        "--archive",
        "--hard-links",
        "--numeric-ids",
        "--itemize-changes",
    ];
    let first = cx.run(cx.command("rsync").args(flags).arg(&from).arg(&target))?;
    ensure!(!first.is_empty(), "rsync copied nothing");
    cx.run_silent(
        cx.command("rsync")
            .args(flags)
            .arg("--checksum")
            .arg(&from)
            .arg(&target),
    )?;
    Ok(Seen::from([(
        "tree".to_owned(),
        json!(Tree::read(&target)?.hash()),
    )]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_the_same_every_time() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("not run: giving files to others needs root");
            return;
        }
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let trees = dirs.each_ref().map(|dir| {
            assert!(material::tree(dir.path()).unwrap() > 1000);
            Tree::read(dir.path()).unwrap()
        });
        assert_eq!(trees[0].len(), material::TREE_ENTRIES);
        assert_eq!(trees[0].hash(), trees[1].hash());
    }
}
