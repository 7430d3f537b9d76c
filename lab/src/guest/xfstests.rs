//! The tree of xfstests in a guest.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, mount};

use super::root::LAB;
use crate::program;

const TREE: &str = "/opt/xfstests";

/// Where the dynamic linker looks for what is no package's.
const LOCAL_LIBRARIES: &str = "/usr/local/lib";

const LIMIT: Duration = Duration::from_secs(60);

/// Mounts the disk with the tree, and gives its programs the libraries that this system lacks; of those
/// that it has, its own programs need their own versions. Returns where the tree is.
pub(super) fn set_up(disk: &Path) -> Result<PathBuf> {
    fs::create_dir_all(TREE)?;
    mount(disk, TREE, "ext4", MountFlags::empty(), None)
        .with_context(|| format!("cannot mount {} at {TREE}", disk.display()))?;
    let known = ldconfig(&["-p"])?;
    for library in fs::read_dir(Path::new(LAB).join("lib"))? {
        let library = library?;
        if !lists(&known, &library.file_name().to_string_lossy()) {
            let here = Path::new(LOCAL_LIBRARIES).join(library.file_name());
            symlink(library.path(), here)?;
        }
    }
    ldconfig(&[])?;
    Ok(TREE.into())
}

fn ldconfig(arguments: &[&str]) -> Result<String> {
    program::run(Command::new("ldconfig").args(arguments), LIMIT)
}

/// Whether a line such as `\tlibacl.so.1 (libc6,x86-64) => /lib/…` is about this library.
fn lists(known: &str, library: &str) -> bool {
    known
        .lines()
        .any(|line| line.split_whitespace().next() == Some(library))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_known_by_its_whole_name() {
        let known = "3 libs found in cache `/etc/ld.so.cache'\n\
                     \tlibaio.so.1t64 (libc6,x86-64) => /lib/x86_64-linux-gnu/libaio.so.1t64\n";
        assert!(lists(known, "libaio.so.1t64"));
        assert!(!lists(known, "libaio.so.1"));
    }
}
