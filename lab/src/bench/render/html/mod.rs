//! A run as one page that needs nothing else: no script, no font, no other file.

mod plot;

use maud::{Markup, html};

use super::{facts, format, markdown};
use crate::bench::claims::{self, Claim, Verdict};
use crate::bench::result::{Bench, Contestant, Kind, Row};
use crate::bench::statistics::NOISY_MEANS;
use crate::page;

const STYLE: &str = include_str!("style.css");

/// The page.
pub fn page(bench: &Bench) -> String {
    let title = format!("dynamicfs beside ext4, Linux {}", bench.environment.kernel);
    let body = html! { (top(bench)) (map(bench)) (plots(bench)) (claims(bench)) (around(bench)) };
    page::document(&title, STYLE, body)
}

fn top(bench: &Bench) -> Markup {
    let machine = &bench.environment;
    html! {
        header {
            h1 { "dynamicfs beside ext4 and its peers" }
            p {
                "Linux " (machine.kernel) ", " (machine.cpus) " × " (machine.processor)
                ", ext4: " (machine.storage) ", " (facts::day(bench)) ". "
                "dynamicfs " (machine.dynamicfs) "."
            }
            p.command { code { (bench.command) } }
            nav {
                a href="#map" { "Overview" }
                @for (group, _) in bench.groups() {
                    a href={ "#" (anchor(format::group(group))) } { (format::group(group)) }
                }
                a href="#claims" { "Claims" }
                a href="#contestants" { "Contestants" }
                a href="#machine" { "Machine" }
            }
        }
    }
}

fn map(bench: &Bench) -> Markup {
    let others: Vec<&Contestant> = bench
        .running()
        .filter(|one| one.kind != Kind::Ext4)
        .collect();
    html! {
        section #map {
            h2 { "Speed relative to ext4" }
            p {
                (facts::RATIO) " Medians. " (format::NOISY) " marks noise: " (NOISY_MEANS) ". \
                 The fastest peer of a row is underlined. A name leads to all about that workload."
            }
            (page::scroll("Speed of every contestant on every workload", html! {
                table.map {
                    thead {
                        tr {
                            th scope="col" { "workload" }
                            @for one in &others {
                                th.turned scope="col" { span class=(format::kind(one.kind)) { (one.name) } }
                            }
                        }
                    }
                    @for (group, rows) in bench.groups() {
                        tbody {
                            tr.group { th scope="rowgroup" { (format::group(group)) } td colspan=(others.len()) {} }
                            @for row in rows { (map_line(bench, row, &others)) }
                        }
                    }
                }
            }))
        }
    }
}

fn map_line(bench: &Bench, row: &Row, contestants: &[&Contestant]) -> Markup {
    let best = bench.best_peer(row).map(|(name, _)| name);
    html! {
        tr {
            th scope="row" { a href={ "#" (row.workload) } { (row.workload) } }
            @for one in contestants {
                @let figures = row.figures(&one.name);
                @match figures.and_then(|figures| figures.to_ext4) {
                    Some(spread) => {
                        td class=(page::shade(spread.median)) title={ (one.name) ": " (format::spread(&spread)) } {
                            span.best[best == Some(one.name.as_str())] { (format::ratio(spread.median)) }
                            @if figures.is_some_and(|figures| figures.noisy) { (format::NOISY) }
                        }
                    }
                    None => td.none { (if row.cell(&one.name).is_some() { "failed" } else { format::NOTHING }) },
                }
            }
        }
    }
}

fn plots(bench: &Bench) -> Markup {
    html! {
        p.legend {
            span.ext4 { i.dot {} "ext4" }
            span.baseline { i.dot {} "baseline: FUSE without optimisation" }
            span.preset { i.dot {} "presets of dynamicfs" }
            span.peer { i.dot {} "peers" }
            span { i.whisker {} "least to greatest repetition" }
        }
        @for (group, rows) in bench.groups() {
            section.plots id=(anchor(format::group(group))) {
                h2 { (format::group(group)) }
                @for row in rows { (plot::workload(bench, row)) }
            }
        }
    }
}

fn claims(bench: &Bench) -> Markup {
    let checked = claims::view(bench);
    html! {
        section #claims {
            h2 { "What the specification claims" }
            p { (claims::HOW) }
            (page::scroll("Claims and what was measured", html! {
                table {
                    thead {
                        tr {
                            th scope="col" { "claim" }
                            @if let Some(first) = checked.first() {
                                @for (preset, _) in &first.presets { th scope="col" { (preset) } }
                            }
                        }
                    }
                    tbody {
                        @for one in &checked {
                            tr {
                                th scope="row" {
                                    (one.claim.name) ": " (one.claim.promise)
                                    small.by { (measured_by(&one.claim)) }
                                }
                                @for (_, verdict) in &one.presets {
                                    td class=(verdict_class(*verdict)) { (markdown::verdict(*verdict)) }
                                }
                            }
                        }
                    }
                }
            }))
        }
    }
}

fn measured_by(claim: &Claim) -> String {
    format!("{}, against {}", claim.stands_for, claim.against.name())
}

fn verdict_class(verdict: Verdict) -> &'static str {
    match verdict.held {
        Some(true) => "s1",
        Some(false) => "s4",
        None => "none",
    }
}

fn around(bench: &Bench) -> Markup {
    html! {
        section #contestants {
            h2 { "Contestants" }
            dl {
                @for one in &bench.contestants {
                    dt class=(format::kind(one.kind)) { i.dot {} (one.name) }
                    dd {
                        (one.version)
                        @match &one.not_run {
                            Some(reason) => { br; strong { "Did not take part: " } (reason) }
                            None => { br; code { (one.command) } }
                        }
                        @if let Some((bytes, workload)) = bench.peak_memory(&one.name) {
                            br; "memory of the daemon: at most " (format::bytes(bytes)) " (" (workload) ")"
                        }
                    }
                }
            }
        }
        (troubles(bench))
        section #machine {
            h2 { "Machine" }
            dl { @for (name, value) in facts::environment(bench) { dt { (name) } dd { (value.replace('`', "")) } } }
            h3 { "Physical limits, before and after the run" }
            dl {
                @for limit in facts::calibration(bench) {
                    dt { (limit.name) }
                    dd {
                        (limit.before) ", " (limit.after)
                        @if limit.drifted { strong { " – the machine changed" } }
                    }
                }
            }
        }
    }
}

fn troubles(bench: &Bench) -> Markup {
    let noisy = bench.noisy();
    html! {
        @if bench.failed().next().is_some() || !noisy.is_empty() {
            section #troubles {
                h2 { "Failures and noise" }
                ul {
                    @for (row, cell, reason) in bench.failed() {
                        li { strong { (row.workload) " on " (cell.contestant) " failed: " } (reason) }
                    }
                    @for (row, who) in noisy { li { (row.workload) " is noisy on " (who.join(", ")) } }
                }
            }
        }
    }
}

/// A heading as the end of an address.
fn anchor(heading: &str) -> String {
    format!("group-{}", heading.to_lowercase().replace(' ', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::sample;

    #[test]
    fn every_workload_has_a_plot_and_the_map_leads_there() {
        let run = sample::full();
        let page = page(&run);
        for row in &run.rows {
            assert!(page.contains(&format!(r#"<article id="{}">"#, row.workload)));
            assert!(page.contains(&format!(r##"href="#{}""##, row.workload)));
        }
        let plots = page.matches(r#"role="img""#).count();
        let figures = run
            .cells()
            .filter(|(_, cell)| cell.figures.is_some())
            .count();
        assert_eq!(plots, figures, "a mark for each result");
    }

    #[test]
    fn the_page_needs_nothing_else() {
        let page = page(&sample::full());
        for outside in ["http://", "https://", "<script", "<link", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn words_of_others_are_text() {
        let mut run = sample::exact();
        run.contestants[1].command = "<script>alert(1)</script>".to_owned();
        assert!(!page(&run).contains("<script"));
    }
}
