//! What was lost when the power went: a row for each target, a column for each contestant.

use maud::{Markup, html};

use crate::page;
use crate::report::facts;
use crate::report::model::{Report, Target};

pub(super) fn section(report: &Report) -> Markup {
    let contestants = facts::cut_contestants(report);
    html! {
        @if !contestants.is_empty() {
            p { (facts::POWER_CUTS) }
            (page::scroll("Power cuts", html! {
                table.map.cuts {
                    thead {
                        tr {
                            th scope="col" {}
                            @for name in &contestants { th scope="col" { (name) } }
                        }
                    }
                    tbody {
                        @for target in report.targets.iter().filter(|it| !it.power_cuts.is_empty()) {
                            tr {
                                th scope="row" { (target.name) }
                                @for name in &contestants { (cell(target, name)) }
                            }
                        }
                    }
                }
            }))
        }
    }
}

fn cell(target: &Target, contestant: &str) -> Markup {
    let Some(of) = target
        .power_cuts
        .iter()
        .find(|it| it.contestant == contestant)
    else {
        return html! { td.none { "–" } };
    };
    let class = match (of.broken.is_empty(), facts::is_accepted(target, of)) {
        (true, _) => "same",
        (false, true) => "accepted",
        (false, false) => "different",
    };
    html! {
        td class=(class) {
            (facts::power_cuts(of))
            small { (of.cuts) " cuts, " (of.acknowledged) " writes" }
        }
    }
}
