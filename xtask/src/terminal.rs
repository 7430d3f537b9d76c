//! What standard output can show.

use std::env;
use std::io::{IsTerminal, stdout};

use dynamicfs_lab::bench::render;
use dynamicfs_lab::bench::result::{Bench, Row};
use dynamicfs_lab::report::{self, Report};

/// Columns where nobody looks: a file, a pipe.
const WIDTH: u16 = 120;

/// A terminal whose user has not set `NO_COLOR`.
fn has_colours() -> bool {
    stdout().is_terminal() && env::var_os("NO_COLOR").is_none()
}

/// Columns.
pub(crate) fn width() -> u16 {
    rustix::termios::tcgetwinsize(stdout())
        .map(|size| size.ws_col)
        .ok()
        .filter(|&columns| columns > 0)
        .unwrap_or(WIDTH)
}

/// A run of the lab.
pub(crate) fn report(report: &Report) -> String {
    report::summary(report, has_colours(), width())
}

/// A run of the bench.
pub(crate) fn bench(bench: &Bench) -> String {
    render::terminal(bench, has_colours(), width())
}

/// One workload of it.
pub(crate) fn workload(bench: &Bench, row: &Row) -> String {
    render::terminal_detail(bench, row, has_colours(), width())
}
