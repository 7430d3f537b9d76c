//! A memory cgroup, of whichever version the machine has (`Documentation/admin-guide/cgroup-v2.rst`,
//! `cgroup-v1/memory.rst`).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::{Pid, Signal, kill_process};

use crate::namespace::waiter;
use crate::process::{GRACE, poll_until};

/// Why there is none to be had.
pub(crate) struct Unavailable(pub(crate) String);

/// A cgroup of its own. Removed when dropped.
pub(crate) struct MemoryCgroup {
    hierarchy: PathBuf,
    directory: PathBuf,
    version: Version,
    /// The hierarchy was mounted for this.
    mounted: bool,
}

/// How short of memory a cgroup was since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pressure {
    /// How often it was full, and something had to be freed first.
    pub(crate) reclaims: u64,
    /// Pages of files that were freed and had to be read again.
    pub(crate) refaults: u64,
    /// Processes killed for want of memory.
    pub(crate) kills: u64,
}

/// This process is in a cgroup; dropped, it goes back to where it was.
pub(crate) struct Inside<'a> {
    before: PathBuf,
    _cgroup: &'a MemoryCgroup,
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let own = rustix::process::getpid().to_string();
        let _ = fs::write(self.before.join("cgroup.procs"), own);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl MemoryCgroup {
    /// In the hierarchy that has the memory controller; mounts one at `at` when none is mounted. What is in
    /// it takes no more than `limit` bytes together.
    pub(crate) fn new(at: &Path, limit: u64) -> Result<Result<Self, Unavailable>> {
        let mountinfo = fs::read_to_string("/proc/self/mountinfo")?;
        let (version, hierarchy, mounted) = match find(&mountinfo) {
            Some((version, hierarchy)) => (version, hierarchy, false),
            None => {
                fs::create_dir_all(at)?;
                if let Err(error) = mount("cgroup2", at, "cgroup2", MountFlags::empty(), None) {
                    let reason = format!("cannot mount a cgroup hierarchy: {error}");
                    return Ok(Err(Unavailable(reason)));
                }
                (Version::Two, at.to_owned(), true)
            }
        };
        let cgroup = MemoryCgroup {
            directory: hierarchy.join(name(waiter())),
            hierarchy,
            version,
            mounted,
        };
        if let Err(error) = cgroup.create(limit) {
            return Ok(Err(Unavailable(format!("no memory cgroup: {error:#}"))));
        }
        Ok(Ok(cgroup))
    }

    fn create(&self, limit: u64) -> Result<()> {
        if self.version == Version::Two {
            write(&self.hierarchy.join("cgroup.subtree_control"), "+memory")?;
        }
        fs::create_dir(&self.directory)
            .with_context(|| format!("cannot create {}", self.directory.display()))?;
        let file = match self.version {
            Version::One => "memory.limit_in_bytes",
            Version::Two => "memory.max",
        };
        write(&self.directory.join(file), &limit.to_string())
    }

    /// From now on what `process` adds to its memory counts here.
    pub(crate) fn add(&self, process: Pid) -> Result<()> {
        write(&self.directory.join("cgroup.procs"), &process.to_string())
    }

    /// Puts this process into it until the guard is dropped.
    pub(crate) fn enter(&self) -> Result<Inside<'_>> {
        let before = fs::read_to_string("/proc/self/cgroup")?;
        let before = path_in(&before, self.version).unwrap_or("/");
        let before = self.hierarchy.join(before.trim_start_matches('/'));
        let inside = Inside {
            // What a namespace of cgroups hides is at its root.
            before: [before, self.hierarchy.clone()]
                .into_iter()
                .find(|directory| directory.is_dir())
                .context("the cgroup of this process is nowhere")?,
            _cgroup: self,
        };
        self.add(rustix::process::getpid())?;
        Ok(inside)
    }

    /// Frees what can be freed of it.
    pub(crate) fn reclaim(&self) {
        // Either is an attempt: what is in use stays, and the kernel may say that it got less than all.
        let _ = match self.version {
            Version::One => fs::write(self.directory.join("memory.force_empty"), "0"),
            Version::Two => fs::write(self.directory.join("memory.reclaim"), "1G"),
        };
    }

    /// How short of memory it was so far.
    pub(crate) fn pressure(&self) -> Result<Pressure> {
        let stat = fs::read_to_string(self.directory.join("memory.stat"))?;
        let refaults = number(&stat, "workingset_refault_file").unwrap_or(0);
        let reclaims = match self.version {
            Version::One => fs::read_to_string(self.directory.join("memory.failcnt"))?
                .trim()
                .parse()?,
            Version::Two => {
                let events = fs::read_to_string(self.directory.join("memory.events"))?;
                number(&events, "max").context("memory.events has no count max")?
            }
        };
        Ok(Pressure {
            reclaims,
            refaults,
            kills: self.kills()?,
        })
    }

    /// How many processes were killed in it for want of memory.
    pub(crate) fn kills(&self) -> Result<u64> {
        let file = self.directory.join(match self.version {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        });
        let text =
            fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        number(&text, "oom_kill")
            .with_context(|| format!("{} has no count oom_kill", file.display()))
    }
}

impl Drop for MemoryCgroup {
    fn drop(&mut self) {
        remove(&self.directory);
        if self.mounted {
            let _ = unmount(&self.hierarchy, UnmountFlags::DETACH);
        }
    }
}

/// The name of the cgroup of a run; `waiter` is the process that waits for it ([`waiter`]).
fn name(waiter: u32) -> String {
    format!("dynamicfs-lab-{waiter}")
}

/// Busy until its last process is reaped.
fn remove(directory: &Path) {
    let _ = poll_until(Instant::now() + GRACE, || {
        let removed = fs::remove_dir(directory);
        Ok(removed.is_ok() || !directory.exists())
    });
}

/// Ends what is in the cgroup of a run whose `waiter` is this process and which was interrupted, and
/// removes it. Does nothing when there is none.
pub(crate) fn clear_of(waiter: u32) {
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let Some((_, hierarchy)) = find(&mountinfo) else {
        return;
    };
    let directory = hierarchy.join(name(waiter));
    let members = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    for process in members.lines().filter_map(|line| line.parse().ok()) {
        if let Some(process) = Pid::from_raw(process) {
            let _ = kill_process(process, Signal::KILL);
        }
    }
    if directory.exists() {
        remove(&directory);
    }
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {text} to {}", file.display()))
}

/// The number after `name`, in a file with a name and a number a line.
fn number(text: &str, name: &str) -> Option<u64> {
    let count = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    count.trim().parse().ok()
}

/// The cgroup of a process in that hierarchy, by its `/proc/PID/cgroup` (cgroups(7)).
fn path_in(cgroups: &str, version: Version) -> Option<&str> {
    cgroups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let is_it = match version {
            Version::One => controllers.split(',').any(|one| one == "memory"),
            Version::Two => controllers.is_empty(),
        };
        is_it.then_some(path)
    })
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
        let kills = |text| number(text, "oom_kill");
        assert_eq!(kills("low 0\noom 2\noom_kill 1\n"), Some(1));
        assert_eq!(kills("under_oom 0\noom_kill 3\n"), Some(3));
        assert_eq!(kills("low 0\n"), None);
    }

    #[test]
    fn finds_where_a_process_is() {
        let text = "4:cpu,memory:/a/b\n3:cpuset:/\n0::/c:d\n";
        assert_eq!(path_in(text, Version::One), Some("/a/b"));
        assert_eq!(path_in(text, Version::Two), Some("/c:d"));
    }
}
