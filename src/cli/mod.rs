//! The command: parsing, one file for each verb, errors as lines and exit codes.

mod arguments;
mod background;
mod checks;
mod directory;
mod doctor;
mod exit;
mod generate;
mod helper;
mod logging;
mod mount;
mod prepare;
mod presets;
mod serve;
mod stats;
mod status;
mod umount;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::storage::FilesystemInterface;

use arguments::{Cli, MountArgs, Verb};
use exit::{Exit, Failure};

/// What comes between the storage of a mount and the file system above it.
pub type Around = dyn Fn(Box<dyn FilesystemInterface>) -> Box<dyn FilesystemInterface>;

/// Runs the command with the arguments of the process. A mount serves what `around` makes of its
/// storage; the command itself leaves it as it is.
pub fn run(mut arguments: Vec<OsString>, around: &Around) -> ExitCode {
    let is_daemon = background::take_marker(&mut arguments);
    let verb = match parse(arguments.clone()) {
        Ok(verb) => verb,
        Err(error) => {
            // Printing fails only when nobody reads.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let outcome = match verb {
        Verb::Mount(args) if is_daemon => return background::daemon(&args, around),
        Verb::Mount(args) => mount::run(&args, arguments, around),
        Verb::Umount(args) => umount::run(&args),
        Verb::Status(args) => status::run(&args),
        Verb::Stats(args) => stats::run(&args),
        Verb::Presets(args) => presets::run(&args),
        Verb::Doctor(args) => doctor::run(&args),
        Verb::Completions { shell } => generate::completions(shell),
        Verb::Man { dir } => generate::manual(dir.as_deref()),
    };
    match outcome {
        Ok(()) => Exit::Ok.into(),
        Err(failure) => {
            complain(&failure.message);
            failure.exit.into()
        }
    }
}

fn parse(arguments: Vec<OsString>) -> Result<Verb, clap::Error> {
    if helper::is_helper(&arguments) {
        let mount: MountArgs = helper::parse(arguments)?;
        return Ok(Verb::Mount(Box::new(mount)));
    }
    Cli::try_parse_from(arguments).map(|cli| cli.verb)
}

/// Tells the user, each line with the name of the command.
fn complain(message: &str) {
    for line in message.lines() {
        eprintln!("dynamicfs: {line}");
    }
}

/// Prints a whole answer. A reader that has seen enough, such as `grep -q`, is no error.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::new(
            Exit::Failed,
            format_args!("cannot write the answer: {error}"),
        )),
        _ => Ok(()),
    }
}

/// Prints a value as indented JSON.
fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(anyhow::Error::from)?;
    print(&(text + "\n"))
}
