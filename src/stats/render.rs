//! Figures as text: for people and `grep`, and for Prometheus.

use std::fmt::{Display, Write};

use super::{OpFigures, Snapshot};

/// One figure that has no labels of its own.
struct Figure {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: f64,
}

/// All figures but those of the operations. The caches' are 0 while their cache is off, so that
/// whoever looks for a name finds it.
fn figures(snapshot: &Snapshot) -> Vec<Figure> {
    let xattr = snapshot.xattr_cache.unwrap_or_default();
    let ahead = snapshot.readahead.unwrap_or_default();
    let throughput = &snapshot.throughput;
    let calls: u64 = snapshot.ops.iter().map(|op| op.count).sum();
    let errors: u64 = snapshot.ops.iter().map(|op| op.errors).sum();
    let gauge = |name, help, value| Figure {
        name,
        kind: "gauge",
        help,
        value,
    };
    let counter = |name, help, value: u64| Figure {
        name,
        kind: "counter",
        help,
        value: value as f64,
    };
    vec![
        gauge(
            "uptime_seconds",
            "Seconds since the mount.",
            snapshot.uptime_secs,
        ),
        counter("requests", "Requests answered.", calls),
        counter("request_errors", "Requests answered with an error.", errors),
        counter(
            "bytes_read",
            "Bytes in answers to read requests.",
            snapshot.bytes_read,
        ),
        counter(
            "bytes_spliced",
            "Bytes in answers to reads and from writes that did not pass through memory of the daemon.",
            snapshot.bytes_spliced,
        ),
        counter(
            "bytes_written",
            "Bytes taken from write requests.",
            snapshot.bytes_written,
        ),
        gauge(
            "throughput",
            "Bytes per second read and written through the daemon since the mount.",
            throughput.read + throughput.write,
        ),
        gauge(
            "throughput_read",
            "Bytes per second read through the daemon since the mount.",
            throughput.read,
        ),
        gauge(
            "throughput_write",
            "Bytes per second written through the daemon since the mount.",
            throughput.write,
        ),
        gauge(
            "throughput_read_recent",
            "Bytes per second read through the daemon in the last 10 s.",
            throughput.recent_read,
        ),
        gauge(
            "throughput_write_recent",
            "Bytes per second written through the daemon in the last 10 s.",
            throughput.recent_write,
        ),
        gauge(
            "inodes",
            "Inodes that the kernel refers to.",
            snapshot.inodes as f64,
        ),
        gauge("open_files", "Files open now.", snapshot.open_files as f64),
        counter(
            "passthrough_opens",
            "Opens that the kernel serves without the daemon.",
            snapshot.passthrough_opens,
        ),
        counter(
            "plain_opens",
            "Opens whose reads and writes are requests.",
            snapshot.plain_opens,
        ),
        counter(
            "invalidations",
            "Invalidations sent to the kernel.",
            snapshot.invalidations,
        ),
        gauge(
            "xattr_cache_hit_rate",
            "Hits among all extended attribute lookups, 0 to 1.",
            xattr.hit_rate(),
        ),
        counter(
            "xattr_cache_hits",
            "Extended attribute lookups answered from the cache.",
            xattr.hits,
        ),
        counter(
            "xattr_cache_misses",
            "Extended attribute lookups that asked the storage.",
            xattr.misses,
        ),
        counter(
            "xattr_cache_evictions",
            "Extended attributes pushed out for want of room.",
            xattr.evictions,
        ),
        counter(
            "xattr_cache_expirations",
            "Extended attributes found too old.",
            xattr.expirations,
        ),
        counter(
            "xattr_cache_invalidations",
            "Extended attributes dropped after a change.",
            xattr.invalidations,
        ),
        gauge(
            "xattr_cache_entries",
            "Extended attributes held.",
            xattr.entries as f64,
        ),
        gauge(
            "xattr_cache_bytes",
            "Bytes of extended attributes held.",
            xattr.bytes as f64,
        ),
        gauge(
            "xattr_cache_utilization",
            "Entries held among those that fit, 0 to 1.",
            xattr.utilization(),
        ),
        counter(
            "readahead_triggered",
            "Prefetches that a detected pattern caused.",
            ahead.triggered,
        ),
        gauge(
            "readahead_hit_rate",
            "Reads that were prefetched among all reads, 0 to 1.",
            ahead.hit_rate(),
        ),
        counter("readahead_hits", "Reads that were prefetched.", ahead.hits),
        counter(
            "readahead_misses",
            "Reads that were not prefetched.",
            ahead.misses,
        ),
        counter(
            "readahead_bytes",
            "Bytes prefetched.",
            ahead.bytes_prefetched,
        ),
        counter(
            "readahead_bytes_wasted",
            "Bytes prefetched and dropped unread.",
            ahead.bytes_wasted,
        ),
    ]
}

/// Lines of `name value`, the figures without labels. A line's name is stable; new ones may be
/// added. The operations follow as `op_NAME` with their columns named.
pub fn text(snapshot: &Snapshot) -> String {
    let mut out = String::new();
    for figure in figures(snapshot) {
        line(
            &mut out,
            format_args!("{} {}", figure.name, number(figure.value)),
        );
    }
    for op in &snapshot.ops {
        line(
            &mut out,
            format_args!(
                "op_{} count={} errors={} p50_us={:.1} p90_us={:.1} p99_us={:.1} max_us={:.1}",
                op.name, op.count, op.errors, op.p50_us, op.p90_us, op.p99_us, op.max_us
            ),
        );
    }
    out
}

/// The Prometheus text exposition format (version 0.0.4) of several mounts, each labelled with
/// its mountpoint. Latencies are a summary in seconds.
pub fn prometheus(mounts: &[(String, Snapshot)]) -> String {
    let mut out = String::new();
    // The format wants all samples of one metric together, below one HELP and TYPE.
    let all: Vec<Vec<Figure>> = mounts
        .iter()
        .map(|(_, snapshot)| figures(snapshot))
        .collect();
    let Some(first) = all.first() else {
        return out;
    };
    for (row, figure) in first.iter().enumerate() {
        let total = if figure.kind == "counter" {
            "_total"
        } else {
            ""
        };
        let name = format!("dynamicfs_{}{total}", figure.name);
        header(&mut out, &name, figure.kind, figure.help);
        for ((mountpoint, _), figures) in mounts.iter().zip(&all) {
            let labels = format!("mountpoint=\"{}\"", escape(mountpoint));
            sample(&mut out, &name, &labels, figures[row].value);
        }
    }
    operations(&mut out, mounts);
    out
}

fn operations(out: &mut String, mounts: &[(String, Snapshot)]) {
    let each = |out: &mut String, write: &dyn Fn(&mut String, &str, &OpFigures)| {
        for (mountpoint, snapshot) in mounts {
            for op in &snapshot.ops {
                let labels = format!("mountpoint=\"{}\",op=\"{}\"", escape(mountpoint), op.name);
                write(out, &labels, op);
            }
        }
    };
    let name = "dynamicfs_op_errors_total";
    header(
        out,
        name,
        "counter",
        "Answers that were errors, by operation.",
    );
    each(out, &|out, labels, op| {
        sample(out, name, labels, op.errors as f64)
    });

    let name = "dynamicfs_op_latency_seconds";
    header(
        out,
        name,
        "summary",
        "Time from a request's arrival to its answer, by operation.",
    );
    each(out, &|out, labels, op| {
        for (quantile, micros) in [("0.5", op.p50_us), ("0.9", op.p90_us), ("0.99", op.p99_us)] {
            let labels = format!("{labels},quantile=\"{quantile}\"");
            sample(out, name, &labels, micros / 1e6);
        }
        sample(out, &format!("{name}_sum"), labels, op.total_us / 1e6);
        sample(out, &format!("{name}_count"), labels, op.count as f64);
    });

    let name = "dynamicfs_op_latency_max_seconds";
    header(
        out,
        name,
        "gauge",
        "The slowest answer since the mount, by operation.",
    );
    each(out, &|out, labels, op| {
        sample(out, name, labels, op.max_us / 1e6)
    });
}

fn header(out: &mut String, name: &str, kind: &str, help: &str) {
    line(out, format_args!("# HELP {name} {help}"));
    line(out, format_args!("# TYPE {name} {kind}"));
}

fn sample(out: &mut String, name: &str, labels: &str, value: f64) {
    line(out, format_args!("{name}{{{labels}}} {value}"));
}

fn line(out: &mut String, content: impl Display) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{content}");
}

/// Whole numbers as such, others with four digits after the point.
fn number(value: f64) -> String {
    if value.fract() == 0.0 {
        format!("{value}")
    } else {
        format!("{value:.4}")
    }
}

/// Label values escape backslash, quote and line feed.
fn escape(label: &str) -> String {
    label
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use super::*;
    use crate::stats::{Opcode, Statistics, XAttrCacheStatistics};
    use crate::storage::Errno;

    fn example() -> Snapshot {
        let statistics = Statistics::new();
        statistics.record(Opcode::Lookup, Duration::from_micros(8), Ok(()));
        statistics.record(Opcode::Lookup, Duration::from_micros(8), Err(Errno::NOENT));
        statistics.record(Opcode::Read, Duration::from_micros(80), Ok(()));
        statistics.bytes_read(4096);
        Snapshot {
            xattr_cache: Some(XAttrCacheStatistics {
                hits: 3,
                misses: 1,
                ..Default::default()
            }),
            ..statistics.snapshot()
        }
    }

    fn value<'a>(text: &'a str, name: &str) -> &'a str {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
            .unwrap_or_else(|| panic!("no {name} in\n{text}"))
    }

    #[test]
    fn names_of_the_specification_always_have_a_figure() {
        let unused = text(&Snapshot::default());
        for name in [
            "xattr_cache_hit_rate",
            "readahead_triggered",
            "readahead_hit_rate",
            "throughput",
        ] {
            assert_eq!(value(&unused, name), "0");
        }
        let used = text(&example());
        assert_eq!(value(&used, "xattr_cache_hit_rate"), "0.7500");
        assert_eq!(value(&used, "requests"), "3");
        assert_eq!(value(&used, "request_errors"), "1");
        assert_eq!(value(&used, "bytes_read"), "4096");
        assert!(value(&used, "op_LOOKUP").starts_with("count=2 errors=1 p50_us=8"));
    }

    /// Parses the exposition format as its grammar says and checks what it demands: a HELP and a
    /// TYPE before the first sample of each metric, no metric in two places, no sample twice.
    #[test]
    fn the_prometheus_text_is_well_formed() {
        let mounts = vec![
            ("/mnt/a".to_owned(), example()),
            ("/mnt/with \"quotes\" and \\".to_owned(), example()),
        ];
        let text = prometheus(&mounts);
        let mut current = String::new();
        let mut types = HashMap::new();
        let mut seen = std::collections::HashSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a help text");
                assert!(!types.contains_key(name) && !help.is_empty(), "{line}");
                current = name.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type");
                assert_eq!(name, current);
                assert!(["counter", "gauge", "summary"].contains(&kind));
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                types.insert(name.to_owned(), kind.to_owned());
            } else {
                let (series, value) = line.rsplit_once(' ').expect("a value");
                let (name, labels) = series.split_once('{').expect("labels");
                let base = name.trim_end_matches("_sum").trim_end_matches("_count");
                assert_eq!(base, current, "{line}");
                assert!(labels.ends_with('}') && labels.starts_with("mountpoint=\""));
                assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
                assert!(seen.insert(series.to_owned()), "twice: {series}");
            }
        }
        assert!(text.contains(
            "dynamicfs_op_latency_seconds_count{mountpoint=\"/mnt/with \\\"quotes\\\" and \\\\\",op=\"LOOKUP\"} 2"
        ));
    }

    #[test]
    fn no_mount_gives_an_empty_exposition() {
        assert_eq!(prometheus(&[]), "");
    }
}
