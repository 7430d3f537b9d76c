//! From arguments to a mount that can be made: configuration, source, mountpoint, options.

use std::path::{Path, PathBuf};

use crate::config::{
    ConfigErrors, Layers, MountOption, Origin, ParsedOptions, Resolved, merge_mount_options,
    parse_mount_options, units,
};
use crate::transport::Negotiated;

use super::arguments::MountArgs;
use super::checks;
use super::exit::{Exit, Failure};

/// What is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A directory, absolute and without symbolic links.
    Directory(PathBuf),
    /// Memory; so many bytes, or the default of the storage.
    Memory(Option<u64>),
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Directory(path) => path.display().fmt(f),
            Source::Memory(None) => f.write_str("memory:"),
            Source::Memory(Some(bytes)) => write!(f, "memory:{}", units::format_size(*bytes)),
        }
    }
}

/// Everything that a mount needs, checked.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) source: Source,
    /// Absolute and without symbolic links, or `/dev/fd/N`.
    pub(crate) mountpoint: PathBuf,
    pub(crate) resolved: Resolved,
    pub(crate) options: Vec<MountOption>,
    /// What was asked and already given up, for the report.
    pub(crate) given_up: Vec<Negotiated>,
    /// What the user should know although it goes on.
    pub(crate) warnings: Vec<String>,
}

/// Checks everything that can be checked before anything is changed.
pub(crate) fn prepare(args: &MountArgs) -> Result<Prepared, Failure> {
    let (mut resolved, parsed) =
        configuration(args).map_err(|errors| Failure::new(Exit::Usage, errors))?;
    let source = source(args)?;
    let mut warnings = Vec::new();
    let (mountpoint, given_up) = place(args, &source, &mut resolved, &mut warnings)?;
    let mut given = vec![MountOption::FSName(source.to_string())];
    given.extend(parsed.mount_options);
    if args.read_only {
        given.push(MountOption::Ro);
    }
    Ok(Prepared {
        options: merge_mount_options(resolved.config.to_mount_options(), given),
        source,
        mountpoint,
        resolved,
        given_up: given_up.into_iter().collect(),
        warnings,
    })
}

/// Where to mount, and what was asked of the mount and is given up.
fn place(
    args: &MountArgs,
    source: &Source,
    resolved: &mut Resolved,
    warnings: &mut Vec<String>,
) -> Result<(PathBuf, Option<Negotiated>), Failure> {
    let apart = |at: &Path| match source {
        Source::Directory(source) => checks::apart(source, at),
        Source::Memory(_) => Ok(()),
    };
    let Some(given) = checks::given(&args.mountpoint)? else {
        let mountpoint = checks::mountpoint(&args.mountpoint, warnings)?;
        apart(&mountpoint)?;
        checks::fuse()?;
        return Ok((mountpoint, checks::allow_other(resolved)?));
    };
    // Mounted already, with what its maker was allowed to.
    given.mountpoint().map_or(Ok(()), apart)?;
    if given.is_mounted_elsewhere() && resolved.config.default_permissions {
        warnings.push(format!(
            "mountpoint {}: its mount is out of sight; if it was made without default_permissions, nobody checks permissions",
            args.mountpoint.display()
        ));
    }
    Ok((args.mountpoint.clone(), None))
}

/// All layers on top of each other; what is wrong with any of them is told at once.
fn configuration(args: &MountArgs) -> Result<(Resolved, ParsedOptions), ConfigErrors> {
    let mut flags = args.settings.0.clone();
    flags.extend(args.preset.clone().map(|preset| ("preset", preset)));
    let layers = Layers::new()
        .config_file(args.config.clone())
        .environment(std::env::vars_os())
        .flags(flags);
    match parse_mount_options(&args.options.join(",")) {
        Ok(parsed) => {
            let resolved = layers.mount_options(parsed.settings.clone()).resolve()?;
            Ok((resolved, parsed))
        }
        Err(mut errors) => {
            if let Err(others) = layers.resolve() {
                errors.extend(others);
            }
            Err(errors)
        }
    }
}

fn source(args: &MountArgs) -> Result<Source, Failure> {
    let text = args.source.to_string_lossy();
    let Some(size) = text.strip_prefix("memory:") else {
        return checks::source(&args.source).map(Source::Directory);
    };
    if size.is_empty() {
        return Ok(Source::Memory(None));
    }
    let bytes = units::parse_size(size)
        .map_err(|error| Failure::new(Exit::Usage, format_args!("{text}: {size} is {error}")))?;
    Ok(Source::Memory(Some(bytes)))
}

/// Whether somebody asked for a value, rather than a preset.
pub(super) fn is_explicit(origin: Option<&Origin>) -> bool {
    !matches!(origin, None | Some(Origin::Default | Origin::Preset(_)))
}
