//! The figures of one moment, as plain data.

use histogram::Histogram;
use serde::{Deserialize, Serialize};

use super::{ReadAheadStatistics, XAttrCacheStatistics};

/// Everything that is counted of a mount, at one moment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// When counting began, in seconds since the epoch.
    pub started: u64,
    /// Seconds since then.
    pub uptime_secs: f64,
    /// The operations that occurred, in the order of [`Opcode::ALL`](super::Opcode::ALL).
    pub ops: Vec<OpFigures>,
    /// Bytes handed out in answers to read requests. The kernel's own reads (passthrough, page
    /// cache) cause no request and are not in it.
    pub bytes_read: u64,
    /// Bytes of reads and writes that the kernel took from the backing file or put there itself, splice(2): part of
    /// [`bytes_read`](Self::bytes_read) and [`bytes_written`](Self::bytes_written).
    #[serde(default)]
    pub bytes_spliced: u64,
    /// Bytes taken from write requests.
    pub bytes_written: u64,
    /// The same per second.
    pub throughput: Throughput,
    /// The extended attribute cache; `None` when it is off.
    pub xattr_cache: Option<XAttrCacheStatistics>,
    /// Readahead; `None` when it is off.
    pub readahead: Option<ReadAheadStatistics>,
    /// Inodes that the kernel holds references to.
    pub inodes: u64,
    /// Files open now.
    pub open_files: u64,
    /// Opens since the mount that the kernel serves without the daemon.
    pub passthrough_opens: u64,
    /// Opens since the mount whose reads and writes come as requests.
    pub plain_opens: u64,
    /// Invalidations sent to the kernel since the mount.
    pub invalidations: u64,
}

/// Calls of one operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpFigures {
    /// The kernel's name, such as `LOOKUP`.
    pub name: String,
    /// Answers, errors included.
    pub count: u64,
    /// Answers that were errors (`ENOENT` of a lookup is one).
    pub errors: u64,
    /// Sum of all latencies in microseconds.
    pub total_us: f64,
    /// Median latency in microseconds, from the request's arrival to its answer.
    pub p50_us: f64,
    /// 90 of 100 answers came within this time (µs).
    pub p90_us: f64,
    /// 99 of 100 answers came within this time (µs).
    pub p99_us: f64,
    /// The slowest answer (µs).
    pub max_us: f64,
}

impl OpFigures {
    /// `None` when nothing was counted.
    pub(super) fn new(
        name: &str,
        latencies: &Histogram,
        errors: u64,
        total_ns: u64,
        max_ns: u64,
    ) -> Option<OpFigures> {
        let count: u64 = latencies.as_slice().iter().sum();
        if count == 0 {
            return None;
        }
        let quantile = |q: f64| -> Option<f64> {
            let bucket = latencies.quantile_bucket(q).ok()??;
            // A bucket's upper end may lie above the slowest call in it.
            Some(bucket.end().min(max_ns) as f64 / 1e3)
        };
        Some(OpFigures {
            name: name.to_owned(),
            count,
            errors,
            total_us: total_ns as f64 / 1e3,
            p50_us: quantile(0.5)?,
            p90_us: quantile(0.9)?,
            p99_us: quantile(0.99)?,
            max_us: max_ns as f64 / 1e3,
        })
    }
}

/// Bytes per second that went through the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Throughput {
    /// Read, on average since the mount.
    pub read: f64,
    /// Written, on average since the mount.
    pub write: f64,
    /// Read, over the last [`recent_secs`](Self::recent_secs).
    pub recent_read: f64,
    /// Written, over the last [`recent_secs`](Self::recent_secs).
    pub recent_write: f64,
    /// What "recent" means: 10 to 11 seconds, less right after the mount.
    pub recent_secs: f64,
}
