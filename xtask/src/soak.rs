//! `cargo xtask soak`

use std::path::Path;
use std::process::exit;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use dynamicfs::TransportChoice;
use dynamicfs::config::Preset;
use dynamicfs::config::units::parse_size;
use dynamicfs_lab::image::Image;
use dynamicfs_lab::namespace::{self, WORKPLACE, scratch};
use dynamicfs_lab::paths::Paths;
use dynamicfs_lab::progress::Progress;
use dynamicfs_lab::soak::{self, Settings, Site};
use dynamicfs_lab::target::Dynamicfs;
use dynamicfs_lab::tools;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::build::build;
use crate::terminal;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long the load runs; pauses come on top
    #[arg(long, value_name = "N", default_value_t = 30.0, value_parser = minutes)]
    minutes: f64,
    /// What is mounted
    #[arg(long, value_name = "PRESET", default_value = "balanced")]
    preset: Preset,
    /// How requests reach the daemon: linux, fuser, or auto, which is as the preset says
    #[arg(long, value_name = "TRANSPORT", default_value = "auto")]
    transport: TransportChoice,
    /// Threads of the load
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: u8,
    /// Memory of the load and the daemon together, as 128M; the files take twice as much
    #[arg(long, value_name = "SIZE", default_value = "128M", value_parser = memory)]
    memory: u64,
    /// What the random numbers begin with: the same operations in each thread, though not at the same time
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
}

/// Less says nothing about leaks, more than a week is a slip of the hand.
fn minutes(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(minutes) if (0.1..=10_080.0).contains(&minutes) => Ok(minutes),
        _ => Err("a number of minutes from 0.1 to 10080".to_owned()),
    }
}

/// The daemon, the load and their models take up to 40 MiB that cannot be freed.
fn memory(text: &str) -> Result<u64, String> {
    match parse_size(text) {
        Ok(bytes) if (64 << 20..=1 << 40).contains(&bytes) => Ok(bytes),
        Ok(_) => Err("from 64M to 1T".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

pub(crate) fn run(args: &Args) -> Result<bool> {
    let paths = Paths::discover();
    if !namespace::is_isolated() {
        tools::ensure_packages(tools::LAB_PACKAGES)?;
        build(&paths, &["--release", "--package=dynamicfs"])?;
        clear_when_interrupted()?;
    }
    namespace::isolate()?;
    let settings = Settings {
        duration: Duration::from_secs_f64(args.minutes * 60.0),
        preset: args.preset,
        threads: args.threads.into(),
        memory: args.memory,
        seed: args.seed,
    };
    let work = Path::new(WORKPLACE);
    let image = Image::create(
        &paths.lab().join("images"),
        &work.join("back"),
        settings.disk_bytes(),
    )?;
    let source = image.path().join("served");
    std::fs::create_dir(&source)?;
    let site = Site {
        command: &Dynamicfs::new(&paths.release("dynamicfs"), &scratch())
            .by_transport(args.transport),
        source: &source,
        mountpoint: &work.join("mnt"),
        work: &scratch(),
    };
    let progress = Progress::new(soak::rounds(settings.duration) as usize);
    let verdicts = soak::run(&settings, &site, &progress)?;
    progress.finish();
    println!("{}", soak::table(&verdicts, terminal::width()));
    println!(
        "preset {}, transport {}, {} threads, {} minutes, memory {} MiB, seed {}",
        args.preset.name(),
        args.transport.name(),
        args.threads,
        args.minutes,
        args.memory >> 20,
        args.seed
    );
    Ok(soak::is_clean(&verdicts))
}

/// What the run started and mounted ends with this process, but its memory cgroup does not.
fn clear_when_interrupted() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            eprintln!("\ninterrupted: nothing was judged");
            soak::clear();
            exit(128 + signal);
        }
    });
    Ok(())
}
