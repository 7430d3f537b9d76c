//! What only prints.

use dynamicfs::Preset;
use dynamicfs::config::fields;
use serde_json::Value;

use crate::command::World;

#[test]
fn the_help_teaches() {
    let help = World::new().run(&["--help"]).ok();
    for part in [
        "Examples:",
        "Environment:",
        "Exit codes:",
        "mount -t fuse.dynamicfs",
        "doctor",
    ] {
        assert!(help.contains(part), "no {part} in\n{help}");
    }
    let help = World::new().run(&["mount", "--help"]).ok();
    for field in fields() {
        for part in [format!("--{}", field.flag()), field.variable()] {
            assert!(help.contains(&part), "no {part} in\n{help}");
        }
    }
}

#[test]
fn presets_side_by_side_and_one_by_one() {
    let world = World::new();
    let all = world.run(&["presets"]).ok();
    for name in Preset::NAMES {
        assert!(
            all.lines().next().expect("a header").contains(name),
            "{all}"
        );
        let one = world.run(&["presets", name]).ok();
        assert_eq!(one.lines().count(), fields().len() + 1, "{one}");
    }
    let row = all
        .lines()
        .find(|line| line.trim().starts_with("attr_ttl"))
        .expect("a row");
    assert_eq!(
        row.split_whitespace().collect::<Vec<_>>(),
        ["attr_ttl", "5s", "10s", "1s", "0s"]
    );
}

#[test]
fn completions_of_every_shell() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = world.run(&["completions", shell]).ok();
        assert!(script.contains("readahead-size"), "{shell}");
    }
    let script = world.path("completion.bash");
    std::fs::write(&script, world.run(&["completions", "bash"]).ok()).expect("written");
    world
        .run_program("/bin/bash".as_ref(), &[&"-n".into(), &script])
        .ok();
}

#[test]
fn manual_pages_of_every_subcommand() {
    let world = World::new();
    let page = world.run(&["man"]).ok();
    assert!(
        page.contains(".TH dynamicfs 1") && page.contains("Exit codes"),
        "{page}"
    );
    std::fs::create_dir(world.path("man")).expect("a directory");
    world.run(&["man", "@man"]).ok();
    for verb in [
        "mount",
        "umount",
        "status",
        "stats",
        "presets",
        "doctor",
        "completions",
        "man",
    ] {
        let page = std::fs::read_to_string(world.path(&format!("man/dynamicfs-{verb}.1")));
        assert!(page.expect(verb).contains(".SH SYNOPSIS"), "{verb}");
    }
    world
        .run(&["man", "@none"])
        .refused(1, &["none: give a directory that exists"]);
}

#[test]
fn the_doctor_knows_this_machine() {
    let world = World::new();
    let text = world.run(&["doctor"]).ok();
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("/proc");
    assert!(text.contains(release.trim()), "{text}");
    let json: Value = serde_json::from_str(&world.run(&["doctor", "--json"]).ok()).expect("JSON");
    assert_eq!(json["kernel"], release.trim());
    assert_eq!(
        json["presets"].as_array().expect("presets").len(),
        Preset::ALL.len()
    );
    assert_eq!(
        json["dev_fuse"]["present"],
        std::path::Path::new("/dev/fuse").exists()
    );
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    use std::process::Stdio;
    let world = World::new();
    let mut child = world
        .command(&world.binary(), &["mount", "--help"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
