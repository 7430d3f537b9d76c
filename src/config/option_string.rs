//! The text after `-o`: the mount's own options, our settings, and what only fstab(5) means.

use super::fields::{Field, fields, find};
use super::layers::{PRESET, find_name, nearest_setting};
use super::mount_options::{MountOption, PLAIN, Platform, merge_mount_options};
use super::suggest::nearest;
use super::{ConfigError, ConfigErrors, Preset};

/// Options for those who read fstab(5): mount(8), systemd, the init scripts. `nonempty` is the
/// permission, needed long ago, to mount over files.
const FSTAB_ONLY: &[&str] = &[
    "defaults", "auto", "noauto", "user", "nouser", "users", "owner", "noowner", "group",
    "nogroup", "_netdev", "nofail", "comment", "nonempty",
];

/// Options with a value that go to the kernel as they are (SELinux, mount(8)).
const PASSED_ON: &[&str] = &["context", "fscontext", "defcontext", "rootcontext"];

/// A `-o` text, taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParsedOptions {
    /// What goes to the kernel; of options that exclude each other only the last. Belongs on top
    /// of [`to_mount_options`](super::OptimizedFUSEConfig::to_mount_options), by
    /// [`merge_mount_options`].
    pub mount_options: Vec<MountOption>,
    /// Our own settings and `preset`, as (name, text) for
    /// [`Layers::mount_options`](super::Layers::mount_options), which reads the texts.
    pub settings: Vec<(&'static str, String)>,
    /// What was accepted and means nothing here, such as `noauto` or `x-systemd.automount`.
    pub ignored: Vec<String>,
}

/// Takes a `-o` text such as `preset=safe,attr_ttl=5,ro,noatime,_netdev` apart.
///
/// `\,` is a comma in a value, and so is one between double quotes, as mount(8) has it for SELinux
/// contexts. A switch stands for yes without a value (`writeback`). `allow_other` and
/// `default_permissions` are settings and are returned as such.
///
/// ```
/// use dynamicfs::{MountOption, parse_mount_options};
///
/// let parsed = parse_mount_options("attr_ttl=5,allow_other,ro,nofail")?;
/// assert_eq!(parsed.settings[0], ("attr_ttl", "5".to_owned()));
/// assert_eq!(parsed.settings[1], ("allow_other", "true".to_owned()));
/// assert_eq!(parsed.mount_options, [MountOption::Ro]);
/// assert_eq!(parsed.ignored, ["nofail"]);
/// # Ok::<(), dynamicfs::ConfigErrors>(())
/// ```
///
/// # Errors
///
/// All options that are unknown, lack their value, have one that they cannot have, or do not exist
/// on this platform. The values of settings are checked with the other layers.
pub fn parse_mount_options(text: &str) -> Result<ParsedOptions, ConfigErrors> {
    parse(text, Platform::HERE)
}

fn parse(text: &str, platform: Platform) -> Result<ParsedOptions, ConfigErrors> {
    let mut parsed = ParsedOptions::default();
    let mut errors = Vec::new();
    let (options, closed) = split(text);
    if !closed {
        let option = options.last().map_or("", String::as_str);
        errors.push(refused(option, "a double quote is not closed".to_owned()));
    }
    for option in &options {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (option.as_str(), None),
        };
        if let Err(error) = parsed.add(name.trim(), value, platform) {
            errors.push(error);
        }
    }
    ConfigErrors::check(errors)?;
    parsed.mount_options = merge_mount_options([], parsed.mount_options);
    Ok(parsed)
}

impl ParsedOptions {
    fn add(&mut self, name: &str, value: Option<&str>, on: Platform) -> Result<(), ConfigError> {
        if let Some(setting) = find_name(name) {
            self.settings.push((setting, setting_text(setting, value)?));
            return Ok(());
        }
        if FSTAB_ONLY.contains(&name) || name.starts_with("x-") || name.starts_with("X-") {
            let value = value.map_or_else(String::new, |value| format!("={value}"));
            self.ignored.push(format!("{name}{value}"));
            return Ok(());
        }
        self.mount_options.push(mount_option(name, value, on)?);
        Ok(())
    }
}

/// The text of a setting; a switch may go without.
fn setting_text(name: &str, value: Option<&str>) -> Result<String, ConfigError> {
    let field = find(name);
    match value {
        Some(value) => Ok(value.to_owned()),
        None if field.is_some_and(Field::is_switch) => Ok("true".to_owned()),
        None => {
            let accepted = field.map_or_else(|| Preset::NAMES.join(", "), Field::accepted);
            Err(refused(
                name,
                format!("needs a value: {name}=…; accepted: {accepted}"),
            ))
        }
    }
}

fn mount_option(
    name: &str,
    value: Option<&str>,
    platform: Platform,
) -> Result<MountOption, ConfigError> {
    if let Some((_, option)) = PLAIN.iter().find(|(plain, _)| *plain == name) {
        if let Some(value) = value {
            return Err(refused(
                &format!("{name}={value}"),
                "takes no value".to_owned(),
            ));
        }
        if *option == MountOption::AllowRoot && platform == Platform::Linux {
            let reason = "the Linux kernel has no such option; allow_other lets root in as well";
            return Err(refused(name, reason.to_owned()));
        }
        return Ok(option.clone());
    }
    let with_value: fn(&str, String) -> MountOption = match name {
        "fsname" => |_, value| MountOption::FSName(value),
        "subtype" => |_, value| MountOption::Subtype(value),
        _ if PASSED_ON.contains(&name) => {
            |name, value| MountOption::Custom(format!("{name}={value}"))
        }
        _ => return Err(unknown(name)),
    };
    match value {
        Some(value) if !value.is_empty() => Ok(with_value(name, value.to_owned())),
        _ => Err(refused(name, format!("needs a value: {name}=…"))),
    }
}

fn refused(option: &str, reason: String) -> ConfigError {
    ConfigError::Option {
        option: option.to_owned(),
        reason,
    }
}

fn unknown(name: &str) -> ConfigError {
    let ours = || std::iter::once(PRESET).chain(fields().iter().map(Field::name));
    let generic = || {
        let plain = PLAIN.iter().map(|(name, _)| *name);
        let valued = ["fsname", "subtype"].into_iter();
        plain.chain(valued).chain(PASSED_ON.iter().copied())
    };
    let all = || ours().chain(generic()).chain(FSTAB_ONLY.iter().copied());
    let near = nearest(name, all().map(|known| (known, known)));
    ConfigError::Unknown {
        place: format!("-o {name}"),
        what: "mount option",
        nearest: near.or_else(|| nearest_setting(name)).map(str::to_owned),
        known: all().collect::<Vec<_>>().join(", "),
    }
}

/// The options between commas, unescaped, and whether all quotes are closed; empty options are
/// left out.
fn split(text: &str) -> (Vec<String>, bool) {
    let mut options = vec![String::new()];
    let mut quoted = false;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ',' if !quoted => options.push(String::new()),
            _ => {
                let option = options.last_mut().expect("begins with one");
                match c {
                    '\\' => option.extend(chars.next()),
                    '"' => quoted = !quoted,
                    _ => option.push(c),
                }
            }
        }
    }
    options.retain(|option| !option.trim().is_empty());
    (options, !quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allow_root_exists_on_macos_alone() {
        let parsed = parse("allow_root", Platform::MacOs).unwrap();
        assert_eq!(parsed.mount_options, [MountOption::AllowRoot]);
        assert_eq!(
            parse("allow_root", Platform::Linux)
                .unwrap_err()
                .to_string(),
            "-o allow_root: the Linux kernel has no such option; allow_other lets root in as well"
        );
    }

    #[test]
    fn commas_in_values() {
        let options = |text| split(text).0;
        assert_eq!(
            options(r#"a,b=c\,d,e="f,g",,h\\i, "#),
            ["a", "b=c,d", "e=f,g", r"h\i"]
        );
        assert!(options("").is_empty());
        assert_eq!(options(r"a\"), ["a"]);
        assert_eq!(
            parse(r#"ro,fsname="a,nosuid"#, Platform::Linux)
                .unwrap_err()
                .to_string(),
            "-o fsname=a,nosuid: a double quote is not closed"
        );
    }

    #[test]
    fn what_is_printed_is_read_back() {
        for (_, option) in PLAIN {
            if matches!(
                option,
                MountOption::AllowOther | MountOption::DefaultPermissions
            ) {
                continue; // Settings, see `parse_mount_options`.
            }
            let parsed = parse(&option.to_string(), Platform::MacOs).unwrap();
            assert_eq!(parsed.mount_options, std::slice::from_ref(option));
        }
        for option in [
            MountOption::FSName(r#"a,b\c "d""#.to_owned()),
            MountOption::Subtype("x".to_owned()),
            MountOption::Custom("context=u:r:t:s0:c1,c2".to_owned()),
        ] {
            let parsed = parse(&option.to_string(), Platform::Linux).unwrap();
            assert_eq!(parsed.mount_options, [option]);
        }
    }
}
