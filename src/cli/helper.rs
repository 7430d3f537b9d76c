//! The command as a mount helper, which mount(8) and mount.fuse3(8) execute.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser};

use super::arguments::{Cli, MountArgs};

/// The arguments of a mount helper, see mount(8), "EXTERNAL HELPERS".
///
/// No help flag: `-h` is not for helpers.
#[derive(Debug, Parser)]
#[command(
    name = "mount.dynamicfs",
    version,
    about = "Mount helper for mount(8) and fstab(5)"
)]
struct HelperArgs {
    source: PathBuf,
    mountpoint: PathBuf,
    /// Mount options
    #[arg(short)]
    options: Vec<String>,
    /// Tolerated; unknown options are refused all the same, because they would be without effect
    #[arg(short)]
    sloppy: bool,
    /// Check everything, mount nothing
    #[arg(short)]
    fake: bool,
    /// Without meaning here
    #[arg(short, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Without meaning here: there is no /etc/mtab
    #[arg(short)]
    no_mtab: bool,
    /// Read-only
    #[arg(short)]
    read_only: bool,
    /// Read and write, the default
    #[arg(short = 'w', conflicts_with = "read_only")]
    read_write: bool,
    /// Type of the file system; not looked at
    #[arg(short = 't')]
    kind: Option<String>,
}

/// Whether the command was called as a helper: by its name, or as mount.fuse3 does it, with source
/// and mountpoint in the place of a subcommand.
pub(crate) fn is_helper(arguments: &[OsString]) -> bool {
    let name = arguments.first().map(Path::new).and_then(Path::file_name);
    if name.is_some_and(|name| name.as_encoded_bytes().starts_with(b"mount.")) {
        return true;
    }
    let leading = arguments
        .iter()
        .skip(1)
        .take_while(|argument| !is_option(argument));
    leading.count() == 2 && !is_verb(&arguments[1])
}

fn is_option(argument: &OsStr) -> bool {
    argument.as_encoded_bytes().starts_with(b"-")
}

fn is_verb(word: &OsStr) -> bool {
    word == "help"
        || Cli::command().get_subcommands().any(|verb| {
            verb.get_name_and_visible_aliases()
                .iter()
                .any(|name| word == *name)
        })
}

/// What the helper is asked, as arguments of `mount`.
pub(crate) fn parse(arguments: Vec<OsString>) -> Result<MountArgs, clap::Error> {
    let helper = HelperArgs::try_parse_from(arguments)?;
    Ok(MountArgs {
        source: helper.source,
        mountpoint: helper.mountpoint,
        options: helper.options,
        read_only: helper.read_only,
        fake: helper.fake,
        ..MountArgs::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn helpers_are_told_from_commands() {
        for helper in [
            "/sbin/mount.dynamicfs /a /b -o rw",
            "mount.fuse.dynamicfs /a /b",
            "dynamicfs /a /b -o rw,nosuid",
            "dynamicfs memory: /b",
        ] {
            assert!(is_helper(&words(helper)), "{helper}");
        }
        for command in [
            "dynamicfs",
            "dynamicfs stats /a",
            "dynamicfs unmount /a",
            "dynamicfs help mount",
            "dynamicfs mount /a /b -o rw",
            "dynamicfs mout /a /b",
            "dynamicfs --version",
        ] {
            assert!(!is_helper(&words(command)), "{command}");
        }
    }

    #[test]
    fn the_arguments_that_mount_passes() {
        let parsed = parse(words(
            "mount.fuse.dynamicfs /a /b -sfnv -o ro,preset=safe -t fuse.dynamicfs",
        ))
        .expect("valid");
        assert!(parsed.fake && !parsed.read_only);
        assert_eq!(parsed.options, ["ro,preset=safe"]);
        assert!(parse(words("mount.dynamicfs /a")).is_err());
    }
}
