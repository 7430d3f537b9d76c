//! The passthrough examples of libfuse, compiled from the sources in Debian's package.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use crate::paths::Paths;
use crate::tools::{self, quiet};

const EXAMPLES: &str = "/usr/share/doc/libfuse3-dev/examples";

/// What libfuse's own build finds out about Linux and defines. Without it the examples leave these
/// operations out.
const FEATURES: &[&str] = &[
    "-DHAVE_COPY_FILE_RANGE",
    "-DHAVE_FALLOCATE",
    "-DHAVE_FDATASYNC",
    "-DHAVE_FSTATAT",
    "-DHAVE_POSIX_FALLOCATE",
    "-DHAVE_SETXATTR",
    "-DHAVE_UTIMENSAT",
];

/// Compiles an example, unless that was done from the same source against the same library.
pub(super) fn compile(paths: &Paths, example: &str, program: &str) -> Result<()> {
    let source = Path::new(EXAMPLES).join(example).with_extension("c");
    ensure!(
        source.is_file(),
        "the package libfuse3-dev left no {}: dpkg is told to leave /usr/share/doc out here \
         (path-exclude in /etc/dpkg/dpkg.cfg.d)",
        source.display()
    );
    let (target, stamp) = (built(paths, program), stamp(paths, program));
    let made_from = made_from(&source)?;
    if target.is_file() && fs::read_to_string(&stamp).is_ok_and(|made| made == made_from) {
        return Ok(());
    }
    fs::create_dir_all(paths.peers())?;
    quiet(
        Command::new("gcc")
            .arg("-O2")
            .args(FEATURES)
            .arg("-o")
            .args([&target, &source])
            .args(pkg_config(&["--cflags", "--libs"])?.split_whitespace()),
    )?;
    Ok(fs::write(stamp, made_from)?)
}

/// Where it is when it was compiled.
pub(super) fn built(paths: &Paths, program: &str) -> PathBuf {
    paths.peers().join(program)
}

/// Says what the program of that name was made from.
fn stamp(paths: &Paths, program: &str) -> PathBuf {
    built(paths, program).with_extension("made-from")
}

/// The version of the library and of the source.
pub(super) fn version() -> Result<String> {
    let version = tools::package_version("libfuse3-dev")?;
    Ok(format!("libfuse {version} (example in libfuse3-dev)"))
}

fn made_from(source: &Path) -> Result<String> {
    let hash: String = Sha256::digest(fs::read(source)?)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let library = pkg_config(&["--modversion"])?;
    Ok(format!("{} {hash} libfuse {library}", FEATURES.join(" ")))
}

fn pkg_config(what: &[&str]) -> Result<String> {
    let output = Command::new("pkg-config")
        .args(what)
        .arg("fuse3")
        .output()
        .context("cannot start pkg-config")?;
    ensure!(
        output.status.success(),
        "pkg-config does not know fuse3: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
