//! The way to the background: the command starts itself again as a daemon, and waits until that
//! says on a pipe how the mount went.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use serde::{Deserialize, Serialize};

use super::arguments::MountArgs;
use super::exit::{Exit, Failure};
use super::{Around, logging, prepare, serve};

/// The first argument of the daemon. It is no flag of the command line: only this file knows it.
const MARKER: &str = "--background-daemon";

/// What the daemon says, on a line of its standard output.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    Mounted,
    Failed { code: u8, message: String },
}

/// Takes the marker out of the arguments, and says whether it was there.
pub(crate) fn take_marker(arguments: &mut Vec<OsString>) -> bool {
    let is_daemon = arguments.get(1).is_some_and(|first| first == MARKER);
    if is_daemon {
        arguments.remove(1);
    }
    is_daemon
}

/// Starts the daemon and waits until the mount answers or failed.
pub(crate) fn start(arguments: Vec<OsString>) -> Result<(), Failure> {
    let failed = |what: &str, error: io::Error| {
        Failure::new(
            Exit::Failed,
            format_args!("cannot {what} the daemon: {error}"),
        )
    };
    let program = std::env::current_exe().map_err(|error| failed("find", error))?;
    let mut arguments = arguments.into_iter();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    let mut daemon = command
        .arg(MARKER)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed("start", error))?;
    let mut line = String::new();
    if let Some(words) = daemon.stdout.take() {
        BufReader::new(words)
            .read_line(&mut line)
            .map_err(|error| failed("hear from", error))?;
    }
    match serde_json::from_str(&line) {
        Ok(Word::Mounted) => Ok(()),
        Ok(Word::Failed { code, message }) => {
            // It ends by itself now: nothing of it is left when this returns.
            daemon.wait().map_err(|error| failed("wait for", error))?;
            Err(Failure::new(Exit::from_code(code), message))
        }
        Err(_) => {
            let status = daemon.wait().map_err(|error| failed("wait for", error))?;
            Err(Failure::new(
                Exit::Failed,
                format_args!(
                    "the daemon ended before the mount answered ({status}); see why with --foreground"
                ),
            ))
        }
    }
}

/// Runs the daemon.
pub(crate) fn daemon(args: &MountArgs, around: &Around) -> ExitCode {
    match detach().and_then(|()| logging::start(args)).and_then(|()| {
        let prepared = prepare::prepare(args)?;
        // Nothing relative is looked up any more, and the daemon must not hold a file system.
        std::env::set_current_dir("/").map_err(anyhow::Error::from)?;
        serve::serve(prepared, around, || {
            // Closed before the parent goes on: whoever looks then finds a daemon that holds nothing.
            let parent = give_up_standard_output()?;
            say(parent, &Word::Mounted)
        })
    }) {
        Ok(()) => Exit::Ok.into(),
        Err(failure) => {
            tracing::error!("{}", failure.message);
            // After the mount this leads to /dev/null.
            let failed = Word::Failed {
                code: failure.exit as u8,
                message: failure.message.clone(),
            };
            let _ = say(io::stdout(), &failed);
            failure.exit.into()
        }
    }
}

/// A session of its own: the signals of the terminal are not for the daemon.
fn detach() -> Result<(), Failure> {
    rustix::process::setsid().map(drop).map_err(|error| {
        Failure::new(
            Exit::Failed,
            format_args!("cannot start a session: {error}"),
        )
    })
}

fn say(mut out: impl Write, word: &Word) -> io::Result<()> {
    let mut line = serde_json::to_vec(word)?;
    line.push(b'\n');
    out.write_all(&line)?;
    out.flush()
}

/// Lets the standard output lead nowhere, and returns where it led: the parent.
fn give_up_standard_output() -> io::Result<File> {
    let parent = io::stdout().as_fd().try_clone_to_owned()?;
    let nowhere = File::options().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&nowhere)?;
    Ok(parent.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marker_counts_only_in_the_first_place() {
        let mut arguments: Vec<OsString> = ["x", MARKER, "mount"].map(OsString::from).into();
        assert!(take_marker(&mut arguments));
        assert_eq!(arguments, ["x", "mount"]);
        let mut arguments: Vec<OsString> = ["x", "mount", MARKER].map(OsString::from).into();
        assert!(!take_marker(&mut arguments));
        assert_eq!(arguments.len(), 3);
    }

    #[test]
    fn words_are_one_line() {
        let word = Word::Failed {
            code: 3,
            message: "two\nlines".to_owned(),
        };
        let line = serde_json::to_string(&word).expect("text");
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<Word>(&line).expect("a word"), word);
    }
}
