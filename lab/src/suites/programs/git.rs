//! git(1): a clone, its state, its maintenance.

use std::fs::{self, File, FileTimes, OpenOptions};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Result, bail, ensure};
use serde_json::json;

use super::tree::Tree;
use super::{Cx, Seen};
use crate::hash::hash_bytes;
use crate::material;

const FILES: usize = 300;
const COMMITS: usize = 200;

fn git(cx: &Cx, directory: &Path) -> Command {
    cx.settings.git(directory)
}

/// Clones by the protocol, so that objects are received, indexed and checked out.
pub(super) fn clone(cx: &Cx) -> Result<Seen> {
    cx.fresh()?;
    let origin = cx.scratch.join("origin.git");
    let history = cx.scratch.join("history");
    fs::write(&history, material::history(FILES, COMMITS))?;
    cx.settings.import_history(&origin, &history, cx.limit())?;
    let url = format!("file://{}", origin.display());
    cx.run(git(cx, &cx.dir).args(["clone", "-q", &url, "clone"]))?;
    let clone = cx.dir.join("clone");
    let head = cx.run(git(cx, &clone).args(["rev-parse", "HEAD"]))?;
    let index = cx.run(git(cx, &clone).args(["ls-files", "-s"]))?;
    let count = cx.run(git(cx, &clone).args(["rev-list", "--count", "HEAD"]))?;
    Ok(Seen::from([
        ("head".to_owned(), json!(head.trim())),
        ("commits".to_owned(), json!(count.trim())),
        ("index".to_owned(), json!(hash_bytes(index.as_bytes()))),
        ("tree".to_owned(), worktree(&clone)?),
    ]))
}

/// Clean after the clone, clean when only times changed, and each change seen.
pub(super) fn status(cx: &Cx) -> Result<Seen> {
    let clone = cx.dir.join("clone");
    cx.run_silent(git(cx, &clone).args(["status", "--porcelain"]))?;
    let files = cx.run(git(cx, &clone).args(["ls-files", "dir-1"]))?;
    let later = FileTimes::new().set_modified(SystemTime::now() + Duration::from_secs(7));
    for file in files.lines() {
        File::open(clone.join(file))?.set_times(later)?;
    }
    // Writes the index anew with the times it found.
    cx.run_silent(git(cx, &clone).args(["status", "--porcelain"]))?;
    cx.run_silent(git(cx, &clone).args(["diff-files", "--name-only"]))?;
    let Some(first) = files.lines().next() else {
        bail!("the clone has no files in dir-1");
    };
    let before = fs::read(clone.join(first))?;
    let mut changed = before.clone();
    changed[0] ^= 1;
    // The same size, in place: only the times tell.
    fs::write(clone.join(first), &changed)?;
    fs::write(clone.join("new"), "new")?;
    let dirty = cx.run(git(cx, &clone).args(["status", "--porcelain"]))?;
    let expected = format!(" M {first}\n?? new\n");
    ensure!(
        dirty == expected,
        "git status said {dirty:?} instead of {expected:?}"
    );
    cx.run_silent(git(cx, &clone).args(["checkout", "-q", "--", "."]))?;
    fs::remove_file(clone.join("new"))?;
    cx.run_silent(git(cx, &clone).args(["status", "--porcelain"]))?;
    Ok(Seen::from([("tree".to_owned(), worktree(&clone)?)]))
}

/// A clone beside the first one: git hard-links the objects.
pub(super) fn clone_with_hard_links(cx: &Cx) -> Result<Seen> {
    cx.run(git(cx, &cx.dir).args(["clone", "-q", "--local", "clone", "second"]))?;
    let second = cx.dir.join("second");
    cx.run_silent(git(cx, &second).args(["status", "--porcelain"]))?;
    Ok(Seen::from([("tree".to_owned(), worktree(&second)?)]))
}

/// New objects, then one pack, then every object read back.
pub(super) fn gc_and_fsck(cx: &Cx) -> Result<Seen> {
    let clone = cx.dir.join("clone");
    let mut log = OpenOptions::new()
        .append(true)
        .create(true)
        .open(clone.join("log"))?;
    for number in 0..5 {
        use std::io::Write as _;
        writeln!(log, "entry {number}")?;
        cx.run(git(cx, &clone).args(["add", "-A"]))?;
        cx.run(
            git(cx, &clone)
                .args(["-c", "user.name=Lab", "-c", "user.email=lab@example.org"])
                .args(["commit", "-q", "-m", "More"])
                .env("GIT_AUTHOR_DATE", "1700100000 +0000")
                .env("GIT_COMMITTER_DATE", "1700100000 +0000"),
        )?;
    }
    cx.run(git(cx, &clone).args(["gc", "-q", "--prune=now"]))?;
    cx.run(git(cx, &clone).args(["fsck", "--full", "--strict", "--no-progress"]))?;
    let head = cx.run(git(cx, &clone).args(["rev-parse", "HEAD"]))?;
    let loose = cx.run(git(cx, &clone).args(["count-objects", "-v"]))?;
    let packs: Vec<&str> = loose.lines().filter(|l| !l.starts_with("size")).collect();
    Ok(Seen::from([
        ("head".to_owned(), json!(head.trim())),
        ("objects".to_owned(), json!(packs)),
        ("tree".to_owned(), worktree(&clone)?),
    ]))
}

/// Hash of the files: `.git` holds times and inode numbers.
fn worktree(clone: &Path) -> Result<serde_json::Value> {
    let tree = Tree::read(clone)?.without(".git");
    Ok(json!({ "entries": tree.len(), "sha256": tree.hash() }))
}
