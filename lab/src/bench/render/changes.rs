//! What changed between two runs, on a terminal.

use std::fmt::Write as _;

use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};

use super::format;
use crate::bench::compare::{Change, Comparison, RequestChange};

/// The verdict, then what it rests on.
pub fn text(comparison: &Comparison) -> String {
    let mut text = format!("{}\n", verdict(comparison));
    let lists = [
        ("The two runs were not made alike", &comparison.warnings),
        ("Results in one run only", &comparison.outcomes),
        ("Not compared", &comparison.only_in_one),
    ];
    for (title, lines) in lists.iter().filter(|(_, lines)| !lines.is_empty()) {
        let _ = writeln!(text, "\n{title}\n");
        for line in *lines {
            let _ = writeln!(text, "- {line}");
        }
    }
    let tables = [
        ("Slower", speeds(&comparison.slower)),
        ("Faster", speeds(&comparison.faster)),
        ("Requests for one operation", requests(&comparison.requests)),
    ];
    for (title, table) in tables.into_iter().filter(|(_, table)| !table.is_empty()) {
        let _ = writeln!(text, "\n{title}\n\n{table}");
    }
    text
}

fn verdict(comparison: &Comparison) -> String {
    if comparison.is_empty() {
        return "Nothing to compare: no contestant has a result in the same workload in both runs."
            .to_owned();
    }
    format!(
        "{}: {} slower, {} faster, {} counts of requests changed, {} unchanged.",
        if comparison.is_same() {
            "The same beyond noise"
        } else {
            "Not the same"
        },
        comparison.slower.len(),
        comparison.faster.len(),
        comparison.requests.len(),
        comparison.unchanged
    )
}

fn boxed() -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table
}

fn speeds(changes: &[Change]) -> Table {
    let mut table = boxed();
    table.set_header([
        "workload",
        "contestant",
        "to ext4 before",
        "after",
        "change",
    ]);
    for change in changes {
        table.add_row([
            change.workload.clone(),
            change.contestant.clone(),
            format::spread(&change.before),
            format::spread(&change.after),
            format!("{:+.0} %", (change.factor() - 1.0) * 100.0),
        ]);
    }
    table
}

fn requests(changes: &[RequestChange]) -> Table {
    let mut table = boxed();
    table.set_header(["workload", "contestant", "request", "before", "after"]);
    for change in changes {
        table.add_row([
            change.workload.clone(),
            change.contestant.clone(),
            change.request.clone(),
            format::count(change.before),
            format::count(change.after),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::compare::compare;
    use crate::bench::sample;

    #[test]
    fn changes_are_told_with_their_ranges() {
        let before = sample::exact();
        let mut after = before.clone();
        after.environment.kernel = "6.19.0".to_owned();
        sample::set(&mut after, "create-4k", "balanced", [0.39, 0.40, 0.41]);
        let requests = &mut sample::figures(&mut after, "create-4k", "balanced").requests;
        requests.as_mut().unwrap().insert("GETATTR".to_owned(), 1.0);
        let comparison = compare(&before, &after);
        insta::assert_snapshot!(text(&comparison));
    }

    #[test]
    fn nothing_in_common_is_nothing_to_compare() {
        let comparison = compare(&sample::of(&["rename"]), &sample::of(&["unlink"]));
        assert!(text(&comparison).starts_with("Nothing to compare"));
    }
}
