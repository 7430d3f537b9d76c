//! A run as one page that needs nothing else.

mod capabilities;
mod power_cuts;
mod workloads;

use maud::{Markup, html};

use super::facts;
use super::model::{Report, Target};
use super::view::{Column, Entry, Problem, Verdict, Way, counts, entries};
use crate::page;
use crate::target::Permissions;

const STYLE: &str = include_str!("style.css");

/// Address, heading and content of a section; without content there is none.
type Section = (&'static str, &'static str, Markup);

/// The page.
pub fn page(report: &Report) -> String {
    let comparisons = report.comparisons();
    let mut entries = entries(&comparisons);
    entries.sort_by_key(|entry| !entry.is_open());
    let sections: [Section; 7] = [
        ("suites", "Suites", matrix(report)),
        (
            "differences",
            "Differences from ext4",
            differences(&entries),
        ),
        (
            "capabilities",
            "Capabilities",
            capabilities::section(report),
        ),
        ("workloads", "Workloads", workloads::section(report)),
        ("power-cuts", "Power cuts", power_cuts::section(report)),
        ("targets", "Targets", targets(report)),
        ("run", "Run", list(&facts::run(report))),
    ];
    let sections: Vec<Section> = sections
        .into_iter()
        .filter(|(_, _, content)| !content.0.is_empty())
        .collect();
    let body = html! {
        (top(report, &sections))
        @for (id, title, content) in &sections {
            section id=(id) { h2 { (title) } (content) }
        }
    };
    page::document("dynamicfs beside native ext4", STYLE, body)
}

fn top(report: &Report, sections: &[Section]) -> Markup {
    let problems = report.problems();
    let state = if problems.is_empty() { "clean" } else { "red" };
    html! {
        header {
            h1 { "dynamicfs beside native ext4" }
            p {
                (report.started.split('T').next().unwrap_or_default()) ", profile " (report.profile)
                ", dynamicfs " (report.dynamicfs.to_string()) "."
            }
            div.verdict.(state) {
                p { strong { (report.headline()) } }
                @for problem in &problems { (trouble(problem)) }
            }
            p { (facts::WHAT) }
            nav { @for (id, title, _) in sections { a href={ "#" (id) } { (title) } } }
        }
    }
}

fn trouble(problem: &Problem) -> Markup {
    html! {
        details open[problem.lines.len() <= FEW] {
            summary { (problem.title()) }
            ul { @for line in &problem.lines { li { (line) } } }
        }
    }
}

/// So many lines are shown without being asked for.
const FEW: usize = 8;

fn matrix(report: &Report) -> Markup {
    let columns = report.columns();
    html! {
        @if !columns.is_empty() {
            p { "Cases passed/failed/skipped on each preset, beside ext4 on the same kernel." }
            p.legend {
                @for (class, words) in LEGEND { span { i.swatch.(class) {} (words) } }
            }
            (page::scroll("Every suite on every preset and kernel", html! {
                table.map.matrix {
                    thead {
                        tr {
                            th scope="col" {}
                            @for column in &columns { th scope="col" { (heading(*column)) } }
                        }
                    }
                    @for target in &report.targets { (rows(target, &columns)) }
                }
            }))
        }
    }
}

const LEGEND: [(&str, &str); 4] = [
    ("same", "same as ext4"),
    ("accepted", "accepted differences"),
    ("different", "different"),
    ("not-run", "not run"),
];

fn heading(column: Column) -> Markup {
    html! {
        (column.suite.name())
        @if column.permissions == Permissions::Storage { small { "permissions by the storage" } }
    }
}

fn rows(target: &Target, columns: &[Column]) -> Markup {
    html! {
        tbody {
            tr.group {
                th scope="rowgroup" { a href={ "#" (anchor(target)) } { (target.name) } }
                td colspan=(columns.len()) { (target.machine()) ", Linux " (target.kernel) }
            }
            tr.native {
                th scope="row" { "ext4" }
                @for at in columns {
                    td { @match target.reference(*at) { Some(it) => (counts(it)), None => "–" } }
                }
            }
            @for preset in target.presets() {
                tr {
                    th scope="row" { (preset) }
                    @for at in columns { (cell(target, preset, *at)) }
                }
            }
        }
    }
}

fn cell(target: &Target, preset: &str, at: Column) -> Markup {
    let verdict = target.verdict(preset, at);
    let class = match verdict {
        Verdict::Same => "same",
        Verdict::Accepted(_) => "accepted",
        Verdict::Different(_) => "different",
        Verdict::NotRun => "not-run",
        Verdict::NotPlanned => "none",
    };
    let title = format!(
        "{} on {preset}, {}: {}",
        at.name(),
        target.name,
        verdict.words()
    );
    html! {
        td class=(class) title=(title) {
            @match (target.comparison(preset, at), verdict) {
                (Some(found), Verdict::Same) => (counts(found.counts)),
                (Some(found), _) => {
                    (counts(found.counts))
                    small { a href="#differences" { (verdict.words()) } }
                }
                (None, _) => (verdict.words()),
            }
        }
    }
}

fn differences(entries: &[Entry<'_>]) -> Markup {
    html! {
        @if !entries.is_empty() {
            dl.differences {
                @for entry in entries {
                    dt { code { (entry.test) } small { (entry.suite.name()) } }
                    dd { @for way in &entry.ways { (difference(way)) } }
                }
            }
        }
    }
}

fn difference(way: &Way<'_>) -> Markup {
    html! {
        p {
            @match way.excuse {
                Some(excuse) => { span.tag { (excuse.class.name()) } " " (excuse.reason) }
                None => span.tag.open { "not accepted" },
            }
        }
        p.what { "ext4: " (way.reference) ". Here: " (way.preset) ". " span.places { (way.places) } }
    }
}

fn targets(report: &Report) -> Markup {
    html! {
        @for target in &report.targets {
            article id=(anchor(target)) {
                h3 { (target.name) }
                (list(&facts::target(target)))
                @if !target.packages.is_empty() {
                    details {
                        summary { (target.packages.len()) " packages" }
                        p.packages {
                            @for (name, version) in &target.packages { span { (name) " " (version) } " " }
                        }
                    }
                }
            }
        }
    }
}

/// The address of a target.
fn anchor(target: &Target) -> String {
    format!("target-{}", target.name)
}

fn list(facts: &[(&str, String)]) -> Markup {
    html! { dl { @for (name, value) in facts { dt { (name) } dd { (value) } } } }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use html5ever::parse_document;
    use html5ever::tendril::TendrilSink;
    use markup5ever_rcdom::RcDom;

    use super::*;
    use crate::report::sample;

    #[test]
    fn the_page_is_well_formed() {
        for report in [sample::red(), sample::clean()] {
            let dom = parse_document(RcDom::default(), Default::default()).one(page(&report));
            let errors = dom.errors.borrow();
            assert!(errors.is_empty(), "{errors:?}");
        }
    }

    #[test]
    fn every_link_leads_somewhere_on_the_page() {
        let words = |page: &str, before: &str| -> BTreeSet<String> {
            let rest = page.split(before).skip(1);
            rest.map(|rest| rest.split('"').next().unwrap().to_owned())
                .collect()
        };
        let mut bare = sample::clean();
        bare.targets
            .iter_mut()
            .for_each(|target| target.power_cuts.clear());
        for report in [sample::red(), bare] {
            let page = page(&report);
            let (links, ids) = (words(&page, "href=\"#"), words(&page, "id=\""));
            let dead: Vec<_> = links.difference(&ids).collect();
            assert!(!links.is_empty() && dead.is_empty(), "{dead:?}");
        }
    }

    #[test]
    fn the_page_needs_nothing_else() {
        let page = page(&sample::red());
        for outside in ["http://", "https://", "<script", "<link", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn words_of_others_are_text() {
        let mut report = sample::red();
        report.targets[0].alarms[0].line = "<script>alert(1)</script>".to_owned();
        assert!(!page(&report).contains("<script"));
    }

    #[test]
    fn what_is_red_is_told_first() {
        let page = page(&sample::red());
        let at = |words: &str| page.find(words).unwrap_or_else(|| panic!("no {words:?}"));
        assert!(at("rename::exchange") < at("id=\"suites\""));
        assert!(at("class=\"tag open\"") < at("class=\"tag\""));
        assert!(!page.contains("verdict clean"));
        assert!(super::page(&sample::clean()).contains("verdict clean"));
    }
}
