//! The requests that each operation costs, counted on real mounts and compared with the table in
//! `docs/PERFORMANCE_TUNING.md`. More requests fail, and so do fewer: then the table is out of date.
//! `UPDATE_ROUND_TRIPS=1` writes it anew.

#[path = "../support/mod.rs"]
mod support;

mod count;
mod operations;
mod table;

use std::path::Path;

use dynamicfs::{OpenPolicy, OptimizedFUSEConfig, Preset, TransportChoice};
use operations::Operation;
use support::can_mount;
use table::{Row, Table};

/// Who is counted: the presets, and `balanced` with what is offered beside its defaults.
fn contestants() -> Vec<(&'static str, OptimizedFUSEConfig)> {
    let mut stateless = OptimizedFUSEConfig::balanced();
    stateless.open = OpenPolicy::Stateless;
    let mut root_only = OptimizedFUSEConfig::balanced();
    root_only.allow_other = false;
    let mut bare = OptimizedFUSEConfig::balanced();
    bare.xattrs = false;
    let mut least = stateless.clone();
    least.allow_other = false;
    least.birth_time = false;
    least.xattrs = false;
    let mut portable = OptimizedFUSEConfig::balanced();
    portable.transport = TransportChoice::Fuser;
    vec![
        ("balanced", Preset::Balanced.config()),
        ("high-performance", Preset::HighPerformance.config()),
        ("safe", Preset::Safe.config()),
        ("`open=stateless`", stateless),
        ("`allow_other=false`", root_only),
        ("`xattrs=false`", bare),
        ("these three, `birth_time=false`", least),
        ("`transport=fuser`", portable),
        ("baseline", Preset::Baseline.config()),
    ]
}

#[test]
fn no_operation_costs_more_requests_than_the_table_says_nor_fewer() {
    if !can_mount("round trips") {
        return;
    }
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/PERFORMANCE_TUNING.md");
    let text = std::fs::read_to_string(&document).unwrap();
    let update = std::env::var_os("UPDATE_ROUND_TRIPS").is_some();
    let stated = table::stated(&text);
    if !update && !stated.starts_with(&table::title(&kernel())) {
        // Another kernel sends other requests.
        eprintln!("SKIPPED: the table is of another kernel than {}", kernel());
        return;
    }
    let contestants = contestants();
    let expected = if update { "" } else { stated };
    let counted = Table {
        kernel: kernel(),
        columns: contestants.iter().map(|(name, _)| *name).collect(),
        rows: operations::ALL
            .iter()
            .map(|operation| row(operation, &contestants, expected))
            .collect(),
    };
    if update {
        std::fs::write(&document, counted.put_into(&text)).unwrap();
        return;
    }
    let rendered = counted.render();
    for (stated, counted) in stated.lines().zip(rendered.lines()) {
        assert_eq!(
            counted, stated,
            "UPDATE_ROUND_TRIPS=1 writes the table anew"
        );
    }
    assert_eq!(stated.lines().count(), rendered.lines().count());
}

/// How often an operation is counted, each time on a fresh mount, before its least is taken for what it
/// costs: a program beside this test that drops the kernel's caches adds requests, and nothing takes any
/// away.
const ATTEMPTS: usize = 4;

/// Counts until the row is in the text `expected`.
fn row(operation: &Operation, contestants: &[(&str, OptimizedFUSEConfig)], expected: &str) -> Row {
    let count = |config: &OptimizedFUSEConfig| count::requests(operation, config.clone());
    let mut row = Row {
        operation: operation.name,
        least: operation.least,
        counted: contestants
            .iter()
            .map(|(_, config)| count(config))
            .collect(),
    };
    for _ in 1..ATTEMPTS {
        if expected.contains(&row.render()) {
            break;
        }
        for (least, (_, config)) in row.counted.iter_mut().zip(contestants) {
            let again = count(config);
            if count::total(&again) < count::total(least) {
                *least = again;
            }
        }
    }
    row
}

/// Major and minor version of the running kernel.
fn kernel() -> String {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy().into_owned();
    release.split('.').take(2).collect::<Vec<_>>().join(".")
}
