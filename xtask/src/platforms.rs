//! `cargo xtask check-platforms`

use std::env;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use dynamicfs_lab::paths::Paths;

/// A system to check for, and the features of dependencies that it takes.
struct Platform {
    target: &'static str,
    features: &'static [&'static str],
}

/// macFUSE's library is not there where there is no Mac: `fuser` is told to do without, which compiles
/// all but the call that mounts.
const NO_MACFUSE: &[&str] = &["--features", "fuser/macos-no-mount"];

const PLATFORMS: [Platform; 5] = [
    Platform {
        target: "aarch64-apple-darwin",
        features: NO_MACFUSE,
    },
    Platform {
        target: "x86_64-apple-darwin",
        features: NO_MACFUSE,
    },
    Platform {
        target: "x86_64-unknown-freebsd",
        features: &[],
    },
    Platform {
        target: "x86_64-unknown-linux-musl",
        features: &[],
    },
    Platform {
        target: "aarch64-unknown-linux-gnu",
        features: &[],
    },
];

/// Checks the library and the command for each platform; true when all compile without a warning.
pub(crate) fn run() -> Result<bool> {
    let paths = Paths::discover();
    add_targets()?;
    let mut clean = true;
    for platform in PLATFORMS {
        let start = Instant::now();
        let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .current_dir(&paths.root)
            .args(["check", "--quiet", "--package", "dynamicfs"])
            .args(["--lib", "--bins", "--target", platform.target])
            .args(platform.features)
            .env("RUSTFLAGS", "-Dwarnings")
            .status()
            .context("cannot start cargo")?;
        let word = if status.success() { "ok" } else { "FAILED" };
        println!("{:<28} {word:<7} {:.0?}", platform.target, start.elapsed());
        clean &= status.success();
    }
    Ok(clean)
}

/// Installs the standard libraries that are missing, with rustup.
fn add_targets() -> Result<()> {
    let output = Command::new("rustup")
        .args(["target", "add"])
        .args(PLATFORMS.map(|platform| platform.target))
        .output()
        .context("cannot start rustup, which installs the standard libraries of other platforms")?;
    if !output.status.success() {
        bail!(
            "rustup target add failed ({}): {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}
