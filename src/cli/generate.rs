//! `dynamicfs completions` and `dynamicfs man`.

use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;

use super::arguments::Cli;
use super::exit::Failure;
use super::print;

pub(crate) fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "dynamicfs", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// The page of the command, or a page for it and each subcommand in a directory.
pub(crate) fn manual(dir: Option<&Path>) -> Result<(), Failure> {
    if let Some(dir) = dir {
        let place = || {
            format!(
                "{}: give a directory that exists and can be written",
                dir.display()
            )
        };
        clap_mangen::generate_to(Cli::command(), dir).with_context(place)?;
        return Ok(());
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command())
        .render(&mut page)
        .context("cannot write the manual page")?;
    print(&String::from_utf8_lossy(&page))
}
