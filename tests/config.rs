//! The configuration layer from outside: every setting by every way, precedence, and what bad
//! input is told.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use dynamicfs::config::{
    Field, IoMode, KernelFeatures, Layers, Origin, Preset, RESERVED_VARIABLES, Resolved, fields,
    parse_mount_options,
};
use dynamicfs::{ConfigErrors, MountOption, OptimizedFUSEConfig};

/// For each setting: a text that differs from the default and a second one, both as printed, and
/// another spelling of the first.
const SAMPLES: &[(&str, &str, &str, &str)] = &[
    ("attr_ttl", "15s", "250ms", "15"),
    ("entry_ttl", "1m30s", "7s", "90"),
    ("negative_ttl", "3s", "1s500ms", "3000ms"),
    ("readahead", "false", "true", "off"),
    ("readahead_size", "512KiB", "64MiB", "512k"),
    ("worker_threads", "37", "256", " 37 "),
    ("writeback", "true", "false", "yes"),
    ("writeback_buffer_size", "8MiB", "12KiB", "8m"),
    ("xattr_cache", "false", "true", "0"),
    ("xattr_cache_size", "10000", "1", "10000"),
    ("xattr_cache_bytes", "4GiB", "4KiB", "4096M"),
    ("xattr_cache_ttl", "1h", "2ms", "3600"),
    ("max_read_size", "256KiB", "16MiB", "262144"),
    ("max_write_size", "256KiB", "4KiB", "0.25M"),
    ("max_background", "12", "65535", "12"),
    ("io_mode", "direct", "write-through", "Direct"),
    ("lock_mode", "daemon", "kernel", "DAEMON"),
    ("readdirplus", "on", "off", "ON"),
    ("kernel_features", "minimal", "all", "Minimal"),
    ("allow_other", "false", "true", "no"),
    ("default_permissions", "false", "true", "off"),
];

const VARIABLES: &[&str] = &[
    "DYNAMICFS_ATTR_TTL",
    "DYNAMICFS_ENTRY_TTL",
    "DYNAMICFS_NEGATIVE_TTL",
    "DYNAMICFS_READAHEAD",
    "DYNAMICFS_READAHEAD_SIZE",
    "DYNAMICFS_WORKER_THREADS",
    "DYNAMICFS_WRITEBACK",
    "DYNAMICFS_WRITEBACK_BUFFER_SIZE",
    "DYNAMICFS_XATTR_CACHE",
    "DYNAMICFS_XATTR_CACHE_SIZE",
    "DYNAMICFS_XATTR_CACHE_BYTES",
    "DYNAMICFS_XATTR_CACHE_TTL",
    "DYNAMICFS_MAX_READ_SIZE",
    "DYNAMICFS_MAX_WRITE_SIZE",
    "DYNAMICFS_MAX_BACKGROUND",
    "DYNAMICFS_IO_MODE",
    "DYNAMICFS_LOCK_MODE",
    "DYNAMICFS_READDIRPLUS",
    "DYNAMICFS_KERNEL_FEATURES",
    "DYNAMICFS_ALLOW_OTHER",
    "DYNAMICFS_DEFAULT_PERMISSIONS",
];

/// Layers without the file of the machine that runs the test.
fn layers() -> Layers {
    Layers::new().default_file(None)
}

/// A configuration file that goes with its directory.
struct File {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

fn file(text: &str) -> File {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    File { _dir: dir, path }
}

fn with_file(text: &str) -> (File, Layers) {
    let file = file(text);
    let layers = layers().config_file(Some(file.path.clone()));
    (file, layers)
}

fn field(name: &str) -> &'static Field {
    fields().iter().find(|field| field.name() == name).unwrap()
}

fn value(resolved: &Resolved, name: &str) -> String {
    field(name).get(&resolved.config)
}

/// That `resolved` differs from balanced in `name` alone, which is `text` from `origin`.
#[track_caller]
fn only(resolved: &Resolved, name: &str, text: &str, origin: &Origin) {
    let mut expected = OptimizedFUSEConfig::balanced();
    field(name).set(&mut expected, text).unwrap();
    assert_eq!(resolved.config, expected, "{name}");
    for setting in resolved.settings() {
        if setting.name == name {
            assert_eq!(setting.value, text, "{name}");
            assert_eq!(setting.origin, origin, "{name}");
        } else {
            assert_eq!(
                *setting.origin,
                Origin::Preset(Preset::Balanced),
                "{}",
                setting.name
            );
        }
    }
}

#[track_caller]
fn lines(errors: &ConfigErrors) -> Vec<String> {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors.to_string(), lines.join("\n"));
    assert!(
        lines.iter().all(|line| !line.contains('\n')),
        "one line each: {lines:?}"
    );
    lines
}

/// The errors, with the changing directory of the file taken out.
#[track_caller]
fn refused(layers: &Layers) -> Vec<String> {
    let temporary = |line: String| match line.find("config.toml") {
        Some(at) if line.starts_with('/') => line[at..].to_owned(),
        _ => line,
    };
    lines(&layers.resolve().unwrap_err())
        .into_iter()
        .map(temporary)
        .collect()
}

#[test]
fn the_table_is_complete() {
    let names: Vec<_> = fields().iter().map(|field| field.name()).collect();
    let samples: Vec<_> = SAMPLES.iter().map(|sample| sample.0).collect();
    assert_eq!(names, samples);
    for (name, first, second, _) in SAMPLES {
        assert_ne!(
            field(name).get(&OptimizedFUSEConfig::balanced()),
            *first,
            "{name}"
        );
        assert_ne!(first, second, "{name}");
    }
    let variables: Vec<_> = fields().iter().map(|field| field.variable()).collect();
    assert_eq!(variables, VARIABLES);
    // Every member of the struct is a setting or the milliseconds of one.
    let json = serde_json::to_value(OptimizedFUSEConfig::balanced()).unwrap();
    for member in json.as_object().unwrap().keys() {
        let member = member.replace("_millis", "_secs");
        assert!(
            fields().iter().any(|field| field.member() == member),
            "{member}"
        );
    }
    for field in fields() {
        assert!(json.get(field.member()).is_some(), "{}", field.member());
        assert!(!field.description().is_empty() && !field.accepted().is_empty());
        assert_eq!(field.flag(), field.name().replace('_', "-"));
    }
}

#[test]
fn every_setting_by_variable() {
    for (name, first, second, spelling) in SAMPLES {
        let variable = field(name).variable();
        let origin = Origin::Environment(variable.clone());
        for (given, expected) in [(first, first), (second, second), (spelling, first)] {
            let resolved = layers()
                .environment([(&variable, given)])
                .resolve()
                .unwrap();
            only(&resolved, name, expected, &origin);
        }
    }
}

#[test]
fn every_setting_by_flag_and_mount_option() {
    for (name, first, second, spelling) in SAMPLES {
        for (given, expected) in [(first, first), (second, second), (spelling, first)] {
            let resolved = layers().flags([(*name, *given)]).resolve().unwrap();
            only(&resolved, name, expected, &Origin::Flag((*name).to_owned()));

            let parsed = parse_mount_options(&format!("{name}={given},nofail")).unwrap();
            let resolved = layers().mount_options(parsed.settings).resolve().unwrap();
            only(
                &resolved,
                name,
                expected,
                &Origin::MountOption((*name).to_owned()),
            );
        }
        let dashed = name.replace('_', "-");
        let resolved = layers()
            .flags([(dashed.as_str(), *first)])
            .resolve()
            .unwrap();
        assert_eq!(value(&resolved, name), *first);
        assert_eq!(
            resolved.origin(name).unwrap().to_string(),
            format!("--{dashed}")
        );
    }
}

#[test]
fn every_setting_by_file() {
    for (name, first, second, spelling) in SAMPLES {
        for (given, expected) in [(first, first), (second, second), (spelling, first)] {
            let (file, layers) = with_file(&format!("# a comment\n\n{name} = \"{given}\"\n"));
            let origin = Origin::File {
                path: file.path.clone(),
                line: 3,
            };
            only(&layers.resolve().unwrap(), name, expected, &origin);
        }
    }
}

#[test]
fn numbers_and_booleans_of_toml() {
    let (_file, layers) = with_file(
        "attr_ttl = 15\nentry_ttl = 0.25\nreadahead = false\nwriteback = 0\n\
         readahead_size = 0x80_000\nxattr_cache_size = 10_000\nmax_read_size = 4096\n",
    );
    let config = layers.resolve().unwrap().config;
    let expected = OptimizedFUSEConfig::balanced();
    assert_eq!(
        (config.attr_timeout_secs, config.attr_timeout_millis),
        (15, 0)
    );
    assert_eq!(
        (config.entry_timeout_secs, config.entry_timeout_millis),
        (0, 250)
    );
    assert!(!config.enable_readahead && !config.enable_writeback);
    assert_eq!(config.readahead_size, 512 << 10);
    assert_eq!(config.xattr_cache_size, 10_000);
    assert_eq!(config.max_read_size, 4096);
    assert_eq!(config.max_write_size, expected.max_write_size);
}

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
fn settings_for_printing() {
    let resolved = layers().flags([("io_mode", "direct")]).resolve().unwrap();
    let shown = serde_json::to_value(resolved.settings().collect::<Vec<_>>()).unwrap();
    assert_eq!(shown.as_array().unwrap().len(), fields().len());
    assert_eq!(
        shown[0],
        serde_json::json!({
            "name": "attr_ttl",
            "value": "5s",
            "origin": "preset balanced",
            "description": "how long the kernel may use attributes without asking",
        })
    );
    let io_mode = resolved
        .settings()
        .find(|setting| setting.name == "io_mode")
        .unwrap();
    assert_eq!(io_mode.origin.to_string(), "--io-mode");
}

/// What is printed for a preset can be given back and makes the same configuration.
#[test]
fn printed_settings_make_the_same_configuration() {
    for preset in Preset::ALL {
        let from = Resolved::from(preset);
        let flags = from.settings().map(|setting| (setting.name, setting.value));
        assert_eq!(
            layers().flags(flags).resolve().unwrap().config,
            preset.config(),
            "{preset}"
        );
        let toml: String = from
            .settings()
            .map(|setting| format!("{} = {:?}\n", setting.name, setting.value))
            .collect();
        let (_file, layers) = with_file(&toml);
        assert_eq!(
            layers.resolve().unwrap().config,
            preset.config(),
            "{preset}"
        );
    }
}

#[test]
fn bad_variables() {
    for (variable, value, message) in [
        (
            "DYNAMICFS_READAHEAD_SIZE",
            "512x",
            "DYNAMICFS_READAHEAD_SIZE=512x: not a size (such as 4096, 512k or 1MiB; k, M and G are \
             powers of 1024); accepted: 4KiB to 64MiB (readahead=false turns it off)",
        ),
        (
            "DYNAMICFS_READAHEAD_SIZE",
            "0",
            "DYNAMICFS_READAHEAD_SIZE=0: too small; accepted: 4KiB to 64MiB (readahead=false turns \
             it off)",
        ),
        (
            "DYNAMICFS_ATTR_TTL",
            "5q",
            "DYNAMICFS_ATTR_TTL=5q: not a duration (such as 15 for seconds, 500ms, 5s or 1m); \
             accepted: 0s to 1day",
        ),
        (
            "DYNAMICFS_ATTR_TTL",
            "",
            "DYNAMICFS_ATTR_TTL=\"\": not a duration (such as 15 for seconds, 500ms, 5s or 1m); \
             accepted: 0s to 1day",
        ),
        (
            "DYNAMICFS_ENTRY_TTL",
            "1500us",
            "DYNAMICFS_ENTRY_TTL=1500us: finer than a millisecond; accepted: 0s to 1day",
        ),
        (
            "DYNAMICFS_NEGATIVE_TTL",
            "86400001ms",
            "DYNAMICFS_NEGATIVE_TTL=86400001ms: too large; accepted: 0s to 1day",
        ),
        (
            "DYNAMICFS_XATTR_CACHE_TTL",
            "99999999999999999999",
            "DYNAMICFS_XATTR_CACHE_TTL=99999999999999999999: too long, or finer than a \
             millisecond; accepted: 0s to 1day",
        ),
        (
            "DYNAMICFS_WORKER_THREADS",
            "-1",
            "DYNAMICFS_WORKER_THREADS=-1: not a whole number; accepted: 1 to 256",
        ),
        (
            "DYNAMICFS_WORKER_THREADS",
            "257",
            "DYNAMICFS_WORKER_THREADS=257: too large; accepted: 1 to 256",
        ),
        (
            "DYNAMICFS_MAX_BACKGROUND",
            "65536",
            "DYNAMICFS_MAX_BACKGROUND=65536: too large; accepted: 1 to 65535",
        ),
        (
            "DYNAMICFS_WRITEBACK",
            "maybe",
            "DYNAMICFS_WRITEBACK=maybe: neither true nor false; accepted: true, false, 1, 0, yes, \
             no, on, off",
        ),
        (
            "DYNAMICFS_MAX_READ_SIZE",
            "5000",
            "DYNAMICFS_MAX_READ_SIZE=5000: not a multiple of 4KiB; accepted: 4KiB to 16MiB in \
             steps of 4KiB",
        ),
        (
            "DYNAMICFS_IO_MODE",
            "fast\n",
            "DYNAMICFS_IO_MODE=fast\\n: not a name that is known here; accepted: passthrough, \
             writeback-cache, write-through, direct",
        ),
        (
            "DYNAMICFS_PRESET",
            "fast",
            "DYNAMICFS_PRESET=fast: not a name that is known here; accepted: balanced, \
             high-performance, safe, baseline",
        ),
        (
            "DYNAMICFS_ATTR_TLL",
            "5",
            "DYNAMICFS_ATTR_TLL: unknown variable; did you mean DYNAMICFS_ATTR_TTL?",
        ),
        (
            "DYNAMICFS_ATTR_TIMEOUT_SECS",
            "5",
            "DYNAMICFS_ATTR_TIMEOUT_SECS: unknown variable; did you mean DYNAMICFS_ATTR_TTL?",
        ),
        (
            "DYNAMICFS_attr_ttl",
            "5",
            "DYNAMICFS_attr_ttl: unknown variable; did you mean DYNAMICFS_ATTR_TTL?",
        ),
    ] {
        assert_eq!(
            refused(&layers().environment([(variable, value)])),
            [message]
        );
    }
}

#[test]
fn a_name_near_to_none_lists_all() {
    let message = &refused(&layers().environment([("DYNAMICFS_ZEBRA", "1")]))[0];
    let known = message
        .strip_prefix("DYNAMICFS_ZEBRA: unknown variable; known: ")
        .unwrap();
    let mut names: Vec<_> = known.split(", ").collect();
    assert_eq!(names.remove(0), "DYNAMICFS_PRESET");
    assert_eq!(names, VARIABLES);
}

#[test]
fn bytes_that_are_no_text() {
    let bytes = || OsString::from_vec(b"5\xff".to_vec());
    assert_eq!(
        refused(&layers().environment([(OsString::from("DYNAMICFS_ATTR_TTL"), bytes())])),
        ["DYNAMICFS_ATTR_TTL=5\u{fffd}: not UTF-8; accepted: 0s to 1day"]
    );
    let name = OsString::from_vec(b"DYNAMICFS_ATTR_TTL\xff".to_vec());
    assert_eq!(
        refused(&layers().environment([(name, OsString::from("5"))])),
        ["DYNAMICFS_ATTR_TTL\u{fffd}: unknown variable; did you mean DYNAMICFS_ATTR_TTL?"]
    );
}

#[test]
fn bad_flags() {
    for (flag, value, message) in [
        (
            "max_write_size",
            "1G",
            "--max-write-size 1G: too large; accepted: 4KiB to 16MiB in steps of 4KiB",
        ),
        (
            "xattr_cache_size",
            "0",
            "--xattr-cache-size 0: too small; accepted: 1 to 10000000 (xattr_cache=false turns it \
             off)",
        ),
        (
            "readdirplus",
            "true",
            "--readdirplus true: not a name that is known here; accepted: off, auto, on",
        ),
        (
            "preset",
            "",
            "--preset \"\": not a name that is known here; accepted: balanced, \
          high-performance, safe, baseline",
        ),
        (
            "io-mod",
            "direct",
            "--io-mod: unknown flag; did you mean --io-mode?",
        ),
    ] {
        assert_eq!(refused(&layers().flags([(flag, value)])), [message]);
    }
    let long = "9".repeat(500);
    assert_eq!(
        refused(&layers().flags([("worker_threads", &long)])),
        [format!(
            "--worker-threads {}…: too large; accepted: 1 to 256",
            "9".repeat(80)
        )]
    );
}

#[test]
fn bad_files() {
    for (text, messages) in [
        (
            "preset = \"safe\"\natr_ttl = 5\n",
            &["config.toml:2: atr_ttl: unknown key; did you mean attr_ttl?"][..],
        ),
        (
            "enable_writeback = false\n",
            &["config.toml:1: enable_writeback: unknown key; did you mean writeback?"],
        ),
        (
            "attr_ttl = [5]\nlock_mode = 1979-05-27\n",
            &[
                "config.toml:1: attr_ttl = …: not a number, a boolean or a string; accepted: 0s \
                 to 1day",
                "config.toml:2: lock_mode = …: not a number, a boolean or a string; accepted: \
                 kernel, daemon",
            ],
        ),
        (
            "attr_ttl = -1\nreadahead_size = 1.5\nwriteback_buffer_size = 2_000_000_000\n",
            &[
                "config.toml:1: attr_ttl = -1: not a duration (such as 15 for seconds, 500ms, 5s \
                 or 1m); accepted: 0s to 1day",
                "config.toml:2: readahead_size = 1.5: too small; accepted: 4KiB to 64MiB \
                 (readahead=false turns it off)",
                "config.toml:3: writeback_buffer_size = 2000000000: too large; accepted: 0 to 1GiB",
            ],
        ),
        (
            "preset = 3\n",
            &[
                "config.toml:1: preset = 3: not a name that is known here; accepted: balanced, \
               high-performance, safe, baseline",
            ],
        ),
    ] {
        let (_file, layers) = with_file(text);
        assert_eq!(refused(&layers), messages, "{text}");
    }
    for (text, place) in [
        ("attr_ttl = 1\nattr_ttl = 2\n", "config.toml:2: not TOML: "),
        ("\n\nattr_ttl = \n", "config.toml:3: not TOML: "),
        (
            "[cache]\nattr_ttl = 5\n",
            "config.toml:1: cache: unknown key; ",
        ),
    ] {
        let (_file, layers) = with_file(text);
        let errors = refused(&layers);
        assert_eq!(errors.len(), 1);
        assert!(errors[0].starts_with(place), "{errors:?}");
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let (_file, layers) = with_file("attr_ttl = \"x\"\nunknown_thing_here = 1\n");
    let layers = layers
        .environment([
            ("DYNAMICFS_WORKER_THREADS", "0"),
            ("DYNAMICFS_LOCK_MODE", "none"),
        ])
        .mount_options([("max_background", "0")])
        .flags([
            ("attr_ttl", "5"),
            ("io_mode", "writeback-cache"),
            ("kernel_features", "minimal"),
        ]);
    let errors = refused(&layers);
    let beginnings = [
        "config.toml:1: attr_ttl = x: not a duration",
        "config.toml:2: unknown_thing_here: unknown key",
        "DYNAMICFS_LOCK_MODE=none: not a name",
        "DYNAMICFS_WORKER_THREADS=0: too small",
        "-o max_background=0: too small",
        "--io-mode writeback-cache and writeback = false (preset balanced): ",
        "--io-mode writeback-cache and --kernel-features minimal: ",
    ];
    assert_eq!(errors.len(), beginnings.len(), "{errors:#?}");
    for (error, beginning) in errors.iter().zip(beginnings) {
        assert!(error.starts_with(beginning), "{error}");
    }
}

#[test]
fn contradictions_name_who_said_what() {
    let safe_with_writeback = layers()
        .flags([("preset", "safe")])
        .environment([("DYNAMICFS_WRITEBACK", "true")]);
    assert_eq!(
        refused(&safe_with_writeback),
        [
            "DYNAMICFS_WRITEBACK=true and writeback_buffer_size = 0 (preset safe): writeback needs a \
          buffer of at least 4KiB"
        ]
    );
    safe_with_writeback
        .flags([("writeback_buffer_size", "4k")])
        .resolve()
        .unwrap();

    let (_file, no_writeback) = with_file("io_mode = \"writeback-cache\"");
    assert_eq!(
        refused(&no_writeback),
        [
            "config.toml:1: io_mode = writeback-cache and writeback = false (preset balanced): the \
          writeback cache holds dirty data, which writeback must allow"
        ]
    );
    no_writeback
        .flags([("preset", "high-performance")])
        .resolve()
        .unwrap();
}

#[test]
fn a_refused_value_causes_no_second_error() {
    let layers = layers().flags([("io_mode", "writeback-cache"), ("writeback", "tru")]);
    let errors = refused(&layers);
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert!(errors[0].starts_with("--writeback tru: neither true nor false"));
}

#[test]
fn every_preset_is_valid() {
    for preset in Preset::ALL {
        preset.config().validate().unwrap();
        assert_eq!(
            layers()
                .flags([("preset", preset.name())])
                .resolve()
                .unwrap()
                .preset,
            preset
        );
    }
}

#[test]
fn a_struct_is_validated_whole() {
    let mut config = OptimizedFUSEConfig::balanced();
    config.attr_timeout_secs = u64::MAX;
    config.entry_timeout_millis = 1000;
    config.negative_timeout_secs = 86_400;
    config.negative_timeout_millis = 1;
    config.readahead_size = 4095;
    config.worker_threads = 0;
    config.enable_writeback = true;
    config.writeback_buffer_size = 0;
    config.xattr_cache_size = 10_000_001;
    config.xattr_cache_bytes = 0;
    config.xattr_cache_ttl_millis = u32::MAX;
    config.max_read_size = 4097;
    config.max_write_size = 16 << 21;
    config.max_background = 0;
    config.io_mode = IoMode::WritebackCache;
    config.kernel_features = KernelFeatures::Minimal;
    let errors = lines(&config.validate().unwrap_err());
    let beginnings = [
        "attr_timeout_secs = 584542046090years",
        "entry_timeout_millis = 1000: too large; accepted: 0 to 999",
        "negative_timeout_secs = 1day1ms: too large; accepted: 0s to 1day",
        "readahead_size = 4095: too small; accepted: 4KiB to 64MiB",
        "worker_threads = 0: too small; accepted: 1 to 256",
        "xattr_cache_size = 10000001: too large; accepted: 1 to 10000000",
        "xattr_cache_bytes = 0: too small; accepted: 4KiB to 4GiB",
        "xattr_cache_ttl_millis = 4294967295: too large; accepted: 0 to 999",
        "max_read_size = 4097: not a multiple of 4KiB; accepted: 4KiB to 16MiB in steps of 4KiB",
        "max_write_size = 32MiB: too large; accepted: 4KiB to 16MiB",
        "max_background = 0: too small; accepted: 1 to 65535",
        "io_mode = writeback-cache and kernel_features = minimal: the writeback cache is a kernel \
         feature, kernel_features must be all",
        "enable_writeback = true and writeback_buffer_size = 0: writeback needs a buffer",
    ];
    assert_eq!(errors.len(), beginnings.len(), "{errors:#?}");
    for (error, beginning) in errors.iter().zip(beginnings) {
        assert!(error.starts_with(beginning), "{error}");
    }
}

/// The ends of each range are in it, and one step further is not.
#[test]
fn ranges_end_where_they_say() {
    for (name, below, least, most, above) in [
        ("attr_ttl", None, "0", "86400", "86400.001"),
        ("entry_ttl", None, "0", "1day", "86400001ms"),
        ("negative_ttl", None, "0", "24h", "86400001ms"),
        ("xattr_cache_ttl", None, "0", "24h", "86400001ms"),
        ("readahead_size", Some("4095"), "4k", "64M", "67108865"),
        ("worker_threads", Some("0"), "1", "256", "257"),
        ("writeback_buffer_size", None, "0", "1G", "1073741825"),
        ("xattr_cache_size", Some("0"), "1", "10000000", "10000001"),
        ("xattr_cache_bytes", Some("4095"), "4k", "4G", "4294967297"),
        ("max_read_size", Some("0"), "4k", "16M", "16388k"),
        ("max_write_size", Some("0"), "4k", "16M", "16388k"),
        ("max_background", Some("0"), "1", "65535", "65536"),
    ] {
        for good in [least, most] {
            let config = layers().flags([(name, good)]).resolve().unwrap().config;
            config.validate().unwrap();
        }
        let small = below.map(|text| (text, "too small"));
        for (bad, problem) in small.into_iter().chain([(above, "too large")]) {
            let errors = refused(&layers().flags([(name, bad)]));
            assert_eq!(errors.len(), 1);
            assert!(
                errors[0].contains(&format!(" {bad}: {problem}; accepted: ")),
                "{errors:?}"
            );
        }
    }
}

#[test]
fn a_line_of_fstab() {
    let parsed = parse_mount_options(
        "defaults,preset=safe,attr_ttl=5,allow_other,ro,noatime,_netdev,nofail,\
         x-systemd.automount,x-systemd.idle-timeout=60,user,noauto,comment=ours,fsname=data,\
         subtype=d,nosuid,nodev,context=\"system_u:object_r:tmp_t:s0:c1,c2\",writeback=off,\
         default_permissions=false,rw,xattr-cache",
    )
    .unwrap();
    assert_eq!(
        parsed.mount_options,
        [
            MountOption::Rw,
            MountOption::NoAtime,
            MountOption::FSName("data".to_owned()),
            MountOption::Subtype("d".to_owned()),
            MountOption::NoSuid,
            MountOption::NoDev,
            MountOption::Custom("context=system_u:object_r:tmp_t:s0:c1,c2".to_owned()),
        ]
    );
    let settings: Vec<_> = parsed
        .settings
        .iter()
        .map(|(k, v)| (*k, v.as_str()))
        .collect();
    assert_eq!(
        settings,
        [
            ("preset", "safe"),
            ("attr_ttl", "5"),
            ("allow_other", "true"),
            ("writeback", "off"),
            ("default_permissions", "false"),
            ("xattr_cache", "true"),
        ]
    );
    assert_eq!(
        parsed.ignored,
        [
            "defaults",
            "_netdev",
            "nofail",
            "x-systemd.automount",
            "x-systemd.idle-timeout=60",
            "user",
            "noauto",
            "comment=ours"
        ]
    );
    let resolved = layers().mount_options(parsed.settings).resolve().unwrap();
    assert_eq!(resolved.preset, Preset::Safe);
    assert!(
        !resolved
            .config
            .to_mount_options()
            .contains(&MountOption::DefaultPermissions)
    );
    assert_eq!(
        parse_mount_options("").unwrap(),
        parse_mount_options(",,").unwrap()
    );
}

#[test]
fn bad_mount_options() {
    for (text, messages) in [
        (
            "noatmie",
            &["-o noatmie: unknown mount option; did you mean noatime?"][..],
        ),
        (
            "allow-other2",
            &["-o allow-other2: unknown mount option; did you mean allow_other?"],
        ),
        (
            "atr_ttl=5",
            &["-o atr_ttl: unknown mount option; did you mean attr_ttl?"],
        ),
        ("ro=1", &["-o ro=1: takes no value"]),
        ("fsname", &["-o fsname: needs a value: fsname=…"]),
        ("subtype=", &["-o subtype: needs a value: subtype=…"]),
        (
            "attr_ttl",
            &["-o attr_ttl: needs a value: attr_ttl=…; accepted: 0s to 1day"],
        ),
        (
            "preset,rww,ro",
            &[
                "-o preset: needs a value: preset=…; accepted: balanced, high-performance, safe, \
                 baseline",
                "-o rww: unknown mount option; did you mean rw?",
            ],
        ),
    ] {
        assert_eq!(
            lines(&parse_mount_options(text).unwrap_err()),
            messages,
            "{text}"
        );
    }
    let far = lines(&parse_mount_options("xyzzy=1").unwrap_err());
    assert!(far[0].starts_with("-o xyzzy: unknown mount option; known: preset, attr_ttl, "));

    // The value of a setting is judged with the other layers.
    let parsed = parse_mount_options("attr_ttl=5q").unwrap();
    let errors = refused(&layers().mount_options(parsed.settings));
    assert!(
        errors[0].starts_with("-o attr_ttl=5q: not a duration"),
        "{errors:?}"
    );
}

#[test]
fn the_default_place_of_the_file() {
    assert_eq!(
        Path::new(dynamicfs::config::DEFAULT_CONFIG_FILE),
        Path::new("/etc/dynamicfs/config.toml")
    );
}
