//! The command line.

use std::path::PathBuf;

use crate::config::fields;
use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, Parser, Subcommand, ValueEnum,
};

use super::exit::EXIT_CODES;

/// Mount a directory through FUSE, as fast as the running kernel lets it be.
#[derive(Debug, Parser)]
#[command(
    name = "dynamicfs",
    version,
    arg_required_else_help = true,
    after_long_help = format!("{EXAMPLES}\n\n{ENVIRONMENT}\n\n{EXIT_CODES}"),
    after_help = "See 'dynamicfs --help' for examples, environment and exit codes."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  dynamicfs mount /data /mnt                          balanced, in the background
  dynamicfs mount /data /mnt --preset high-performance
  dynamicfs mount memory:64M /mnt --foreground        a file system in memory, to try things
  dynamicfs status                                    what is mounted, and what is in force
  dynamicfs stats /mnt | grep xattr_cache_hit_rate
  dynamicfs doctor                                    what this machine allows, and what is missing
  dynamicfs umount --wait /mnt
  mount -t fuse.dynamicfs /data /mnt -o preset=safe,ro   (the same words work in /etc/fstab)";

const ENVIRONMENT: &str = "\
Environment:
  DYNAMICFS_PRESET, DYNAMICFS_ATTR_TTL, ...  every setting of 'dynamicfs presets', in capitals
  DYNAMICFS_CONFIG       a configuration file, instead of /etc/dynamicfs/config.toml
  DYNAMICFS_LOG          what is logged, such as 'debug' or 'dynamicfs=trace' (default: info)
  DYNAMICFS_RUNTIME_DIR  where the sockets for status and stats are
A flag is stronger than -o, -o than the environment, the environment than the file, the file than
the preset.";

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Mount a directory; returns when the mount answers
    Mount(Box<MountArgs>),
    /// Unmount
    #[command(visible_alias = "unmount")]
    Umount(UmountArgs),
    /// Show mounts, the settings in force with their origin, and what the kernel granted
    Status(StatusArgs),
    /// Show counters, latencies, cache hit rates and throughput
    Stats(StatsArgs),
    /// Show the presets, or all settings of one
    Presets(PresetsArgs),
    /// Check what this machine allows, and what is missing for each preset
    Doctor(DoctorArgs),
    /// Print a script that completes the command line in a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write those of all subcommands to a directory
    Man {
        /// The directory
        dir: Option<PathBuf>,
    },
}

#[derive(Debug, Clone, Default, Args)]
#[command(
    after_long_help = MOUNT_EXAMPLES,
    long_about = "Mount a directory.\n\nThe daemon goes to the background, and the command returns 0 once \
                  the mount answers. SIGINT and SIGTERM unmount; while the mount is in use it stays, \
                  and a second signal detaches it."
)]
pub(crate) struct MountArgs {
    /// Directory to serve, or memory:[SIZE] for a file system in memory
    #[arg(value_name = "SRC")]
    pub(crate) source: PathBuf,
    /// Directory to mount on, or /dev/fd/N for a connection that was mounted by whoever started this command
    #[arg(value_name = "MNT")]
    pub(crate) mountpoint: PathBuf,
    /// Where the settings start from: balanced, high-performance, safe, baseline
    #[arg(long, short)]
    pub(crate) preset: Option<String>,
    /// Mount options, separated by commas: settings (attr_ttl=5s) and those of mount(8)
    #[arg(short, value_name = "OPTIONS")]
    pub(crate) options: Vec<String>,
    /// Read-only
    #[arg(long, short)]
    pub(crate) read_only: bool,
    /// Stay in the foreground and log to standard error
    #[arg(long, short)]
    pub(crate) foreground: bool,
    /// Configuration file [default: /etc/dynamicfs/config.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Form of the log
    #[arg(long, value_enum, default_value_t)]
    pub(crate) log_format: LogFormat,
    /// Append the log to this file; in the background there is no log without it
    #[arg(long, value_name = "FILE")]
    pub(crate) log_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: SettingFlags,
    /// Check everything, mount nothing (mount -f).
    #[arg(skip)]
    pub(crate) fake: bool,
}

const MOUNT_EXAMPLES: &str = "\
Examples:
  dynamicfs mount /data /mnt
  dynamicfs mount /data /mnt --preset safe --read-only
  dynamicfs mount /data /mnt -o preset=high-performance,attr_ttl=10s,noatime
  dynamicfs mount /data /mnt --foreground --log-format json
  dynamicfs mount memory:256M /mnt";

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// An object a line.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct UmountArgs {
    /// The mountpoint
    #[arg(value_name = "MNT")]
    pub(crate) mountpoint: PathBuf,
    /// Return only when the daemon is gone
    #[arg(long, short)]
    pub(crate) wait: bool,
    /// Detach at once, even if it is in use or its daemon is dead
    #[arg(long, short)]
    pub(crate) lazy: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Only this mount
    #[arg(value_name = "MNT")]
    pub(crate) mountpoint: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    /// Only this mount [default: all]
    #[arg(value_name = "MNT")]
    pub(crate) mountpoint: Option<PathBuf>,
    /// As JSON: one object for one mount, {"mounts": [...]} for several
    #[arg(long, conflicts_with = "prometheus")]
    pub(crate) json: bool,
    /// In the text format of Prometheus
    #[arg(long)]
    pub(crate) prometheus: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PresetsArgs {
    /// Show all settings of this preset
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// One flag for each setting of the table, so that a new setting needs no edit here.
#[derive(Debug, Clone, Default)]
pub(crate) struct SettingFlags(pub(crate) Vec<(&'static str, String)>);

impl Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        fields().iter().fold(command, |command, field| {
            let accepted = field.accepted();
            let flag = Arg::new(field.name())
                .long(field.flag())
                .help(field.description())
                .long_help(format!(
                    "{}\n\nAccepted: {accepted}. Also: {}, -o {}=...",
                    field.description(),
                    field.variable(),
                    field.name()
                ))
                .help_heading("Settings")
                .value_name("VALUE")
                .action(ArgAction::Set);
            command.arg(match field.is_switch() {
                // "=" keeps the switch from taking the source for its value.
                true => flag
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true"),
                false => flag,
            })
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = fields().iter().filter_map(|field| {
            let value = matches.get_one::<String>(field.name())?;
            Some((field.name(), value.clone()))
        });
        Ok(SettingFlags(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_setting_has_a_flag() {
        for field in fields() {
            let flag = format!("--{}={}", field.flag(), "1");
            let cli = Cli::try_parse_from(["dynamicfs", "mount", &flag, "a", "b"]).expect("valid");
            let Verb::Mount(mount) = cli.verb else {
                panic!("not a mount");
            };
            assert_eq!(mount.settings.0, [(field.name(), "1".to_owned())]);
        }
    }
}
