//! A run that is interrupted, wherever it is, leaves no process and no loop device, and so no mount.
//!
//! Programs that the run needs are taken by `hanging.sh`, which does as they do up to one place and
//! stops there.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;

/// For all that should take a moment, on a machine that is busy with other tests.
const LIMIT: Duration = Duration::from_secs(30);

/// Where a run stops: while an ext4 image is made, while a suite works on ext4, while a preset is
/// mounted, while a suite works on it.
const PLACES: [&str; 4] = ["mkfs", "ext4", "mount", "preset"];

/// False, with a word about it, without root; with `CI` set that is a failure.
fn may_mount() -> bool {
    let root = rustix::process::geteuid().is_root();
    assert!(root || std::env::var_os("CI").is_none(), "needs root");
    if !root {
        eprintln!("not run: mounting needs root");
    }
    root
}

#[test]
fn ctrl_c_leaves_nothing() {
    if !may_mount() {
        return;
    }
    for place in PLACES {
        let run = Run::until(place);
        run.interrupt(|pid| kill_process_group(pid, Signal::INT));
    }
}

#[test]
fn a_signal_to_the_command_alone_leaves_nothing() {
    if !may_mount() {
        return;
    }
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        let run = Run::until("preset");
        run.interrupt(|pid| kill_process(pid, signal));
    }
}

/// A run that stands still at some place.
struct Run {
    command: Child,
    /// Its target directory, which is in the environment of all its processes.
    target: TempDir,
    /// The loop devices that it has, with the files behind them.
    loops: BTreeMap<PathBuf, String>,
}

impl Run {
    fn until(place: &str) -> Run {
        let target = tempfile::tempdir().unwrap();
        let stand_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interrupt/hanging.sh");
        let programs = ["bin/mkfs.ext4", "bin/cargo", "debug/dynamicfs-suite"];
        for program in programs {
            let program = target.path().join(program);
            fs::create_dir_all(program.parent().unwrap()).unwrap();
            symlink(&stand_in, program).unwrap();
        }
        let bin = target.path().join("bin");
        let path = std::env::var("PATH").unwrap();
        // Where these tests run in the background, SIGINT is ignored, and children inherit that.
        let command = Command::new("env")
            .arg("--default-signal=INT")
            .arg(env!("CARGO_BIN_EXE_xtask"))
            .args(["conformance", "--preset", "safe", "--suite", "suite"])
            .arg("--command")
            .arg(&stand_in)
            .env("CARGO_TARGET_DIR", target.path())
            .env("CARGO", bin.join("cargo"))
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("HANG_AT", place)
            .env("HANG_MARK", target.path().join("mark"))
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        // From here on dropping it ends it.
        let mut run = Run {
            command,
            target,
            loops: BTreeMap::new(),
        };
        run.wait_for(&format!("it has not come to {place}"), || {
            run.target.path().join("mark").exists()
        });
        run.loops = run.loop_devices();
        assert_eq!(run.loops.is_empty(), place == "mkfs", "{:?}", run.loops);
        run
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.command)
    }

    fn interrupt(mut self, signal: impl Fn(Pid) -> rustix::io::Result<()>) {
        assert!(!self.processes().is_empty());
        signal(self.pid()).unwrap();
        let start = Instant::now();
        while self.command.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < LIMIT, "it goes on");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.wait_for("processes are left", || self.processes().is_empty());
        self.wait_for("loop devices are left", || {
            self.loops
                .iter()
                .all(|(device, file)| backing_file(device).is_none_or(|behind| behind != *file))
        });
    }

    fn wait_for(&self, what: &str, condition: impl Fn() -> bool) {
        let start = Instant::now();
        while !condition() {
            assert!(start.elapsed() < LIMIT, "after {LIMIT:?}: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The directories in /proc of its processes.
    fn processes(&self) -> Vec<PathBuf> {
        let ours = format!("CARGO_TARGET_DIR={}", self.target.path().display());
        let has_it = |process: &PathBuf| {
            fs::read(process.join("environ")).is_ok_and(|environment| {
                environment
                    .split(|&byte| byte == 0)
                    .any(|one| one == ours.as_bytes())
            })
        };
        let all = fs::read_dir("/proc").unwrap().flatten();
        all.map(|entry| entry.path()).filter(has_it).collect()
    }

    /// Those that its processes see mounted.
    fn loop_devices(&self) -> BTreeMap<PathBuf, String> {
        let mounts = self
            .processes()
            .into_iter()
            .filter_map(|process| fs::read_to_string(process.join("mountinfo")).ok());
        let mut devices = BTreeMap::new();
        for mounts in mounts {
            for word in mounts.split_whitespace() {
                if word.starts_with("/dev/loop")
                    && let Some(file) = backing_file(Path::new(word))
                    && file.contains("ext4-")
                {
                    devices.insert(word.into(), file);
                }
            }
        }
        devices
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Also when a test failed: with the group goes all that the run started.
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.command.wait();
    }
}

/// The file behind a loop device, by the name that it had; a device that is free has none.
fn backing_file(device: &Path) -> Option<String> {
    let name = device.file_name()?.to_str()?;
    let file = fs::read_to_string(format!("/sys/block/{name}/loop/backing_file")).ok()?;
    Some(file.trim_end().to_owned())
}
