//! The accepted differences from ext4, `lab/exceptions.toml`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::target::Permissions;

/// Why a difference is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The kernel's FUSE client does it, and no daemon can change that.
    Kernel,
    /// The machine that the lab runs on does it.
    Environment,
    /// Chosen, and written down in `docs/SEMANTICS.md`.
    Documented,
}

/// One accepted difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// `pjdfstest`, `fsx`, `suite` or `programs`.
    pub suite: String,
    /// Name of the case.
    pub test: String,
    /// Name of the preset, or `*` for each.
    pub preset: String,
    /// Only with these permissions; absent: with either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Permissions>,
    /// Why, in a word.
    pub class: Class,
    /// Why, in a sentence.
    pub reason: String,
}

impl Exception {
    /// Whether it speaks of this case.
    pub fn covers(&self, suite: &str, test: &str, preset: &str, permissions: Permissions) -> bool {
        self.suite == suite
            && self.test == test
            && (self.preset == "*" || self.preset == preset)
            && self.permissions.is_none_or(|only| only == permissions)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    exception: Vec<Exception>,
}

/// Reads the file.
///
/// # Errors
///
/// When it cannot be read, has a field that does not exist, or an entry without a reason.
pub fn load(path: &Path) -> Result<Vec<Exception>> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| path.display().to_string())
}

fn parse(text: &str) -> Result<Vec<Exception>> {
    let file: File = toml::from_str(text)?;
    for exception in &file.exception {
        if exception.reason.trim().is_empty() {
            bail!(
                "the exception for {} {} has no reason",
                exception.suite,
                exception.test
            );
        }
    }
    Ok(file.exception)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = "[[exception]]\nsuite = \"fsx\"\ntest = \"a\"\npreset = \"*\"\n\
                         class = \"kernel\"\nreason = \"because\"\n";

    #[test]
    fn a_wildcard_covers_every_preset_of_that_case_only() {
        let exception = &parse(ENTRY).unwrap()[0];
        assert!(exception.covers("fsx", "a", "safe", Permissions::Kernel));
        assert!(!exception.covers("fsx", "b", "safe", Permissions::Kernel));
        assert!(!exception.covers("suite", "a", "safe", Permissions::Kernel));
    }

    #[test]
    fn permissions_narrow_an_entry() {
        let exception = &parse(&format!("{ENTRY}permissions = \"storage\"\n")).unwrap()[0];
        assert!(exception.covers("fsx", "a", "safe", Permissions::Storage));
        assert!(!exception.covers("fsx", "a", "safe", Permissions::Kernel));
    }

    #[test]
    fn an_entry_needs_a_reason_and_known_fields() {
        assert!(parse(&ENTRY.replace("because", " ")).is_err());
        assert!(parse(&ENTRY.replace("reason = \"because\"\n", "")).is_err());
        assert!(parse(&ENTRY.replace("kernel", "whim")).is_err());
        assert!(parse(&format!("{ENTRY}note = \"x\"\n")).is_err());
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn the_file_of_the_project_is_well_formed() {
        load(&crate::paths::Paths::discover().exceptions()).unwrap();
    }
}
