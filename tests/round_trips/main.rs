//! The requests that each operation costs, counted on real mounts and compared with the table in
//! `docs/PERFORMANCE_TUNING.md`. More requests fail, and so do fewer: then the table is out of date.
//! `UPDATE_ROUND_TRIPS=1` writes it anew.

#[path = "../support/mod.rs"]
mod support;

mod count;
mod operations;
mod table;

use std::path::Path;

use dynamicfs::{OpenPolicy, OptimizedFUSEConfig, Preset};
use support::can_mount;
use table::{Row, Table};

/// Who is counted: the presets, and `balanced` with what is offered beside its defaults.
fn contestants() -> Vec<(&'static str, OptimizedFUSEConfig)> {
    let mut stateless = OptimizedFUSEConfig::balanced();
    stateless.open = OpenPolicy::Stateless;
    let mut root_only = OptimizedFUSEConfig::balanced();
    root_only.allow_other = false;
    vec![
        ("balanced", Preset::Balanced.config()),
        ("high-performance", Preset::HighPerformance.config()),
        ("safe", Preset::Safe.config()),
        ("`open=stateless`", stateless),
        ("`allow_other=false`", root_only),
        ("baseline", Preset::Baseline.config()),
    ]
}

#[test]
fn no_operation_costs_more_requests_than_the_table_says_nor_fewer() {
    if !can_mount("round trips") {
        return;
    }
    let contestants = contestants();
    let rows = operations::ALL.iter().map(|operation| Row {
        operation: operation.name,
        least: operation.least,
        counted: contestants
            .iter()
            .map(|(_, config)| count::requests(operation, config.clone()))
            .collect(),
    });
    let counted = Table {
        kernel: kernel(),
        columns: contestants.iter().map(|(name, _)| *name).collect(),
        rows: rows.collect(),
    };
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/PERFORMANCE_TUNING.md");
    let text = std::fs::read_to_string(&document).unwrap();
    if std::env::var_os("UPDATE_ROUND_TRIPS").is_some() {
        std::fs::write(&document, counted.put_into(&text)).unwrap();
        return;
    }
    let stated = table::stated(&text);
    if !stated.starts_with(&counted.title()) {
        // Another kernel sends other requests.
        eprintln!(
            "SKIPPED: the table is of another kernel, this is {}",
            counted.kernel
        );
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

/// Major and minor version of the running kernel.
fn kernel() -> String {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy().into_owned();
    release.split('.').take(2).collect::<Vec<_>>().join(".")
}
