//! What a case is given.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::Failure;
use super::errno::code;
use super::util::{lstat, perm};

/// What a case is given: its directory, what lies behind it, and a place for observations.
///
/// The working directory is the case's own fresh directory, of mode 0755, and the umask is 022.
pub struct Cx {
    backing: PathBuf,
    attr_ttl: Duration,
    patience: u32,
    observations: RefCell<BTreeMap<String, String>>,
}

impl Cx {
    pub(super) fn new(backing: PathBuf, attr_ttl: Duration, patience: u32) -> Self {
        Self {
            backing,
            attr_ttl,
            patience,
            observations: RefCell::default(),
        }
    }

    /// The case's directory as seen below the mount. Without a mount it is the same directory, so
    /// that cases with changes from outside run on ext4 as well.
    #[must_use]
    pub fn backing(&self) -> &Path {
        &self.backing
    }

    /// How long to wait for what has to happen, and does at once on a machine that is not busy.
    #[must_use]
    pub fn limit(&self) -> Duration {
        Duration::from_secs(10) * self.patience
    }

    /// Notes `value` for comparison between filesystems.
    pub fn observe(&self, key: impl Into<String>, value: impl Display) {
        self.observations
            .borrow_mut()
            .insert(key.into(), value.to_string());
    }

    /// Notes how a call ended: `ok` or the name of its error.
    pub fn observe_code<T>(&self, key: impl Into<String>, result: &Result<T, Errno>) {
        self.observe(key, code(result));
    }

    /// Notes type, mode, links, owner and size of `path`, without following a symbolic link.
    /// The size of a directory is its filesystem's own affair and left out.
    pub fn observe_stat(&self, key: impl Into<String>, path: impl AsRef<Path>) {
        let text = match lstat(path) {
            Err(errno) => super::errno::name(errno),
            Ok(stat) => {
                let directory = stat.st_mode & 0o170_000 == 0o040_000;
                let size = if directory {
                    "-".into()
                } else {
                    stat.st_size.to_string()
                };
                format!(
                    "type {:o} mode {:o} nlink {} uid {} gid {} size {size}",
                    stat.st_mode >> 12,
                    perm(&stat),
                    stat.st_nlink,
                    stat.st_uid,
                    stat.st_gid
                )
            }
        };
        self.observe(key, text);
    }

    /// Waits until `condition` holds: at most the declared attribute TTL and a slack of one second,
    /// more only where the look itself takes longer. The TTL is a promise, and not stretched.
    ///
    /// # Errors
    /// When it does not hold by then.
    #[track_caller]
    pub fn becomes_visible(
        &self,
        what: &str,
        mut condition: impl FnMut() -> bool,
    ) -> Result<(), Failure> {
        let limit = self.attr_ttl + Duration::from_secs(1) * self.patience;
        let deadline = Instant::now() + limit;
        while !condition() {
            if Instant::now() >= deadline {
                return Err(Failure::new(format_args!(
                    "{what}: not visible within {limit:?}"
                )));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    pub(super) fn into_observations(self) -> BTreeMap<String, String> {
        self.observations.into_inner()
    }
}
