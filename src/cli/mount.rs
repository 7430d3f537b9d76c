//! `dynamicfs mount`.

use std::ffi::OsString;

use super::arguments::MountArgs;
use super::exit::Failure;
use super::prepare::prepare;
use super::{Around, background, complain, logging, serve};

/// Checks everything, and mounts in the foreground or in the background.
pub(crate) fn run(
    args: &MountArgs,
    arguments: Vec<OsString>,
    around: &Around,
) -> Result<(), Failure> {
    let prepared = prepare(args)?;
    for warning in &prepared.warnings {
        complain(&format!("warning: {warning}"));
    }
    if args.fake {
        return Ok(());
    }
    if args.foreground {
        logging::start(args)?;
        serve::serve(prepared, around, || Ok(()))
    } else {
        logging::check(args)?;
        background::start(arguments)
    }
}
