//! Tables.

use comfy_table::{Table, presets::ASCII_MARKDOWN};

/// A table in Markdown. A cell may contain what it likes.
pub(crate) fn markdown<H, R>(header: H, rows: impl IntoIterator<Item = R>) -> String
where
    H: IntoIterator<Item: ToString>,
    R: IntoIterator<Item: ToString>,
{
    let escaped = |cell: String| cell.replace('|', "\\|").replace('\n', " ");
    let mut table = Table::new();
    table.set_header(header.into_iter().map(|cell| escaped(cell.to_string())));
    for row in rows {
        table.add_row(row.into_iter().map(|cell| escaped(cell.to_string())));
    }
    as_markdown(table)
}

/// An existing table in Markdown.
fn as_markdown(mut table: Table) -> String {
    table.load_style(ASCII_MARKDOWN);
    table.trim_fmt() + "\n"
}
