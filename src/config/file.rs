//! The configuration file: TOML to (key, text) pairs.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::{ConfigError, Origin};

/// A key with its value as text; no text for a table, an array or a date.
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) text: Option<String>,
}

/// The entries of the file at `path`, by line.
///
/// A file that nobody named may be absent; one that `named_by` somebody may not.
pub(super) fn read(path: &Path, named_by: Option<&Origin>) -> Result<Vec<Entry>, ConfigError> {
    match fs::read_to_string(path) {
        Ok(text) => parse(path, &text),
        Err(error) if error.kind() == io::ErrorKind::NotFound && named_by.is_none() => Ok(vec![]),
        Err(error) => Err(ConfigError::Unreadable {
            path: path.to_owned(),
            origin: named_by.cloned(),
            source: Arc::new(error),
        }),
    }
}

fn parse(path: &Path, text: &str) -> Result<Vec<Entry>, ConfigError> {
    let table = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        line: error.span().map_or(1, |span| line_of(text, span.start)),
        message: error.message().replace('\n', " "),
    })?;
    let mut entries: Vec<Entry> = table
        .into_inner()
        .into_iter()
        .map(|(key, value)| Entry {
            line: line_of(text, key.span().start),
            key: key.into_inner().into_owned(),
            text: scalar(value.get_ref()),
        })
        .collect();
    entries.sort_by_key(|entry| entry.line);
    Ok(entries)
}

/// The text that a flag would have: every layer goes through the same setter.
fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => {
            let decimal = i128::from_str_radix(number.as_str(), number.radix());
            Some(decimal.map_or_else(|_| number.to_string(), |n| n.to_string()))
        }
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(value) => Some(value.to_string()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

/// The line of a byte offset, from 1.
fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    1 + before.filter(|&&byte| byte == b'\n').count()
}
