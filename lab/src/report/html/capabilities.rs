//! What mounts asked of their kernels: a row for each capability, a column for each preset on each
//! group of kernels that granted the same.

use dynamicfs::mount::MountReport;
use maud::{Markup, html};

use crate::page;
use crate::report::model::Report;
use crate::report::view::{Kernels, State, io_mode, kernels, reasons, what};

pub(super) fn section(report: &Report) -> Markup {
    let groups = kernels(report);
    html! {
        @if !groups.is_empty() {
            p {
                "What each preset asked of the kernel and what came of it, below its I/O mode in force. Kernels that \
                 granted the same share their columns."
            }
            p.legend {
                @for state in State::ALL { span { b.(class(state)) { (state.mark()) } (state.words()) } }
            }
            (page::scroll("Capabilities by kernel and preset", table(&groups)))
            (why(report))
        }
    }
}

fn table(groups: &[Kernels<'_>]) -> Markup {
    html! {
        table.map.capabilities {
            thead {
                tr {
                    th scope="col" {}
                    @for group in groups {
                        th.kernels scope="colgroup" colspan=(group.presets.len()) { (group.targets.join(", ")) }
                    }
                }
                tr {
                    th scope="col" {}
                    @for (preset, mount) in groups.iter().flat_map(|group| &group.presets) {
                        th.turned scope="col" { span { (preset) small { (io_mode(mount)) } } }
                    }
                }
            }
            tbody {
                @for name in Kernels::names(groups) {
                    tr {
                        th scope="row" { (name) }
                        @for (preset, mount) in groups.iter().flat_map(|group| &group.presets) {
                            (cell(name, preset, mount))
                        }
                    }
                }
            }
        }
    }
}

fn cell(name: &str, preset: &str, mount: &MountReport) -> Markup {
    let Some(item) = mount.capabilities.iter().find(|it| it.name == name) else {
        return html! { td.none { "–" } };
    };
    let state = State::of(item);
    let why = item
        .why
        .as_deref()
        .map_or(String::new(), |why| format!(": {why}"));
    let title = format!("{name} on {preset}: {}{why}", what(item));
    html! {
        td class=(class(state)) title=(title) aria-label=(title) { (state.mark()) }
    }
}

fn class(state: State) -> &'static str {
    match state {
        State::InForce => "in-force",
        State::Less => "less",
        State::Refused => "refused",
        State::NotAsked => "none",
    }
}

fn why(report: &Report) -> Markup {
    html! {
        details {
            summary { "Reasons" }
            dl {
                @for reason in reasons(report) {
                    dt { (reason.name) }
                    dd { (reason.why) ". " span.what { (reason.what) "; " (reason.places) } }
                }
            }
        }
    }
}
