//! All contestants of one workload.

use comfy_table::{Cell, Row as Line};

use super::{Look, align_right, bar, empty_table, heading, mark, painted, ratio};
use crate::bench::render::format;
use crate::bench::result::{Bench, Contestant, Kind, Row};

/// A line for each contestant: time, ratios, CPU, memory, requests, latencies.
pub fn detail(bench: &Bench, row: &Row, colour: bool, width: u16) -> String {
    let look = Look {
        colour,
        bars: true,
        width,
    };
    let mut table = empty_table(look);
    table.set_header([
        "",
        "time",
        "to ext4",
        "",
        "÷ peer",
        "CPU",
        "memory",
        "requests for one operation; latency",
    ]);
    for one in bench.running() {
        table.add_row(detail_line(row, one, look));
    }
    align_right(&mut table, &[1, 4, 5, 6], look);
    format!(
        "{}\none operation: {}; {}\n{table}\n",
        heading(&row.workload, look),
        row.operation,
        format::caches(row.caches)
    )
}

fn detail_line(row: &Row, one: &Contestant, look: Look) -> Line {
    let Some(figures) = row.figures(&one.name) else {
        let reason = row.cell(&one.name).and_then(|cell| cell.failed.as_deref());
        let reason = format!("failed: {}", reason.unwrap_or("no result"));
        return Line::from([one.name.clone(), String::new(), reason]);
    };
    let spread = figures.to_ext4.as_ref();
    let memory = figures
        .daemon_memory
        .map_or_else(String::new, format::bytes);
    let requests = match one.kind {
        Kind::Ext4 => None,
        _ => Some(format::requests(figures.requests.as_ref())),
    };
    let latency = figures.latency.map(format::latency);
    let details: Vec<String> = requests.into_iter().chain(latency).collect();
    let to_peer = figures.to_best_peer.as_ref().map(|(_, ratio)| ratio);
    Line::from(vec![
        Cell::new(&one.name),
        Cell::new(format::time(figures.seconds.median)),
        Cell::new(spread.map_or_else(String::new, format::spread) + mark(figures)),
        painted(
            spread.map_or_else(String::new, |it| bar(it.median)),
            ratio(figures),
            look,
        ),
        Cell::new(to_peer.map_or_else(String::new, |it| format::ratio(it.median))),
        Cell::new(format::time(figures.cpu.total())),
        Cell::new(memory),
        Cell::new(details.join("\n")),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::sample;

    #[test]
    fn a_detail_has_every_contestant() {
        let run = sample::of(&["setxattr"]);
        let text = detail(&run, &run.rows[0], false, 120);
        for one in run.running() {
            assert!(text.contains(&one.name), "{text}");
        }
        assert!(text.contains("failed: setxattr: ENOTSUP"), "{text}");
    }

    #[test]
    fn a_detail_has_requests_and_percentiles() {
        let run = sample::of(&["latency-lookup"]);
        let text = detail(&run, &run.rows[0], false, 200);
        for expected in ["LOOKUP 1", "p99.9"] {
            assert!(text.contains(expected), "{text}");
        }
    }
}
