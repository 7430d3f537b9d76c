//! What was made already, `target/lab/images`.
//!
//! An entry is a directory whose name ends in a hash of all that it was made of. It is made beside
//! its place and renamed when it is complete, so one that is there is whole.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use rustix::fs::{FlockOperation, flock, statvfs, syncfs};
use rustix::io::Errno;

use crate::progress::Progress;

/// Ending of what is being made.
const PART: &str = ".part";

/// How the names of entries begin; other files in the directory are not ours to remove.
const KINDS: [&str; 4] = ["apt-", "deb-", "kernel-", "root-"];

/// With less room than this, whatever failed probably failed for want of it.
const LITTLE: u64 = 64 << 20;

/// The directory of entries.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    directory: PathBuf,
}

/// The right to make and remove entries: one process has it at a time.
#[derive(Debug)]
pub(super) struct Maker<'a> {
    cache: &'a Cache,
    /// Locked (flock(2)) until it is closed, however this process ends.
    _lock: File,
}

/// What `prune` removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Names of the entries.
    pub names: Vec<String>,
    /// Bytes that they took on disk.
    pub bytes: u64,
}

impl Cache {
    /// Opens it, and makes it where there is none.
    pub(super) fn open(directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        Ok(Cache {
            directory: directory.to_owned(),
        })
    }

    /// Where it is.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The entry of that name, if it was made.
    pub(super) fn entry(&self, name: &str) -> Option<PathBuf> {
        let path = self.directory.join(name);
        path.exists().then_some(path)
    }

    /// Waits until nobody else makes images; what a killed run left half-made goes.
    ///
    /// The wait has no limit of its own: each step of the one who has the lock has one, and the
    /// kernel drops the lock of a process that dies.
    pub(super) fn maker(&self, progress: &Progress) -> Result<Maker<'_>> {
        let path = self.directory.join("lock");
        let lock =
            File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {
                progress.step("waiting: another run makes images");
                flock(&lock, FlockOperation::LockExclusive)?;
            }
            other => other?,
        }
        let maker = Maker {
            cache: self,
            _lock: lock,
        };
        maker.clear_parts()?;
        Ok(maker)
    }

    fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }
}

impl Maker<'_> {
    /// The entry of that name, made by `make` in an empty directory unless it is there. A name
    /// with a `/` is an entry of a subdirectory.
    pub(super) fn get(
        &self,
        name: &str,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        if let Some(path) = self.cache.entry(name) {
            return Ok(path);
        }
        let path = self.cache.directory.join(name);
        let part = self.cache.directory.join(format!("{name}{PART}"));
        let made = fs::create_dir_all(&part)
            .map_err(Into::into)
            .and_then(|()| make(&part))
            // A name must not outlive a power cut that its content does not.
            .and_then(|()| Ok(syncfs(File::open(&part)?)?))
            .and_then(|()| Ok(fs::rename(&part, &path)?));
        if let Err(error) = made {
            // Before there is room again.
            let error = self.explain(error);
            // What cannot be removed now is removed by the next run.
            let _ = fs::remove_dir_all(&part);
            return Err(error.context(format!("cannot make {name}")));
        }
        Ok(path)
    }

    /// Names the want of room where there is one: programs say it in many ways.
    fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        let directory = &self.cache.directory;
        let free = statvfs(directory).map_or(u64::MAX, |info| info.f_bavail * info.f_frsize);
        // Some programs remove what they made before they say so.
        let said = format!("{error:#}").contains("No space left on device");
        if free >= LITTLE && !said {
            return error;
        }
        error.context(format!(
            "there is no room at {} ({} MiB are free): make some (cargo xtask lab image prune) and \
             run the same command again",
            directory.display(),
            free >> 20
        ))
    }

    fn clear_parts(&self) -> Result<()> {
        for name in self.cache.names()? {
            if name.ends_with(PART) {
                remove(&self.cache.directory.join(&name))?;
            }
        }
        Ok(())
    }

    /// Removes all entries but those in `keep`.
    pub(super) fn prune(&self, keep: &BTreeSet<String>) -> Result<Pruned> {
        let mut pruned = Pruned::default();
        for name in self.cache.names()? {
            let ours = KINDS.iter().any(|kind| name.starts_with(kind));
            if !ours || keep.contains(&name) {
                continue;
            }
            let path = self.cache.directory.join(&name);
            pruned.bytes += allocated(&path)?;
            remove(&path)?;
            pruned.names.push(name);
        }
        Ok(pruned)
    }
}

fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    removed.map_err(|error| anyhow!(error).context(format!("cannot remove {}", path.display())))
}

/// Bytes that a file, or a directory with all in it, takes on disk. What goes meanwhile counts
/// nothing.
pub(super) fn allocated(path: &Path) -> io::Result<u64> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        other => other?,
    };
    let mut bytes = metadata.blocks() * 512;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            bytes += allocated(&entry?.path())?;
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    fn cache() -> (tempfile::TempDir, Cache) {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(&dir.path().join("images")).unwrap();
        (dir, cache)
    }

    fn make(text: &str) -> impl FnOnce(&Path) -> Result<()> + '_ {
        move |part| Ok(fs::write(part.join("file"), text)?)
    }

    #[test]
    fn an_entry_is_made_once() {
        let (_dir, cache) = cache();
        let maker = cache.maker(&Progress::new(1)).unwrap();
        let path = maker.get("root-1", make("first")).unwrap();
        assert_eq!(maker.get("root-1", make("second")).unwrap(), path);
        assert_eq!(fs::read_to_string(path.join("file")).unwrap(), "first");
    }

    #[test]
    fn a_failure_leaves_nothing_and_the_next_try_makes_it() {
        let (_dir, cache) = cache();
        let maker = cache.maker(&Progress::new(1)).unwrap();
        let error = maker
            .get("root-1", |part| {
                fs::write(part.join("file"), "half")?;
                Err(anyhow!("the network is gone"))
            })
            .unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "cannot make root-1: the network is gone"
        );
        assert_eq!(cache.names().unwrap(), ["lock"]);
        maker.get("root-1", make("whole")).unwrap();
        assert!(cache.entry("root-1").is_some());
    }

    #[test]
    fn want_of_room_is_named_whoever_says_it() {
        let (_dir, cache) = cache();
        let maker = cache.maker(&Progress::new(1)).unwrap();
        let error = maker
            .get("root-1", |_| {
                Err(anyhow!("tar: x: No space left on device"))
            })
            .unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains("cargo xtask lab image prune"), "{error}");
    }

    #[test]
    fn what_a_killed_run_left_is_no_entry_and_goes() {
        let (_dir, cache) = cache();
        let part = cache.directory().join("root-1.part");
        let lock = cache.directory().join("lock");
        // Another process has the lock and is in the middle of an entry.
        let script = "exec 9>\"$1\"; flock 9; mkdir -p \"$2/usr\"; echo begun; exec sleep 60";
        let mut other = Command::new("sh")
            .args(["-c", script, "sh"])
            .args([&lock, &part])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut begun = String::new();
        BufReader::new(other.stdout.take().unwrap())
            .read_line(&mut begun)
            .unwrap();
        let file = File::open(&lock).unwrap();
        let locked = flock(&file, FlockOperation::NonBlockingLockExclusive);
        let seen = cache.entry("root-1");
        other.kill().unwrap();
        other.wait().unwrap();
        assert_eq!(
            (begun.as_str(), locked),
            ("begun\n", Err(Errno::WOULDBLOCK))
        );
        assert!(seen.is_none());
        let maker = cache.maker(&Progress::new(1)).unwrap();
        assert!(!part.exists());
        maker.get("root-1", make("whole")).unwrap();
    }

    #[test]
    fn prune_keeps_what_is_named() {
        let (_dir, cache) = cache();
        let maker = cache.maker(&Progress::new(1)).unwrap();
        maker.get("root-1", make("old")).unwrap();
        maker.get("root-2", make("new")).unwrap();
        fs::write(cache.directory().join("ext4-x"), "another's").unwrap();
        let pruned = maker.prune(&BTreeSet::from(["root-2".to_owned()])).unwrap();
        assert_eq!(pruned.names, ["root-1"]);
        assert!(pruned.bytes > 0);
        assert_eq!(cache.names().unwrap(), ["ext4-x", "lock", "root-2"]);
    }
}
