//! The file systems that cells run on: one for ext4, an identical one behind the mounts, and a third
//! to cross to.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use dynamicfs::config::{Preset, TransportChoice};
use dynamicfs::mount::MountReport;
use dynamicfs::mount::registry::MountStatus;
use serde::Deserialize;

use crate::cell::{Cell, Contestant};
use crate::image::{IMAGE_BYTES, Image, place_for_images};
use crate::namespace::{WORKPLACE, scratch};
use crate::outcome::SuiteResult;
use crate::paths::Paths;
use crate::suites::{Mounted, Place, Programs};
use crate::target::{Dynamicfs, Permissions};

/// Size of the file system that cases cross to.
const SECONDARY_BYTES: u64 = 64 << 20;

/// The file systems of a run.
#[derive(Debug)]
pub struct Volumes {
    /// Native ext4.
    pub ext4: Image,
    /// Behind the mounts.
    pub backing: Image,
    secondary: Image,
    command: Dynamicfs,
    work: PathBuf,
    scratch: PathBuf,
    manner: Manner,
}

/// How a run goes about its cells.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// Smaller amounts in the suites that have such.
    pub quick: bool,
    /// Factor for all time limits: 1 on the machine itself, more where a kernel is emulated.
    pub patience: u32,
    /// Power cuts of a suite that makes its own.
    pub cuts: u32,
}

impl Volumes {
    /// Makes the file systems in files under [`WORKPLACE`]. An imitation of the command need not mount
    /// FUSE.
    ///
    /// # Errors
    ///
    /// When an image cannot be made or mounted.
    pub fn in_files(
        paths: &Paths,
        command: &Path,
        imitation: bool,
        manner: Manner,
    ) -> Result<Self> {
        let work = Path::new(WORKPLACE);
        let memory = work.join("images");
        let disk = paths.lab().join("images");
        let images = place_for_images(&memory, &disk);
        let command = Dynamicfs::new(command, &scratch());
        let command = if imitation {
            command.imitation()
        } else {
            command
        };
        Ok(Volumes::new(
            [
                Image::create(images, &work.join("ext4"), IMAGE_BYTES)?,
                Image::create(images, &work.join("back"), IMAGE_BYTES)?,
                Image::create(images, &work.join("other"), SECONDARY_BYTES)?,
            ],
            command,
            manner,
        ))
    }

    /// With mounts whose requests come by this transport ([`Dynamicfs::by_transport`]).
    #[must_use]
    pub fn by_transport(mut self, choice: TransportChoice) -> Self {
        self.command = self.command.by_transport(choice);
        self
    }

    /// On disks that have file systems: for ext4, behind the mounts, to cross to.
    ///
    /// # Errors
    ///
    /// When one cannot be mounted.
    pub fn on_disks(disks: [&Path; 3], command: &Path, manner: Manner) -> Result<Self> {
        let work = Path::new(WORKPLACE);
        let [ext4, backing, secondary] = disks;
        Ok(Volumes::new(
            [
                Image::mount(ext4, &work.join("ext4"))?,
                Image::mount(backing, &work.join("back"))?,
                Image::mount(secondary, &work.join("other"))?,
            ],
            Dynamicfs::new(command, &scratch()),
            manner,
        ))
    }

    fn new(images: [Image; 3], command: Dynamicfs, manner: Manner) -> Self {
        let [ext4, backing, secondary] = images;
        Volumes {
            ext4,
            backing,
            secondary,
            command,
            work: WORKPLACE.into(),
            scratch: scratch(),
            manner,
        }
    }

    /// The command under test.
    pub fn command(&self) -> &Dynamicfs {
        &self.command
    }

    /// Puts another command under test.
    pub fn set_command(&mut self, command: Dynamicfs) {
        self.command = command;
    }

    /// A mountpoint for a preset.
    pub fn mountpoint(&self, preset: Preset) -> PathBuf {
        self.work.join("mnt").join(preset.name())
    }

    /// An empty directory of the backing file system for a preset.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn source(&self, preset: Preset) -> Result<PathBuf> {
        let source = self.backing.path().join(preset.name());
        if source.exists() {
            fs::remove_dir_all(&source)?;
        }
        fs::create_dir(&source)?;
        Ok(source)
    }

    /// Mounts a preset and tells what it asked of the kernel and was granted.
    ///
    /// # Errors
    ///
    /// When it cannot be mounted or unmounted, or `dynamicfs status` fails.
    pub fn capabilities(&self, preset: Preset) -> Result<MountReport> {
        #[derive(Deserialize)]
        struct Status {
            mounts: Vec<MountStatus>,
        }
        let source = self.source(preset)?;
        let at = self.mountpoint(preset);
        let mount = self
            .command
            .mount(&source, &at, preset, Permissions::Kernel)?;
        let status: Status = serde_json::from_value(mount.status()?)
            .context("dynamicfs status --json: no mounts with a report")?;
        mount.unmount()?;
        let mut mounts = status.mounts.into_iter();
        let mounted = mounts.find(|mounted| mounted.mountpoint == at);
        Ok(mounted
            .with_context(|| format!("dynamicfs status does not tell of {}", at.display()))?
            .report)
    }

    /// Runs a cell.
    ///
    /// # Errors
    ///
    /// When the suite cannot be run to its end, or the preset cannot be mounted or unmounted.
    pub fn run(&self, cell: &Cell, programs: &Programs) -> Result<SuiteResult> {
        self.visit(cell.contestant, |place| cell.suite.run(place, programs))
    }

    /// Does something at the place of a contestant; a preset is mounted for it.
    ///
    /// # Errors
    ///
    /// Those of `work`, or when the preset cannot be mounted or unmounted.
    pub fn visit<T>(
        &self,
        contestant: Contestant,
        work: impl FnOnce(&Place<'_>) -> Result<T>,
    ) -> Result<T> {
        match contestant {
            Contestant::Ext4 => self.visit_native(work),
            Contestant::Preset {
                preset,
                permissions,
            } => {
                let source = self.source(preset)?;
                self.visit_preset(&source, preset, permissions, work)
            }
        }
    }

    /// The same with the files that the last visit left, of another [`Volumes`] even.
    ///
    /// # Errors
    ///
    /// Those of [`visit`](Self::visit).
    pub fn revisit<T>(
        &self,
        contestant: Contestant,
        work: impl FnOnce(&Place<'_>) -> Result<T>,
    ) -> Result<T> {
        match contestant {
            Contestant::Ext4 => self.visit_native(work),
            Contestant::Preset {
                preset,
                permissions,
            } => {
                let source = self.backing.path().join(preset.name());
                self.visit_preset(&source, preset, permissions, work)
            }
        }
    }

    fn visit_native<T>(&self, work: impl FnOnce(&Place<'_>) -> Result<T>) -> Result<T> {
        let root = self.ext4.path();
        let place = self.place(root, root, Duration::ZERO, None);
        let result = work(&place)?;
        self.ext4.trim()?;
        Ok(result)
    }

    fn visit_preset<T>(
        &self,
        source: &Path,
        preset: Preset,
        permissions: Permissions,
        work: impl FnOnce(&Place<'_>) -> Result<T>,
    ) -> Result<T> {
        // A mount per suite: one that a suite broke must not spoil the next.
        let mount = self
            .command
            .mount(source, &self.mountpoint(preset), preset, permissions)?;
        let attr_ttl = preset.config().attr_timeout();
        let mounted = Mounted {
            command: &self.command,
            preset,
            permissions,
        };
        let place = self.place(mount.path(), source, attr_ttl, Some(mounted));
        let result = work(&place)?;
        mount.unmount()?;
        self.backing.trim()?;
        Ok(result)
    }

    fn place<'a>(
        &'a self,
        root: &'a Path,
        backing: &'a Path,
        attr_ttl: Duration,
        mounted: Option<Mounted<'a>>,
    ) -> Place<'a> {
        Place {
            root,
            backing,
            secondary: self.secondary.path(),
            scratch: &self.scratch,
            attr_ttl,
            mounted,
            quick: self.manner.quick,
            patience: self.manner.patience,
            cuts: self.manner.cuts,
        }
    }
}
