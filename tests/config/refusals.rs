//! What bad input is told.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use dynamicfs::OptimizedFUSEConfig;
use dynamicfs::config::{IoMode, KernelFeatures, LockMode};

use super::{VARIABLES, layers, lines, refused, with_file};

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
    config.watch = true;
    config.exclusive = true;
    config.request_timeout_secs = 60;
    config.lock_mode = LockMode::Daemon;
    config.splice_read = true;
    config.splice_move = true;
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
        "watch = true and exclusive = true: where nothing else changes the directory there is nothing",
        "request_timeout_secs = 1m and lock_mode = daemon: waiting for a lock of the daemon is a request, for",
        "enable_writeback = true and writeback_buffer_size = 0: writeback needs a buffer",
        "splice_read = true and kernel_features = minimal: requests through a pipe are a kernel feature",
        "splice_move = true and kernel_features = minimal: moving pages is a kernel feature",
    ];
    assert_eq!(errors.len(), beginnings.len(), "{errors:#?}");
    for (error, beginning) in errors.iter().zip(beginnings) {
        assert!(error.starts_with(beginning), "{error}");
    }
}
