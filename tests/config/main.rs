//! The configuration layer from outside: every setting by every way, precedence, and what bad
//! input is told.

mod layers;
mod options;
mod refusals;
mod settings;

use std::path::PathBuf;

use dynamicfs::config::{Field, Layers, Origin, Preset, Resolved, fields};
use dynamicfs::{ConfigErrors, OptimizedFUSEConfig};

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
    ("xattrs", "false", "true", "off"),
    ("xattr_cache", "false", "true", "0"),
    ("xattr_cache_size", "10000", "1", "10000"),
    ("xattr_cache_bytes", "4GiB", "4KiB", "4096M"),
    ("xattr_cache_ttl", "1h", "2ms", "3600"),
    ("max_read_size", "256KiB", "16MiB", "262144"),
    ("max_write_size", "256KiB", "4KiB", "0.25M"),
    ("max_background", "12", "65535", "12"),
    ("request_timeout", "1m", "2m30s", "60"),
    ("io_mode", "direct", "write-through", "Direct"),
    ("open", "passthrough", "auto", "PassThrough"),
    ("lock_mode", "daemon", "kernel", "DAEMON"),
    ("readdirplus", "on", "off", "ON"),
    ("kernel_features", "minimal", "all", "Minimal"),
    ("watch", "true", "false", "yes"),
    ("exclusive", "true", "false", "1"),
    ("birth_time", "false", "true", "no"),
    ("cpu_latency_qos", "true", "false", "on"),
    ("splice_read", "true", "false", "on"),
    ("splice_move", "true", "false", "yes"),
    ("transport", "linux", "fuser", "Linux"),
    ("allow_other", "false", "true", "no"),
    ("default_permissions", "false", "true", "off"),
    ("allow_idmap", "true", "false", "on"),
    ("security_ctx", "true", "false", "yes"),
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
    "DYNAMICFS_XATTRS",
    "DYNAMICFS_XATTR_CACHE",
    "DYNAMICFS_XATTR_CACHE_SIZE",
    "DYNAMICFS_XATTR_CACHE_BYTES",
    "DYNAMICFS_XATTR_CACHE_TTL",
    "DYNAMICFS_MAX_READ_SIZE",
    "DYNAMICFS_MAX_WRITE_SIZE",
    "DYNAMICFS_MAX_BACKGROUND",
    "DYNAMICFS_REQUEST_TIMEOUT",
    "DYNAMICFS_IO_MODE",
    "DYNAMICFS_OPEN",
    "DYNAMICFS_LOCK_MODE",
    "DYNAMICFS_READDIRPLUS",
    "DYNAMICFS_KERNEL_FEATURES",
    "DYNAMICFS_WATCH",
    "DYNAMICFS_EXCLUSIVE",
    "DYNAMICFS_BIRTH_TIME",
    "DYNAMICFS_CPU_LATENCY_QOS",
    "DYNAMICFS_SPLICE_READ",
    "DYNAMICFS_SPLICE_MOVE",
    "DYNAMICFS_TRANSPORT",
    "DYNAMICFS_ALLOW_OTHER",
    "DYNAMICFS_DEFAULT_PERMISSIONS",
    "DYNAMICFS_ALLOW_IDMAP",
    "DYNAMICFS_SECURITY_CTX",
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
