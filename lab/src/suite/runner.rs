//! Runs each case in a process of its own, with a time limit.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{IFlags, Mode, ioctl_getflags, ioctl_setflags};
use rustix::process::{
    Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, test_kill_process_group, umask,
};
use serde::{Deserialize, Serialize};

use super::{Case, Cx, Failure, util::readable_within};

/// How long a killed case may take to disappear. Longer means that it hangs inside the kernel.
const GRACE: Duration = Duration::from_secs(5);

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// All assertions held.
    Passed,
    /// One did not; the detail says which.
    Failed,
    /// It did not run, since a need was not met; the detail says which.
    Skipped,
    /// It was killed at the time limit.
    TimedOut,
}

/// What came of a case. Its JSON form is the output of `dynamicfs-suite --json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CaseReport {
    /// Full name of the case.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, unless it passed.
    pub detail: String,
    /// What it observed until its end, for comparison with other filesystems.
    pub observations: BTreeMap<String, String>,
    /// Wall-clock time in milliseconds.
    pub millis: u64,
}

/// Where and how to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The executable that runs one case: `dynamicfs-suite`.
    pub program: PathBuf,
    /// Directory under test. Cases work in subdirectories, which are removed again.
    pub dir: PathBuf,
    /// The directory that is mounted at `dir`, if any: the same files, seen below the mount.
    pub backing: Option<PathBuf>,
    /// The attribute and entry TTL that the mount declares.
    pub attr_ttl: Duration,
    /// Limit for one case.
    pub timeout: Duration,
    /// Factor for what the cases wait for at most, at least 1; what must be seen by a TTL is not
    /// given more time than the slack.
    pub patience: u32,
    /// How many cases run at once, at least 1. Many cases wait for a TTL and use no CPU.
    pub jobs: usize,
}

/// What a case's own process hands to the runner.
#[derive(Serialize, Deserialize)]
struct ChildReport {
    failure: Option<String>,
    observations: BTreeMap<String, String>,
}

/// Runs `cases` and calls `each` with every report, in the order of `cases`.
///
/// A case that does not even die when killed hangs in the filesystem; the cases that have not
/// started by then are reported as failed, since they would hang as well.
pub fn run(cases: &[Case], options: &Options, mut each: impl FnMut(&CaseReport)) {
    let (next, hung) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (sender, reports) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.clamp(1, cases.len().max(1)) {
            let sender = sender.clone();
            let (next, hung) = (&next, &hung);
            scope.spawn(move || {
                while let Some((index, case)) = take(next, cases) {
                    if sender.send((index, run_case(case, options, hung))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut expected = 0;
        for (index, report) in reports {
            early.insert(index, report);
            while let Some(report) = early.remove(&expected) {
                each(&report);
                expected += 1;
            }
        }
    });
}

/// The next case that no thread has taken yet.
fn take<'a>(next: &AtomicUsize, cases: &'a [Case]) -> Option<(usize, &'a Case)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    cases.get(index).map(|case| (index, case))
}

fn run_case(case: &Case, options: &Options, hung: &AtomicBool) -> CaseReport {
    let start = Instant::now();
    let mut report = CaseReport {
        name: case.name.to_owned(),
        outcome: Outcome::Failed,
        detail: String::new(),
        observations: BTreeMap::new(),
        millis: 0,
    };
    if let Some(reason) = case.needs.unmet() {
        (report.outcome, report.detail) = (Outcome::Skipped, reason.to_owned());
    } else if hung.load(Ordering::Relaxed) {
        report.detail = "not run: an earlier case hangs in the filesystem".to_owned();
    } else if let Err(error) = run_in_process(case, options, hung, &mut report) {
        report.outcome = Outcome::Failed;
        report.detail = error.to_string();
    }
    report.millis = start.elapsed().as_millis() as u64;
    report
}

/// Directory names have no colons, and all the same length, since some cases count path lengths.
fn directory_name(case: &Case) -> String {
    format!("{:_<60}", case.name.replace("::", "."))
}

fn run_in_process(
    case: &Case,
    options: &Options,
    hung: &AtomicBool,
    report: &mut CaseReport,
) -> std::io::Result<()> {
    let name = directory_name(case);
    let dir = options.dir.join(&name);
    let backing = options.backing.as_ref().unwrap_or(&options.dir).join(&name);
    remove_tree(&dir, &backing)?;
    std::fs::DirBuilder::new().mode(0o755).create(&dir)?;
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755))?;

    let mut child = Command::new(&options.program)
        .args(["--run-case", case.name, "--dir"])
        .arg(&dir)
        .arg("--backing")
        .arg(&backing)
        .args(["--attr-ttl", &format!("{}ms", options.attr_ttl.as_millis())])
        .args(["--patience", &options.patience.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    let pid = Pid::from_child(&child);
    let stdout = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        stdout.map(|mut stdout| stdout.read_to_end(&mut text));
        text
    });
    let ended = pidfd_open(pid, PidfdFlags::empty())?;
    let in_time = readable_within(&ended, options.timeout).unwrap_or(false);
    // The leader is not reaped yet, so the group is still the case's own, and with it goes
    // whatever the case left running.
    let _ = kill_process_group(pid, Signal::KILL);
    if !readable_within(&ended, GRACE * options.patience).unwrap_or(false) {
        hung.store(true, Ordering::Relaxed);
        report.outcome = Outcome::TimedOut;
        report.detail = format!("hangs in the kernel: process {pid:?} does not die");
        return Ok(());
    }
    child.wait()?;
    if !group_is_gone(pid, GRACE * options.patience) {
        hung.store(true, Ordering::Relaxed);
        report.outcome = Outcome::TimedOut;
        report.detail = format!("a child of the case hangs in the kernel: process group {pid:?}");
        return Ok(());
    }
    let text = reader.join().unwrap_or_default();
    if in_time {
        take_child_report(&text, report);
    } else {
        report.outcome = Outcome::TimedOut;
        report.detail = format!("killed after {:?}", options.timeout);
    }
    remove_tree(&dir, &backing)
}

/// Killed processes of the group vanish when whoever adopted them reaps them.
fn group_is_gone(group: Pid, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    while test_kill_process_group(group).is_ok() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

fn take_child_report(text: &[u8], report: &mut CaseReport) {
    let Ok(child) = serde_json::from_slice::<ChildReport>(text) else {
        report.outcome = Outcome::Failed;
        report.detail = "the case's process ended without a report (panic or signal)".to_owned();
        return;
    };
    report.observations = child.observations;
    match child.failure {
        None => report.outcome = Outcome::Passed,
        Some(failure) => (report.outcome, report.detail) = (Outcome::Failed, failure),
    }
}

fn remove_tree(dir: &Path, backing: &Path) -> std::io::Result<()> {
    let removed = std::fs::remove_dir_all(dir).or_else(|error| match error.kind() {
        // A case that failed left a file that nobody may remove. Behind the mount, which may be what
        // failed.
        ErrorKind::PermissionDenied => {
            unlock(backing)?;
            std::fs::remove_dir_all(dir)
        }
        _ => Err(error),
    });
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Takes the flags from all in a tree that keep it from being removed (ioctl_iflags(2)).
fn unlock(path: &Path) -> std::io::Result<()> {
    let metadata = path.symlink_metadata()?;
    if !metadata.is_dir() && !metadata.is_file() {
        return Ok(());
    }
    let file = std::fs::File::open(path)?;
    let flags = ioctl_getflags(&file)?;
    let locks = IFlags::IMMUTABLE | IFlags::APPEND;
    if flags.intersects(locks) {
        ioctl_setflags(&file, flags - locks)?;
    }
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path)? {
            unlock(&entry?.path())?;
        }
    }
    Ok(())
}

/// Runs the case `name` in this process and returns its report as JSON. `dir` is the case's own
/// directory. For the hidden `--run-case` of `dynamicfs-suite`.
///
/// # Errors
/// When there is no such case, or the directory cannot be entered.
pub fn run_case_here(
    name: &str,
    dir: &Path,
    backing: &Path,
    attr_ttl: Duration,
    patience: u32,
) -> Result<String, Failure> {
    let case = super::Set::ALL
        .into_iter()
        .flat_map(super::Set::cases)
        .find(|case| case.name == name)
        .ok_or_else(|| Failure::new(format_args!("no case `{name}`")))?;
    std::env::set_current_dir(dir)?;
    umask(Mode::from_raw_mode(0o022));
    let cx = Cx::new(std::path::absolute(backing)?, attr_ttl, patience);
    let failure = (case.run)(&cx).err().map(|failure| failure.to_string());
    let report = ChildReport {
        failure,
        observations: cx.into_observations(),
    };
    serde_json::to_string(&report).map_err(Failure::new)
}
