//! The options of the mount itself, as mount(8) and the FUSE client of the kernel know them.

use std::fmt;

use super::OptimizedFUSEConfig;

/// An option of a mount, printed as it stands after `-o`.
///
/// Sources: mount(8), "filesystem-independent mount options"; `Documentation/filesystems/fuse` of
/// the kernel; mount.fuse3(8).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MountOption {
    /// The first column of `/proc/mounts`.
    FSName(String),
    /// What follows `fuse.` in the type of the filesystem.
    Subtype(String),
    /// Users other than the one who mounted may enter.
    AllowOther,
    /// Root may enter besides the one who mounted. macFUSE; the Linux kernel has no such option.
    AllowRoot,
    /// The kernel checks permissions from mode and ACL.
    DefaultPermissions,
    /// The mount goes when its daemon does.
    AutoUnmount,
    /// Nothing can be changed.
    Ro,
    /// The opposite of [`Ro`](Self::Ro), the default.
    Rw,
    /// Set-user-ID, set-group-ID and file capabilities have no effect.
    NoSuid,
    /// The opposite of [`NoSuid`](Self::NoSuid).
    Suid,
    /// Device files have no effect.
    NoDev,
    /// The opposite of [`NoDev`](Self::NoDev).
    Dev,
    /// Programs cannot be executed.
    NoExec,
    /// The opposite of [`NoExec`](Self::NoExec).
    Exec,
    /// Reading does not change the time of access.
    NoAtime,
    /// The opposite of [`NoAtime`](Self::NoAtime).
    Atime,
    /// Reading changes the time of access where it would be older than the last change. The
    /// kernel's default.
    RelAtime,
    /// Every reading changes the time of access.
    StrictAtime,
    /// Listing a directory does not change its time of access.
    NoDirAtime,
    /// The opposite of [`NoDirAtime`](Self::NoDirAtime).
    DirAtime,
    /// Times are kept in memory and written with the next other change.
    LazyTime,
    /// The opposite of [`LazyTime`](Self::LazyTime).
    NoLazyTime,
    /// Symbolic links are not followed. Linux 5.10.
    NoSymFollow,
    /// The opposite of [`NoSymFollow`](Self::NoSymFollow).
    SymFollow,
    /// Each change is on the medium before its call returns.
    Sync,
    /// The opposite of [`Sync`](Self::Sync), the default.
    Async,
    /// As [`Sync`](Self::Sync), for changes of directories alone.
    DirSync,
    /// Passed on as it is, such as the SELinux contexts.
    Custom(String),
}

/// The options without a value.
pub(super) const PLAIN: &[(&str, MountOption)] = &[
    ("allow_other", MountOption::AllowOther),
    ("allow_root", MountOption::AllowRoot),
    ("default_permissions", MountOption::DefaultPermissions),
    ("auto_unmount", MountOption::AutoUnmount),
    ("ro", MountOption::Ro),
    ("rw", MountOption::Rw),
    ("nosuid", MountOption::NoSuid),
    ("suid", MountOption::Suid),
    ("nodev", MountOption::NoDev),
    ("dev", MountOption::Dev),
    ("noexec", MountOption::NoExec),
    ("exec", MountOption::Exec),
    ("noatime", MountOption::NoAtime),
    ("atime", MountOption::Atime),
    ("relatime", MountOption::RelAtime),
    ("strictatime", MountOption::StrictAtime),
    ("nodiratime", MountOption::NoDirAtime),
    ("diratime", MountOption::DirAtime),
    ("lazytime", MountOption::LazyTime),
    ("nolazytime", MountOption::NoLazyTime),
    ("nosymfollow", MountOption::NoSymFollow),
    ("symfollow", MountOption::SymFollow),
    ("sync", MountOption::Sync),
    ("async", MountOption::Async),
    ("dirsync", MountOption::DirSync),
];

impl MountOption {
    /// Options with the same subject exclude each other; of those the last one given holds.
    fn subject(&self) -> &str {
        use MountOption::*;
        match self {
            FSName(_) => "fsname",
            Subtype(_) => "subtype",
            AllowOther | AllowRoot => "who may enter",
            DefaultPermissions => "default_permissions",
            AutoUnmount => "auto_unmount",
            Ro | Rw => "ro",
            NoSuid | Suid => "suid",
            NoDev | Dev => "dev",
            NoExec | Exec => "exec",
            NoAtime | Atime | RelAtime | StrictAtime => "atime",
            NoDirAtime | DirAtime => "diratime",
            LazyTime | NoLazyTime => "lazytime",
            NoSymFollow | SymFollow => "symfollow",
            Sync | Async => "sync",
            DirSync => "dirsync",
            Custom(text) => text.split('=').next().unwrap_or(text),
        }
    }
}

impl fmt::Display for MountOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MountOption::FSName(name) => write!(f, "fsname={}", escape(name)),
            MountOption::Subtype(name) => write!(f, "subtype={}", escape(name)),
            MountOption::Custom(text) => f.write_str(&escape(text)),
            plain => {
                let entry = PLAIN.iter().find(|(_, option)| option == plain);
                f.write_str(entry.map_or("", |(name, _)| name))
            }
        }
    }
}

/// Commas separate options; one that belongs to a value is escaped, as fusermount3 reads it.
fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '\\' | ',' | '"') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// `given` on top of `base`: of options that exclude each other the last holds, in the place where
/// the first of them stood.
pub fn merge_mount_options(
    base: impl IntoIterator<Item = MountOption>,
    given: impl IntoIterator<Item = MountOption>,
) -> Vec<MountOption> {
    let mut merged: Vec<MountOption> = Vec::new();
    for option in base.into_iter().chain(given) {
        match merged
            .iter_mut()
            .find(|other| other.subject() == option.subject())
        {
            Some(other) => *other = option,
            None => merged.push(option),
        }
    }
    merged
}

/// Whose kernel mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Platform {
    Linux,
    MacOs,
}

impl Platform {
    pub(super) const HERE: Platform = if cfg!(target_os = "macos") {
        Platform::MacOs
    } else {
        Platform::Linux
    };
}

impl OptimizedFUSEConfig {
    /// The options of a mount with this configuration.
    ///
    /// The name and the subtype are `dynamicfs`; [`allow_other`](Self::allow_other) and
    /// [`default_permissions`](Self::default_permissions) add the options of those names, which
    /// all presets do. On macOS the mount also goes when the daemon does (`auto_unmount`), and root,
    /// on whose services the system relies, always enters: by `allow_other`, or else by `allow_root`.
    /// The two exclude each other, and the former includes the latter.
    ///
    /// ```
    /// use dynamicfs::OptimizedFUSEConfig;
    ///
    /// let config = OptimizedFUSEConfig::high_performance();
    /// let options = config.to_mount_options();
    /// # use dynamicfs::MountOption;
    /// # assert_eq!(options[0], MountOption::FSName("dynamicfs".into()));
    /// # assert!(options.contains(&MountOption::AllowOther));
    /// # assert!(options.contains(&MountOption::DefaultPermissions));
    /// ```
    pub fn to_mount_options(&self) -> Vec<MountOption> {
        mount_options(self, Platform::HERE)
    }
}

fn mount_options(config: &OptimizedFUSEConfig, platform: Platform) -> Vec<MountOption> {
    let macos = platform == Platform::MacOs;
    let name = || "dynamicfs".to_owned();
    let mut options = vec![MountOption::FSName(name()), MountOption::Subtype(name())];
    if config.allow_other {
        options.push(MountOption::AllowOther);
    } else if macos {
        options.push(MountOption::AllowRoot);
    }
    if config.default_permissions {
        options.push(MountOption::DefaultPermissions);
    }
    if macos {
        options.push(MountOption::AutoUnmount);
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Preset;

    fn text(config: &OptimizedFUSEConfig, platform: Platform) -> String {
        let options = mount_options(config, platform);
        options
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(",")
    }

    #[test]
    fn every_preset_on_both_platforms() {
        for preset in Preset::ALL {
            let config = preset.config();
            assert_eq!(
                text(&config, Platform::Linux),
                "fsname=dynamicfs,subtype=dynamicfs,allow_other,default_permissions"
            );
            assert_eq!(
                text(&config, Platform::MacOs),
                "fsname=dynamicfs,subtype=dynamicfs,allow_other,default_permissions,auto_unmount"
            );
        }
    }

    #[test]
    fn a_private_mount() {
        let mut config = OptimizedFUSEConfig::balanced();
        config.allow_other = false;
        config.default_permissions = false;
        assert_eq!(
            text(&config, Platform::Linux),
            "fsname=dynamicfs,subtype=dynamicfs"
        );
        assert_eq!(
            text(&config, Platform::MacOs),
            "fsname=dynamicfs,subtype=dynamicfs,allow_root,auto_unmount"
        );
    }

    #[test]
    fn every_plain_option_prints_its_name() {
        for (name, option) in PLAIN {
            assert_eq!(option.to_string(), *name);
        }
    }

    #[test]
    fn a_comma_in_a_name_does_not_end_it() {
        let name = MountOption::FSName(r#"a,b\c""#.to_owned());
        assert_eq!(name.to_string(), r#"fsname=a\,b\\c\""#);
    }

    #[test]
    fn the_last_of_a_subject_holds() {
        let base = OptimizedFUSEConfig::balanced().to_mount_options();
        let given = [
            MountOption::FSName("data".to_owned()),
            MountOption::Ro,
            MountOption::NoAtime,
            MountOption::Custom("context=a".to_owned()),
            MountOption::Rw,
            MountOption::Custom("context=b".to_owned()),
        ];
        let merged = merge_mount_options(base, given);
        let text: Vec<_> = merged.iter().map(ToString::to_string).collect();
        assert_eq!(
            text,
            [
                "fsname=data",
                "subtype=dynamicfs",
                "allow_other",
                "default_permissions",
                "rw",
                "noatime",
                "context=b"
            ]
        );
    }
}
