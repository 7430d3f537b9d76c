//! Where a mount is: at a path of ours, or where somebody else made it.

use std::io;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use super::table::{TableEntry, table};
use super::unmount::{UnmountError, UnmountMode, unmount};
use crate::config::{MountOption, OptimizedFUSEConfig};
use crate::transport::Negotiated;
use crate::transport::given::{self, Ender};

/// A connection that somebody else has mounted (`/dev/fd/N`), as far as this process can look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    number: RawFd,
    /// What the kernel calls it; none where it does not tell, and where nothing is mounted with it.
    connection: Option<u32>,
    /// Its mount; none where it is in another mount namespace, or the kernel does not tell.
    entry: Option<TableEntry>,
}

impl Given {
    /// The connection that a mountpoint names; `None` where it is a path.
    ///
    /// # Errors
    /// Nothing is open under that number, or `/proc` is not mounted.
    pub fn named(mountpoint: &Path) -> Option<io::Result<Given>> {
        given::descriptor(mountpoint).map(Given::examine)
    }

    fn examine(number: RawFd) -> io::Result<Given> {
        let about = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}"))?;
        let connection = connection(&about);
        let device = connection.map(|minor| (0, minor));
        let entries = table()?.into_iter();
        let entry = device.and_then(|device| {
            let mut here = entries.filter(|entry| entry.device == device);
            here.find(|entry| entry.fs_type.starts_with("fuse"))
        });
        Ok(Given {
            number,
            connection,
            entry,
        })
    }

    /// Where it is mounted, if that can be seen.
    pub fn mountpoint(&self) -> Option<&Path> {
        Some(&self.entry.as_ref()?.mountpoint)
    }

    /// Whether it is mounted, and not in sight.
    pub fn is_mounted_elsewhere(&self) -> bool {
        self.connection.is_some() && self.entry.is_none()
    }

    /// Whether users other than the one who mounted may enter, as far as can be seen.
    pub(super) fn lets_others_in(&self) -> bool {
        let allowed = |entry: &TableEntry| entry.has(&MountOption::AllowOther);
        self.entry.as_ref().is_none_or(allowed)
    }

    /// Whether nobody would check permissions although others may enter: the kernel was not told to, and
    /// the storage relies on it.
    pub(super) fn is_unchecked(&self) -> bool {
        self.entry.as_ref().is_some_and(|entry| {
            entry.has(&MountOption::AllowOther) && !entry.has(&MountOption::DefaultPermissions)
        })
    }

    /// Whether the kernel is seen to check permissions.
    pub(super) fn is_checked(&self) -> bool {
        let entry = self.entry.as_ref();
        entry.is_some_and(|entry| entry.has(&MountOption::DefaultPermissions))
    }

    /// What the report says of a mount whose options cannot be seen, where they matter.
    pub(super) fn unseen(&self, config: &OptimizedFUSEConfig) -> Option<Negotiated> {
        (self.entry.is_none() && config.default_permissions).then(|| {
            Negotiated::limit("default_permissions", true, "unknown").because(
                "the mount was made elsewhere and cannot be seen; without it nobody checks permissions",
            )
        })
    }
}

/// The number of the connection, which is the minor number of its mount, in what `/proc` says of an open
/// `/dev/fuse` (the kernel's `fs/fuse/dev.c`).
fn connection(about: &str) -> Option<u32> {
    let mut lines = about.lines();
    let number = lines.find_map(|line| line.strip_prefix("fuse_connection:"))?;
    number.trim().parse().ok()
}

/// Where a mount is, and how it is left.
#[derive(Clone)]
pub(super) struct Place {
    /// The mountpoint; for a mount out of sight something to call it by, of its own on this machine.
    path: PathBuf,
    in_sight: bool,
    /// For a mount that is not ours to take away: how to end its service.
    ender: Option<Ender>,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.path.fmt(f)
    }
}

impl Place {
    /// Where a session serves what was mounted at `mountpoint`, or `given` in its place.
    pub(super) fn new(mountpoint: &Path, given: Option<&Given>, ender: Option<Ender>) -> Place {
        let Some(given) = given else {
            return Place {
                path: mountpoint.to_owned(),
                in_sight: true,
                ender: None,
            };
        };
        let pid = rustix::process::getpid();
        let unseen = || format!("/proc/{pid}/fd/{}", given.number).into();
        let seen = given.mountpoint();
        Place {
            path: seen.map_or_else(unseen, Path::to_owned),
            in_sight: seen.is_some(),
            ender,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn is_in_sight(&self) -> bool {
        self.in_sight
    }

    /// Unmounts. What only its maker can unmount is no longer served.
    pub(super) fn leave(&self, mode: UnmountMode) -> Result<(), UnmountError> {
        if self.in_sight {
            match (unmount(&self.path, mode), &self.ender) {
                (Err(UnmountError::Refused { .. }), Some(_)) => {}
                (outcome, _) => return outcome,
            }
        }
        let refused = |reason: String| UnmountError::Refused {
            path: self.path.clone(),
            reason,
        };
        let none = || refused("only whoever mounted it can unmount it".to_owned());
        let end = self.ender.as_ref().ok_or_else(none)?;
        end().map_err(|error| refused(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn the_number_of_a_connection_is_found() {
        let about = "pos:\t0\nflags:\t02100002\nmnt_id:\t24\nino:\t90\nfuse_connection:\t41\n";
        assert_eq!(connection(about), Some(41));
        assert_eq!(connection("pos:\t0\n"), None);
    }

    #[test]
    fn a_descriptor_of_something_else_has_no_mount() {
        let file = tempfile::tempfile().expect("a file");
        let given = Given::examine(file.as_raw_fd()).expect("open");
        assert_eq!(given.mountpoint(), None);
        assert!(given.lets_others_in() && !given.is_unchecked());
        let mut config = OptimizedFUSEConfig::balanced();
        assert!(given.unseen(&config).is_some());
        config.default_permissions = false;
        assert_eq!(given.unseen(&config), None);
        assert!(Given::examine(RawFd::MAX).is_err());
        assert!(Given::named(Path::new("/mnt")).is_none());
    }

    #[test]
    fn what_the_table_says_of_a_mount_counts() {
        let given = |options: &str| Given {
            number: 3,
            connection: Some(41),
            entry: Some(TableEntry {
                mountpoint: "/mnt".into(),
                fs_type: "fuse".to_owned(),
                source: "fuse".into(),
                device: (0, 41),
                options: options.to_owned(),
            }),
        };
        let open = given("rw,user_id=0,allow_other");
        assert!(open.lets_others_in() && open.is_unchecked());
        let checked = given("rw,default_permissions,allow_other");
        assert!(checked.lets_others_in() && !checked.is_unchecked());
        let private = given("rw,user_id=0,group_id=0");
        assert!(!private.lets_others_in() && !private.is_unchecked());
        let place = Place::new(Path::new("/dev/fd/3"), Some(&private), None);
        assert!(place.is_in_sight() && !private.is_mounted_elsewhere());
        assert_eq!(place.path(), Path::new("/mnt"));
    }
}
