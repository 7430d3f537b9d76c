//! Helper processes: the test executable runs itself again, with a role.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

const ROLE: &str = "DYNAMICFS_TEST_ROLE";
const ARGUMENTS: &str = "DYNAMICFS_TEST_ARGUMENTS";
const SEPARATOR: &str = "\u{1f}";
/// Tells a helper's own lines from those of the test harness.
const MARK: &str = "@@";

/// What a helper does with its arguments.
pub type Role = fn(&[String]);

/// To be called by a test named `helper_process`: does nothing in an ordinary run.
pub fn run(roles: &[(&str, Role)]) {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let arguments = std::env::var(ARGUMENTS).unwrap_or_default();
    let arguments: Vec<String> = arguments.split(SEPARATOR).map(str::to_owned).collect();
    let (_, act) = roles
        .iter()
        .find(|(name, _)| *name == role)
        .expect("a known role");
    act(&arguments);
    std::process::exit(0);
}

/// In a helper: tells the test a line.
pub fn say(line: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    // A test that is gone has no interest in the rest.
    if writeln!(out, "\n{MARK}{line}")
        .and_then(|()| out.flush())
        .is_err()
    {
        std::process::exit(1);
    }
}

/// In a helper: the result of a system call as text, `ok` or the number of the error.
pub fn outcome<T>(result: std::io::Result<T>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => match error.raw_os_error() {
            Some(number) => format!("errno {number}"),
            None => error.to_string(),
        },
    }
}

/// A helper process, killed when dropped.
pub struct Helper {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Helper {
    pub fn start(role: &str, arguments: &[&str]) -> Helper {
        Helper::start_as(None, role, arguments)
    }

    /// As another user and group of that number, without supplementary groups.
    pub fn start_as(user: Option<u32>, role: &str, arguments: &[&str]) -> Helper {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "helper_process", "--nocapture"])
            .env(ROLE, role)
            .env(ARGUMENTS, arguments.join(SEPARATOR))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some(id) = user {
            command.uid(id).gid(id).current_dir("/");
        }
        let mut child = command.spawn().expect("the test executable runs");
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let said = output.lines().map_while(Result::ok);
            for line in said.filter_map(|line| line.strip_prefix(MARK).map(str::to_owned)) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Helper {
            input: child.stdin.take(),
            child,
            lines,
        }
    }

    /// The next line it says.
    pub fn hear(&self) -> String {
        self.hear_within(super::DEADLINE)
            .expect("the helper answers")
    }

    /// The next line, if it comes in time.
    pub fn hear_within(&self, limit: Duration) -> Option<String> {
        self.lines.recv_timeout(limit).ok()
    }

    /// Gives it a line of input.
    pub fn tell(&mut self, line: &str) {
        writeln!(self.input.as_mut().expect("open"), "{line}").unwrap();
    }

    /// A line of input and the answer to it.
    pub fn ask(&mut self, line: &str) -> String {
        self.tell(line);
        self.hear()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The thread that plays the role: the harness names it after the test.
    pub fn role_thread(&self) -> u32 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("it lives");
        tasks
            .flatten()
            .find(|task| {
                std::fs::read_to_string(task.path().join("comm"))
                    .is_ok_and(|name| name.trim() == "helper_process")
            })
            .and_then(|task| task.file_name().to_str()?.parse().ok())
            .expect("a thread of that name")
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the helper lives");
    }

    /// Whether SIGSTOP has reached all its threads: until then one may answer another request. The
    /// state follows the name in parentheses (proc_pid_stat(5)).
    pub fn has_stopped(&self) -> bool {
        std::fs::read_dir(format!("/proc/{}/task", self.pid()))
            .expect("it lives")
            .flatten()
            .all(|task| {
                std::fs::read_to_string(task.path().join("stat"))
                    .is_ok_and(|stat| stat.rsplit(") ").next().unwrap_or("").starts_with('T'))
            })
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        // Not `wait`: a helper stuck in the kernel must not hang the test that reports it.
        for _ in 0..500 {
            if self.has_ended() {
                return;
            }
            std::thread::sleep(Duration::from_millis(4));
        }
        eprintln!("helper {} did not die", self.child.id());
    }
}

/// The lines of standard input, for helpers that take orders.
pub fn orders() -> impl Iterator<Item = String> {
    std::io::stdin().lines().map_while(Result::ok)
}
