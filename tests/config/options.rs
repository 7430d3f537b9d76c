//! The text after `-o`.

use dynamicfs::config::{MountOption, Preset, parse_mount_options};

use super::{layers, lines, refused};

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
fn errors_of_options_and_layers_are_told_together() {
    let mut errors = parse_mount_options("rww").unwrap_err();
    errors.extend(
        layers()
            .flags([("worker_threads", "0")])
            .resolve()
            .unwrap_err(),
    );
    assert_eq!(
        lines(&errors),
        [
            "-o rww: unknown mount option; did you mean rw?",
            "--worker-threads 0: too small; accepted: 1 to 256",
        ]
    );
}
