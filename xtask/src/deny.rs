//! `cargo xtask deny`

use std::env;
use std::process::Command;

use anyhow::Result;
use dynamicfs_lab::paths::Paths;
use dynamicfs_lab::tools;

/// The workspace, and the programs of ours that are no members of it.
const MANIFESTS: [&str; 3] = [
    "Cargo.toml",
    "fuzz/Cargo.toml",
    "lab/peers/fuse-backend-rs/Cargo.toml",
];

pub(crate) fn run() -> Result<bool> {
    let paths = Paths::discover();
    let program = tools::ensure_tool(&paths, tools::CARGO_DENY)?;
    let check = |what: &[&str]| -> Result<bool> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut clean = true;
        for manifest in MANIFESTS {
            clean &= Command::new(&program)
                .current_dir(&paths.root)
                .env("CARGO", &cargo)
                .args(["--manifest-path", manifest, "check"])
                .args(what)
                .status()?
                .success();
        }
        Ok(clean)
    };
    let clean = check(&["licenses", "bans", "sources"])?;
    // The database of advisories is a repository of its own, which not every machine can reach.
    let fetched = Command::new(&program)
        .current_dir(&paths.root)
        .args(["fetch", "db"])
        .env("GIT_TERMINAL_PROMPT", "0")
        .output()?;
    if !fetched.status.success() {
        let reason = String::from_utf8_lossy(&fetched.stderr);
        let reason = reason
            .lines()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("unknown");
        println!("advisories: NOT CHECKED: the database cannot be fetched: {reason}");
        return Ok(clean);
    }
    Ok(check(&["advisories"])? && clean)
}
