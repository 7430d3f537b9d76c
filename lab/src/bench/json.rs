//! A run as a file: lines short enough to review, figures as exact as they were measured.

use std::io::{self, Write};

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use super::result::{Bench, FORMAT};

/// What lies deeper is written on one line: the inside of a cell.
const DEEPEST_LINE: usize = 4;

/// No clock here is better than one part in 100,000.
const DIGITS: usize = 5;

impl Bench {
    /// As JSON: fractions rounded to five significant digits, a line for each cell.
    ///
    /// # Errors
    ///
    /// When the run cannot be expressed in JSON.
    pub fn to_json(&self) -> Result<String> {
        write(self, DEEPEST_LINE)
    }

    /// From JSON.
    ///
    /// # Errors
    ///
    /// When it is not a run, or one of a format that this program does not know.
    pub fn from_json(text: &str) -> Result<Bench> {
        read(text, FORMAT, "a run of `cargo xtask bench`")
    }
}

/// As JSON, what is deeper than `deepest` on one line; fractions rounded to five significant digits.
pub(crate) fn write(value: &impl Serialize, deepest: usize) -> Result<String> {
    let mut bytes = Vec::new();
    let formatter = Compact {
        pretty: PrettyFormatter::new(),
        depth: 0,
        deepest,
    };
    value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter))?;
    bytes.push(b'\n');
    Ok(String::from_utf8(bytes)?)
}

/// From JSON, when its field `format` is this one. `what` it should be, for errors.
pub(crate) fn read<T: DeserializeOwned>(text: &str, format: u32, what: &str) -> Result<T> {
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let version: Version =
        serde_json::from_str(text).with_context(|| format!("not {what}: no field \"format\""))?;
    ensure!(
        version.format == format,
        "the run has format {}, this program reads format {format}: use the version of dynamicfs that \
         wrote it, or measure again",
        version.format
    );
    serde_json::from_str(text).with_context(|| format!("not {what}"))
}

/// Pretty above a depth, on one line below it.
struct Compact {
    pretty: PrettyFormatter<'static>,
    depth: usize,
    deepest: usize,
}

impl Compact {
    fn is_pretty(&self) -> bool {
        self.depth <= self.deepest
    }
}

/// Hands a call to the pretty formatter, or writes the text that stands for it on one line.
macro_rules! either {
    ($self:ident, $writer:ident, $call:ident($($argument:expr),*), $text:expr) => {
        if $self.is_pretty() {
            $self.pretty.$call($writer, $($argument),*)
        } else {
            $writer.write_all($text)
        }
    };
}

impl Formatter for Compact {
    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        self.pretty.write_f64(writer, rounded(value))
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        either!(self, writer, begin_array(), b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let result = either!(self, writer, end_array(), b"]");
        self.depth -= 1;
        result
    }

    fn begin_array_value<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        either!(
            self,
            writer,
            begin_array_value(first),
            if first { b"" } else { b"," }
        )
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        either!(self, writer, end_array_value(), b"")
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        either!(self, writer, begin_object(), b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let result = either!(self, writer, end_object(), b"}");
        self.depth -= 1;
        result
    }

    fn begin_object_key<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        either!(
            self,
            writer,
            begin_object_key(first),
            if first { b"" } else { b"," }
        )
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        either!(self, writer, begin_object_value(), b":")
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        either!(self, writer, end_object_value(), b"")
    }
}

fn rounded(value: f64) -> f64 {
    format!("{value:.*e}", DIGITS - 1).parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::sample;

    #[test]
    fn what_is_read_is_what_was_written_to_five_digits() {
        let run = sample::full();
        let text = run.to_json().unwrap();
        let read = Bench::from_json(&text).unwrap();
        assert_eq!(read.to_json().unwrap(), text, "rounding once is enough");
        assert_eq!(read.rows.len(), run.rows.len());
        let median = |run: &Bench| {
            run.rows[0].cells[1]
                .figures
                .as_ref()
                .unwrap()
                .seconds
                .median
        };
        let (before, after) = (median(&run), median(&read));
        assert!(((after - before) / before).abs() < 1e-4 && after != before);
    }

    #[test]
    fn a_cell_is_a_line() {
        let run = sample::full();
        let text = run.to_json().unwrap();
        let cells: usize = run.rows.iter().map(|row| row.cells.len()).sum();
        let lines = text
            .lines()
            .filter(|line| line.trim().starts_with(r#"{"contestant":"#));
        assert_eq!(lines.count(), cells);
    }

    #[test]
    fn another_format_is_refused_by_number() {
        let error = |text| Bench::from_json(text).unwrap_err().to_string();
        let other = error(r#"{"format": 999, "something": []}"#);
        assert!(other.contains("format 999") && other.contains(&format!("format {FORMAT}")));
        assert!(error("{}").contains("not a run"));
    }

    #[test]
    fn rounding_keeps_five_digits_of_any_size() {
        for (value, expected) in [
            (0.000_123_456_78, 0.000_123_46),
            (123_456.0, 123_460.0),
            (0.0, 0.0),
            (1.0, 1.0),
        ] {
            assert_eq!(rounded(value), expected);
        }
    }

    #[test]
    fn every_field_is_described() {
        fn fields(value: &serde_json::Value, found: &mut Vec<String>) {
            match value {
                serde_json::Value::Array(values) => values.iter().for_each(|it| fields(it, found)),
                serde_json::Value::Object(map) => {
                    for (name, value) in map {
                        found.push(name.clone());
                        if name != "requests" {
                            fields(value, found);
                        }
                    }
                }
                _ => {}
            }
        }
        let mut names = Vec::new();
        fields(&serde_json::to_value(sample::full()).unwrap(), &mut names);
        names.sort_unstable();
        names.dedup();
        let description = include_str!("../../../docs/BENCH.md");
        for name in names {
            assert!(
                description.contains(&format!("`{name}`")),
                "docs/BENCH.md lacks `{name}`"
            );
        }
    }
}
