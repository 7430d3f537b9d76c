//! Does a job of the lab where the file systems are: in a guest, as its first process, or on this
//! machine. The lab starts it; nobody else needs to.

use std::env;
use std::io::{BufReader, stdin, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use dynamicfs_lab::guest::{Ground, run_root, serve};
use dynamicfs_lab::namespace;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dynamicfs-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    // The first process of the namespaces on this machine is that of no guest.
    if !namespace::is_isolated() && run_root()? {
        return Ok(());
    }
    let mut arguments = env::args_os().skip(1);
    let (Some(flag), Some(command)) = (arguments.next(), arguments.next()) else {
        bail!("usage: dynamicfs-agent --host COMMAND, with the lab on standard input and output");
    };
    if flag != "--host" {
        bail!("unknown argument {}", flag.display());
    }
    namespace::isolate()?;
    let command = PathBuf::from(command);
    serve(BufReader::new(stdin()), stdout(), Ground::Host { command })
}
