//! `cargo xtask lab list`

use anyhow::Result;
use dynamicfs_lab::images;
use dynamicfs_lab::paths::Paths;

use crate::terminal;

pub(super) fn run() -> Result<bool> {
    let targets = images::list(&Paths::discover())?;
    println!("{}", images::table(&targets, terminal::width()));
    Ok(true)
}
