//! What a person reads.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};

use super::{Selftest, Verdict};

/// A row for each plant.
pub fn table(selftest: &Selftest) -> String {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(["plant", "what is wrong", "on", "caught by"]);
    for verdict in &selftest.verdicts {
        let plant = verdict.plant;
        table.add_row([
            plant.name,
            plant.what,
            &plant.on.to_string(),
            &finders(verdict),
        ]);
    }
    table.to_string()
}

fn finders(verdict: &Verdict) -> String {
    let mut lines = verdict.caught_by.clone();
    lines.extend(verdict.also_by.iter().map(|case| format!("also {case}")));
    lines.extend(
        verdict
            .missed_by
            .iter()
            .map(|case| format!("NOT by {case}")),
    );
    lines.extend(verdict.errors.iter().map(|error| format!("error: {error}")));
    if !verdict.is_caught() {
        lines.insert(0, "NOT CAUGHT".to_owned());
    }
    lines.join("\n")
}

/// The control, and how many plants were caught.
pub fn summary(selftest: &Selftest) -> String {
    let control = &selftest.control;
    let caught = selftest.verdicts.iter().filter(|v| v.is_caught()).count();
    let mut lines = vec![
        format!("{caught} of {} plants caught", selftest.verdicts.len()),
        format!(
            "without a plant: {}",
            match control.conformance.is_clean() {
                true => "no difference from ext4 beyond the accepted ones",
                false => "DIFFERENCES from ext4, see above",
            }
        ),
        format!(
            "exceptions: each of {} that are needed removed, and {} that are not added: {}",
            control.needed,
            control.added,
            match control.unnoticed.is_empty() && control.needed > 0 {
                true => "every change fails the run",
                false => "NOT NOTICED",
            }
        ),
    ];
    lines.extend(control.unnoticed.iter().map(|change| format!("  {change}")));
    lines.join("\n")
}
