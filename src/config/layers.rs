//! From preset, file, environment, mount options and flags to one configuration.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::fields::{Field, PREFIX, fields, find};
use super::suggest::nearest;
use super::validation::conflicts;
use super::{ConfigError, ConfigErrors, OptimizedFUSEConfig, Origin, Preset, ValueError, file};

/// The configuration file that is read when none is named; it may be absent.
pub const DEFAULT_CONFIG_FILE: &str = "/etc/dynamicfs/config.toml";

/// Variables with the common prefix that are not settings: the path of the configuration file, the
/// filter of the log, and the directory of the sockets.
pub const RESERVED_VARIABLES: [&str; 3] =
    [CONFIG_VARIABLE, "DYNAMICFS_LOG", "DYNAMICFS_RUNTIME_DIR"];

const CONFIG_VARIABLE: &str = "DYNAMICFS_CONFIG";

/// The name of the choice of preset, which is no field: it fills all of them.
pub(super) const PRESET: &str = "preset";

/// The layers of a configuration; the later of these wins: preset, file, environment, mount
/// options, flags.
///
/// ```
/// use dynamicfs::config::{Layers, Origin};
///
/// let resolved = Layers::new()
///     .default_file(None)
///     .environment([("DYNAMICFS_READAHEAD_SIZE", "512k"), ("HOME", "/root")])
///     .flags([("preset", "safe"), ("attr_ttl", "1500ms")])
///     .resolve()?;
/// assert_eq!(resolved.config.readahead_size, 512 * 1024);
/// assert_eq!(resolved.config.attr_timeout_millis, 500);
/// assert_eq!(resolved.origin("attr_ttl").unwrap().to_string(), "--attr-ttl");
/// # Ok::<(), dynamicfs::ConfigErrors>(())
/// ```
#[derive(Debug, Clone)]
pub struct Layers {
    default_file: Option<PathBuf>,
    config_file: Option<PathBuf>,
    environment: Vec<(OsString, OsString)>,
    mount_options: Vec<(String, String)>,
    flags: Vec<(String, String)>,
}

impl Default for Layers {
    fn default() -> Self {
        Self::new()
    }
}

impl Layers {
    /// No layers but the default preset and the file at [`DEFAULT_CONFIG_FILE`].
    ///
    /// The environment of the process is not read unless it is given, as
    /// `.environment(std::env::vars_os())`.
    pub fn new() -> Self {
        Layers {
            default_file: Some(DEFAULT_CONFIG_FILE.into()),
            config_file: None,
            environment: Vec::new(),
            mount_options: Vec::new(),
            flags: Vec::new(),
        }
    }

    /// Another place for the file that may be absent, or none.
    pub fn default_file(mut self, path: Option<PathBuf>) -> Self {
        self.default_file = path;
        self
    }

    /// The file of `--config`, which must exist. Stronger than `DYNAMICFS_CONFIG`.
    pub fn config_file(mut self, path: Option<PathBuf>) -> Self {
        self.config_file = path;
        self
    }

    /// Environment variables; those without the prefix `DYNAMICFS_` are not looked at.
    pub fn environment<K, V>(mut self, variables: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let variables = variables.into_iter().map(|(k, v)| (k.into(), v.into()));
        let ours = variables.filter(|(name, _): &(OsString, _)| {
            name.as_encoded_bytes().starts_with(PREFIX.as_bytes())
        });
        self.environment.extend(ours);
        // The environment has no order of its own; errors should have one.
        self.environment.sort();
        self
    }

    /// Settings from `-o`, as [`parse_mount_options`](super::parse_mount_options) returns them; of
    /// one name the last wins.
    pub fn mount_options<K, V>(mut self, settings: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<String>,
        V: Into<String>,
    {
        let settings = settings.into_iter().map(|(k, v)| (k.into(), v.into()));
        self.mount_options.extend(settings);
        self
    }

    /// Settings from command-line flags, by the setting's name; of one name the last wins.
    pub fn flags<K, V>(mut self, settings: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<String>,
        V: Into<String>,
    {
        let settings = settings.into_iter().map(|(k, v)| (k.into(), v.into()));
        self.flags.extend(settings);
        self
    }

    /// Puts the layers on top of each other.
    ///
    /// # Errors
    ///
    /// All that is wrong in all layers, also in values that a stronger layer overrides, and the
    /// contradictions of the result.
    pub fn resolve(&self) -> Result<Resolved, ConfigErrors> {
        let mut collected = Collected::default();
        if let Some((path, named_by)) = self.file() {
            collected.file(&path, named_by.as_ref());
        }
        collected.environment(&self.environment);
        for (name, value) in &self.mount_options {
            collected.setting(name, value, Origin::MountOption(name.clone()));
        }
        for (name, value) in &self.flags {
            collected.setting(name, value, Origin::Flag(name.clone()));
        }
        collected.resolve()
    }

    /// The file to read and who named it.
    fn file(&self) -> Option<(PathBuf, Option<Origin>)> {
        if let Some(path) = &self.config_file {
            return Some((path.clone(), Some(Origin::Flag("config".to_owned()))));
        }
        let variable = self
            .environment
            .iter()
            .find(|(name, _)| name == CONFIG_VARIABLE);
        if let Some((_, path)) = variable {
            let origin = Origin::Environment(CONFIG_VARIABLE.to_owned());
            return Some((path.into(), Some(origin)));
        }
        self.default_file.clone().map(|path| (path, None))
    }
}

/// What the layers say, from the weakest to the strongest, and what is wrong with it.
#[derive(Default)]
struct Collected {
    preset: Option<(Preset, Origin)>,
    settings: Vec<(&'static Field, String, Origin)>,
    errors: Vec<ConfigError>,
    /// Settings whose value is not known because one was refused.
    refused: Vec<&'static str>,
}

impl Collected {
    fn file(&mut self, path: &Path, named_by: Option<&Origin>) {
        let entries = match file::read(path, named_by) {
            Ok(entries) => entries,
            Err(error) => return self.errors.push(error),
        };
        for entry in entries {
            let origin = Origin::File {
                path: path.to_owned(),
                line: entry.line,
            };
            match (find_name(&entry.key), entry.text) {
                (None, _) => self.unknown(&entry.key, &origin),
                (Some(_), Some(text)) => self.setting(&entry.key, &text, origin),
                (Some(name), None) => self.refuse(name, "…", origin, ValueError::NotAScalar),
            }
        }
    }

    fn environment(&mut self, variables: &[(OsString, OsString)]) {
        for (variable, value) in variables {
            if RESERVED_VARIABLES
                .iter()
                .any(|reserved| variable == reserved)
            {
                continue;
            }
            let variable = variable.to_string_lossy().into_owned();
            let name = variable[PREFIX.len()..].to_ascii_lowercase();
            // Variables are upper case; the others would pass as settings once lowered.
            let known = !variable.contains(|c: char| c.is_ascii_lowercase() || c == '-');
            let origin = Origin::Environment(variable);
            match (find_name(&name).filter(|_| known), value.to_str()) {
                (None, _) => self.unknown(&name, &origin),
                (Some(_), Some(text)) => self.setting(&name, text, origin),
                (Some(name), None) => {
                    self.refuse(name, &lossy(value), origin, ValueError::NotUnicode)
                }
            }
        }
    }

    fn setting(&mut self, name: &str, text: &str, origin: Origin) {
        if name == PRESET {
            match text.parse() {
                Ok(preset) => self.preset = Some((preset, origin)),
                Err(_) => self.refuse(PRESET, text, origin, ValueError::NotAName),
            }
            return;
        }
        let Some(field) = find(name) else {
            return self.unknown(name, &origin);
        };
        // Also what a stronger layer overrides is checked, so that it does not bite later.
        match field.set(&mut OptimizedFUSEConfig::balanced(), text) {
            Ok(()) => self.settings.push((field, text.to_owned(), origin)),
            Err(problem) => self.refuse(field.name(), text, origin, problem),
        }
    }

    fn refuse(&mut self, name: &'static str, value: &str, origin: Origin, problem: ValueError) {
        self.refused.push(name);
        self.errors.push(ConfigError::Value {
            setting: name.to_owned(),
            value: value.to_owned(),
            origin: Some(origin),
            problem,
            accepted: find(name).map_or_else(|| Preset::NAMES.join(", "), Field::accepted),
        });
    }

    fn unknown(&mut self, name: &str, origin: &Origin) {
        let (what, place) = match origin {
            Origin::Environment(_) => ("variable", origin.to_string()),
            Origin::File { .. } => ("key", format!("{origin}: {name}")),
            Origin::MountOption(_) => ("mount option", origin.to_string()),
            _ => ("flag", origin.to_string()),
        };
        let spell = |name: &str| match origin {
            Origin::Environment(_) => format!("{PREFIX}{}", name.to_ascii_uppercase()),
            Origin::Flag(_) => Origin::Flag(name.to_owned()).to_string(),
            _ => name.to_owned(),
        };
        let known = std::iter::once(PRESET).chain(fields().iter().map(Field::name));
        self.errors.push(ConfigError::Unknown {
            place,
            what,
            nearest: nearest_setting(name).map(spell),
            known: known.map(spell).collect::<Vec<_>>().join(", "),
        });
    }

    fn resolve(mut self) -> Result<Resolved, ConfigErrors> {
        let (preset, preset_origin) = self.preset.unwrap_or((Preset::default(), Origin::Default));
        let mut resolved = Resolved {
            config: preset.config(),
            preset,
            preset_origin,
            origins: vec![Origin::Preset(preset); fields().len()],
        };
        for (field, text, origin) in self.settings {
            if field.set(&mut resolved.config, &text).is_ok() {
                resolved.origins[position(field)] = origin;
            }
        }
        // A contradiction with a value that was refused is noise: it may go with the refusal.
        let refused = |name: &&str| self.refused.contains(name) || self.refused.contains(&PRESET);
        let contradictions = conflicts(&resolved.config)
            .into_iter()
            .filter(|conflict| !conflict.settings.iter().any(refused));
        let contradictions: Vec<_> = contradictions
            .map(|conflict| conflict.error(&resolved.config, |name| resolved.origin(name).cloned()))
            .collect();
        self.errors.extend(contradictions);
        ConfigErrors::check(self.errors).map(|()| resolved)
    }
}

/// A configuration with the origin of each value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resolved {
    /// The values: valid, as [`validate`](OptimizedFUSEConfig::validate) means it.
    pub config: OptimizedFUSEConfig,
    /// The preset below the other layers.
    pub preset: Preset,
    /// Who chose the preset.
    pub preset_origin: Origin,
    /// One for each of [`fields()`].
    origins: Vec<Origin>,
}

/// One setting of a [`Resolved`] configuration, ready for printing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SettingInForce<'a> {
    /// The setting's name.
    pub name: &'static str,
    /// Its value, in the form in which it can be given.
    pub value: String,
    /// Where the value came from.
    pub origin: &'a Origin,
    /// What it is.
    pub description: &'static str,
}

impl Resolved {
    /// All settings in the order of presentation.
    pub fn settings(&self) -> impl Iterator<Item = SettingInForce<'_>> {
        fields()
            .iter()
            .zip(&self.origins)
            .map(|(field, origin)| SettingInForce {
                name: field.name(),
                value: field.get(&self.config),
                origin,
                description: field.description(),
            })
    }

    /// Where the value of a setting came from; of `preset`, who chose it.
    pub fn origin(&self, name: &str) -> Option<&Origin> {
        if name == PRESET {
            return Some(&self.preset_origin);
        }
        find(name).map(|field| &self.origins[position(field)])
    }
}

impl From<Preset> for Resolved {
    fn from(preset: Preset) -> Self {
        Resolved {
            config: preset.config(),
            preset,
            preset_origin: Origin::Default,
            origins: vec![Origin::Preset(preset); fields().len()],
        }
    }
}

/// The name of the setting or of the preset, as it is written in the table.
pub(super) fn find_name(name: &str) -> Option<&'static str> {
    match name {
        PRESET => Some(PRESET),
        _ => find(name).map(Field::name),
    }
}

/// The setting that was probably meant; the names of the struct's members lead to it as well.
pub(super) fn nearest_setting(name: &str) -> Option<&'static str> {
    let names = fields().iter().map(|field| (field.name(), field.name()));
    let members = fields().iter().map(|field| (field.member(), field.name()));
    let all = names.chain(members).chain([(PRESET, PRESET)]);
    nearest(&name.replace('-', "_"), all)
}

/// The place of a field in the table.
fn position(field: &'static Field) -> usize {
    let same = |other: &Field| std::ptr::eq(field, other);
    fields()
        .iter()
        .position(same)
        .expect("fields come from the table")
}

fn lossy(text: &OsStr) -> String {
    text.to_string_lossy().into_owned()
}
