//! What tests that mount have in common.

// Each test program has a copy of its own and uses what it needs.
#![allow(dead_code)]

use std::fs;
use std::path::Path;

/// False, with a word about it, without root; with `CI` set that is a failure.
pub(crate) fn may_mount() -> bool {
    let root = rustix::process::geteuid().is_root();
    assert!(
        root || std::env::var_os("CI").is_none(),
        "this test mounts, which needs root"
    );
    if !root {
        eprintln!("not run: mounting needs root");
    }
    root
}

pub(crate) fn is_mounted(path: &Path) -> bool {
    let path = path.display().to_string();
    fs::read_to_string("/proc/self/mountinfo")
        .unwrap()
        .lines()
        .any(|line| line.split(' ').nth(4) == Some(&path))
}
