//! One workload: a dot and a whisker for each contestant on a logarithmic axis.

use maud::{Markup, html};

use crate::bench::render::format;
use crate::bench::result::{Bench, Contestant, Figures, Kind, Row};
use crate::bench::statistics::Spread;

/// More labels than these would touch on a telephone.
const LABELS: usize = 6;

/// A logarithmic axis.
struct Axis {
    low: f64,
    high: f64,
}

impl Axis {
    /// From one round value to another: 1, 2 or 5 times a power of ten, with 1.00 between.
    fn of(spreads: impl Iterator<Item = Spread>) -> Axis {
        let (low, high) = spreads.fold((1.0_f64, 1.0_f64), |(low, high), spread| {
            (low.min(spread.min), high.max(spread.max))
        });
        let ladder = ladder();
        let below = ladder.iter().rev().find(|step| **step <= low * 0.97);
        let above = ladder.iter().find(|step| **step >= high * 1.03);
        Axis {
            low: *below.unwrap_or(&low),
            high: *above.unwrap_or(&high),
        }
    }

    /// The place of a value, percent of the width.
    fn at(&self, value: f64) -> f64 {
        let place = (value / self.low).ln() / (self.high / self.low).ln();
        (place * 100.0).clamp(0.0, 100.0)
    }

    /// The values with a line: all round ones, or the powers of ten where those are too many.
    fn ticks(&self) -> Vec<f64> {
        let inside = |step: &f64| (self.low..=self.high).contains(step);
        let all: Vec<f64> = ladder().into_iter().filter(inside).collect();
        if all.len() <= LABELS {
            return all;
        }
        all.into_iter()
            .filter(|step| step.log10().fract().abs() < 1e-9)
            .collect()
    }
}

/// 1, 2 and 5 times the powers of ten that a ratio may have.
fn ladder() -> Vec<f64> {
    let decades = (-6..=4).map(|power| 10_f64.powi(power));
    decades
        .flat_map(|decade| [1.0, 2.0, 5.0].map(|step| step * decade))
        .collect()
}

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
                        @for tick in axis.ticks() { i.tick style=(left(&axis, tick)) { (tick_label(tick)) } }
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

/// As short as a round value allows.
fn tick_label(value: f64) -> String {
    if value == 1.0 {
        "1.00".to_owned()
    } else {
        format!("{value}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(low: f64, high: f64) -> Axis {
        Axis::of(Spread::of([low, high]).into_iter())
    }

    #[test]
    fn the_axis_ends_at_round_values_and_contains_one() {
        let wide = axis(0.0016, 0.9);
        assert_eq!((wide.low, wide.high), (0.001, 2.0));
        assert_eq!(wide.ticks(), [0.001, 0.01, 0.1, 1.0]);
        let narrow = axis(0.8, 1.1);
        assert_eq!(narrow.ticks(), [0.5, 1.0, 2.0]);
    }

    #[test]
    fn places_are_logarithmic() {
        let axis = Axis {
            low: 0.01,
            high: 100.0,
        };
        assert_eq!(
            (axis.at(0.01), axis.at(1.0), axis.at(100.0)),
            (0.0, 50.0, 100.0)
        );
        assert_eq!(axis.at(1e9), 100.0);
    }

    #[test]
    fn labels_are_short() {
        let labels: Vec<String> = [0.001, 0.2, 1.0, 5.0].map(tick_label).into();
        assert_eq!(labels, ["0.001", "0.2", "1.00", "5"]);
    }
}
