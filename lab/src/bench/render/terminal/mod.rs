//! A run on a terminal: a summary that fits, and all contestants of one workload.

mod detail;

use std::fmt::Write as _;

use comfy_table::presets::NOTHING as NO_LINES;
use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, Row as Line, Table};

pub use self::detail::detail;
use super::{facts, format};
use crate::bench::result::{Bench, Contestant, Figures, Kind, Row};
use crate::bench::statistics::NOISY_MEANS;

/// Below this many columns the bars are left out.
const WIDTH_OF_BARS: u16 = 118;

/// Characters of a bar, which is full at 1.00.
const BAR: usize = 4;

/// CPU time that is worth a line: so many times what the slowness alone explains.
const COSTLY: f64 = 1.25;

/// How it is shown.
#[derive(Debug, Clone, Copy)]
struct Look {
    colour: bool,
    bars: bool,
    width: u16,
}

/// The summary of a run: for each workload the presets, `baseline` and the best peer.
///
/// `colour` only where the reader has a terminal and has not set `NO_COLOR`; `width` in columns,
/// made for 100 and more.
pub fn summary(bench: &Bench, colour: bool, width: u16) -> String {
    let look = Look {
        colour,
        bars: width >= WIDTH_OF_BARS,
        width,
    };
    let mut text = String::new();
    for (group, rows) in bench.groups() {
        let _ = writeln!(text, "{}", heading(format::group(group), look));
        let _ = writeln!(text, "{}\n", group_table(bench, &rows, look));
    }
    let noisy = format!("Noisy ({}): {NOISY_MEANS}", format::NOISY);
    let sections = [
        (
            "÷ peer: the fastest preset, by its initial, beside the best peer",
            initials(bench),
        ),
        (&noisy, noise(bench)),
        ("Failed", failures(bench)),
        ("Did not take part", absent(bench)),
        (
            "CPU for one operation, where it is more than the time tells",
            cpu(bench),
        ),
        ("Most memory of a daemon", memory(bench)),
        ("Physical limits", limits(bench)),
        ("Machine and run", machine(bench)),
    ];
    for (title, lines) in sections.iter().filter(|(_, lines)| !lines.is_empty()) {
        let _ = writeln!(text, "{}", heading(title, look));
        for line in lines {
            let _ = writeln!(text, "{}", wrapped(line, width));
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

fn group_table(bench: &Bench, rows: &[&Row], look: Look) -> Table {
    let ours: Vec<&Contestant> = bench
        .of_kind(Kind::Preset)
        .chain(bench.of_kind(Kind::Baseline))
        .collect();
    let mut table = empty_table(look);
    let names = ours
        .iter()
        .map(|one| one.name.replace("performance", "perf"));
    let header = ["workload".to_owned(), "ext4".to_owned()];
    let peer = ["best peer".to_owned(), "÷ peer".to_owned()];
    table.set_header(header.into_iter().chain(names).chain(peer));
    for row in rows {
        table.add_row(group_line(bench, row, &ours, look));
    }
    align_right(&mut table, &[1, ours.len() + 3], look);
    table
}

fn group_line(bench: &Bench, row: &Row, ours: &[&Contestant], look: Look) -> Line {
    let ext4 = row
        .figures("ext4")
        .map_or_else(nothing, |it| format::time(it.seconds.median));
    let mut cells = vec![Cell::new(&row.workload), Cell::new(ext4)];
    cells.extend(ours.iter().map(|one| ratio_cell(row, &one.name, look)));
    let best = bench.best_peer(row);
    cells.push(best.map_or_else(
        || Cell::new(format::NOTHING),
        |(name, figures)| {
            painted(
                format!("{} {name}", ratio_word(figures)),
                ratio(figures),
                look,
            )
        },
    ));
    cells.push(lead_cell(bench, row, look));
    Line::from(cells)
}

fn lead_cell(bench: &Bench, row: &Row, look: Look) -> Cell {
    let lead = bench.lead(row);
    let text = lead.map_or_else(nothing, |(preset, ratio)| {
        format!("{} {}", format::ratio(ratio.median), initial(preset))
    });
    painted(text, lead.map(|(_, ratio)| ratio.median), look)
}

/// As much of a preset's name as fits.
fn initial(preset: &str) -> &str {
    &preset[..1]
}

fn initials(bench: &Bench) -> Vec<String> {
    let names: Vec<String> = bench
        .of_kind(Kind::Preset)
        .map(|one| format!("{} {}", initial(&one.name), one.name))
        .collect();
    let has_peers = bench.of_kind(Kind::Peer).next().is_some();
    has_peers.then(|| names.join(", ")).into_iter().collect()
}

fn ratio_cell(row: &Row, contestant: &str, look: Look) -> Cell {
    let Some(figures) = row.figures(contestant) else {
        let failed = row.cell(contestant).is_some();
        return Cell::new(if failed { "failed" } else { format::NOTHING });
    };
    let word = ratio_word(figures);
    let text = match ratio(figures) {
        Some(ratio) if look.bars => format!("{word:<7}{}", bar(ratio)),
        _ => word,
    };
    painted(text, ratio(figures), look)
}

fn ratio(figures: &Figures) -> Option<f64> {
    Some(figures.to_ext4?.median)
}

/// The ratio with its mark.
fn ratio_word(figures: &Figures) -> String {
    ratio(figures).map_or_else(nothing, format::ratio) + mark(figures)
}

fn mark(figures: &Figures) -> &'static str {
    if figures.noisy { format::NOISY } else { "" }
}

/// Full at 1.00, in steps of an eighth of a character; never empty.
fn bar(ratio: f64) -> String {
    const PARTS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
    let eighths = (ratio.min(1.0) * (BAR * 8) as f64).round().max(1.0) as usize;
    let rest = (eighths % 8).checked_sub(1).map(|rest| PARTS[rest]);
    "█".repeat(eighths / 8) + &rest.map(String::from).unwrap_or_default()
}

/// Green as fast as ext4 (or the peer), yellow at least half as fast, red below.
fn painted(text: String, ratio: Option<f64>, look: Look) -> Cell {
    let cell = Cell::new(text);
    match ratio.filter(|_| look.colour) {
        None => cell,
        Some(ratio) if ratio >= 0.95 => cell.fg(Color::DarkGreen),
        Some(ratio) if ratio >= 0.5 => cell.fg(Color::DarkYellow),
        Some(_) => cell.fg(Color::DarkRed),
    }
}

fn heading(title: &str, look: Look) -> String {
    if look.colour {
        format!("\x1b[1m{title}\x1b[0m")
    } else {
        title.to_owned()
    }
}

fn empty_table(look: Look) -> Table {
    let mut table = Table::new();
    table.load_style(NO_LINES);
    table
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(look.width);
    if look.colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table
}

fn align_right(table: &mut Table, columns: &[usize], look: Look) {
    let last = table.column_count() - 1;
    for (index, column) in table.column_iter_mut().enumerate() {
        let gap = if look.bars { 2 } else { 1 };
        column.set_padding((0, if index == last { 0 } else { gap }));
        if columns.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

fn noise(bench: &Bench) -> Vec<String> {
    bench
        .noisy()
        .into_iter()
        .map(|(row, who)| format!("{}: {}", row.workload, who.join(", ")))
        .collect()
}

fn failures(bench: &Bench) -> Vec<String> {
    bench
        .failed()
        .map(|(row, cell, reason)| format!("{} on {}: {reason}", row.workload, cell.contestant))
        .collect()
}

fn absent(bench: &Bench) -> Vec<String> {
    let reason = |one: &Contestant| Some(format!("{}: {}", one.name, one.not_run.as_ref()?));
    bench.contestants.iter().filter_map(reason).collect()
}

/// Only where a preset keeps the processors busier than its time tells.
fn cpu(bench: &Bench) -> Vec<String> {
    let costly = |row: &Row| -> Option<String> {
        let ext4 = row.figures("ext4")?;
        let cost = |preset: &Contestant| {
            let figures = row.figures(&preset.name)?;
            let times = figures.cpu.total() / ext4.cpu.total();
            let slower = (figures.seconds.median / ext4.seconds.median).max(1.0);
            (times >= COSTLY * slower).then(|| format!("{} {}x", preset.name, format::ratio(times)))
        };
        let costs: Vec<String> = bench.of_kind(Kind::Preset).filter_map(cost).collect();
        let native = format::time(ext4.cpu.total());
        (!costs.is_empty())
            .then(|| format!("{}: {native} on ext4; {}", row.workload, costs.join(", ")))
    };
    bench.rows.iter().filter_map(costly).collect()
}

fn memory(bench: &Bench) -> Vec<String> {
    let peaks: Vec<String> = bench
        .running()
        .filter_map(|one| {
            let (bytes, _) = bench.peak_memory(&one.name)?;
            Some(format!("{} {}", one.name, format::bytes(bytes)))
        })
        .collect();
    if peaks.is_empty() {
        Vec::new()
    } else {
        vec![peaks.join(", ")]
    }
}

fn limits(bench: &Bench) -> Vec<String> {
    facts::calibration(bench)
        .into_iter()
        .map(|limit| {
            let note = if limit.drifted {
                ": THE MACHINE CHANGED"
            } else {
                ""
            };
            format!(
                "{}: {} before, {} after{note}",
                limit.name, limit.before, limit.after
            )
        })
        .collect()
}

fn machine(bench: &Bench) -> Vec<String> {
    facts::environment(bench)
        .into_iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect()
}

fn wrapped(line: &str, width: u16) -> String {
    let mut table = Table::new();
    table.load_style(NO_LINES);
    table.force_no_tty();
    table
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width);
    table.add_row([line]);
    table.trim_fmt()
}

fn nothing() -> String {
    format::NOTHING.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::sample;

    #[test]
    fn the_summary_fits() {
        let run = sample::full();
        for width in [100, 117, 118, 160] {
            for line in summary(&run, false, width).lines() {
                assert!(line.chars().count() <= width.into(), "{width}: {line}");
            }
        }
    }

    #[test]
    fn a_workload_is_a_line() {
        let run = sample::full();
        for width in [100, 120] {
            let text = summary(&run, false, width);
            for row in &run.rows {
                let line = text.lines().find(|line| line.starts_with(&row.workload));
                let (best, _) = run.best_peer(row).unwrap();
                assert!(
                    line.is_some_and(|line| line.contains(best)),
                    "{width}: {line:?}"
                );
            }
        }
    }

    #[test]
    fn colours_only_when_wanted() {
        let run = sample::exact();
        assert!(!summary(&run, false, 120).contains('\x1b'));
        assert!(summary(&run, true, 120).contains('\x1b'));
    }

    #[test]
    fn bars_grow_to_one() {
        assert_eq!(bar(0.001), "▏");
        assert_eq!(bar(0.5), "██");
        assert_eq!(bar(0.53), "██▏");
        assert_eq!(bar(7.0), "████");
    }
}
