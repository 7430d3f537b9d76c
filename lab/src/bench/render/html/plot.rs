//! One workload: a dot and a whisker for each contestant on a logarithmic axis.

use maud::{Markup, html};

use crate::bench::render::format;
use crate::bench::result::{Bench, Contestant, Figures, Kind, Row};
use crate::bench::statistics::Spread;
use crate::page::Axis;

/// All about one workload.
pub(super) fn workload(bench: &Bench, row: &Row) -> Markup {
    let spreads = row
        .cells
        .iter()
        .filter_map(|cell| cell.figures.as_ref()?.to_ext4);
    let axis = Axis::of(spreads);
    let best = bench.best_peer(row).map(|(name, _)| name);
    html! {
        article id=(row.workload) {
            h3 { (row.workload) }
            p.what { "One operation: " (row.operation) "; " (format::caches(row.caches)) "." (lead(bench, row)) }
            ol.plot {
                li.head aria-hidden="true" {
                    span { "contestant" } span { "speed relative to ext4" } span {}
                    span { "time" } span { "CPU: client + daemon" } span { "requests" }
                }
                @for one in bench.running() { (line(row, one, &axis, best)) }
                li.axis aria-hidden="true" {
                    span.track {
                        @for tick in axis.ticks() { i.tick style=(left(&axis, tick)) { (Axis::label(tick)) } }
                    }
                }
            }
        }
    }
}

fn lead(bench: &Bench, row: &Row) -> Markup {
    html! {
        @if let (Some((preset, ratio)), Some((peer, _))) = (bench.lead(row), bench.best_peer(row)) {
            " " (preset) " ÷ " (peer) " (the fastest preset and peer): " (format::spread(ratio)) "."
        }
    }
}

fn line(row: &Row, one: &Contestant, axis: &Axis, best: Option<&str>) -> Markup {
    html! {
        li class=(format::kind(one.kind)) {
            span.name.best[best == Some(one.name.as_str())] { (one.name) }
            @match row.figures(&one.name) {
                Some(figures) => (measured(one, figures, axis)),
                None => span.failed {
                    "failed: " (row.cell(&one.name).and_then(|it| it.failed.as_deref()).unwrap_or("no result"))
                },
            }
        }
    }
}

fn measured(one: &Contestant, figures: &Figures, axis: &Axis) -> Markup {
    let Some(spread) = &figures.to_ext4 else {
        return html! {};
    };
    let label = format!("{}: {}", one.name, format::spread(spread));
    html! {
        span.track role="img" aria-label=(label) title=(label) {
            @for tick in axis.ticks() { i.line.one[tick == 1.0] style=(left(axis, tick)) {} }
            i.whisker style=(between(axis, spread)) {}
            i.dot style=(left(axis, spread.median)) {}
        }
        span.ratio {
            b { (format::ratio(spread.median)) @if figures.noisy { (format::NOISY) } }
            @if one.kind != Kind::Ext4 {
                small { " " (format::ratio(spread.min)) "–" (format::ratio(spread.max)) }
            }
        }
        div.facts {
            span { (format::time(figures.seconds.median)) }
            span { span.label { "CPU " } (format::cpu(figures.cpu)) }
            span { (requests(one, figures)) (latency(figures)) }
        }
    }
}

fn requests(one: &Contestant, figures: &Figures) -> String {
    match one.kind {
        Kind::Ext4 => String::new(),
        _ => format::requests(figures.requests.as_ref()),
    }
}

fn latency(figures: &Figures) -> Markup {
    html! {
        @if let Some(at) = figures.latency { small.latency { (format::latency(at)) } }
    }
}

fn left(axis: &Axis, value: f64) -> String {
    format!("left:{:.1}%", axis.at(value))
}

fn between(axis: &Axis, spread: &Spread) -> String {
    let (from, to) = (axis.at(spread.min), axis.at(spread.max));
    format!("left:{from:.1}%;width:{:.1}%", to - from)
}
