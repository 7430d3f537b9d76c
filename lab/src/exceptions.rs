//! The accepted differences from ext4, `lab/exceptions.toml`.

use std::path::Path;
use std::{fmt, fs};

use anyhow::{Context, Result, bail, ensure};
use dynamicfs::config::{Preset, TransportChoice};
use dynamicfs::transport;
use serde::{Deserialize, Serialize};
use wildmatch::WildMatch;

use crate::compare::Subject;
use crate::suites::Suite;
use crate::target::Permissions;

/// What stands for every preset.
const EVERY: &str = "*";

/// Why a difference is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The kernel's FUSE client does it, and no daemon can change that.
    Kernel,
    /// The machine that the lab runs on does it.
    Environment,
    /// Chosen, and written down in `docs/SEMANTICS.md`.
    Documented,
}

impl Class {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Class::Kernel => "kernel",
            Class::Environment => "environment",
            Class::Documented => "documented",
        }
    }
}

/// One accepted difference: a case on one preset, or on any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// Name of the suite.
    pub suite: String,
    /// Name of the case.
    pub test: String,
    /// Name of the preset, or `*` for each.
    pub preset: String,
    /// Only with these permissions; absent: with either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Permissions>,
    /// Only on these targets; absent: on all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<Vec<String>>,
    /// Only on mounts whose requests come by these transports; absent: by any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transports: Option<Vec<String>>,
    /// Only when the preset skips the case, for a reason of this form; `test` is a pattern too then. In
    /// both, `*` and `?` stand for characters. For xfstests, which skips by what it knows of a type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// Why, in a word.
    pub class: Class,
    /// Why, in a sentence.
    pub reason: String,
}

impl Exception {
    /// Whether it speaks of this case there.
    pub fn covers(&self, subject: Subject<'_>, test: &str) -> bool {
        self.suite == subject.suite.name()
            && self.names(test)
            && (self.preset == EVERY || self.preset == subject.preset)
            && self
                .permissions
                .is_none_or(|only| only == subject.permissions)
            && self
                .targets
                .as_ref()
                .is_none_or(|only| only.iter().any(|name| name == subject.target))
    }

    fn names(&self, test: &str) -> bool {
        match self.skipped {
            None => self.test == test,
            Some(_) => WildMatch::new(&self.test).matches(test),
        }
    }

    /// Whether it accepts an outcome in this form of words ([`crate::compare::Difference::preset`]).
    pub fn accepts(&self, outcome: &str) -> bool {
        self.skipped
            .as_ref()
            .is_none_or(|reason| WildMatch::new(&format!("skipped ({reason})")).matches(outcome))
    }

    /// It, as far as it is about mounts whose transports are those that `choice` leads to: one for each
    /// preset where that is not all of them.
    fn narrowed_to(self, choice: TransportChoice) -> Vec<Exception> {
        let Some(only) = &self.transports else {
            return vec![self];
        };
        let is_about = |preset: &Preset| {
            let transport = transport_of(*preset, choice);
            only.iter().any(|name| name == transport)
        };
        let (about, others): (Vec<Preset>, Vec<Preset>) = Preset::ALL
            .iter()
            .filter(|preset| self.preset == EVERY || self.preset == preset.name())
            .partition(|preset| is_about(preset));
        if others.is_empty() {
            return vec![self];
        }
        let on = |preset: &Preset| Exception {
            preset: preset.name().to_owned(),
            ..self.clone()
        };
        about.iter().map(on).collect()
    }

    /// One for a case of the project's own suite, for tests.
    #[cfg(test)]
    pub(crate) fn of_suite(test: &str, preset: &str) -> Self {
        Exception {
            suite: "suite".to_owned(),
            test: test.to_owned(),
            preset: preset.to_owned(),
            permissions: None,
            targets: None,
            transports: None,
            skipped: None,
            class: Class::Kernel,
            reason: "so it is".to_owned(),
        }
    }
}

/// Which case it is about, and where.
impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} on {}", self.suite, self.test, self.preset)
    }
}

/// How requests of a preset arrive: as it says itself, unless something else is chosen.
fn transport_of(preset: Preset, choice: TransportChoice) -> &'static str {
    let choice = match choice {
        TransportChoice::Auto => preset.config().transport,
        chosen => chosen,
    };
    transport::of(choice).name()
}

fn narrowed(what: &str, only: Option<&[String]>, names: &[impl AsRef<str>]) -> Result<()> {
    let Some(only) = only else {
        return Ok(());
    };
    ensure!(
        !only.is_empty(),
        "its list of {what}s is empty: leave it out for all {what}s"
    );
    only.iter().try_for_each(|name| known(what, name, names))
}

fn known(what: &str, name: &str, names: &[impl AsRef<str>]) -> Result<()> {
    if names.iter().any(|known| known.as_ref() == name) {
        return Ok(());
    }
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    bail!("there is no {what} {name:?}; there is {}", names.join(", "));
}

/// An entry of the file: what differs for one reason.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    suite: String,
    tests: Vec<String>,
    presets: Option<Vec<String>>,
    permissions: Option<Permissions>,
    targets: Option<Vec<String>>,
    transports: Option<Vec<String>>,
    skipped: Option<String>,
    class: Class,
    reason: String,
}

impl Entry {
    /// One that can never apply would never be noticed.
    fn check(&self, targets: &[String]) -> Result<()> {
        ensure!(!self.reason.trim().is_empty(), "it has no reason");
        ensure!(!self.tests.is_empty(), "its list of tests is empty");
        known("suite", &self.suite, &Suite::ALL.map(Suite::name))?;
        let presets = Preset::ALL.map(Preset::name);
        narrowed("preset", self.presets.as_deref(), &presets)?;
        narrowed("target", self.targets.as_deref(), targets)?;
        // What a mount has, not what it may be asked for.
        let transports =
            [TransportChoice::Fuser, TransportChoice::Linux].map(TransportChoice::name);
        narrowed("transport", self.transports.as_deref(), &transports)
    }

    /// Each of its cases, on each of the presets that it lists.
    fn one_by_one(self) -> Vec<Exception> {
        let presets = self.presets.unwrap_or_else(|| vec![EVERY.to_owned()]);
        let mut all = Vec::with_capacity(self.tests.len() * presets.len());
        for test in &self.tests {
            for preset in &presets {
                all.push(Exception {
                    suite: self.suite.clone(),
                    test: test.clone(),
                    preset: preset.clone(),
                    permissions: self.permissions,
                    targets: self.targets.clone(),
                    transports: self.transports.clone(),
                    skipped: self.skipped.clone(),
                    class: self.class,
                    reason: self.reason.clone(),
                });
            }
        }
        all
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    exception: Vec<Entry>,
}

/// Reads the file, as far as it is about mounts by the transports that `choice` leads to
/// ([`TransportChoice::Auto`]: those of the presets). `targets` are the names that an entry may be narrowed
/// to.
///
/// # Errors
///
/// When it cannot be read, has a field that does not exist, an entry without a reason, or one that
/// names a suite, preset, target or transport that does not exist.
pub fn load(path: &Path, targets: &[String], choice: TransportChoice) -> Result<Vec<Exception>> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let all = parse(&text, targets).with_context(|| path.display().to_string())?;
    let narrowed = all
        .into_iter()
        .flat_map(|exception| exception.narrowed_to(choice));
    Ok(narrowed.collect())
}

fn parse(text: &str, targets: &[String]) -> Result<Vec<Exception>> {
    let file: File = toml::from_str(text)?;
    let mut all = Vec::new();
    for entry in file.exception {
        entry.check(targets).with_context(|| {
            format!(
                "the exception for {} {}",
                entry.suite,
                entry.tests.join(", ")
            )
        })?;
        all.extend(entry.one_by_one());
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = "[[exception]]\nsuite = \"fsx\"\ntests = [\"a\"]\n\
                         class = \"kernel\"\nreason = \"because\"\n";

    const SUBJECT: Subject<'_> = Subject {
        target: "host",
        suite: Suite::Fsx,
        preset: "safe",
        permissions: Permissions::Kernel,
    };

    fn read(text: &str) -> Result<Vec<Exception>> {
        parse(text, &["host".to_owned(), "linux-7".to_owned()])
    }

    #[test]
    fn an_entry_without_presets_covers_every_preset_of_that_case_only() {
        let exception = &read(ENTRY).unwrap()[0];
        assert!(exception.covers(SUBJECT, "a"));
        assert!(!exception.covers(SUBJECT, "b"));
        let suite = Suite::Suite;
        assert!(!exception.covers(Subject { suite, ..SUBJECT }, "a"));
    }

    #[test]
    fn an_entry_is_taken_apart_so_that_each_case_on_each_preset_must_be_needed() {
        let text = ENTRY.replace("\"a\"", "\"a\", \"b\"") + "presets = [\"safe\", \"baseline\"]\n";
        let all = read(&text).unwrap();
        let names: Vec<_> = all
            .iter()
            .map(|exception| format!("{} on {}", exception.test, exception.preset))
            .collect();
        assert_eq!(
            names,
            ["a on safe", "a on baseline", "b on safe", "b on baseline"]
        );
    }

    #[test]
    fn permissions_narrow_an_entry() {
        let exception = &read(&format!("{ENTRY}permissions = \"storage\"\n")).unwrap()[0];
        let permissions = Permissions::Storage;
        let by_storage = Subject {
            permissions,
            ..SUBJECT
        };
        assert!(exception.covers(by_storage, "a"));
        assert!(!exception.covers(SUBJECT, "a"));
    }

    #[test]
    fn targets_narrow_an_entry() {
        let exception = &read(&format!("{ENTRY}targets = [\"linux-7\"]\n")).unwrap()[0];
        let target = "linux-7";
        assert!(exception.covers(Subject { target, ..SUBJECT }, "a"));
        assert!(!exception.covers(SUBJECT, "a"));
    }

    #[test]
    fn transports_narrow_an_entry() {
        let presets = |transport: &str, choice: TransportChoice| -> Vec<String> {
            let text = format!("{ENTRY}transports = [\"{transport}\"]\n");
            let all = read(&text).unwrap().into_iter();
            let narrowed = all.flat_map(|exception| exception.narrowed_to(choice));
            narrowed.map(|exception| exception.preset).collect()
        };
        assert_eq!(presets("linux", TransportChoice::Linux), [EVERY]);
        assert!(presets("linux", TransportChoice::Fuser).is_empty());
        assert_eq!(presets("fuser", TransportChoice::Auto), ["baseline"]);
        assert_eq!(
            presets("linux", TransportChoice::Auto),
            ["balanced", "high-performance", "safe"]
        );
        let of_any = read(ENTRY).unwrap().remove(0);
        assert_eq!(of_any.clone().narrowed_to(TransportChoice::Auto), [of_any]);
    }

    #[test]
    fn a_reason_to_skip_narrows_an_entry_and_widens_it_to_many_cases() {
        let text = ENTRY.replace("\"a\"", "\"g/*\"") + "skipped = \"no * here\"\n";
        let exception = &read(&text).unwrap()[0];
        assert!(exception.covers(SUBJECT, "g/7"));
        assert!(!exception.covers(SUBJECT, "a"));
        assert!(exception.accepts("skipped (no device here)"));
        assert!(!exception.accepts("skipped (other)"));
        assert!(!exception.accepts("failed (no device here)"));
        assert!(read(ENTRY).unwrap()[0].accepts("failed"));
    }

    #[test]
    fn an_entry_needs_a_reason_and_known_fields() {
        assert!(read(&ENTRY.replace("because", " ")).is_err());
        assert!(read(&ENTRY.replace("reason = \"because\"\n", "")).is_err());
        assert!(read(&ENTRY.replace("kernel", "whim")).is_err());
        assert!(read(&format!("{ENTRY}note = \"x\"\n")).is_err());
        assert!(read(&ENTRY.replace("\"a\"", "")).is_err());
        assert!(read("").unwrap().is_empty());
    }

    #[test]
    fn an_entry_that_can_never_apply_is_an_error_that_names_what_does_not_exist() {
        let refused = |text: &str| format!("{:#}", read(text).unwrap_err());
        for (text, name) in [
            (ENTRY.replace("fsx", "fsy"), "no suite \"fsy\""),
            (
                format!("{ENTRY}presets = [\"safe\", \"saef\"]\n"),
                "no preset \"saef\"",
            ),
            (format!("{ENTRY}presets = []\n"), "list of presets is empty"),
            (
                format!("{ENTRY}targets = [\"host\", \"hots\"]\n"),
                "no target \"hots\"",
            ),
            (format!("{ENTRY}targets = []\n"), "list of targets is empty"),
            (
                format!("{ENTRY}transports = [\"auto\"]\n"),
                "no transport \"auto\"",
            ),
        ] {
            let error = refused(&text);
            assert!(error.contains(name) && error.contains(" a: "), "{error}");
        }
    }

    #[test]
    fn the_file_of_the_project_is_well_formed() {
        let paths = crate::paths::Paths::discover();
        let targets = crate::images::names(&paths).unwrap();
        for choice in [
            TransportChoice::Auto,
            TransportChoice::Fuser,
            TransportChoice::Linux,
        ] {
            load(&paths.exceptions(), &targets, choice).unwrap();
        }
    }
}
