//! Building programs of the workspace.

use std::env;

use anyhow::Result;
use dynamicfs_lab::paths::Paths;
use xshell::{Shell, cmd};

/// `cargo build` with these arguments.
pub(crate) fn build(paths: &Paths, what: &[&str]) -> Result<()> {
    eprintln!("building: cargo build {}", what.join(" "));
    let shell = Shell::new()?;
    shell.change_dir(&paths.root);
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let target = &paths.target;
    cmd!(
        shell,
        "{cargo} build --quiet {what...} --target-dir {target}"
    )
    .quiet()
    .run()?;
    Ok(())
}
