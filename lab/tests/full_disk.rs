//! A full disk is told by the name of what could not be written, and what was there stays.

mod support;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use dynamicfs_lab::guest::protocol::StepOutcome;
use dynamicfs_lab::report::Report;
use dynamicfs_lab::schedule::{Record, RunPlan, Store};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use self::support::may_mount;

/// A small file system, unmounted when dropped.
struct Small(tempfile::TempDir);

impl Small {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = c"size=1m";
        mount(
            "small",
            directory.path(),
            "tmpfs",
            MountFlags::empty(),
            Some(options),
        )
        .unwrap();
        Small(directory)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all space that is left.
    fn fill(&self) {
        for number in 0.. {
            match fs::write(self.path().join(format!("filler-{number}")), [1; 4096]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = unmount(self.path(), UnmountFlags::DETACH);
    }
}

/// The files below a directory, sorted.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(self::files(&path)),
            false => files.push(path),
        }
    }
    files.sort();
    files
}

#[test]
fn a_report_that_does_not_fit_leaves_the_old_one() {
    if !may_mount() {
        return;
    }
    let small = Small::new();
    let run = small.path().join("run");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/report.json");
    let mut report = Report::read(&fixture).unwrap();
    report.write(&run).unwrap();
    let (old, before) = (fs::read(run.join("report.json")).unwrap(), files(&run));
    small.fill();
    report.command = "another".to_owned();
    let error = format!("{:#}", report.write(&run).unwrap_err());
    assert!(
        error.contains("run/report.json") && error.contains("No space left"),
        "{error}"
    );
    assert_eq!(fs::read(run.join("report.json")).unwrap(), old);
    assert_eq!(files(&run), before);
}

#[test]
fn a_result_that_does_not_fit_leaves_the_others_and_is_missing() {
    if !may_mount() {
        return;
    }
    let small = Small::new();
    let plan: RunPlan = serde_json::from_str(
        r#"{"started":"2026-01-01T00:00:00Z","profile":"quick","command":"","targets":[],
            "version":{"version":"0","commit":"0","clean":true}}"#,
    )
    .unwrap();
    let store = Store::create(small.path(), &plan).unwrap();
    let record = Record {
        outcome: StepOutcome::Failed("x".repeat(10_000)),
        seconds: 1.0,
    };
    store.keep("host", "first", &record).unwrap();
    let before = files(store.directory());
    small.fill();
    for error in [
        store.keep("host", "second", &record).unwrap_err(),
        store.keep_console("host", 1, "hello").unwrap_err(),
    ] {
        let error = format!("{error:#}");
        assert!(
            error.contains(&*store.directory().join("host").to_string_lossy())
                && error.contains("No space left"),
            "{error}"
        );
    }
    assert_eq!(files(store.directory()), before);
    assert_eq!(store.record("host", "first").unwrap(), Some(record));
    assert_eq!(store.record("host", "second").unwrap(), None);
}
