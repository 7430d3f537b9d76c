//! The server in `lab/peers/fuse-backend-rs`, which has its own dependencies.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::paths::Paths;
use crate::tools::quiet;

const CRATE: &str = "fuse-backend-rs";

/// Builds it; cargo knows whether there is anything to do.
pub(super) fn build(paths: &Paths, program: &str) -> Result<()> {
    if !built(paths, program).is_file() {
        eprintln!("building the peer {CRATE}");
    }
    quiet(
        Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--release", "--locked", "--quiet"])
            .arg("--manifest-path")
            .arg(directory(paths).join("Cargo.toml"))
            .arg("--target-dir")
            .arg(target(paths))
            // Settings of this workspace are not meant for others' crates.
            .env_remove("RUSTFLAGS"),
    )
}

/// Where it is when it was built.
pub(super) fn built(paths: &Paths, program: &str) -> PathBuf {
    target(paths).join("release").join(program)
}

/// The version of the crate.
pub(super) fn version(paths: &Paths) -> Result<String> {
    let lock = directory(paths).join("Cargo.lock");
    let text =
        fs::read_to_string(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    let version =
        locked(&text).with_context(|| format!("no package {CRATE} in {}", lock.display()))?;
    Ok(format!("{CRATE} {version} (crate)"))
}

fn directory(paths: &Paths) -> PathBuf {
    paths.root.join("lab/peers").join(CRATE)
}

fn target(paths: &Paths) -> PathBuf {
    paths.peers().join("build")
}

fn locked(lock: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Package {
        name: String,
        version: String,
    }
    #[derive(Deserialize)]
    struct Lock {
        package: Vec<Package>,
    }
    let lock: Lock = toml::from_str(lock).ok()?;
    let package = lock
        .package
        .into_iter()
        .find(|package| package.name == CRATE)?;
    Some(package.version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_version_of_the_crate_and_not_of_the_server() {
        let version = version(&Paths::discover()).unwrap();
        assert!(version.starts_with("fuse-backend-rs 0.14."), "{version}");
    }
}
