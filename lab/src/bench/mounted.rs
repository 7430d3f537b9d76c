//! A contestant at work.

use std::collections::BTreeMap;
use std::fs;
use std::mem;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::minor;

use super::daemons::{self, Daemons, Holder};
use super::peers::{Peer, PeerMount, Ready};
use crate::meter::Meter;
use crate::target::Mount;

/// A directory that a contestant serves. Dropped, it is unmounted and its daemons are killed.
#[derive(Debug)]
pub struct Mounted {
    dir: PathBuf,
    connection: Option<u32>,
    meter: Meter,
    daemons: Daemons,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// No mount.
    Native,
    Preset(Mount),
    Peer(PeerMount),
}

impl Mounted {
    pub(super) fn native(dir: &Path) -> Self {
        Mounted {
            dir: dir.to_owned(),
            connection: None,
            meter: Meter::default(),
            daemons: Daemons::default(),
            way: Way::Native,
        }
    }

    pub(super) fn preset(mount: impl FnOnce() -> Result<Mount>) -> Result<Self> {
        let before = daemons::holders()?;
        let mount = mount()?;
        let dir = mount.path().to_owned();
        Mounted::new(dir, Way::Preset(mount), &before)
    }

    pub(super) fn peer(
        peer: &Peer,
        ready: &Ready,
        source: &Path,
        mountpoint: &Path,
    ) -> Result<Self> {
        let before = daemons::holders()?;
        let mount = PeerMount::new(peer, ready, source, mountpoint)?;
        let dir = mount.dir().to_owned();
        Mounted::new(dir, Way::Peer(mount), &before)
    }

    fn new(dir: PathBuf, mut way: Way, before: &[Holder]) -> Result<Self> {
        let device = fs::metadata(&dir)
            .with_context(|| format!("the mount does not show {}", dir.display()))?
            .dev();
        // The kernel names a connection by the device number of its mount, whose major part is 0.
        let connection = minor(device);
        let starter = match &mut way {
            Way::Peer(mount) => Some(mount.child()),
            Way::Native | Way::Preset(_) => None,
        };
        let daemons = Daemons::find(connection, before, starter)?;
        Ok(Mounted {
            dir,
            connection: Some(connection),
            meter: Meter::new(daemons.pids()),
            daemons,
            way,
        })
    }

    /// The served directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Of its daemons.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// The minor device number by which the kernel names the connection to the daemon; `None` for a
    /// native directory.
    pub fn connection(&self) -> Option<u32> {
        self.connection
    }

    /// What the mount itself has counted of its requests since it was made, if it counts.
    ///
    /// # Errors
    ///
    /// When it should and does not tell.
    pub fn own_counts(&self) -> Result<Option<BTreeMap<String, u64>>> {
        match &self.way {
            Way::Preset(mount) => mount.requests().map(Some),
            Way::Native | Way::Peer(_) => Ok(None),
        }
    }

    /// Unmounts, and waits until the daemons have ended.
    ///
    /// # Errors
    ///
    /// When either does not happen in time; nothing is left nevertheless.
    pub fn unmount(mut self) -> Result<()> {
        match mem::replace(&mut self.way, Way::Native) {
            Way::Native => Ok(()),
            Way::Preset(mount) => mount.unmount().and_then(|()| self.daemons.wait_for_end()),
            Way::Peer(mount) => mount.unmount(&self.daemons),
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // First: unmounting would wait for a daemon that hangs. The mount goes with its field.
        self.daemons.kill();
    }
}
