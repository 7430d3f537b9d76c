//! What a person reads at the end.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};

use super::Verdict;
use crate::outcome::Outcome;

/// A row for each verdict, so many columns wide.
pub fn table(verdicts: &[Verdict], width: u16) -> String {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width)
        .set_header(["what", "verdict", "figures"]);
    for verdict in verdicts {
        let (word, why) = match &verdict.outcome {
            Outcome::Passed => ("good", ""),
            Outcome::Failed(why) => ("BAD", why.as_str()),
            Outcome::Skipped(why) => ("NOT RUN", why.as_str()),
            Outcome::TimedOut => ("BAD", "it did not end"),
        };
        let lines = [why, &verdict.figures];
        let lines: Vec<&str> = lines.into_iter().filter(|line| !line.is_empty()).collect();
        table.add_row([verdict.name, word, &lines.join("\n")]);
    }
    table.to_string()
}

/// Everything was judged, and is good.
pub fn is_clean(verdicts: &[Verdict]) -> bool {
    verdicts
        .iter()
        .all(|verdict| verdict.outcome == Outcome::Passed)
}
