//! The table in the document.

use crate::count::Counts;

const BEGIN: &str = "<!-- round-trips begin -->\n";
const END: &str = "<!-- round-trips end -->";

/// What was counted on one kernel.
pub(crate) struct Table {
    pub(crate) kernel: String,
    pub(crate) columns: Vec<&'static str>,
    pub(crate) rows: Vec<Row>,
}

/// One operation on every mount.
pub(crate) struct Row {
    pub(crate) operation: &'static str,
    pub(crate) least: &'static str,
    pub(crate) counted: Vec<Counts>,
}

/// The line above the table, which names the kernel.
pub(crate) fn title(kernel: &str) -> String {
    format!("Counted on Linux {kernel} by the test `round_trips`:")
}

impl Row {
    pub(crate) fn render(&self) -> String {
        let cells: Vec<String> = self.counted.iter().map(cell).collect();
        let (operation, least) = (self.operation, self.least);
        format!("| {operation} | {least} | {} |", cells.join(" | "))
    }
}

impl Table {
    /// Title and table.
    pub(crate) fn render(&self) -> String {
        let mut lines = vec![title(&self.kernel), String::new()];
        lines.push(format!(
            "| operation | least | {} |",
            self.columns.join(" | ")
        ));
        lines.push("|---".repeat(self.columns.len() + 2) + "|");
        lines.extend(self.rows.iter().map(Row::render));
        lines.join("\n") + "\n"
    }

    /// The document `text` with this table in the place of its own.
    pub(crate) fn put_into(&self, text: &str) -> String {
        let (before, _, after) = parts(text);
        format!("{before}{BEGIN}{}{END}{after}", self.render())
    }
}

/// What the document says.
pub(crate) fn stated(text: &str) -> &str {
    parts(text).1
}

fn parts(text: &str) -> (&str, &str, &str) {
    let (before, rest) = text.split_once(BEGIN).expect("the document has the table");
    let (table, after) = rest.split_once(END).expect("the table ends");
    (before, table, after)
}

fn cell(counts: &Counts) -> String {
    if counts.is_empty() {
        return "none".to_owned();
    }
    let kinds = counts.iter().map(|(name, count)| match count {
        1 => name.clone(),
        several => format!("{several} {name}"),
    });
    kinds.collect::<Vec<_>>().join(", ")
}
