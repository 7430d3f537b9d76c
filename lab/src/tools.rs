//! Installing what the lab needs: Debian packages and programs from crates.io.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::paths::Paths;

/// A program from crates.io at exactly this version: results are compared by the names of its
/// cases, and another version has others.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    /// Crate and program.
    pub name: &'static str,
    /// The version.
    pub version: &'static str,
    /// Built without optimisation, where the time to build counts for more than the time to run.
    pub debug: bool,
}

/// POSIX conformance: 398 cases.
pub const PJDFSTEST: Tool = Tool {
    name: "pjdfstest",
    version: "0.2.2",
    debug: true,
};
/// Random reads and writes checked against a model in memory.
pub const FSX: Tool = Tool {
    name: "fsx",
    version: "0.3.2",
    debug: false,
};
/// Licences, bans, sources and advisories of the dependencies.
pub const CARGO_DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
    debug: true,
};

/// A program, or a file by its absolute path, and the Debian package that has it.
pub type Package = (&'static str, &'static str);

/// What the lab runs.
pub const LAB_PACKAGES: &[Package] = &[
    ("mkfs.ext4", "e2fsprogs"),
    ("fusermount3", "fuse3"),
    ("mount", "mount"),
    ("losetup", "mount"),
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
    ("fstrim", "util-linux"),
];

/// What the suite of programs runs.
pub const PROGRAMS_PACKAGES: &[Package] = &[
    ("git", "git"),
    ("rg", "ripgrep"),
    ("sqlite3", "sqlite3"),
    ("rsync", "rsync"),
    ("tar", "tar"),
    ("diff", "diffutils"),
    ("cp", "coreutils"),
    ("rm", "coreutils"),
];

/// What the suite that builds runs, beside cargo: the linker.
pub const BUILD_PACKAGES: &[Package] = &[("gcc", "gcc")];

/// What puts a file system under load.
pub const LOAD_PACKAGES: &[Package] = &[
    ("fio", "fio"),
    ("stress-ng", "stress-ng"),
    ("dbench", "dbench"),
];

/// What xfstests runs beside what it compiled.
pub const XFSTESTS_PACKAGES: &[Package] = &[
    ("xfs_io", "xfsprogs"),
    ("attr", "attr"),
    ("setfacl", "acl"),
    ("quota", "quota"),
    ("bc", "bc"),
    ("gawk", "gawk"),
    ("perl", "perl"),
    ("fsck.ext4", "e2fsprogs"),
    ("mount.fuse3", "fuse3"),
];

/// What the workloads of the bench run, beside cargo.
pub const BENCH_PACKAGES: &[Package] = &[
    ("fio", "fio"),
    ("git", "git"),
    ("rg", "ripgrep"),
    ("sqlite3", "sqlite3"),
    ("tar", "tar"),
    ("cp", "coreutils"),
    ("rm", "coreutils"),
    ("gcc", "gcc"),
];

/// What makes images of guests.
pub const IMAGE_PACKAGES: &[Package] = &[
    ("mmdebstrap", "mmdebstrap"),
    (
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "debian-archive-keyring",
    ),
    ("dpkg-deb", "dpkg"),
    ("mount", "mount"),
    ("setpriv", "util-linux"),
    ("unshare", "util-linux"),
    ("chroot", "coreutils"),
    ("ldd", "libc-bin"),
];

/// What the tests of the workspace run.
pub const TEST_PACKAGES: &[Package] = &[
    ("mkfs.ext4", "e2fsprogs"),
    ("fusermount3", "fuse3"),
    ("mount", "mount"),
    ("unshare", "util-linux"),
    ("sqlite3", "sqlite3"),
    ("git", "git"),
    ("rg", "ripgrep"),
    ("fio", "fio"),
    ("tar", "tar"),
    ("cp", "coreutils"),
    ("rm", "coreutils"),
    ("gcc", "gcc"),
    ("bindfs", "bindfs"),
    ("cpio", "cpio"),
    ("setpriv", "util-linux"),
    ("pkg-config", "pkg-config"),
    ("chromium", "chromium"),
    LIBFUSE,
];

/// The library of most file systems, with the sources of examples.
const LIBFUSE: Package = ("/usr/include/fuse3/fuse.h", "libfuse3-dev");

/// What compiles libfuse's examples.
pub const LIBFUSE_PACKAGES: &[Package] = &[
    LIBFUSE,
    ("/usr/include/stdio.h", "libc6-dev"),
    ("gcc", "gcc"),
    ("pkg-config", "pkg-config"),
];

/// Installs the packages whose programs are missing.
///
/// # Errors
///
/// Without root, with the command to run; or when apt-get fails.
pub fn ensure_packages(packages: &[Package]) -> Result<()> {
    let missing = missing_packages(packages, |program| find_program(program).is_some());
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.into_iter().collect();
    let install = ["install", "-y", "--no-install-recommends"];
    if !rustix::process::geteuid().is_root() {
        bail!(
            "missing Debian packages: {0}; install them with\n    \
             sudo apt-get {1} {0}",
            names.join(" "),
            install.join(" ")
        );
    }
    eprintln!("installing Debian packages: {}", names.join(" "));
    let mut command = Command::new("apt-get");
    command
        .args(install)
        .args(&names)
        .env("DEBIAN_FRONTEND", "noninteractive");
    if quiet(&mut command).is_ok() {
        return Ok(());
    }
    // A fresh container has no package lists.
    quiet(Command::new("apt-get").arg("update"))?;
    quiet(&mut command)
}

fn missing_packages(packages: &[Package], has: impl Fn(&str) -> bool) -> BTreeSet<&'static str> {
    packages
        .iter()
        .filter(|(program, _)| !has(program))
        .map(|(_, package)| *package)
        .collect()
}

/// The version of an installed Debian package.
///
/// # Errors
///
/// When it is not installed.
pub fn package_version(package: &str) -> Result<String> {
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat=${Version}", package])
        .output()
        .context("cannot start dpkg-query")?;
    let version = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() || version.is_empty() {
        bail!("the Debian package {package} is not installed");
    }
    Ok(version)
}

/// The program in `PATH`, or in the directories of root's programs that a user's `PATH` lacks. An
/// absolute path stands for itself.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")])
        .map(|dir| dir.join(name))
        .find(|candidate| candidate.is_file())
}

/// Makes a program of `text`, which begins with its interpreter.
pub(crate) fn script(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// `PATH` with `directory` in front.
pub(crate) fn path_with(directory: &Path) -> OsString {
    let mut path = directory.as_os_str().to_owned();
    path.push(":");
    path.push(env::var_os("PATH").unwrap_or_default());
    path
}

/// Installs `tool` under the target directory unless that version is there already, and returns
/// its path.
///
/// # Errors
///
/// When `cargo install` fails.
pub fn ensure_tool(paths: &Paths, tool: Tool) -> Result<PathBuf> {
    let program = paths.tool(tool.name);
    if program.is_file() && is_installed(&paths.tools(), tool) {
        return Ok(program);
    }
    eprintln!("installing {} {} (cargo install)", tool.name, tool.version);
    let start = Instant::now();
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["install", "--locked", "--quiet", "--force", tool.name])
        .args(["--version", &format!("={}", tool.version)])
        .arg("--root")
        .arg(paths.tools())
        // A target directory of its own: an install must not wait for, or disturb, a build.
        .arg("--target-dir")
        .arg(paths.lab().join("tools-build"))
        // Settings of this workspace are not meant for others' crates.
        .env_remove("RUSTFLAGS");
    if tool.debug {
        command.arg("--debug");
    }
    quiet(&mut command)?;
    eprintln!("installed {} in {:.0?}", tool.name, start.elapsed());
    Ok(program)
}

/// Whether cargo's own record of that root lists the version.
fn is_installed(root: &Path, tool: Tool) -> bool {
    fs::read_to_string(root.join(".crates.toml"))
        .is_ok_and(|record| record_has(&record, tool.name, tool.version))
}

fn record_has(record: &str, name: &str, version: &str) -> bool {
    record.contains(&format!("\"{name} {version} ("))
}

/// Runs a command and shows its output only when it fails.
pub(crate) fn quiet(command: &mut Command) -> Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !output.status.success() {
        bail!(
            "{command:?} failed ({}):\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_each_missing_package_once() {
        let missing = missing_packages(LAB_PACKAGES, |program| {
            program != "mount" && program != "losetup"
        });
        assert_eq!(missing.into_iter().collect::<Vec<_>>(), ["mount"]);
    }

    #[test]
    fn a_version_counts_only_when_it_is_that_one() {
        let record = "[v1]\n\"fsx 0.3.20 (registry+x)\" = [\"fsx\"]\n\"pjdfstest 0.2.2 (registry+x)\" = []\n";
        assert!(record_has(record, "pjdfstest", "0.2.2"));
        assert!(!record_has(record, "fsx", "0.3.2"));
    }
}
