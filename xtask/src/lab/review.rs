//! `cargo xtask lab review`

use std::env;
use std::process::Command;

use anyhow::Result;
use dynamicfs_lab::paths::Paths;
use dynamicfs_lab::report;

/// The difference between the last run and the accepted one.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Make the last run the accepted one
    #[arg(long)]
    accept: bool,
}

pub(super) fn run(args: &Args) -> Result<bool> {
    if args.accept {
        // insta takes this from the environment, when it is first used.
        let status = Command::new(env::current_exe()?)
            .args(["lab", "review"])
            .env("INSTA_UPDATE", "always")
            .env("INSTA_FORCE_PASS", "1")
            .status()?;
        return Ok(status.success());
    }
    report::review(&Paths::discover())?;
    println!("the last run is the accepted one");
    Ok(true)
}
