//! Scheduling, time limits, broken guests, cut streams and resuming, with guests that only speak the
//! agent's language: this very program, started again. Needs neither root nor QEMU.

mod support;

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, Write, stdin, stdout};
use std::ops::ControlFlow;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use dynamicfs::config::Preset;
use dynamicfs_lab::cell::Cell;
use dynamicfs_lab::guest::protocol::{
    self, Event, PROTOCOL, PowerVerify, PowerWrite, Step, StepOutcome, hear, say,
};
use dynamicfs_lab::machine::{CONSOLE, Guest, Limits, Stream};
use dynamicfs_lab::outcome::{Case, Outcome, SuiteResult};
use dynamicfs_lab::power::sequence::Promise;
use dynamicfs_lab::power::{verify, writer};
use dynamicfs_lab::progress::Progress;
use dynamicfs_lab::report::Revision;
use dynamicfs_lab::schedule::{RunPlan, Site, Store, TargetPlan, run};
use dynamicfs_lab::suites::Suite;
use dynamicfs_lab::target::Permissions;
use libtest_mimic::{Arguments, Failed, Trial};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use self::support::may_mount;

/// In the environment: how a fake guest behaves.
const BEHAVIOUR: &str = "FAKE_GUEST";

fn main() {
    if let Ok(behaviour) = env::var(BEHAVIOUR) {
        fake::play(&behaviour);
        return;
    }
    let tests: Vec<Trial> = TESTS
        .iter()
        .map(|(name, test)| {
            Trial::test(*name, move || {
                test();
                Ok::<(), Failed>(())
            })
        })
        .collect();
    libtest_mimic::run(&Arguments::from_args(), tests).exit();
}

type Test = (&'static str, fn());

const TESTS: &[Test] = &[
    ("every_step_is_kept", every_step_is_kept),
    (
        "two_guests_run_at_a_time_and_no_more",
        two_guests_run_at_a_time_and_no_more,
    ),
    ("what_measures_runs_alone", what_measures_runs_alone),
    (
        "a_guest_that_dies_costs_one_step",
        a_guest_that_dies_costs_one_step,
    ),
    (
        "a_guest_that_hangs_is_asked_and_ended",
        a_guest_that_hangs_is_asked_and_ended,
    ),
    (
        "a_guest_that_is_idle_is_ended",
        a_guest_that_is_idle_is_ended,
    ),
    (
        "a_guest_that_is_busy_for_ever_is_ended",
        a_guest_that_is_busy_for_ever_is_ended,
    ),
    (
        "xfstests_may_take_longer_than_other_suites",
        xfstests_may_take_longer_than_other_suites,
    ),
    (
        "a_stream_cut_short_is_no_result",
        a_stream_cut_short_is_no_result,
    ),
    (
        "a_guest_that_never_comes_up_fails_all",
        a_guest_that_never_comes_up_fails_all,
    ),
    ("another_version_is_refused", another_version_is_refused),
    (
        "a_cry_of_the_kernel_is_an_alarm",
        a_cry_of_the_kernel_is_an_alarm,
    ),
    (
        "power_cuts_kill_a_guest_and_ask_the_next",
        power_cuts_kill_a_guest_and_ask_the_next,
    ),
    (
        "a_writer_that_ends_by_itself_is_no_power_cut",
        a_writer_that_ends_by_itself_is_no_power_cut,
    ),
    (
        "resuming_does_what_is_missing_only",
        resuming_does_what_is_missing_only,
    ),
    (
        "a_full_disk_ends_the_run_and_keeps_what_was",
        a_full_disk_ends_the_run_and_keeps_what_was,
    ),
];

/// What a fake guest does.
mod fake {
    use super::*;

    /// `GOOD`, or `FAULT:STEP`: a fault when STEP begins, in the first guest that meets it.
    pub(super) fn play(behaviour: &str) {
        let mut to = stdout();
        let (fault, at) = behaviour.split_once(':').unwrap_or((behaviour, ""));
        if fault == "mute" {
            thread::sleep(Duration::from_secs(60));
        }
        let protocol = if fault == "stranger" {
            PROTOCOL + 1
        } else {
            PROTOCOL
        };
        let kernel = "6.0-fake".to_owned();
        say(&mut to, &Event::Hello { protocol, kernel }).unwrap();
        let mut from = BufReader::new(stdin());
        while let Ok(Some(protocol::Command::Job(job))) = hear(&mut from) {
            log("begin");
            for step in &job.steps {
                let key = step.key();
                log(&key);
                say(&mut to, &Event::Started { step: key.clone() }).unwrap();
                if key == at && first_time() {
                    misbehave(fault, &mut from);
                }
                let outcome = match step {
                    Step::PowerWrite(_) if fault == "exhausted" => {
                        StepOutcome::Failed("no space left".to_owned())
                    }
                    Step::PowerWrite(write) => power_write(write),
                    Step::PowerVerify(verify) => power_verify(verify, fault == "forgetful"),
                    _ => suite(),
                };
                let finished = Event::Finished {
                    step: key,
                    outcome,
                    seconds: 0.1,
                };
                say(&mut to, &finished).unwrap();
            }
            log("end");
            say(&mut to, &Event::Done).unwrap();
        }
    }

    fn suite() -> StepOutcome {
        // Long enough to be seen beside another.
        thread::sleep(Duration::from_millis(100));
        let mut result = SuiteResult::default();
        let passed = Case::from(Outcome::Passed);
        result.cases.insert("a".to_owned(), passed);
        StepOutcome::Suite(result)
    }

    /// The disk of the guests of a room.
    fn disk() -> PathBuf {
        PathBuf::from(env::var("FAKE_ROOM").unwrap()).join("disk")
    }

    /// Until this process is killed.
    fn power_write(write: &PowerWrite) -> ! {
        let _ = fs::remove_dir_all(disk());
        fs::create_dir(disk()).unwrap();
        writer::write(&disk(), write.seed, write.last, &mut |event| {
            say(&mut stdout(), &Event::Power(event)).unwrap();
            ControlFlow::Continue(())
        })
        .unwrap();
        loop {
            thread::park();
        }
    }

    fn power_verify(verify: &PowerVerify, forgets: bool) -> StepOutcome {
        if forgets {
            fs::remove_file(disk().join("syncfs/data")).unwrap();
        }
        StepOutcome::Losses(verify::verify(&disk(), &verify.log).unwrap())
    }

    fn misbehave(fault: &str, from: &mut BufReader<std::io::Stdin>) {
        let mut to = stdout();
        match fault {
            "die" => std::process::exit(3),
            "hang" => {
                // The lab asks what hangs.
                let Ok(Some(protocol::Command::Dump)) = hear(from) else {
                    return;
                };
                let text = "task 7 (cp) hangs in fuse_wait".to_owned();
                say(&mut to, &Event::Log { text }).unwrap();
                thread::sleep(Duration::from_secs(60));
            }
            "idle" | "busy" => loop {
                let busy = if fault == "busy" { 1.0 } else { 0.0 };
                if say(&mut to, &Event::Alive { busy }).is_err() {
                    return;
                }
                thread::sleep(Duration::from_millis(50));
            },
            "long" => {
                // Longer than most steps may take.
                for _ in 0..60 {
                    say(&mut to, &Event::Alive { busy: 1.0 }).unwrap();
                    thread::sleep(Duration::from_millis(50));
                }
            }
            "cut" => {
                let mut line = Vec::new();
                let finished = Event::Finished {
                    step: "ext4/fsx".to_owned(),
                    outcome: suite(),
                    seconds: 0.1,
                };
                say(&mut line, &finished).unwrap();
                to.write_all(&line[..line.len() / 2]).unwrap();
                to.flush().unwrap();
                std::process::exit(0);
            }
            "oops" => eprintln!("[ 7.1] BUG: kernel NULL pointer dereference, address: 8"),
            _ => panic!("no fault is called {fault}"),
        }
    }

    fn first_time() -> bool {
        let flag = Path::new(&env::var("FAKE_LOG").unwrap()).with_extension("met");
        File::create_new(flag).is_ok()
    }

    fn log(what: &str) {
        let mut log = OpenOptions::new()
            .append(true)
            .create(true)
            .open(env::var("FAKE_LOG").unwrap())
            .unwrap();
        let line = format!("{} {what}\n", env::var("FAKE_NAME").unwrap());
        log.write_all(line.as_bytes()).unwrap();
    }
}

struct Fake {
    name: String,
    behaviour: String,
    log: PathBuf,
}

impl Site for Fake {
    fn start(&self, room: &Path) -> anyhow::Result<Guest> {
        let console = room.join(CONSOLE);
        let console = File::options().append(true).create(true).open(&console)?;
        let mut child = Command::new(env::current_exe()?)
            .env(BEHAVIOUR, &self.behaviour)
            .env("FAKE_LOG", &self.log)
            .env("FAKE_NAME", &self.name)
            .env("FAKE_ROOM", room)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(console)
            .process_group(0)
            .spawn()?;
        let stream = Stream {
            to: Box::new(child.stdin.take().unwrap()),
            from: Box::new(child.stdout.take().unwrap()),
        };
        Ok(Guest::new(child, stream, &room.join(CONSOLE)))
    }

    fn patience(&self) -> u32 {
        1
    }

    fn has_power(&self) -> bool {
        true
    }

    fn limits(&self) -> Limits {
        Limits {
            boot: Duration::from_secs(2),
            silence: Duration::from_secs(1),
            idle: Duration::from_millis(400),
            step: Duration::from_secs(2),
            xfstests: Duration::from_secs(20),
            off: Duration::from_secs(5),
            answer: Duration::from_secs(2),
        }
    }
}

/// A laboratory of fakes.
struct Lab {
    directory: tempfile::TempDir,
    sites: BTreeMap<String, Fake>,
    plan: RunPlan,
}

fn steps() -> Vec<Step> {
    [
        Cell::reference(Suite::Fsx),
        Cell::reference(Suite::Suite),
        Cell::preset(Preset::Safe, Permissions::Kernel, Suite::Fsx),
    ]
    .map(Step::Cell)
    .to_vec()
}

impl Lab {
    fn new(behaviours: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut sites = BTreeMap::new();
        let mut targets = Vec::new();
        for (number, behaviour) in behaviours.iter().enumerate() {
            let name = format!("fake-{number}");
            targets.push(TargetPlan {
                name: name.clone(),
                steps: steps(),
                quick: true,
                cuts: 1,
                alone: Vec::new(),
            });
            let fake = Fake {
                name: name.clone(),
                behaviour: (*behaviour).to_owned(),
                log: directory.path().join("log"),
            };
            sites.insert(name, fake);
        }
        let plan = RunPlan {
            started: "2026-01-02T03:04:05Z".to_owned(),
            profile: "quick".to_owned(),
            command: String::new(),
            version: Revision {
                version: String::new(),
                commit: None,
                clean: true,
            },
            targets,
            xfstests: None,
        };
        Lab {
            directory,
            sites,
            plan,
        }
    }

    fn runs(&self) -> PathBuf {
        self.directory.path().join("runs")
    }

    fn run(&self) -> Store {
        let store = Store::create(&self.runs(), &self.plan).unwrap();
        self.run_in(&store).unwrap();
        store
    }

    fn run_in(&self, store: &Store) -> anyhow::Result<()> {
        let site = |name: &str| Ok(&self.sites[name] as &dyn Site);
        let progress = Progress::new(1);
        run(
            &self.plan,
            &site,
            2,
            self.directory.path(),
            store,
            &progress,
        )
    }

    /// Lines of the log: the name of the fake, and a step, `begin` or `end`.
    fn log(&self) -> Vec<(String, String)> {
        let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        log.lines()
            .map(|line| {
                let (name, what) = line.split_once(' ').unwrap();
                (name.to_owned(), what.to_owned())
            })
            .collect()
    }
}

/// Why a step failed; panics when it did not.
fn failure(store: &Store, step: &str) -> String {
    match store.record("fake-0", step).unwrap().unwrap().outcome {
        StepOutcome::Failed(why) => why,
        other => panic!("{step} did not fail: {other:?}"),
    }
}

fn passed(store: &Store, target: &str, step: &Step) -> bool {
    store
        .record(target, &step.key())
        .unwrap()
        .is_some_and(|record| matches!(record.outcome, StepOutcome::Suite(_)))
}

fn every_step_is_kept() {
    let lab = Lab::new(&["good"]);
    let store = lab.run();
    assert!(steps().iter().all(|step| passed(&store, "fake-0", step)));
    assert_eq!(store.facts("fake-0").unwrap().kernel, "6.0-fake");
    assert_eq!(store.facts("fake-0").unwrap().guests, 1);
}

fn two_guests_run_at_a_time_and_no_more() {
    let lab = Lab::new(&["good", "good", "good", "good"]);
    lab.run();
    let (mut now, mut most) = (0, 0);
    for (_, what) in lab.log() {
        match what.as_str() {
            "begin" => now += 1,
            "end" => now -= 1,
            _ => {}
        }
        most = most.max(now);
    }
    assert_eq!(most, 2);
}

fn what_measures_runs_alone() {
    let mut lab = Lab::new(&["good", "good"]);
    for target in &mut lab.plan.targets {
        target.alone = target.steps.split_off(2);
    }
    lab.run();
    let log = lab.log();
    let ends: Vec<usize> = (0..log.len()).filter(|&at| log[at].1 == "end").collect();
    assert_eq!(ends.len(), 4);
    // After the two that ran together, each guest ends before another begins.
    let alone: Vec<&str> = log[ends[1] + 1..]
        .iter()
        .map(|(_, what)| what.as_str())
        .collect();
    assert_eq!(
        alone,
        [
            "begin",
            "safe/kernel/fsx",
            "end",
            "begin",
            "safe/kernel/fsx",
            "end"
        ]
    );
}

fn a_guest_that_dies_costs_one_step() {
    let lab = Lab::new(&["die:ext4/suite"]);
    let store = lab.run();
    let why = failure(&store, "ext4/suite");
    assert!(
        why.contains("died") && why.contains("exit status: 3"),
        "{why}"
    );
    assert!(passed(&store, "fake-0", &steps()[0]));
    assert!(
        passed(&store, "fake-0", &steps()[2]),
        "another guest does the rest"
    );
    let facts = store.facts("fake-0").unwrap();
    assert_eq!((facts.guests, facts.breaks.len()), (2, 1));
}

fn a_guest_that_hangs_is_asked_and_ended() {
    let start = Instant::now();
    let lab = Lab::new(&["hang:ext4/suite"]);
    let store = lab.run();
    let why = failure(&store, "ext4/suite");
    assert!(
        why.contains("said nothing") && why.contains("fuse_wait"),
        "{why}"
    );
    assert!(passed(&store, "fake-0", &steps()[2]));
    assert!(start.elapsed() < Duration::from_secs(20));
}

fn a_guest_that_is_idle_is_ended() {
    let lab = Lab::new(&["idle:ext4/suite"]);
    let store = lab.run();
    let why = failure(&store, "ext4/suite");
    assert!(why.contains("was idle"), "{why}");
}

fn a_guest_that_is_busy_for_ever_is_ended() {
    let lab = Lab::new(&["busy:ext4/suite"]);
    let store = lab.run();
    let why = failure(&store, "ext4/suite");
    assert!(why.contains("busy with one step"), "{why}");
}

fn xfstests_may_take_longer_than_other_suites() {
    let mut lab = Lab::new(&["long:ext4/xfstests"]);
    let long = Step::Cell(Cell::reference(Suite::Xfstests));
    lab.plan.targets[0].steps.push(long.clone());
    let store = lab.run();
    assert!(passed(&store, "fake-0", &long));
    let other = Lab::new(&["long:ext4/suite"]);
    let why = failure(&other.run(), "ext4/suite");
    assert!(why.contains("busy with one step"), "{why}");
}

fn a_stream_cut_short_is_no_result() {
    let lab = Lab::new(&["cut:ext4/fsx"]);
    let store = lab.run();
    let why = failure(&store, "ext4/fsx");
    assert!(why.contains("cut short"), "{why}");
    assert!(passed(&store, "fake-0", &steps()[1]));
}

fn a_guest_that_never_comes_up_fails_all() {
    let lab = Lab::new(&["mute"]);
    let store = lab.run();
    for step in steps() {
        let why = failure(&store, &step.key());
        assert!(why.contains("did not come up"), "{why}");
    }
    assert_eq!(store.facts("fake-0").unwrap().guests, 1, "one was enough");
}

fn another_version_is_refused() {
    let lab = Lab::new(&["stranger"]);
    let store = lab.run();
    let why = failure(&store, "ext4/fsx");
    assert!(why.contains("not a greeting"), "{why}");
}

fn a_cry_of_the_kernel_is_an_alarm() {
    let lab = Lab::new(&["oops:ext4/suite"]);
    let store = lab.run();
    assert!(steps().iter().all(|step| passed(&store, "fake-0", step)));
    let alarms = store.facts("fake-0").unwrap().alarms;
    assert_eq!(alarms.len(), 1);
    assert_eq!(alarms[0].kind, "oops");
}

/// Two contestants in one guest, killed twice each: the boot that looks what is left writes again.
fn power_cuts_kill_a_guest_and_ask_the_next() {
    let mut lab = Lab::new(&["good"]);
    let cells = [
        Cell::reference(Suite::PowerCut),
        Cell::preset(Preset::Safe, Permissions::Kernel, Suite::PowerCut),
    ];
    lab.plan.targets[0].steps = cells.map(Step::Cell).to_vec();
    lab.plan.targets[0].cuts = 2;
    let store = lab.run();
    for cell in cells {
        let record = store.record("fake-0", &cell.key()).unwrap().unwrap();
        let StepOutcome::Suite(result) = record.outcome else {
            panic!("{record:?}");
        };
        assert_eq!(result.counts().passed, Promise::ALL.len());
    }
    let facts = store.facts("fake-0").unwrap();
    assert_eq!(facts.kernel, "6.0-fake");
    assert!(
        facts
            .cuts
            .values()
            .all(|cuts| cuts.cuts == 2 && cuts.acknowledged > 0)
    );
    let log = lab.log();
    let began = |key: &str| log.iter().filter(|(_, what)| what == key).count();
    assert_eq!((began("power-write"), began("power-verify")), (4, 4));
    assert_eq!(began("end"), 4, "a guest that writes has no end");

    let mut forgetful = Lab::new(&["forgetful"]);
    forgetful.plan.targets = lab.plan.targets.clone();
    let store = forgetful.run();
    let record = store.record("fake-0", "ext4/power-cut").unwrap().unwrap();
    let StepOutcome::Suite(result) = record.outcome else {
        panic!("{record:?}");
    };
    assert_eq!(result.counts().failed, 1);
    assert_eq!(
        store.facts("fake-0").unwrap().cuts["ext4/power-cut"].broken,
        ["syncfs"]
    );
}

fn a_writer_that_ends_by_itself_is_no_power_cut() {
    let mut lab = Lab::new(&["exhausted"]);
    lab.plan.targets[0].steps = vec![Step::Cell(Cell::reference(Suite::PowerCut))];
    let why = failure(&lab.run(), "ext4/power-cut");
    assert!(why.contains("no space left"), "{why}");
}

fn resuming_does_what_is_missing_only() {
    let lab = Lab::new(&["die:ext4/suite"]);
    let store = lab.run();
    let before = lab.log().len();
    lab.run_in(&store).unwrap();
    let again: Vec<String> = lab
        .log()
        .split_off(before)
        .into_iter()
        .map(|(_, what)| what)
        .collect();
    assert_eq!(again, ["begin", "ext4/suite", "end"]);
    assert!(steps().iter().all(|step| passed(&store, "fake-0", step)));
    lab.run_in(&store).unwrap();
    assert_eq!(lab.log().len(), before + 3, "nothing was missing");
}

fn a_full_disk_ends_the_run_and_keeps_what_was() {
    if !may_mount() {
        return;
    }
    let lab = Lab::new(&["good"]);
    let runs = lab.runs();
    fs::create_dir(&runs).unwrap();
    let _disk = SmallDisk::mount(&runs);
    let store = Store::create(&runs, &lab.plan).unwrap();
    let error = format!("{:#}", lab.run_in(&store).unwrap_err());
    assert!(
        error.contains("cannot write") && error.contains("No space left"),
        "{error}"
    );
    let kept = steps()
        .iter()
        .filter(|step| passed(&store, "fake-0", step))
        .count();
    assert!((1..3).contains(&kept), "{kept} of 3 steps were kept");
}

/// A file system with room for three files.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(at: &'a Path) -> Self {
        mount("small", at, "tmpfs", MountFlags::empty(), Some(c"size=12k")).unwrap();
        SmallDisk(at)
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = unmount(self.0, UnmountFlags::DETACH);
    }
}
