//! Settings that are wrong.

use crate::command::World;

/// Mounts with `args` besides, and leaves nothing behind.
#[track_caller]
fn refused(world: &World, args: &[&str], fragments: &[&str]) {
    let all = [&["mount"], args, &["@src", "@mnt"]].concat();
    world.run(&all).refused(2, fragments);
    world.nothing_left();
}

#[test]
fn a_preset_that_does_not_exist() {
    let world = World::new();
    let fragments = [
        "--preset fast",
        "balanced, high-performance, safe, baseline",
    ];
    refused(&world, &["--preset", "fast"], &fragments);
    refused(
        &world,
        &["-o", "preset=fast"],
        &["-o preset=fast", fragments[1]],
    );
    world
        .run(&["presets", "fast"])
        .refused(2, &["fast: unknown", fragments[1]]);
}

#[test]
fn a_preset_in_the_environment() {
    let world = World::new().with("DYNAMICFS_PRESET", "quick");
    refused(&world, &[], &["DYNAMICFS_PRESET=quick", "high-performance"]);
}

#[test]
fn a_malformed_size() {
    refused(
        &World::new(),
        &["--readahead-size", "much"],
        &["--readahead-size much", "not a size", "4KiB to"],
    );
}

#[test]
fn a_malformed_duration() {
    refused(
        &World::new(),
        &["-o", "attr_ttl=soon"],
        &["-o attr_ttl=soon", "not a duration", "0s to"],
    );
}

#[test]
fn a_value_out_of_range() {
    refused(
        &World::new(),
        &["--worker-threads", "0"],
        &["--worker-threads 0", "too small", "1 to 256"],
    );
}

#[test]
fn a_switch_that_is_neither_on_nor_off() {
    refused(
        &World::new(),
        &["--writeback=perhaps"],
        &["--writeback perhaps", "neither true nor false"],
    );
}

#[test]
fn an_option_with_a_slip() {
    refused(
        &World::new(),
        &["-o", "noatmie"],
        &["-o noatmie: unknown mount option", "did you mean noatime?"],
    );
}

#[test]
fn an_option_that_nobody_knows() {
    refused(
        &World::new(),
        &["-o", "zebra"],
        &["-o zebra: unknown mount option", "known: preset"],
    );
}

#[test]
fn an_option_that_linux_has_not() {
    refused(
        &World::new(),
        &["-o", "allow_root"],
        &["allow_root", "allow_other lets root in"],
    );
}

#[test]
fn a_quote_that_is_not_closed() {
    refused(
        &World::new(),
        &["-o", "fsname=\"a"],
        &["double quote is not closed"],
    );
}

#[test]
fn a_variable_that_does_not_exist() {
    let world = World::new().with("DYNAMICFS_ATTR_TLL", "5");
    refused(
        &world,
        &[],
        &[
            "DYNAMICFS_ATTR_TLL: unknown variable",
            "did you mean DYNAMICFS_ATTR_TTL?",
        ],
    );
}

#[test]
fn a_file_that_does_not_exist() {
    refused(
        &World::new(),
        &["--config", "/none.toml"],
        &["/none.toml (from --config): cannot be read"],
    );
}

#[test]
fn a_file_that_is_not_toml() {
    let world = World::new();
    std::fs::write(world.path("c.toml"), "attr_ttl = 5\nentry_ttl = = 5\n").expect("a file");
    let path = world.text("c.toml");
    refused(&world, &["--config", &path], &["c.toml:2: not TOML"]);
}

#[test]
fn a_key_that_does_not_exist() {
    let world = World::new();
    std::fs::write(world.path("c.toml"), "\nattr_timeout = 5\n").expect("a file");
    let path = world.text("c.toml");
    refused(
        &world,
        &["--config", &path],
        &["c.toml:2: attr_timeout: unknown key", "attr_ttl"],
    );
}

#[test]
fn settings_that_contradict_each_other() {
    refused(
        &World::new(),
        &["--io-mode", "writeback-cache", "--writeback=false"],
        &["--io-mode writeback-cache", "and --writeback false"],
    );
}

#[test]
fn everything_is_told_at_once() {
    let world = World::new().with("DYNAMICFS_READAHEAD_SIZE", "x");
    let said = world.run(&[
        "mount",
        "-o",
        "zebra,nodve",
        "--attr-ttl",
        "y",
        "@src",
        "@mnt",
    ]);
    assert_eq!(said.code, Some(2), "{said:?}");
    let lines: Vec<_> = said.err.lines().collect();
    assert_eq!(lines.len(), 4, "{said:?}");
    for part in [
        "zebra",
        "nodve",
        "DYNAMICFS_READAHEAD_SIZE=x",
        "--attr-ttl y",
    ] {
        assert!(
            lines.iter().any(|line| line.contains(part)),
            "{part}: {said:?}"
        );
    }
}

#[test]
fn a_malformed_size_of_memory() {
    let world = World::new();
    world
        .run(&["mount", "memory:lots", "@mnt"])
        .refused(2, &["memory:lots", "not a size"]);
    world.nothing_left();
}

#[test]
fn a_log_filter_that_is_none() {
    let world = World::new().with("DYNAMICFS_LOG", "dynamicfs=loud");
    if crate::command::root() {
        refused(
            &world,
            &[],
            &["DYNAMICFS_LOG=dynamicfs=loud", "accepted: error, warn"],
        );
    }
}

#[test]
fn a_log_file_that_cannot_be_written() {
    if crate::command::root() {
        refused(
            &World::new(),
            &["--log-file", "/proc/none/log"],
            &["--log-file /proc/none/log"],
        );
    }
}

/// What the parser of the command line says takes several lines, with the usage.
#[test]
fn a_malformed_command_line() {
    let world = World::new();
    for (args, fragment) in [
        (&["mount", "@src"][..], "<MNT>"),
        (&["mout", "@src", "@mnt"], "'mount'"),
        (
            &["mount", "--attr-tll", "5s", "@src", "@mnt"],
            "'--attr-ttl'",
        ),
        (&["mount", "--log-format", "xml", "@src", "@mnt"], "json"),
        (&["stats", "--json", "--prometheus"], "cannot be used with"),
        (&["completions", "dos"], "possible values"),
        (&[], "Usage:"),
    ] {
        let said = world.run(args);
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.err.contains(fragment), "no {fragment:?} in {said:?}");
    }
    world.nothing_left();
}
