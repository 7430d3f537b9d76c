//! Where the log goes.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::Path;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use super::arguments::{LogFormat, MountArgs};
use super::exit::{Exit, Failure};

const VARIABLE: &str = "DYNAMICFS_LOG";

/// Starts the log of a daemon: to the file if one is named, else to standard error, which in the
/// background leads nowhere.
pub(crate) fn start(args: &MountArgs) -> Result<(), Failure> {
    let filter = filter()?;
    let (writer, colour) = match &args.log_file {
        Some(path) => (BoxMakeWriter::new(open(path)?), false),
        None => (BoxMakeWriter::new(io::stderr), io::stderr().is_terminal()),
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(colour);
    let started = match args.log_format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    started.map_err(|error| Failure::new(Exit::Failed, format_args!("cannot log: {error}")))
}

/// Tells what is wrong with the log before anything is changed.
pub(crate) fn check(args: &MountArgs) -> Result<(), Failure> {
    filter()?;
    if let Some(path) = &args.log_file {
        open(path)?;
    }
    Ok(())
}

fn filter() -> Result<EnvFilter, Failure> {
    let text = std::env::var(VARIABLE).unwrap_or_else(|_| "info".to_owned());
    EnvFilter::try_new(&text).map_err(|error| {
        Failure::new(
            Exit::Usage,
            format_args!(
                "{VARIABLE}={text}: {error}; accepted: error, warn, info, debug, trace, off"
            ),
        )
    })
}

fn open(path: &Path) -> Result<File, Failure> {
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|error| {
            Failure::new(
                Exit::Usage,
                format_args!(
                    "--log-file {}: {error}; name a file that can be written",
                    path.display()
                ),
            )
        })
}
