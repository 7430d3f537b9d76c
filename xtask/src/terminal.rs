//! What standard output can show.

use std::env;
use std::io::{IsTerminal, stdout};

use dynamicfs_lab::bench::render;
use dynamicfs_lab::bench::result::{Bench, Row};

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

/// The text in bold and a colour (ECMA-48), where there are colours.
pub(crate) fn paint(colour: &str, text: &str) -> String {
    if has_colours() {
        format!("\x1b[1;{colour}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// A run of the bench.
pub(crate) fn bench(bench: &Bench) -> String {
    render::terminal(bench, has_colours(), width())
}

/// One workload of it.
pub(crate) fn workload(bench: &Bench, row: &Row) -> String {
    render::terminal_detail(bench, row, has_colours(), width())
}
