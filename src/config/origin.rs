//! Where a value came from.

use std::fmt;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

use super::Preset;

/// Where an effective value came from, from the weakest to the strongest.
///
/// Printed as what the user has to edit: `preset balanced`, `/etc/dynamicfs/config.toml:3`,
/// `DYNAMICFS_ATTR_TTL`, `-o attr_ttl`, `--attr-ttl`. Serialised as that text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything: only a preset can have this origin.
    Default,
    /// The preset.
    Preset(Preset),
    /// A configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line of the key, from 1.
        line: usize,
    },
    /// An environment variable, by its name.
    Environment(String),
    /// A mount option, by the setting's name.
    MountOption(String),
    /// A command-line flag, by the setting's name.
    Flag(String),
}

impl Origin {
    /// The value as it was given there, in one line.
    pub(super) fn assignment(&self, setting: &str, value: &str) -> String {
        let value = printable(value);
        match self {
            Origin::Default | Origin::Preset(_) => format!("{setting} = {value} ({self})"),
            Origin::File { .. } => format!("{self}: {setting} = {value}"),
            Origin::Environment(_) | Origin::MountOption(_) => format!("{self}={value}"),
            Origin::Flag(_) => format!("{self} {value}"),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::Preset(preset) => write!(f, "preset {preset}"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Environment(variable) => f.write_str(variable),
            Origin::MountOption(name) => write!(f, "-o {name}"),
            Origin::Flag(name) => write!(f, "--{}", name.replace('_', "-")),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// `text` in one line of bounded length, whatever was typed.
pub(super) fn printable(text: &str) -> String {
    const LONGEST: usize = 80;
    if text.is_empty() {
        return "\"\"".to_owned();
    }
    let escaped: String = text
        .chars()
        .take(LONGEST)
        .flat_map(|c| {
            let control = c.is_control().then(|| c.escape_default());
            let plain = (!c.is_control()).then_some(c);
            control.into_iter().flatten().chain(plain)
        })
        .collect();
    match text.chars().nth(LONGEST) {
        Some(_) => escaped + "…",
        None => escaped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_in_one_line() {
        assert_eq!(printable("5\ns\t"), "5\\ns\\t");
        assert_eq!(printable(&"x".repeat(80)), "x".repeat(80));
        assert_eq!(printable(&"x".repeat(81)), "x".repeat(80) + "…");
        assert_eq!(printable("µ"), "µ");
        assert_eq!(printable(""), "\"\"");
    }
}
