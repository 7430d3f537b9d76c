//! `cargo xtask lab shell`

use std::fs;
use std::io::{IsTerminal, stdin};
use std::path::Path;

use anyhow::{Result, bail};
use dynamicfs::config::Preset;
use dynamicfs_lab::images;
use dynamicfs_lab::namespace::{self, WORKPLACE};
use dynamicfs_lab::paths::Paths;
use dynamicfs_lab::progress::Progress;
use dynamicfs_lab::schedule::Sites;

use super::run::prepare_guests;
use crate::conformance::PresetChoice;

/// Boots a guest and opens a console in it: /mnt/ext4 is native ext4, /mnt/PRESET the preset over an
/// identical file system, which is at /mnt/back. The guest ends with the shell, and leaves nothing.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The target, by name (see `lab list`)
    target: String,
    /// The preset that is mounted
    #[arg(long, value_enum, default_value = "balanced")]
    preset: PresetChoice,
}

pub(super) fn run(args: &Args) -> Result<bool> {
    let paths = Paths::discover();
    let target = images::load(&paths, &args.target)?;
    let [preset] = args.preset.presets()[..] else {
        let names = Preset::ALL.map(Preset::name).join(", ");
        bail!("one preset is mounted in a shell: one of {names}");
    };
    if target.guest.is_none() {
        bail!(
            "the target {} is this machine: it has a shell already",
            target.name
        );
    }
    if !stdin().is_terminal() {
        bail!("a console needs a terminal, and standard input is none");
    }
    if !namespace::is_isolated() {
        prepare_guests(&paths, &[&target])?;
    }
    namespace::isolate()?;
    let [room, shared] = ["guest", "shared"].map(|name| Path::new(WORKPLACE).join(name));
    for directory in [&room, &shared] {
        fs::create_dir(directory)?;
    }
    let progress = Progress::new(1);
    let sites = Sites::prepare(&paths, &[target], &shared, None, &progress)?;
    progress.finish();
    eprintln!("booting {}; `exit` ends the guest", args.target);
    sites.shell(&args.target, preset, &room)
}
