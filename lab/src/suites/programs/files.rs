//! cp(1), diff(1), rm(1).

use std::fs;

use anyhow::{Result, ensure};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::archive::source;
use super::tree::Tree;
use super::{Cx, Seen};
use crate::hash::{hash_file, hex};
use crate::material;

/// Copies onto the mount and within it, and compares.
pub(super) fn copy_and_diff(cx: &Cx) -> Result<Seen> {
    cx.fresh()?;
    let source = source(cx)?;
    cx.run_silent(cx.command("cp").arg("-r").arg(&source).arg("first"))?;
    cx.run_silent(cx.command("cp").args(["-r", "first", "second"]))?;
    cx.run_silent(
        cx.command("diff")
            .args(["-r", "--no-dereference"])
            .arg(&source)
            .arg("first"),
    )?;
    cx.run_silent(
        cx.command("diff")
            .args(["-r", "--no-dereference", "first", "second"]),
    )?;
    Ok(Seen::from([
        (
            "first".to_owned(),
            json!(Tree::read(&cx.dir.join("first"))?.hash()),
        ),
        (
            "second".to_owned(),
            json!(Tree::read(&cx.dir.join("second"))?.hash()),
        ),
    ]))
}

/// A large file is written, copied and read back.
pub(super) fn large_file(cx: &Cx) -> Result<Seen> {
    cx.fresh()?;
    let bytes: u64 = if cx.quick { 256 << 20 } else { 2 << 30 };
    let (original, copy) = (cx.dir.join("original"), cx.dir.join("copy"));
    let mut hasher = Sha256::new();
    material::large_file(&original, bytes, |block| hasher.update(block))?;
    let expected = hex(&hasher.finalize());
    cx.run_silent(cx.command("cp").args([
        "--reflink=never",
        "--sparse=never",
        "original",
        "copy",
    ]))?;
    let length = fs::metadata(&copy)?.len();
    ensure!(
        length == bytes,
        "the copy has {length} bytes instead of {bytes}"
    );
    // The copy is read again, here and behind the mount, when the trees are compared; the original
    // would only take time.
    fs::remove_file(&original)?;
    let found = hash_file(&copy)?;
    ensure!(
        found == expected,
        "the copy has SHA-256 {found}, the bytes written had {expected}"
    );
    let behind = hash_file(&cx.backing.join("copy"))?;
    ensure!(
        behind == expected,
        "behind the mount the copy has SHA-256 {behind} instead of {expected}"
    );
    fs::remove_file(&copy)?;
    Ok(Seen::from([
        ("bytes".to_owned(), json!(bytes)),
        ("sha256".to_owned(), json!(expected)),
    ]))
}

/// Takes away all that the other cases left.
pub(super) fn remove_everything(cx: &Cx) -> Result<Seen> {
    let mut names: Vec<_> = fs::read_dir(&cx.dir)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<Result<_, _>>()?;
    names.sort();
    ensure!(
        !names.is_empty(),
        "nothing to remove: no case left anything"
    );
    cx.run_silent(cx.command("rm").arg("-rf").args(&names))?;
    for dir in [&cx.dir, &cx.backing] {
        let left = fs::read_dir(dir)?.count();
        ensure!(left == 0, "{left} entries are left in {}", dir.display());
    }
    Ok(Seen::from([("removed".to_owned(), json!(names.len()))]))
}
