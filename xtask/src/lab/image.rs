//! `cargo xtask lab image`

use anyhow::Result;
use clap::Subcommand;
use dynamicfs_lab::images;
use dynamicfs_lab::paths::Paths;
use dynamicfs_lab::progress::Progress;

use super::build::chosen;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Pin the newest packages of Debian's archive in vm-images/images.lock
    Update(Update),
    /// Remove images that no target is made of any more
    Prune,
}

/// Moves the kernels to the newest packages that match their declarations. Without `--target` the
/// root file systems are made anew as well, with the packages of today.
#[derive(clap::Args)]
pub(crate) struct Update {
    /// The target whose kernel is to move; may be given several times
    #[arg(long, value_name = "TARGET")]
    target: Vec<String>,
}

pub(super) fn run(verb: &Verb) -> Result<bool> {
    match verb {
        Verb::Update(args) => update(args),
        Verb::Prune => prune(),
    }
}

fn update(args: &Update) -> Result<bool> {
    let paths = Paths::discover();
    let targets = chosen(&paths, &args.target)?;
    let progress = Progress::new(1);
    let moved = images::update(&paths, &targets, args.target.is_empty(), &progress)?;
    progress.finish();
    for package in &moved {
        match &package.from {
            Some(from) => println!("{from} -> {}", package.to),
            None => println!("new: {}", package.to),
        }
    }
    if moved.is_empty() {
        println!("the kernels are the newest");
    }
    if args.target.is_empty() {
        println!("root file systems: to be made anew");
    }
    Ok(true)
}

fn prune() -> Result<bool> {
    let progress = Progress::new(1);
    let pruned = images::prune(&Paths::discover(), &progress)?;
    progress.finish();
    for name in &pruned.names {
        println!("removed {name}");
    }
    println!("{} MiB freed", pruned.bytes >> 20);
    Ok(true)
}
