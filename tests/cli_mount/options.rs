//! Options and presets of a mount.

use std::fs::FileTimes;
use std::io::ErrorKind;
use std::time::{Duration, SystemTime};

use dynamicfs::Preset;

use crate::{mounted, status, unmount_when_idle, unmounted, world};

#[test]
fn read_only() {
    let Some(world) = world() else { return };
    for way in [
        &["-r"][..],
        &["--read-only"],
        &["-o", "ro"],
        &["-r", "-o", "rw"],
    ] {
        mounted(&world, &[way, &["@src", "@mnt"]].concat());
        let error = std::fs::write(world.path("mnt/file"), "x").expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem, "{way:?}");
        unmounted(&world, "@mnt");
    }
    assert_eq!(
        std::fs::read(world.path("src/file")).expect("there"),
        b"content"
    );
}

#[test]
fn every_preset_serves_with_and_without_kernel_permission_checks() {
    let Some(world) = world() else { return };
    for preset in Preset::NAMES {
        for checks in ["true", "false"] {
            let checks = format!("--default-permissions={checks}");
            mounted(&world, &["--preset", preset, &checks, "@src", "@mnt"]);
            std::fs::write(world.path("mnt/new"), preset).expect("written");
            assert_eq!(
                std::fs::read_to_string(world.path("src/new")).expect("there"),
                *preset
            );
            assert_eq!(status(&world, "@mnt")["preset"], *preset);
            unmounted(&world, "@mnt");
        }
    }
}

#[test]
fn options_reach_the_mount_table() {
    let Some(world) = world() else { return };
    mounted(
        &world,
        &[
            "-o",
            "noexec,noatime",
            "-o",
            "fsname=a name,nofail",
            "@src",
            "@mnt",
        ],
    );
    let table = std::fs::read_to_string("/proc/thread-self/mountinfo").expect("/proc");
    let point = world.text("mnt");
    let line = table
        .lines()
        .find(|line| line.contains(&point))
        .expect("it is mounted");
    assert!(
        line.contains("noexec") && line.contains("noatime"),
        "{line}"
    );
    assert!(line.contains(r"- fuse.dynamicfs a\040name "), "{line}");
    unmounted(&world, "@mnt");
}

#[test]
fn times_of_access_are_as_the_mount_says() {
    let Some(world) = world() else { return };
    let file = world.path("src/read");
    std::fs::write(&file, "x").expect("a file");
    let hour = Duration::from_secs(3600);
    // Before the last change, which is now: relatime, the default, sets the time.
    let old = FileTimes::new().set_accessed(SystemTime::now() - hour);
    // After it: relatime does not.
    let new = FileTimes::new().set_accessed(SystemTime::now() + hour);
    let changes = |options: &[&str], times: FileTimes| {
        let opened = std::fs::File::options().append(true).open(&file);
        opened
            .and_then(|file| file.set_times(times))
            .expect("times");
        let accessed = || {
            let metadata = std::fs::metadata(&file).expect("metadata");
            metadata.accessed().expect("a time")
        };
        let before = accessed();
        mounted(&world, &[options, &["@src", "@mnt"]].concat());
        let read = std::fs::read(world.path("mnt/read")).expect("the file");
        assert_eq!(read, b"x");
        unmounted(&world, "@mnt");
        accessed() != before
    };
    // Also where the daemon reads, and not the kernel.
    for options in [&[][..], &["--io-mode", "write-through"]] {
        let with = |option: &'static str| [options, &["-o", option]].concat();
        assert!(changes(options, old), "{options:?}");
        assert!(!changes(options, new), "{options:?}");
        assert!(!changes(&with("noatime"), old), "{options:?}");
        assert!(!changes(&with("ro"), old), "{options:?}");
        assert!(changes(&with("nodiratime"), old), "{options:?}");
        assert!(changes(&with("strictatime"), new), "{options:?}");
    }
}

#[test]
fn an_option_that_cannot_be_honoured_is_refused() {
    let Some(world) = world() else { return };
    let world = world.with("DYNAMICFS_TRANSPORT", "fuser");
    world
        .run(&["mount", "-o", "nosymfollow", "@src", "@mnt"])
        .refused(
            2,
            &[
                "nosymfollow is not possible with the transport fuser",
                "leave it out",
            ],
        );
    world.nothing_left();
}

#[test]
fn the_transport_is_a_setting_in_every_layer() {
    let Some(world) = world() else { return };
    let transport = |args: &[&str]| {
        mounted(&world, &[args, &["@src", "@mnt"]].concat());
        let used = status(&world, "@mnt")["report"]["transport"].clone();
        unmounted(&world, "@mnt");
        used
    };
    if std::env::var_os("DYNAMICFS_TRANSPORT").is_none() {
        assert_eq!(transport(&[]), "linux");
        assert_eq!(transport(&["--preset", "baseline"]), "fuser");
    }
    assert_eq!(transport(&["--transport", "linux"]), "linux");
    assert_eq!(transport(&["-o", "transport=linux,nosymfollow"]), "linux");
    assert_eq!(transport(&["--transport=fuser"]), "fuser");
    world
        .run(&["mount", "--transport", "socket", "@src", "@mnt"])
        .refused(2, &["transport", "socket", "auto, linux, fuser"]);
    world.nothing_left();
}

#[test]
fn blanks_and_commas_in_paths() {
    let Some(world) = world() else { return };
    for name in ["a b, c", "back\\slash"] {
        let (source, point) = (format!("@{name}.src"), format!("@{name}"));
        std::fs::create_dir(world.path(name)).expect("a directory");
        std::fs::create_dir(world.path(&format!("{name}.src"))).expect("a directory");
        std::fs::write(world.path(&format!("{name}.src/f")), "x").expect("a file");
        mounted(&world, &[&source, &point]);
        assert_eq!(
            std::fs::read(world.path(name).join("f")).expect("it answers"),
            b"x"
        );
        unmount_when_idle(&world, &point);
    }
    world.nothing_left();
}
