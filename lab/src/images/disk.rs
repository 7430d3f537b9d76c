//! ext4 on files, made by the tools tree's mke2fs(8): the same input gives the same bytes.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::declaration::Disks;
use crate::image::prepare_ext4;
use crate::program::run_as;

const LIMIT: Duration = Duration::from_secs(10 * 60);

/// Room on a disk beside what is on it, for a guest that writes to its copy.
const ROOM: u64 = 128 << 20;

/// Makes `disk` with what is in `source`, a directory or a tar archive of `bytes` bytes. No
/// journal: nobody relies on a root disk after a crash.
pub(super) fn root(
    mke2fs: Command,
    source: &Path,
    bytes: u64,
    epoch: u64,
    disk: &Path,
) -> Result<()> {
    make(mke2fs, size_for(bytes), disk, |command| {
        fill(command, source)
            .args(["-L", "root"])
            .env("SOURCE_DATE_EPOCH", epoch.to_string())
            // The same for versions before 1.47.1.
            .env("E2FSPROGS_FAKE_TIME", epoch.to_string());
    })
}

/// Makes `disk` with what is in the directory `source`, of `bytes` bytes, as it is.
pub(super) fn tree(mke2fs: Command, source: &Path, bytes: u64, disk: &Path) -> Result<()> {
    make(mke2fs, size_for(bytes), disk, |command| {
        fill(command, source);
    })
}

/// A tenth for the blocks that files do not fill, and for the inode tables.
fn size_for(bytes: u64) -> u64 {
    (bytes + bytes / 10 + ROOM).next_multiple_of(1 << 20)
}

fn fill<'a>(command: &'a mut Command, source: &Path) -> &'a mut Command {
    command
        .args(["-O", "^has_journal", "-i", "8192", "-d"])
        .arg(source)
}

/// Makes an empty `disk` for suites.
pub(super) fn data(mke2fs: Command, disks: &Disks, disk: &Path) -> Result<()> {
    make(mke2fs, u64::from(disks.size_mib) << 20, disk, |command| {
        if !disks.features.is_empty() {
            command.args(["-O", &disks.features.join(",")]);
        }
    })
}

fn make(
    mut mke2fs: Command,
    size: u64,
    disk: &Path,
    more: impl FnOnce(&mut Command),
) -> Result<()> {
    prepare_ext4(&mut mke2fs, disk, size)?;
    more(&mut mke2fs);
    run_as("mke2fs", mke2fs.arg(disk), LIMIT)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::run;
    use std::fs::{self, FileTimes};
    use std::time::SystemTime;

    fn mke2fs() -> Command {
        let mut command = Command::new("mke2fs");
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    #[test]
    fn the_same_tree_gives_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        let programs = tree.join("usr/bin");
        fs::create_dir_all(&programs).unwrap();
        let mut all = vec![tree.clone(), tree.join("usr"), programs.clone()];
        for number in 0..50 {
            let program = programs.join(number.to_string());
            fs::write(&program, "x".repeat(number * 100)).unwrap();
            all.push(program);
        }
        // Times of access are part of a disk, and to read the tree moves those that are not the latest of all.
        let later = SystemTime::now() + Duration::from_secs(3_600);
        for path in all {
            let times = FileTimes::new().set_accessed(later);
            fs::File::open(path).unwrap().set_times(times).unwrap();
        }
        let image = |name: &str, epoch| {
            let disk = dir.path().join(name);
            root(mke2fs(), &tree, 1 << 20, epoch, &disk).unwrap();
            crate::hash::hash_file(&disk).unwrap()
        };
        let first = image("a", 1_700_000_000);
        assert_eq!(image("b", 1_700_000_000), first);
        assert_ne!(image("c", 1_600_000_000), first);
    }

    #[test]
    fn a_disk_for_suites_has_the_size_and_the_features_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("disk");
        let disks = Disks {
            size_mib: 64,
            features: vec!["casefold".to_owned()],
        };
        data(mke2fs(), &disks, &disk).unwrap();
        assert_eq!(fs::metadata(&disk).unwrap().len(), 64 << 20);
        let mut command = Command::new("dumpe2fs");
        command
            .env("PATH", "/usr/sbin:/usr/bin")
            .arg("-h")
            .arg(&disk);
        let header = run(&mut command, LIMIT).unwrap();
        assert!(header.contains(" casefold "), "{header}");
    }
}
