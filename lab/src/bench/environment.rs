//! The machine, and what else went on there while a run took place.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use rustix::system::sysinfo;

use super::cpus;
use super::result::Environment;
use crate::process;
use crate::report::{Host, Revision};

/// The kernel counts load averages in 65,536ths (sysinfo(2)).
const LOAD_UNIT: f64 = 65_536.0;

/// git answers from local files.
const GIT_LIMIT: Duration = Duration::from_secs(30);

/// What is known when a run begins.
#[derive(Debug)]
pub struct Observer {
    environment: Environment,
    began: CpuTimes,
}

impl Observer {
    /// Looks at the machine. `storage` says where the ext4 file system lies, `version` which
    /// dynamicfs is measured (see [`version_of`]).
    ///
    /// # Errors
    ///
    /// When `/proc` cannot be read.
    pub fn begin(storage: impl Into<String>, version: impl Into<String>) -> Result<Self> {
        let host = host()?;
        let environment = Environment {
            kernel: host.kernel,
            processor: host.cpu,
            cpus: host.cpus,
            memory: host.memory_bytes,
            governor: governor(),
            virtual_machine: has_hypervisor(&read("/proc/cpuinfo")?),
            load: sysinfo().loads[0] as f64 / LOAD_UNIT,
            steal: 0.0,
            storage: storage.into(),
            dynamicfs: version.into(),
        };
        Ok(Observer {
            environment,
            began: CpuTimes::now()?,
        })
    }

    /// The run is over: what the hypervisor took meanwhile is known.
    ///
    /// # Errors
    ///
    /// When `/proc` cannot be read.
    pub fn finish(self) -> Result<Environment> {
        Ok(Environment {
            steal: CpuTimes::now()?.stolen_since(self.began),
            ..self.environment
        })
    }
}

/// What this machine is.
///
/// # Errors
///
/// When `/proc` cannot be read.
pub fn host() -> Result<Host> {
    let cpuinfo = read("/proc/cpuinfo")?;
    let info = sysinfo();
    Ok(Host {
        kernel: rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned(),
        cpu: processor(&cpuinfo).unwrap_or("unknown").to_owned(),
        cpus: cpus::allowed()?.len(),
        memory_bytes: info.totalram * u64::from(info.mem_unit),
    })
}

/// This moment, UTC, as RFC 3339, exact to the second.
pub fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// `version` with the commit of `checkout`, where there is a repository and git.
pub fn revision(version: &str, checkout: &Path) -> Revision {
    let commit = git(checkout, &["rev-parse", "--short", "HEAD"]);
    let changes = git(checkout, &["status", "--porcelain", "--untracked-files=no"]);
    Revision {
        version: version.to_owned(),
        commit,
        clean: changes.as_deref() == Some(""),
    }
}

/// [`revision`] in a line.
pub fn version_of(version: &str, checkout: &Path) -> String {
    revision(version, checkout).to_string()
}

fn git(checkout: &Path, arguments: &[&str]) -> Option<String> {
    // A parent directory may be another repository.
    if !checkout.join(".git").exists() {
        return None;
    }
    let mut command = Command::new("git");
    // The lab runs as root on a user's checkout, which git would refuse to read.
    let trust = format!("safe.directory={}", checkout.display());
    command.args(["-c", &trust]).arg("-C").arg(checkout);
    let finished = process::run(command.args(arguments), GIT_LIMIT).ok()?;
    finished
        .success()
        .then(|| finished.stdout.trim().to_owned())
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}

fn governor() -> Option<String> {
    let path = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

/// The value of a line `key : value` of `/proc/cpuinfo`.
fn cpuinfo_value<'a>(cpuinfo: &'a str, key: &str) -> Option<&'a str> {
    cpuinfo.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim())
    })
}

/// Model of the processor. ARM names only the machine, and that not everywhere.
fn processor(cpuinfo: &str) -> Option<&str> {
    cpuinfo_value(cpuinfo, "model name").or_else(|| cpuinfo_value(cpuinfo, "Model"))
}

/// Whether the processor says that a hypervisor is below it. Only x86 does.
fn has_hypervisor(cpuinfo: &str) -> bool {
    cpuinfo_value(cpuinfo, "flags").is_some_and(|flags| {
        flags
            .split_ascii_whitespace()
            .any(|flag| flag == "hypervisor")
    })
}

/// Times of all processors together since boot, in ticks (proc_stat(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct CpuTimes {
    all: u64,
    stolen: u64,
}

impl CpuTimes {
    fn now() -> Result<Self> {
        CpuTimes::parse(&read("/proc/stat")?).context("no line \"cpu\" in /proc/stat")
    }

    fn parse(stat: &str) -> Option<Self> {
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let times: Vec<u64> = line
            .split_ascii_whitespace()
            // User, nice, system, idle, iowait, irq, softirq, steal. The time of guests, which
            // follows, is part of user and nice.
            .take(8)
            .map(|time| time.parse().ok())
            .collect::<Option<_>>()?;
        Some(CpuTimes {
            all: times.iter().sum(),
            stolen: *times.get(7)?,
        })
    }

    /// The stolen part of the time since `earlier`, 0 to 1. The kernel corrects these counters now
    /// and then, so they may step back.
    fn stolen_since(self, earlier: CpuTimes) -> f64 {
        let all = self.all.saturating_sub(earlier.all).max(1);
        self.stolen.saturating_sub(earlier.stolen) as f64 / all as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_processor_and_what_is_below() {
        let guest = "processor\t: 0\nmodel name\t: A B: C\nflags\t\t: fpu hypervisor lm\n";
        assert_eq!(processor(guest), Some("A B: C"));
        assert!(has_hypervisor(guest));
        assert!(!has_hypervisor("flags : fpu not_hypervisor lm\n"));
        let arm = "processor\t: 0\nFeatures\t: fp\n\nModel\t\t: Board 4\n";
        assert_eq!(processor(arm), Some("Board 4"));
        assert_eq!(processor("processor : 0\n"), None);
    }

    #[test]
    fn steal_is_a_part_of_the_time_between() {
        let stat = |user, steal| {
            let text = format!("cpu  {user} 0 10 70 5 0 0 {steal} 999 0\ncpu0 1 1 1 1 1 1 1 1 1\n");
            CpuTimes::parse(&text).unwrap()
        };
        let (before, after) = (stat(15, 0), stat(90, 25));
        assert_eq!(
            before,
            CpuTimes {
                all: 100,
                stolen: 0
            }
        );
        assert_eq!(after.stolen_since(before), 0.25);
        assert_eq!(before.stolen_since(after), 0.0);
        assert_eq!(CpuTimes::parse("cpu0 1 2 3 4 5 6 7 8\n"), None);
        assert_eq!(CpuTimes::parse("cpu  1 2 3\n"), None);
    }

    #[test]
    fn observes_this_machine() {
        let observer = Observer::begin("image in memory", "1.2.3").unwrap();
        let environment = observer.finish().unwrap();
        assert!(environment.kernel.starts_with(char::is_numeric));
        assert!(environment.cpus >= 1 && environment.memory > 1 << 26);
        assert!((0.0..=1.0).contains(&environment.steal), "{environment:?}");
        assert!((0.0..1e5).contains(&environment.load), "{environment:?}");
        assert_eq!(environment.storage, "image in memory");
        assert_eq!(environment.dynamicfs, "1.2.3");
    }

    #[test]
    fn the_version_names_the_commit_and_changes() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(version_of("1.2.3", dir.path()), "1.2.3");
        let run = |arguments: &[&str]| {
            let identity = ["-c", "user.name=T", "-c", "user.email=t@example.org"];
            let mut command = Command::new("git");
            command.arg("-C").arg(dir.path()).args(identity);
            let finished = process::run(command.args(arguments), GIT_LIMIT).unwrap();
            assert!(finished.success(), "{finished:?}");
            finished.stdout.trim().to_owned()
        };
        run(&["init", "--quiet"]);
        let file = dir.path().join("file");
        fs::write(&file, "1").unwrap();
        run(&["add", "file"]);
        run(&["commit", "--quiet", "--message", "One"]);
        let commit = run(&["rev-parse", "--short", "HEAD"]);
        assert_eq!(version_of("1.2.3", dir.path()), format!("1.2.3 ({commit})"));
        fs::write(&file, "2").unwrap();
        assert_eq!(
            version_of("1.2.3", dir.path()),
            format!("1.2.3 ({commit}, dirty)")
        );
    }

    #[test]
    fn times_are_written_as_in_rfc_3339() {
        let now = now();
        assert_eq!(now.len(), "2025-01-31T12:00:00Z".len(), "{now}");
        assert!(now.starts_with("20") && now.ends_with('Z'), "{now}");
        assert!(humantime::parse_rfc3339(&now).is_ok(), "{now}");
    }
}
