//! What can be wrong with a configuration.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use super::origin::printable;
use super::{Origin, ValueError};

/// One thing that is wrong, in one line that says where, what, and what would be right.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value that is malformed or out of range.
    #[error("{}: {problem}; accepted: {accepted}", assignment(setting, value, origin.as_ref()))]
    Value {
        /// The setting, or the field of the struct where no text was involved.
        setting: String,
        /// The text that was given.
        value: String,
        /// Who gave it; none for a struct filled by a program.
        origin: Option<Origin>,
        /// Why it is refused.
        problem: ValueError,
        /// The range or the names.
        accepted: String,
    },
    /// Values that are each valid and cannot hold together.
    #[error("{}: {rule}", given.join(" and "))]
    Conflict {
        /// Each value as it was given.
        given: Vec<String>,
        /// What has to hold.
        rule: &'static str,
    },
    /// A name that does not exist.
    #[error("{place}: unknown {what}; {}", way_out(nearest.as_deref(), known))]
    Unknown {
        /// The name as it was given, with the file and line where it has one.
        place: String,
        /// Variable, key, option or flag.
        what: &'static str,
        /// The name that was probably meant.
        nearest: Option<String>,
        /// All names, for when none is near.
        known: String,
    },
    /// A mount option that is known but not usable as it was given.
    #[error("-o {option}: {reason}")]
    Option {
        /// The option.
        option: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A configuration file that cannot be read.
    #[error("{}{}: cannot be read: {source}", path.display(), asked_by(origin.as_ref()))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Who named it; none for the default place.
        origin: Option<Origin>,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// A configuration file that is not TOML.
    #[error("{}:{line}: not TOML: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser said.
        message: String,
    },
}

/// All that is wrong with a configuration, never empty. Printed one to a line.
#[derive(Debug, Clone, Error)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// `Ok` when there is nothing to report.
    pub(super) fn check(errors: Vec<ConfigError>) -> Result<(), Self> {
        if errors.is_empty() {
            Ok(())
        } else {
            Err(ConfigErrors(errors))
        }
    }

    /// Each of them.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.0.iter()
    }
}

/// For the errors of a `-o` text next to those of the layers.
impl Extend<ConfigError> for ConfigErrors {
    fn extend<T: IntoIterator<Item = ConfigError>>(&mut self, errors: T) {
        self.0.extend(errors);
    }
}

impl IntoIterator for ConfigErrors {
    type Item = ConfigError;
    type IntoIter = std::vec::IntoIter<ConfigError>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a ConfigErrors {
    type Item = &'a ConfigError;
    type IntoIter = std::slice::Iter<'a, ConfigError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

/// A value as it was given.
pub(super) fn assignment(setting: &str, value: &str, origin: Option<&Origin>) -> String {
    match origin {
        Some(origin) => origin.assignment(setting, value),
        None => format!("{setting} = {}", printable(value)),
    }
}

fn way_out(nearest: Option<&str>, known: &str) -> String {
    match nearest {
        Some(name) => format!("did you mean {name}?"),
        None => format!("known: {known}"),
    }
}

fn asked_by(origin: Option<&Origin>) -> String {
    origin.map_or_else(String::new, |origin| format!(" (from {origin})"))
}
