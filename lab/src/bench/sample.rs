//! Runs that nobody made, for the tests of the reports. Their figures are plausible and always the
//! same.

use std::collections::BTreeMap;

use super::result::{
    Bench, Calibration, Cell, Contestant, Environment, FORMAT, Figures, Kind, Limits, Row, Settings,
};
use super::statistics::Spread;
use crate::meter::Cpu;
use crate::workload::{Caches, Group, Percentiles, Sample};

/// Workloads of a group, and the time that ext4 takes for one operation.
type Workloads = (Group, f64, &'static [&'static str]);

const WORKLOADS: [Workloads; 7] = [
    (
        Group::Data,
        60e-6,
        &[
            "read-seq-128k-cold",
            "read-seq-128k-hot",
            "read-seq-1m-cold",
            "read-seq-1m-hot",
            "read-mmap-cold",
            "read-mmap-hot",
            "read-rand-4k-cold",
            "write-seq-1m",
            "write-seq-4k",
            "write-rand-4k",
            "append-fsync",
        ],
    ),
    (
        Group::RandomReads,
        3e-6,
        &[
            "rand-psync-1t-cached",
            "rand-psync-1t-direct",
            "rand-uring-8t-cached",
            "rand-uring-8t-direct",
        ],
    ),
    (
        Group::Metadata,
        2e-6,
        &[
            "create-4k",
            "stat-after-create",
            "stat-hot",
            "stat-cold",
            "walk-hot",
            "walk-cold",
            "rename",
            "unlink",
            "open-close-hot",
            "open-read-close-hot",
            "open-read-close-cold",
            "lookup-absent-hot",
            "lookup-absent-new",
            "mkdir-rmdir",
            "symlink-read",
        ],
    ),
    (
        Group::Directories,
        4e-3,
        &[
            "readdir-cold",
            "readdir-hot",
            "readdir-stat-cold",
            "readdir-stat-hot",
        ],
    ),
    (
        Group::ExtendedAttributes,
        900e-9,
        &["getxattr-hot", "getxattr-absent", "setxattr"],
    ),
    (
        Group::RealWork,
        0.15,
        &[
            "untar",
            "git-status-hot",
            "ripgrep-hot",
            "cp-r",
            "rm-rf",
            "cargo-build",
            "sqlite-inserts",
            "mix",
        ],
    ),
    (
        Group::Latency,
        1.6e-6,
        &["latency-statfs", "latency-lookup", "latency-read-4k"],
    ),
];

/// Name, kind, and the speed relative to ext4 on data and on all else.
const CONTESTANTS: [(&str, Kind, f64, f64); 12] = [
    ("ext4", Kind::Ext4, 1.0, 1.0),
    ("baseline", Kind::Baseline, 0.19, 0.02),
    ("balanced", Kind::Preset, 0.99, 0.52),
    ("high-performance", Kind::Preset, 1.0, 0.63),
    ("safe", Kind::Preset, 0.97, 0.41),
    ("libfuse-passthrough", Kind::Peer, 0.45, 0.12),
    ("libfuse-passthrough-fh", Kind::Peer, 0.5, 0.14),
    ("libfuse-passthrough-ll", Kind::Peer, 0.71, 0.16),
    ("bindfs", Kind::Peer, 0.33, 0.08),
    ("mergerfs", Kind::Peer, 0.41, 0.07),
    ("fuse-overlayfs", Kind::Peer, 0.52, 0.19),
    ("fuse-backend-rs", Kind::Peer, 0.8, 0.29),
];

/// All contestants on nearly all workloads: fuse-overlayfs did not run, mergerfs failed once,
/// every 17th cell is noisy.
pub(crate) fn full() -> Bench {
    let mut chance = Chance { state: 7, count: 0 };
    let rows = WORKLOADS
        .iter()
        .flat_map(|(group, seconds, names)| names.iter().map(move |name| (*group, *seconds, *name)))
        .map(|(group, seconds, name)| row(group, seconds, name, &mut chance))
        .collect();
    Bench { rows, ..head() }
}

/// One workload of each of these names only.
pub(crate) fn of(workloads: &[&str]) -> Bench {
    let mut run = full();
    run.rows
        .retain(|row| workloads.contains(&row.workload.as_str()));
    assert_eq!(
        run.rows.len(),
        workloads.len(),
        "a workload that the sample lacks"
    );
    run
}

/// Four contestants with exact ratios on `create-4k`: `balanced` half as fast as ext4,
/// `high-performance` 0.8, `baseline` a tenth.
pub(crate) fn exact() -> Bench {
    let mut run = of(&["create-4k"]);
    let speeds = [
        ("ext4", 1.0),
        ("baseline", 0.1),
        ("balanced", 0.5),
        ("high-performance", 0.8),
    ];
    run.contestants
        .retain(|one| speeds.iter().any(|(name, _)| *name == one.name));
    run.rows[0]
        .cells
        .retain(|cell| speeds.iter().any(|(name, _)| *name == cell.contestant));
    for (name, speed) in speeds {
        set(
            &mut run,
            "create-4k",
            name,
            [speed * 0.98, speed, speed * 1.02],
        );
    }
    run
}

/// Sets the ratios to ext4 of one cell, and with them the time and the ratios to `baseline`, which
/// counts a tenth.
pub(crate) fn set(run: &mut Bench, workload: &str, contestant: &str, ratios: [f64; 3]) {
    let figures = figures(run, workload, contestant);
    figures.to_ext4 = Spread::of(ratios);
    figures.to_baseline = Spread::of(ratios.map(|ratio| ratio * 10.0));
    figures.seconds = Spread::of(ratios.map(|ratio| 10e-6 / ratio)).unwrap();
    figures.noisy = false;
}

/// The figures of one cell.
pub(crate) fn figures<'a>(run: &'a mut Bench, workload: &str, contestant: &str) -> &'a mut Figures {
    let row = run
        .rows
        .iter_mut()
        .find(|row| row.workload == workload)
        .unwrap();
    let cell = row
        .cells
        .iter_mut()
        .find(|cell| cell.contestant == contestant)
        .unwrap();
    cell.figures.as_mut().unwrap()
}

fn head() -> Bench {
    let limits = |part: f64| Limits {
        system_call_ns: 95.0 * part,
        switch_same_cpu_us: 3.1 * part,
        switch_other_cpu_us: Some(8.4),
        memory_copy_gb_s: 9.8,
        jitter: 0.021,
    };
    Bench {
        format: FORMAT,
        started: "2025-11-24T12:20:31Z".to_owned(),
        seconds: 1980.4,
        command: "cargo xtask bench".to_owned(),
        environment: Environment {
            kernel: "6.18.0".to_owned(),
            processor: "Example CPU 3000".to_owned(),
            cpus: 2,
            memory: 8 << 30,
            governor: None,
            virtual_machine: true,
            load: 0.31,
            steal: 0.004,
            storage: "image in memory".to_owned(),
            dynamicfs: "0.1.0 (0123abc)".to_owned(),
        },
        calibration: Calibration {
            before: limits(1.0),
            after: limits(1.2),
        },
        settings: Settings {
            repetitions: 5,
            more_if_noisy: 5,
            turn_ms: 250,
            quick: false,
        },
        contestants: CONTESTANTS
            .iter()
            .map(|&(name, kind, ..)| contestant(name, kind))
            .collect(),
        rows: Vec::new(),
    }
}

fn contestant(name: &str, kind: Kind) -> Contestant {
    let absent = name == "fuse-overlayfs";
    Contestant {
        name: name.to_owned(),
        kind,
        version: "1.2.3, Debian package".to_owned(),
        command: format!("{name} {{src}} {{mnt}} -o a|b"),
        not_run: absent.then(|| "the package cannot be installed: no network".to_owned()),
    }
}

fn row(group: Group, seconds: f64, name: &str, chance: &mut Chance) -> Row {
    let is_data = matches!(group, Group::Data | Group::RandomReads);
    let cells = CONTESTANTS
        .iter()
        .filter(|(contestant, ..)| *contestant != "fuse-overlayfs")
        .map(|&(contestant, kind, data, other)| {
            if contestant == "mergerfs" && name == "setxattr" {
                return Cell {
                    contestant: contestant.to_owned(),
                    samples: Vec::new(),
                    failed: Some("setxattr: ENOTSUP".to_owned()),
                    figures: None,
                };
            }
            let speed = if is_data { data } else { other } * (0.8 + 0.4 * chance.next());
            let speed = if kind == Kind::Ext4 { 1.0 } else { speed };
            cell(contestant, kind, group, seconds, speed, chance)
        })
        .collect();
    let caches = match name.rsplit('-').next() {
        Some("hot" | "cached") => Caches::Hot,
        Some("cold") if is_data => Caches::ColdData,
        Some("cold") => Caches::ColdNames,
        _ => Caches::New,
    };
    let operation = "one of what this workload counts".to_owned();
    Row {
        workload: name.to_owned(),
        group,
        operation,
        caches,
        cells,
    }
}

fn cell(
    name: &str,
    kind: Kind,
    group: Group,
    seconds: f64,
    speed: f64,
    chance: &mut Chance,
) -> Cell {
    let wide = chance.count.is_multiple_of(17) && kind != Kind::Ext4;
    let around = if wide { 0.5 } else { 0.05 };
    let ratios: Vec<f64> = match kind {
        Kind::Ext4 => vec![1.0; 5],
        _ => (0..5)
            .map(|_| speed * (1.0 + around * (chance.next() - 0.5)))
            .collect(),
    };
    let times: Vec<f64> = ratios.iter().map(|ratio| seconds / ratio).collect();
    let daemon = if kind == Kind::Ext4 { 0.0 } else { 0.4 };
    let cpu = |time: f64| Cpu {
        client: time * 0.6,
        daemon: time * daemon,
    };
    let middle = Spread::of(times.clone()).unwrap().median;
    let latency = (group == Group::Latency).then_some(Percentiles {
        p50: middle * 1e6,
        p90: middle * 1.3e6,
        p99: middle * 2.9e6,
        p999: middle * 20e6,
    });
    let samples = times.iter().map(|time| Sample {
        operations: 1000,
        seconds: time * 1000.0,
        cpu: cpu(time * 1000.0),
        latency,
    });
    let to_ext4 = Spread::of(ratios.clone());
    Cell {
        contestant: name.to_owned(),
        samples: samples.collect(),
        failed: None,
        figures: Some(Figures {
            seconds: Spread::of(times).unwrap(),
            noisy: to_ext4.is_some_and(|spread| spread.is_noisy()),
            to_ext4,
            to_baseline: Spread::of(ratios.iter().map(|ratio| ratio / 0.02)),
            to_best_peer: Spread::of(ratios.iter().map(|ratio| ratio / 0.29))
                .map(|ratio| ("fuse-backend-rs".to_owned(), ratio)),
            cpu: cpu(middle),
            daemon_memory: (kind != Kind::Ext4).then_some(9 << 20),
            latency,
            requests: (kind != Kind::Ext4).then(|| requests(kind)),
        }),
    }
}

fn requests(kind: Kind) -> BTreeMap<String, f64> {
    let all = [
        ("CREATE", 1.0),
        ("LOOKUP", 1.0),
        ("RELEASE", 1.0),
        ("FLUSH", 1.0),
        ("GETXATTR", 1.0),
        ("GETATTR", 0.25),
    ];
    let sent = if kind == Kind::Preset { 3 } else { all.len() };
    all[..sent]
        .iter()
        .map(|&(name, count)| (name.to_owned(), count))
        .collect()
}

/// Figures between 0 and 1 that look like chance (a linear congruential generator).
struct Chance {
    state: u64,
    count: u64,
}

impl Chance {
    fn next(&mut self) -> f64 {
        self.count += 1;
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.state >> 33) as f64 / 2f64.powi(31)
    }
}
