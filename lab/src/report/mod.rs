//! What a run leaves: `report.json`, the same to read as Markdown and HTML, and a stable part that is
//! reviewed.

pub mod diff;
mod facts;
mod html;
mod markdown;
mod model;
pub mod runs;
pub mod snapshot;
mod terminal;
mod view;

pub use self::html::page as html;
pub use self::markdown::markdown;
pub use self::model::{FORMAT, Host, PowerCuts, Report, Revision, Target};
pub use self::terminal::{details, summary, table};

/// Runs that nobody made, for the tests.
#[cfg(test)]
mod sample {
    use super::Report;

    /// Two kernels under TCG that differ, and a host that did not come to its end.
    pub(super) fn red() -> Report {
        Report::from_json(include_str!("../../tests/fixtures/report.json")).unwrap()
    }

    /// The same without anything wrong.
    pub(super) fn clean() -> Report {
        let mut report = red();
        report.stale.clear();
        report.errors.clear();
        report.targets.retain(|target| target.complete);
        for target in &mut report.targets {
            target.alarms.clear();
            let cuts = target.power_cuts.iter_mut();
            cuts.for_each(|of| of.broken.clear());
            for comparison in &mut target.comparisons {
                comparison.differences.retain(|it| it.excuse.is_some());
            }
        }
        report
    }
}
