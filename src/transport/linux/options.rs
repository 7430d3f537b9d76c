//! Mount options, for mount(2) and for the helper.

use rustix::mount::MountFlags;

use crate::config::{MountOption, OptimizedFUSEConfig};
use crate::platform::Platform;

/// What becomes of the options of a mount.
pub(super) struct Options {
    /// As they came.
    given: Vec<MountOption>,
    /// With those that every mount here has.
    all: Vec<MountOption>,
}

impl Options {
    pub(super) fn new(config: &OptimizedFUSEConfig, options: &[MountOption]) -> Options {
        Options {
            given: options.to_vec(),
            all: Platform::Linux.mount_options(config, options).into_owned(),
        }
    }

    fn has(&self, option: &MountOption) -> bool {
        self.all.contains(option)
    }

    /// Only the helper can do that: it stays and waits for the end of this process.
    pub(super) fn auto_unmount(&self) -> bool {
        self.has(&MountOption::AutoUnmount)
    }

    /// Whether the helper could not keep the promise of `auto_unmount`: it looks into the mount, as root,
    /// to see that its daemon is dead, and leaves a mount alone that it may not enter.
    pub(super) fn auto_unmount_in_vain(&self) -> bool {
        let others = self.has(&MountOption::AllowOther) || self.has(&MountOption::AllowRoot);
        self.auto_unmount() && !others && !rustix::process::geteuid().is_root()
    }

    /// Whether of the users who may enter only root and the one who mounted are served. The kernel knows
    /// the owner alone or all.
    pub(super) fn only_root_and_owner(&self) -> bool {
        self.has(&MountOption::AllowRoot) && !self.has(&MountOption::AllowOther)
    }

    /// The first option that is carried out by mount(2), and so not for a connection that was given. The
    /// names in the table of mounts, and who may enter, are as they are there.
    pub(super) fn for_mounting(&self) -> Option<&MountOption> {
        self.given.iter().find(|option| {
            let custom = matches!(option, MountOption::Custom(_));
            custom || **option == MountOption::AutoUnmount || !flag(option).is_empty()
        })
    }

    /// The first column of `/proc/mounts`.
    pub(super) fn source(&self) -> &str {
        let name = self.all.iter().find_map(|option| match option {
            MountOption::FSName(name) => Some(name.as_str()),
            _ => None,
        });
        name.or(self.subtype()).unwrap_or("fuse")
    }

    fn subtype(&self) -> Option<&str> {
        self.all.iter().find_map(|option| match option {
            MountOption::Subtype(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// The type for mount(2), `fuse.SUBTYPE`.
    pub(super) fn fs_type(&self) -> String {
        self.subtype()
            .map_or_else(|| "fuse".to_owned(), |name| format!("fuse.{name}"))
    }

    /// The flags of mount(2). As for every FUSE mount, set-user-id bits and devices have an effect only
    /// where that was asked for.
    pub(super) fn flags(&self) -> MountFlags {
        let start = MountFlags::NOSUID | MountFlags::NODEV;
        self.all.iter().fold(start, |flags, option| match option {
            MountOption::Suid => flags - MountFlags::NOSUID,
            MountOption::Dev => flags - MountFlags::NODEV,
            other => flags | flag(other),
        })
    }

    /// What of the options the FUSE client of the kernel reads itself, separated by commas, each with
    /// one before it.
    pub(super) fn data(&self) -> String {
        self.all
            .iter()
            .filter_map(|option| match option {
                MountOption::AllowOther | MountOption::AllowRoot => Some(",allow_other".to_owned()),
                MountOption::DefaultPermissions => Some(",default_permissions".to_owned()),
                // As it is: the module that reads it knows its own quotes.
                MountOption::Custom(text) => Some(format!(",{text}")),
                _ => None,
            })
            .collect()
    }

    /// What follows `-o` of the helper. It refuses what it does not know, as it should.
    pub(super) fn for_helper(&self) -> String {
        let texts: Vec<_> = self
            .all
            .iter()
            .map(|option| match option {
                MountOption::AllowRoot => MountOption::AllowOther.to_string(),
                MountOption::Custom(text) => text.clone(),
                other => other.to_string(),
            })
            .collect();
        texts.join(",")
    }
}

/// The flag that an option sets; none for those that restore a default, and for what is no flag.
fn flag(option: &MountOption) -> MountFlags {
    match option {
        MountOption::Ro => MountFlags::RDONLY,
        MountOption::NoSuid => MountFlags::NOSUID,
        MountOption::NoDev => MountFlags::NODEV,
        MountOption::NoExec => MountFlags::NOEXEC,
        MountOption::Sync => MountFlags::SYNCHRONOUS,
        MountOption::DirSync => MountFlags::DIRSYNC,
        MountOption::NoSymFollow => MountFlags::NOSYMFOLLOW,
        // The backing file system keeps the times, so these only show in the table of mounts.
        MountOption::NoAtime => MountFlags::NOATIME,
        MountOption::RelAtime => MountFlags::RELATIME,
        MountOption::StrictAtime => MountFlags::STRICTATIME,
        MountOption::NoDirAtime => MountFlags::NODIRATIME,
        MountOption::LazyTime => MountFlags::LAZYTIME,
        _ => MountFlags::empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(given: &[MountOption]) -> Options {
        Options::new(&OptimizedFUSEConfig::balanced(), given)
    }

    #[test]
    fn set_user_id_and_devices_need_to_be_asked_for() {
        let usual = options(&[]).flags();
        assert_eq!(usual, MountFlags::NOSUID | MountFlags::NODEV);
        let asked = options(&[MountOption::Suid, MountOption::Dev, MountOption::Ro]).flags();
        assert_eq!(asked, MountFlags::RDONLY);
    }

    #[test]
    fn names_go_to_the_table_and_the_rest_to_the_kernel() {
        let options = options(&[
            MountOption::FSName("a,b".into()),
            MountOption::Subtype("kind".into()),
            MountOption::AllowOther,
            MountOption::Custom("context=\"x,y\"".into()),
        ]);
        assert_eq!(
            (options.source(), &*options.fs_type()),
            ("a,b", "fuse.kind")
        );
        assert_eq!(
            options.data(),
            ",allow_other,context=\"x,y\",max_read=1048576"
        );
        let helper = options.for_helper();
        assert!(
            helper.starts_with("fsname=a\\,b,subtype=kind,allow_other,"),
            "{helper}"
        );
    }

    #[test]
    fn what_mount_carries_out_is_told_from_what_the_daemon_does() {
        let ours = options(&[
            MountOption::FSName("a".into()),
            MountOption::AllowRoot,
            MountOption::DefaultPermissions,
            MountOption::Suid,
        ]);
        assert_eq!(ours.for_mounting(), None);
        for theirs in [
            MountOption::Ro,
            MountOption::AutoUnmount,
            MountOption::Custom("context=x".into()),
        ] {
            let options = options(&[MountOption::AllowOther, theirs.clone()]);
            assert_eq!(options.for_mounting(), Some(&theirs));
        }
    }

    #[test]
    fn root_alone_is_a_check_of_ours() {
        let only = options(&[MountOption::AllowRoot]);
        assert!(only.only_root_and_owner());
        assert!(only.data().contains(",allow_other"));
        let all = options(&[MountOption::AllowRoot, MountOption::AllowOther]);
        assert!(!all.only_root_and_owner());
    }
}
