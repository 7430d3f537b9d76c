//! A soak of a few seconds: good without a fault, and bad with one planted in the storage.

mod support;

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dynamicfs::config::Preset;
use dynamicfs_lab::image::Image;
use dynamicfs_lab::outcome::Outcome;
use dynamicfs_lab::progress::Progress;
use dynamicfs_lab::selftest::VARIABLE;
use dynamicfs_lab::soak::{self, Settings, Site, Verdict};
use dynamicfs_lab::target::Dynamicfs;

use self::support::{is_mounted, may_mount};

/// The process of these tests moves into a cgroup: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// `None` where nothing may be mounted.
fn soak(preset: Preset, plant: Option<&str>) -> Option<Vec<Verdict>> {
    if !may_mount() {
        return None;
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // On a disk: what lies in memory cannot be freed.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let root = directory.path().canonicalize().unwrap();
    let settings = Settings {
        duration: Duration::from_secs(6),
        preset,
        threads: 4,
        memory: 48 << 20,
        seed: 7,
    };
    let image = Image::create(&root, &root.join("back"), settings.disk_bytes()).unwrap();
    let [source, work] = ["back/served", "work"].map(|name| root.join(name));
    for made in [&source, &work] {
        std::fs::create_dir(made).unwrap();
    }
    let program = Path::new(env!("CARGO_BIN_EXE_dynamicfs-planted"));
    let command = Dynamicfs::new(program, &work);
    let site = Site {
        command: &match plant {
            Some(plant) => command.variable(VARIABLE, plant),
            None => command,
        },
        source: &source,
        mountpoint: &root.join("mnt"),
        work: &work,
    };
    let progress = Progress::new(soak::rounds(settings.duration) as usize);
    let verdicts = soak::run(&settings, &site, &progress).unwrap();
    drop(image);
    for mountpoint in [site.mountpoint, &work.join("fusectl"), &root.join("back")] {
        assert!(!is_mounted(mountpoint), "{}", mountpoint.display());
    }
    println!("{}", soak::table(&verdicts, 120));
    Some(verdicts)
}

/// The names of the verdicts that say that something is wrong.
fn bad(verdicts: &[Verdict]) -> Vec<&str> {
    let failed = |verdict: &&Verdict| matches!(verdict.outcome, Outcome::Failed(_));
    verdicts
        .iter()
        .filter(failed)
        .map(|verdict| verdict.name)
        .collect()
}

#[test]
fn a_mount_without_a_fault_is_good() {
    let Some(verdicts) = soak(Preset::Balanced, None) else {
        return;
    };
    assert_eq!(bad(&verdicts), [""; 0]);
    for verdict in verdicts {
        match verdict.outcome {
            // Where this may not make a cgroup.
            Outcome::Skipped(why) if verdict.name == "pressure" => eprintln!("not run: {why}"),
            outcome => assert_eq!(outcome, Outcome::Passed, "{}", verdict.name),
        }
    }
}

#[test]
fn a_fault_of_the_storage_is_found() {
    let Some(verdicts) = soak(Preset::Baseline, Some("copy-misses-last-byte")) else {
        return;
    };
    assert_eq!(bad(&verdicts), ["contents"]);
}
