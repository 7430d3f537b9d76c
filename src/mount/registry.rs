//! Which mounts there are: a socket for each in a private runtime directory.
//!
//! The daemon of a mount listens on a socket that is named after the mountpoint; whoever wants to
//! know something asks there. A socket on which nobody listens is the rest of a daemon that died,
//! and is removed by whoever finds it.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::session::MountReport;
use super::table::table;
use crate::stats::Snapshot;
use crate::stats::socket::{Answerer, AskError, Request, Server, ask, remove_dead};

/// The variable that names the runtime directory.
pub const RUNTIME_DIR_VARIABLE: &str = "DYNAMICFS_RUNTIME_DIR";

/// The longest path that bind(2) takes for a socket: `sun_path` of unix(7) without its NUL.
const LONGEST_SOCKET_PATH: usize = 107;
const SUFFIX: &str = "sock";

/// Why the runtime directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeDirError {
    /// It cannot be made or looked at.
    #[error(
        "the runtime directory {path} cannot be used: {source}; name another with \
         DYNAMICFS_RUNTIME_DIR"
    )]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is another user's, or others may enter.
    #[error(
        "the runtime directory {path} is not private: {why}; name another with \
         DYNAMICFS_RUNTIME_DIR"
    )]
    NotPrivate {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A socket in it would have a name that is too long.
    #[error(
        "the runtime directory {path} has too long a name for a socket; name a shorter one with \
         DYNAMICFS_RUNTIME_DIR"
    )]
    TooLong {
        /// The directory.
        path: PathBuf,
    },
}

/// What a daemon says of its mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountStatus {
    /// The process that serves it.
    pub pid: i32,
    /// What is served.
    pub source: String,
    /// Where.
    pub mountpoint: PathBuf,
    /// Since when, in seconds since the epoch.
    pub started: u64,
    /// The preset below the settings.
    pub preset: String,
    /// Who chose the preset.
    pub preset_origin: String,
    /// Every setting in force.
    pub settings: Vec<Setting>,
    /// The options of the mount, as after `-o`.
    pub options: String,
    /// What the kernel was asked and what it granted.
    pub report: MountReport,
}

/// A setting in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Where the value came from.
    pub origin: String,
}

/// A mount whose socket was found.
#[derive(Debug)]
pub struct Registered {
    /// The socket.
    pub socket: PathBuf,
    /// What the daemon said, or why it said nothing although it lives.
    pub status: Result<MountStatus, AskError>,
}

impl Registered {
    /// Asks for the figures.
    ///
    /// # Errors
    /// See [`AskError`].
    pub fn statistics(&self) -> Result<Snapshot, AskError> {
        ask(&self.socket, Request::Stats)
    }
}

/// The private directory of the sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeDir {
    path: PathBuf,
}

impl RuntimeDir {
    /// The directory of this user: `$DYNAMICFS_RUNTIME_DIR`; else `/run/dynamicfs` for root, and for
    /// others `$XDG_RUNTIME_DIR/dynamicfs`, or `/tmp/dynamicfs-UID` without one.
    pub fn of_this_user() -> RuntimeDir {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let uid = rustix::process::geteuid();
        let path = match (variable(RUNTIME_DIR_VARIABLE), variable("XDG_RUNTIME_DIR")) {
            (Some(path), _) => PathBuf::from(path),
            // Root's mounts are the system's, whether fstab or a session's shell made them.
            (None, _) if uid.is_root() => PathBuf::from("/run/dynamicfs"),
            (None, Some(path)) => Path::new(&path).join("dynamicfs"),
            (None, None) => PathBuf::from(format!("/tmp/dynamicfs-{uid}")),
        };
        // The daemon changes its working directory.
        RuntimeDir {
            path: std::path::absolute(&path).unwrap_or(path),
        }
    }

    /// This directory.
    pub fn at(path: impl Into<PathBuf>) -> RuntimeDir {
        RuntimeDir { path: path.into() }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the directory, for its owner alone, where it does not exist; otherwise makes sure that
    /// it is this user's own and that sockets can be made in it.
    ///
    /// # Errors
    /// See [`RuntimeDirError`].
    pub fn prepare(&self) -> Result<(), RuntimeDirError> {
        let failed = |source| RuntimeDirError::Io {
            path: self.path.clone(),
            source,
        };
        if self.socket(Path::new("/")).as_os_str().len() > LONGEST_SOCKET_PATH {
            return Err(RuntimeDirError::TooLong {
                path: self.path.clone(),
            });
        }
        match std::fs::DirBuilder::new().mode(0o700).create(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed(error));
            }
            _ => self.check_private()?,
        }
        // The effective rights, and a read-only file system, which mode bits do not show.
        let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        rustix::fs::access(&self.path, access).map_err(|errno| failed(errno.into()))
    }

    /// Not followed if it is a symbolic link: in `/tmp`, anybody can make one.
    fn check_private(&self) -> Result<(), RuntimeDirError> {
        let found =
            std::fs::symlink_metadata(&self.path).map_err(|source| RuntimeDirError::Io {
                path: self.path.clone(),
                source,
            })?;
        let refuse = |why: String| {
            Err(RuntimeDirError::NotPrivate {
                path: self.path.clone(),
                why,
            })
        };
        if !found.is_dir() {
            return refuse("it is not a directory".to_owned());
        }
        if found.uid() != rustix::process::geteuid().as_raw() {
            return refuse(format!("it belongs to user {}", found.uid()));
        }
        if found.mode() & 0o022 != 0 {
            return refuse(format!(
                "others may write to it (mode {:o})",
                found.mode() & 0o7777
            ));
        }
        Ok(())
    }

    /// The socket of the mount at `mountpoint`, an absolute path without symbolic links: the end of
    /// the path for people, and a hash of the whole path to tell equal ends apart.
    pub fn socket(&self, mountpoint: &Path) -> PathBuf {
        const READABLE: usize = 24;
        let end = mountpoint.file_name().unwrap_or_default().to_string_lossy();
        let end: String = end
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
            .take(READABLE)
            .collect();
        let hash = fnv1a(mountpoint.as_os_str().as_bytes());
        self.path.join(format!("{hash:016x}-{end}.{SUFFIX}"))
    }

    /// Listens for the daemon that has just mounted at `mountpoint`.
    ///
    /// A daemon whose mount was detached lives on until its last user is gone. It gives up its
    /// socket to the next mount in the same place.
    ///
    /// # Errors
    /// `AddrInUse` when another daemon serves a mount there; see [`Server::start`].
    pub fn listen(&self, mountpoint: &Path, answer: Answerer) -> io::Result<Server> {
        let socket = self.socket(mountpoint);
        let here = table()?.into_iter();
        let here = here.filter(|e| e.mountpoint == mountpoint && e.fs_type.starts_with("fuse"));
        if here.count() <= 1 {
            match std::fs::remove_file(&socket) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Server::start(&socket, answer)
    }

    /// Every mount that has a socket. Sockets on which nobody listens are removed.
    ///
    /// # Errors
    /// Those of reading the directory; that it does not exist is none.
    pub fn mounts(&self) -> io::Result<Vec<Registered>> {
        let entries = match std::fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let socket = entry?.path();
            if socket
                .extension()
                .is_some_and(|extension| extension == SUFFIX)
            {
                found.extend(Self::registered(socket));
            }
        }
        let key = |mount: &Registered| match &mount.status {
            Ok(status) => status.mountpoint.clone(),
            Err(_) => mount.socket.clone(),
        };
        found.sort_by_key(key);
        Ok(found)
    }

    /// The mount at `mountpoint`, if a daemon lives there.
    pub fn mount_at(&self, mountpoint: &Path) -> Option<Registered> {
        Self::registered(self.socket(mountpoint))
    }

    fn registered(socket: PathBuf) -> Option<Registered> {
        match ask(&socket, Request::Status) {
            Err(AskError::Dead(_)) => {
                remove_dead(&socket);
                None
            }
            status => Some(Registered { socket, status }),
        }
    }
}

/// The hash of Fowler, Noll and Vo, 64 bits: names must be the same in every release, which the
/// hashers of the standard library do not promise.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::stats::socket::Server;

    fn status(mountpoint: &Path) -> MountStatus {
        MountStatus {
            pid: 1,
            source: "/data".to_owned(),
            mountpoint: mountpoint.to_owned(),
            started: 0,
            preset: "safe".to_owned(),
            preset_origin: "default".to_owned(),
            settings: Vec::new(),
            options: String::new(),
            report: MountReport {
                kernel: String::new(),
                abi: String::new(),
                transport: String::new(),
                io_mode: String::new(),
                capabilities: Vec::new(),
            },
        }
    }

    #[test]
    fn the_names_of_sockets_tell_mountpoints_apart_and_fit() {
        let dir = RuntimeDir::at("/run/dynamicfs");
        let long = format!("/mnt/{}", "x".repeat(300));
        let names: std::collections::HashSet<_> =
            ["/", "/mnt", "/a/mnt", "/mnt/a b", "/mnt/ab", &long]
                .iter()
                .map(|path| dir.socket(Path::new(path)))
                .collect();
        assert_eq!(names.len(), 6);
        for name in &names {
            assert!(name.as_os_str().len() < LONGEST_SOCKET_PATH, "{name:?}");
        }
        // Published values of the hash.
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
    }

    #[test]
    fn live_mounts_are_listed_and_dead_sockets_removed() {
        let tmp = tempfile::tempdir().expect("a directory");
        let dir = RuntimeDir::at(tmp.path().join("run"));
        assert!(dir.mounts().expect("no directory, no mounts").is_empty());
        dir.prepare().expect("a private directory");
        let mode = std::fs::metadata(dir.path()).expect("it").mode();
        assert_eq!(mode & 0o777, 0o700);
        let dead = dir.socket(Path::new("/mnt/dead"));
        drop(UnixListener::bind(&dead).expect("a socket"));
        let server = Server::start(
            &dir.socket(Path::new("/mnt/live")),
            Box::new(|_| {
                serde_json::to_value(status(Path::new("/mnt/live"))).map_err(|e| e.to_string())
            }),
        )
        .expect("a server");
        let mounts = dir.mounts().expect("mounts");
        assert_eq!(mounts.len(), 1);
        let found = mounts[0].status.as_ref().expect("a status");
        assert_eq!(*found, status(Path::new("/mnt/live")));
        assert!(!dead.exists());
        assert!(dir.mount_at(Path::new("/mnt/live")).is_some());
        drop(server);
        assert!(dir.mount_at(Path::new("/mnt/live")).is_none());
    }

    #[test]
    fn a_daemon_that_is_about_to_listen_is_not_taken_for_dead() {
        let tmp = tempfile::tempdir().expect("a directory");
        let runtime = RuntimeDir::at(tmp.path());
        let mountpoint = Path::new("/nowhere");
        let ended = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                    runtime.mount_at(mountpoint);
                }
            });
            let started = (0..500).map(|_| {
                let answer: Answerer = Box::new(|_| Ok(serde_json::Value::Null));
                runtime.listen(mountpoint, answer).map(drop)
            });
            let failed = started.filter_map(Result::err).next();
            ended.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(failed.is_none(), "{failed:?}");
        });
    }

    #[test]
    fn a_directory_that_others_can_change_is_refused() {
        let tmp = tempfile::tempdir().expect("a directory");
        let open = tmp.path().join("open");
        std::fs::create_dir(&open).expect("made");
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).expect("mode");
        let refused = |path: &Path| {
            RuntimeDir::at(path)
                .prepare()
                .expect_err("refused")
                .to_string()
        };
        assert!(refused(&open).contains("others may write"));
        let link = tmp.path().join("link");
        std::os::unix::fs::symlink("/", &link).expect("a link");
        assert!(refused(&link).contains("not a directory"));
        assert!(refused(&tmp.path().join("a/b")).contains("cannot be used"));
        assert!(refused(&tmp.path().join("x".repeat(90))).contains("too long"));
    }
}
