//! Every setting by every way, and printed back.

use dynamicfs::OptimizedFUSEConfig;
use dynamicfs::config::{Origin, Preset, Resolved, fields, parse_mount_options};
use proptest::prelude::*;

use super::{SAMPLES, VARIABLES, field, layers, only, refused, value, with_file};

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

/// Seen from outside the table: a setting changes the members that it names and no other.
#[test]
fn every_setting_changes_its_own_member() {
    let members = |config: &OptimizedFUSEConfig| match serde_json::to_value(config).unwrap() {
        serde_json::Value::Object(members) => members,
        other => panic!("not a struct: {other}"),
    };
    for (name, first, _, _) in SAMPLES {
        let mut config = OptimizedFUSEConfig::balanced();
        let before = members(&config);
        field(name).set(&mut config, first).unwrap();
        let after = members(&config);
        let changed: Vec<_> = after
            .keys()
            .filter(|key| after[*key] != before[*key])
            .collect();
        assert_eq!(changed, [field(name).member()], "{name}");
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

proptest! {
    /// A value in range of any setting is printed so that it can be given back.
    #[test]
    fn any_value_is_read_as_printed(millis in 0..=86_400_000_u64, pages in 1..=4096_u64, n: u16) {
        let mut config = OptimizedFUSEConfig::balanced();
        for (name, text) in [
            ("attr_ttl", format!("{millis}ms")),
            ("xattr_cache_ttl", format!("{}.{:03}", millis / 1000, millis % 1000)),
            ("max_read_size", format!("{}k", pages * 4)),
            ("writeback_buffer_size", millis.to_string()),
            ("max_background", n.max(1).to_string()),
        ] {
            prop_assert_eq!(field(name).set(&mut config, &text), Ok(()), "{}", name);
        }
        prop_assert_eq!(config.attr_timeout(), std::time::Duration::from_millis(millis));
        prop_assert_eq!(config.xattr_cache_ttl(), config.attr_timeout());
        prop_assert_eq!(config.max_read_size as u64, pages * 4096);
        prop_assert_eq!(config.writeback_buffer_size as u64, millis);
        let mut again = OptimizedFUSEConfig::baseline();
        for field in fields() {
            prop_assert_eq!(field.set(&mut again, &field.get(&config)), Ok(()));
        }
        prop_assert_eq!(again, config);
    }
}
