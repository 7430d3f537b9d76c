//! Which layer wins, which file is read.

use std::path::Path;

use dynamicfs::config::{Layers, Origin, Preset, RESERVED_VARIABLES, Resolved};

use super::{file, layers, lines, only, refused, value};

/// Which of the four layers over the preset are given: all sixteen combinations.
#[test]
fn the_strongest_layer_wins() {
    let file = file("entry_ttl = 1\n");
    for given in 0..16_u32 {
        let has = |layer: u32| given & (1 << layer) != 0;
        let mut layers = layers();
        let mut expected = ("5s", Origin::Preset(Preset::Balanced));
        if has(0) {
            layers = layers.config_file(Some(file.path.clone()));
            expected = (
                "1s",
                Origin::File {
                    path: file.path.clone(),
                    line: 1,
                },
            );
        }
        if has(1) {
            layers = layers.environment([("DYNAMICFS_ENTRY_TTL", "2")]);
            expected = ("2s", Origin::Environment("DYNAMICFS_ENTRY_TTL".to_owned()));
        }
        if has(2) {
            layers = layers.mount_options([("entry_ttl", "9"), ("entry_ttl", "3")]);
            expected = ("3s", Origin::MountOption("entry_ttl".to_owned()));
        }
        if has(3) {
            layers = layers.flags([("entry_ttl", "9"), ("entry_ttl", "4")]);
            expected = ("4s", Origin::Flag("entry_ttl".to_owned()));
        }
        only(
            &layers.resolve().unwrap(),
            "entry_ttl",
            expected.0,
            &expected.1,
        );
    }
}

#[test]
fn the_preset_comes_from_any_layer() {
    let file = file("preset = \"safe\"\nattr_ttl = 7\n");
    let from_file = layers().config_file(Some(file.path.clone()));
    let from_variable = from_file
        .clone()
        .environment([("DYNAMICFS_PRESET", "high-performance")]);
    let from_option = from_variable
        .clone()
        .mount_options([("preset", "baseline")]);
    let from_flag = from_option.clone().flags([("preset", "balanced")]);
    for (layers, preset, origin) in [
        (layers(), Preset::Balanced, "default".to_owned()),
        (
            from_file,
            Preset::Safe,
            format!("{}:1", file.path.display()),
        ),
        (
            from_variable,
            Preset::HighPerformance,
            "DYNAMICFS_PRESET".to_owned(),
        ),
        (from_option, Preset::Baseline, "-o preset".to_owned()),
        (from_flag, Preset::Balanced, "--preset".to_owned()),
    ] {
        let resolved = layers.resolve().unwrap();
        assert_eq!(resolved.preset, preset);
        assert_eq!(resolved.preset_origin.to_string(), origin);
        assert_eq!(resolved.origin("preset"), Some(&resolved.preset_origin));
        // A weaker layer's setting stays above whatever preset was chosen.
        let mut expected = preset.config();
        if resolved.preset_origin != Origin::Default {
            expected.attr_timeout_secs = 7;
        }
        assert_eq!(resolved.config, expected);
        assert_eq!(resolved.origin("entry_ttl"), Some(&Origin::Preset(preset)));
    }
}

#[test]
fn the_texts_of_the_specification() {
    let resolved = layers()
        .environment([
            ("DYNAMICFS_ATTR_TTL", "15"),
            ("DYNAMICFS_READAHEAD_SIZE", "512k"),
            ("DYNAMICFS_WRITEBACK", "false"),
            ("DYNAMICFS_PRESET", "high-performance"),
        ])
        .resolve()
        .unwrap();
    assert_eq!(resolved.config.attr_timeout_secs, 15);
    assert_eq!(resolved.config.readahead_size, 512 * 1024);
    assert!(!resolved.config.enable_writeback);
}

#[test]
fn which_file_is_read() {
    let default = file("attr_ttl = 1");
    let variable = file("attr_ttl = 2");
    let flag = file("attr_ttl = 3");
    let layers = Layers::new().default_file(Some(default.path.clone()));
    assert_eq!(value(&layers.resolve().unwrap(), "attr_ttl"), "1s");
    let layers = layers.environment([("DYNAMICFS_CONFIG", &variable.path)]);
    assert_eq!(value(&layers.resolve().unwrap(), "attr_ttl"), "2s");
    let layers = layers.config_file(Some(flag.path.clone()));
    assert_eq!(value(&layers.resolve().unwrap(), "attr_ttl"), "3s");
}

#[test]
fn only_a_file_that_was_named_must_exist() {
    let dir = tempfile::tempdir().unwrap();
    let absent = dir.path().join("config.toml");
    let resolved = Layers::new()
        .default_file(Some(absent.clone()))
        .resolve()
        .unwrap();
    assert_eq!(resolved, Resolved::from(Preset::Balanced));
    assert_eq!(
        refused(&layers().config_file(Some(absent.clone()))),
        ["config.toml (from --config): cannot be read: No such file or directory (os error 2)"]
    );
    assert_eq!(
        refused(&layers().environment([("DYNAMICFS_CONFIG", &absent)])),
        [
            "config.toml (from DYNAMICFS_CONFIG): cannot be read: No such file or directory \
          (os error 2)"
        ]
    );
    let errors = Layers::new()
        .default_file(Some(dir.path().to_owned()))
        .resolve()
        .unwrap_err();
    assert_eq!(
        lines(&errors),
        [format!(
            "{}: cannot be read: Is a directory (os error 21)",
            dir.path().display()
        )]
    );
}

#[test]
fn variables_of_others_are_left_alone() {
    let reserved = RESERVED_VARIABLES
        .iter()
        .filter(|name| **name != "DYNAMICFS_CONFIG");
    let foreign = [
        "PATH",
        "ATTR_TTL",
        "DYNAMICFSX",
        "dynamicfs_attr_ttl",
        "X_DYNAMICFS_ATTR_TTL",
    ];
    let variables = reserved.chain(&foreign).map(|name| (*name, "nonsense"));
    let resolved = layers().environment(variables).resolve().unwrap();
    assert_eq!(resolved, Resolved::from(Preset::Balanced));
}

#[test]
fn the_default_place_of_the_file() {
    assert_eq!(
        Path::new(dynamicfs::config::DEFAULT_CONFIG_FILE),
        Path::new("/etc/dynamicfs/config.toml")
    );
}
