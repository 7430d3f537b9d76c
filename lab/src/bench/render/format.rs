//! How figures are written, everywhere.

use std::collections::BTreeMap;

use crate::bench::result::Kind;
use crate::bench::statistics::Spread;
use crate::meter::Cpu;
use crate::workload::{Caches, Group, Percentiles};

/// Where a figure is missing.
pub(crate) const NOTHING: &str = "–";

/// After a ratio that is noisy.
pub(crate) const NOISY: &str = "~";

/// A request that fewer than one in 200 operations sends is not the price of the operation.
const RARE: f64 = 0.005;

/// Two decimals; fewer from ten on, more below a tenth so that two digits say something.
pub(crate) fn ratio(value: f64) -> String {
    let decimals = match value {
        large if large >= 99.95 => 0,
        large if large >= 9.995 => 1,
        small if small > 0.0 => (1.0 - small.log10().floor()).clamp(2.0, 6.0) as usize,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

/// A median with its range: `0.95 (0.93–0.97)`.
pub(crate) fn spread(spread: &Spread) -> String {
    format!(
        "{} ({}–{})",
        ratio(spread.median),
        ratio(spread.min),
        ratio(spread.max)
    )
}

/// Three significant digits in the unit that suits: `1.52 µs`.
pub(crate) fn time(seconds: f64) -> String {
    let units = [(1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms")];
    let (unit, name) = units
        .into_iter()
        .find(|(unit, _)| seconds / unit < 999.5)
        .unwrap_or((1.0, "s"));
    format!("{} {name}", digits(seconds / unit))
}

/// Latencies: `p50 1.00 µs, p90 …`.
pub(crate) fn latency(at: Percentiles) -> String {
    let time = |us: f64| time(us * 1e-6);
    format!(
        "p50 {}, p90 {}, p99 {}, p99.9 {}",
        time(at.p50),
        time(at.p90),
        time(at.p99),
        time(at.p999)
    )
}

/// CPU time of client and daemon: `1.20 µs + 3.40 µs`; that of the client alone without a daemon.
pub(crate) fn cpu(cpu: Cpu) -> String {
    if cpu.daemon == 0.0 {
        return time(cpu.client);
    }
    format!("{} + {}", time(cpu.client), time(cpu.daemon))
}

/// Three significant digits, MiB or GiB.
pub(crate) fn bytes(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1024.0 {
        format!("{} MiB", digits(mib))
    } else {
        format!("{} GiB", digits(mib / 1024.0))
    }
}

/// How long a run took: `3 min 20 s`.
pub(crate) fn duration(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

/// A part of a whole: `1.3 %`.
pub(crate) fn percent(part: f64) -> String {
    format!("{:.1} %", part * 100.0)
}

/// A count per operation, at most two decimals: `1`, `0.25`.
pub(crate) fn count(count: f64) -> String {
    let text = format!("{count:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Requests for one operation, the most frequent first: `LOOKUP 2, CREATE 1`.
pub(crate) fn requests(requests: Option<&BTreeMap<String, f64>>) -> String {
    let Some(requests) = requests else {
        return "not counted".to_owned();
    };
    let mut counts: Vec<_> = requests
        .iter()
        .filter(|(_, count)| **count >= RARE)
        .collect();
    counts.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let words: Vec<String> = counts
        .into_iter()
        .map(|(name, value)| format!("{name} {}", count(*value)))
        .collect();
    if words.is_empty() {
        return "none".to_owned();
    }
    words.join(", ")
}

/// The heading of a group.
pub(crate) fn group(group: Group) -> &'static str {
    match group {
        Group::Data => "Data",
        Group::RandomReads => "Random reads",
        Group::Metadata => "Metadata",
        Group::Directories => "Directories",
        Group::ExtendedAttributes => "Extended attributes",
        Group::RealWork => "Real work",
        Group::Latency => "Latency",
    }
}

/// What is cached when the clock starts.
pub(crate) fn caches(caches: Caches) -> &'static str {
    match caches {
        Caches::Hot => "all cached",
        Caches::ColdNames => "names dropped, data kept",
        Caches::ColdData => "data not cached by the mount",
        Caches::New => "new, or written",
    }
}

/// What a contestant is.
pub(crate) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Ext4 => "reference",
        Kind::Baseline => "baseline",
        Kind::Preset => "preset",
        Kind::Peer => "peer",
    }
}

fn digits(value: f64) -> String {
    let decimals = match value {
        large if large >= 99.95 => 0,
        large if large >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_say_something_at_any_size() {
        let cases = [
            (1.0, "1.00"),
            (0.954, "0.95"),
            (4.0, "4.00"),
            (12.34, "12.3"),
            (570.4, "570"),
            (0.0461, "0.046"),
            (0.002_13, "0.0021"),
            (0.0, "0.00"),
        ];
        for (value, text) in cases {
            assert_eq!(ratio(value), text);
        }
    }

    #[test]
    fn times_have_three_digits_and_a_unit() {
        let cases = [
            (312e-9, "312 ns"),
            (999.7e-9, "1.00 µs"),
            (1.524e-6, "1.52 µs"),
            (0.0421, "42.1 ms"),
            (75.0, "75.0 s"),
        ];
        for (value, text) in cases {
            assert_eq!(time(value), text);
        }
        let split = |client, daemon| cpu(Cpu { client, daemon });
        assert_eq!(split(1e-6, 2e-6), "1.00 µs + 2.00 µs");
        assert_eq!(split(1e-6, 0.0), "1.00 µs");
    }

    #[test]
    fn sizes_and_durations() {
        assert_eq!(bytes(13 << 20), "13.0 MiB");
        assert_eq!(bytes(8 << 30), "8.00 GiB");
        assert_eq!(duration(59.6), "1 min 0 s");
        assert_eq!(duration(12.0), "12 s");
        assert_eq!(percent(0.0134), "1.3 %");
    }

    #[test]
    fn requests_name_what_an_operation_pays_for() {
        let counts = [
            ("CREATE", 1.0),
            ("LOOKUP", 2.0),
            ("OPEN", 0.254),
            ("INIT", 0.001),
        ];
        let counts = counts.map(|(name, count)| (name.to_owned(), count)).into();
        assert_eq!(requests(Some(&counts)), "LOOKUP 2, CREATE 1, OPEN 0.25");
        assert_eq!(requests(Some(&BTreeMap::new())), "none");
        assert_eq!(requests(None), "not counted");
        assert_eq!(count(10.0), "10");
    }
}
