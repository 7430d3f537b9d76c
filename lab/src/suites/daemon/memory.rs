//! A memory cgroup, of whichever version the machine has (`Documentation/admin-guide/cgroup-v2.rst`,
//! `cgroup-v1/memory.rst`).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::Pid;

use crate::process::GRACE;
use crate::process::poll_until;

/// What a starved process may add to what it has: less than the kernel charges at a time for each
/// processor (64 pages).
const LIMIT: u64 = 128 << 10;

/// Why there is none to be had.
pub(super) struct Unavailable(pub(super) String);

/// A cgroup of its own. Removed when dropped.
pub(super) struct MemoryCgroup {
    directory: PathBuf,
    version: Version,
    /// The hierarchy, when it was mounted for this.
    mounted: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl MemoryCgroup {
    /// In the hierarchy that has the memory controller; mounts one at `at` when none is mounted.
    pub(super) fn new(at: &Path) -> Result<Result<Self, Unavailable>> {
        let mountinfo = fs::read_to_string("/proc/self/mountinfo")?;
        let (version, hierarchy, mounted) = match find(&mountinfo) {
            Some((version, hierarchy)) => (version, hierarchy, None),
            None => {
                fs::create_dir_all(at)?;
                if let Err(error) = mount("cgroup2", at, "cgroup2", MountFlags::empty(), None) {
                    let reason = format!("cannot mount a cgroup hierarchy: {error}");
                    return Ok(Err(Unavailable(reason)));
                }
                (Version::Two, at.to_owned(), Some(at.to_owned()))
            }
        };
        let cgroup = MemoryCgroup {
            directory: hierarchy.join(format!("dynamicfs-lab-{}", std::process::id())),
            version,
            mounted,
        };
        if let Err(error) = cgroup.create(&hierarchy) {
            return Ok(Err(Unavailable(format!("no memory cgroup: {error:#}"))));
        }
        Ok(Ok(cgroup))
    }

    fn create(&self, hierarchy: &Path) -> Result<()> {
        if self.version == Version::Two {
            write(&hierarchy.join("cgroup.subtree_control"), "+memory")?;
        }
        fs::create_dir(&self.directory)
            .with_context(|| format!("cannot create {}", self.directory.display()))?;
        let limit = match self.version {
            Version::One => "memory.limit_in_bytes",
            Version::Two => "memory.max",
        };
        write(&self.directory.join(limit), &LIMIT.to_string())
    }

    /// Lets `process` have no more memory than it has, but for a little.
    pub(super) fn starve(&self, process: Pid) -> Result<()> {
        write(&self.directory.join("cgroup.procs"), &process.to_string())
    }

    /// How many processes were killed in it for want of memory.
    pub(super) fn kills(&self) -> Result<u64> {
        let file = self.directory.join(match self.version {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        });
        let text =
            fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        parse_kills(&text).with_context(|| format!("{} has no count oom_kill", file.display()))
    }
}

impl Drop for MemoryCgroup {
    fn drop(&mut self) {
        // Busy until its last process is reaped.
        let deadline = Instant::now() + GRACE;
        let _ = poll_until(deadline, || {
            let removed = fs::remove_dir(&self.directory);
            Ok(removed.is_ok() || !self.directory.exists())
        });
        if let Some(hierarchy) = &self.mounted {
            let _ = unmount(hierarchy, UnmountFlags::DETACH);
        }
    }
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {text} to {}", file.display()))
}

fn parse_kills(text: &str) -> Option<u64> {
    let count = text
        .lines()
        .find_map(|line| line.strip_prefix("oom_kill "))?;
    count.trim().parse().ok()
}

/// Where the memory controller is: in a hierarchy of version 1 with it, otherwise in version 2.
fn find(mountinfo: &str) -> Option<(Version, PathBuf)> {
    let mounts = || {
        mountinfo.lines().filter_map(|line| {
            let (mount, filesystem) = line.split_once(" - ")?;
            let mut words = filesystem.split(' ');
            let (kind, options) = (words.next()?, words.nth(1)?);
            Some((mount.split(' ').nth(4)?, kind, options))
        })
    };
    let with_memory = |(_, kind, options): &(&str, &str, &str)| {
        *kind == "cgroup" && options.split(',').any(|option| option == "memory")
    };
    let one = mounts()
        .find(with_memory)
        .map(|(at, ..)| (Version::One, at));
    let two = || mounts().find(|(_, kind, _)| *kind == "cgroup2");
    one.or_else(|| two().map(|(at, ..)| (Version::Two, at)))
        .map(|(version, at)| (version, PathBuf::from(at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "30 1 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
    const ONE: &str = "31 1 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                       32 1 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";

    #[test]
    fn the_memory_controller_of_version_1_comes_first() {
        let both = format!("{TWO}{ONE}");
        let memory = (Version::One, PathBuf::from("/sys/fs/cgroup/memory"));
        assert_eq!(find(&both), Some(memory));
        assert_eq!(find(TWO), Some((Version::Two, "/sys/fs/cgroup".into())));
        assert_eq!(find("22 1 0:5 / /a rw - tmpfs none rw\n"), None);
    }

    #[test]
    fn reads_the_kills_of_both_versions() {
        assert_eq!(parse_kills("low 0\noom 2\noom_kill 1\n"), Some(1));
        assert_eq!(parse_kills("under_oom 0\noom_kill 3\n"), Some(3));
        assert_eq!(parse_kills("low 0\n"), None);
    }
}
