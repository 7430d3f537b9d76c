//! `cargo xtask lab build`

use anyhow::Result;
use dynamicfs_lab::images::{self, Target};
use dynamicfs_lab::paths::Paths;
use dynamicfs_lab::progress::Progress;

/// Fetches and makes what the guests of the targets are booted from, into target/lab/images, and
/// leaves what is there already. Can be interrupted: the next call goes on.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The target, by name; may be given several times [default: all]
    #[arg(long, value_name = "TARGET")]
    target: Vec<String>,
}

pub(super) fn run(args: &Args) -> Result<bool> {
    let paths = Paths::discover();
    let targets = chosen(&paths, &args.target)?;
    let progress = Progress::new(targets.len());
    let mut lines = Vec::new();
    for target in targets.iter().filter(|target| target.guest.is_some()) {
        let image = images::build(&paths, target, &progress)?;
        progress.advance();
        lines.push(format!(
            "{}: Linux {}, {} modules, {} packages, {} MiB, {:.1} s",
            target.name,
            image.release,
            image.modules.len(),
            image.packages.len(),
            image.bytes >> 20,
            image.seconds
        ));
    }
    progress.finish();
    for line in lines {
        println!("{line}");
    }
    Ok(true)
}

/// The targets of these names, or all.
pub(super) fn chosen(paths: &Paths, names: &[String]) -> Result<Vec<Target>> {
    if names.is_empty() {
        return images::load_all(paths);
    }
    names.iter().map(|name| images::load(paths, name)).collect()
}
