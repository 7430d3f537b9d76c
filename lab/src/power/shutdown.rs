//! A machine without a machine: ext4 on an image is told to stop writing from one moment to the next
//! (`EXT4_IOC_SHUTDOWN`, without its journal being flushed), as xfstests does it.
//!
//! What ext4 has submitted to its disk by then is in the image, what it kept in memory is not. That a
//! disk forgets what it holds in a cache of its own is not modelled.

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use super::cut::Machine;
use super::verify::{Loss, verify_both};
use super::{Event, Log, writer};
use crate::image::Image;
use crate::process::poll_until;
use crate::suite::sys;

/// Size of the disk: some hundred transactions, and a journal.
const BYTES: u64 = 128 << 20;

/// A writer that tells nothing for so long hangs: sync(2) waits for all disks of a busy machine.
const SILENCE: Duration = Duration::from_secs(60);

/// Ends a mount, and waits until it is gone.
pub type Unmount = Box<dyn FnOnce() -> Result<()>>;

/// Mounts a directory at another one. When what it returns is dropped instead of called, the mount
/// has to go all the same.
pub type Mounter<'a> = Box<dyn Fn(&Path, &Path) -> Result<Unmount> + 'a>;

/// See the module. Mounts and files are gone when dropped.
pub struct Shutdown<'a> {
    mounter: Option<Mounter<'a>>,
    directory: tempfile::TempDir,
    patience: u32,
}

impl<'a> Shutdown<'a> {
    /// A disk in a directory of its own in `directory`. What is written and read goes through a mount
    /// of `mounter`, or to ext4 itself. All time limits are multiplied by `patience`.
    ///
    /// # Errors
    ///
    /// When the directory cannot be made.
    pub fn new(directory: &Path, mounter: Option<Mounter<'a>>, patience: u32) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("power-")
            .tempdir_in(directory)
            .with_context(|| format!("no room for a disk in {}", directory.display()))?;
        Ok(Shutdown {
            mounter,
            directory,
            patience,
        })
    }

    fn image(&self) -> PathBuf {
        self.directory.path().join("image")
    }

    /// Mounts the disk, with all that was acknowledged to be on it.
    fn mount_disk(&self) -> Result<Image> {
        Image::mount(&self.image(), &self.directory.path().join("disk"))
    }

    /// The writer's directory on the disk, and the mount of the contestant if it has one.
    fn serve(&self, disk: &Image) -> Result<(PathBuf, Option<(PathBuf, Unmount)>)> {
        let source = disk.path().join("writer");
        let mountpoint = self.directory.path().join("mnt");
        let served = match &self.mounter {
            None => None,
            Some(mount) => {
                fs::create_dir_all(&mountpoint)?;
                Some((mountpoint.clone(), mount(&source, &mountpoint)?))
            }
        };
        Ok((source, served))
    }
}

impl Machine for Shutdown<'_> {
    fn write(
        &mut self,
        seed: u64,
        last: Option<u64>,
        on_event: &mut dyn FnMut(Event) -> ControlFlow<Duration>,
    ) -> Result<()> {
        Image::format(&self.image(), BYTES)?;
        let disk = self.mount_disk()?;
        fs::create_dir(disk.path().join("writer"))?;
        let power = File::open(disk.path())?;
        rustix::fs::syncfs(&power)?;
        let (source, served) = self.serve(&disk)?;
        let root = served.as_ref().map_or(&source, |(mnt, _)| mnt);
        let written =
            Writing::start(root, seed, last)?.until_cut(power, SILENCE * self.patience, on_event);
        if let Some((_, unmount)) = served {
            unmount()?;
        }
        written
    }

    fn verify(&mut self, log: &Log) -> Result<Vec<Loss>> {
        let disk = self.mount_disk().context("the disk after the cut")?;
        let (source, served) = self.serve(&disk)?;
        let mounted = served.as_ref().map(|(mountpoint, _)| mountpoint.as_path());
        let losses = verify_both(&source, mounted, log)?;
        if let Some((_, unmount)) = served {
            unmount()?;
        }
        Ok(losses)
    }
}

/// Where the writer hands over its events; nothing passes any more when the power is cut.
type Gate = Arc<Mutex<Option<Sender<Event>>>>;

/// A writer at work, in a thread.
struct Writing {
    gate: Gate,
    events: Receiver<Event>,
    writer: JoinHandle<Result<()>>,
}

impl Writing {
    fn start(root: &Path, seed: u64, last: Option<u64>) -> Result<Self> {
        let (sender, events) = channel();
        let gate: Gate = Arc::new(Mutex::new(Some(sender)));
        let (root, passage) = (root.to_owned(), Arc::clone(&gate));
        let writer = thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || {
                let written =
                    writer::write(&root, seed, last, &mut |event| match &*lock(&passage) {
                        Some(sender) if sender.send(event).is_ok() => ControlFlow::Continue(()),
                        _ => ControlFlow::Break(()),
                    });
                // Took the power away from it, a failure is what was wanted.
                let powered = lock(&passage).take().is_some();
                if powered { written } else { Ok(()) }
            })
            .context("cannot start the writer")?;
        Ok(Writing {
            gate,
            events,
            writer,
        })
    }

    /// Hands over events until the power is cut, and those that passed before it was. Leaves no
    /// descriptor of the disk.
    fn until_cut(
        self,
        power: File,
        silence: Duration,
        on_event: &mut dyn FnMut(Event) -> ControlFlow<Duration>,
    ) -> Result<()> {
        let followed = self.follow(silence, on_event);
        {
            // Between two events the writer is inside a transaction that was begun: what it does in
            // there while the power goes may be there afterwards or not.
            let mut gate = lock(&self.gate);
            sys::shut_down(&power).context("cannot shut ext4 down")?;
            *gate = None;
        }
        for event in self.events.try_iter() {
            let _ = on_event(event);
        }
        let deadline = Instant::now() + silence;
        if !poll_until(deadline, || Ok(self.writer.is_finished()))? {
            bail!("the writer hangs, {silence:?} after the power was cut");
        }
        let written = self.writer.join();
        written.map_err(|_| anyhow!("the writer panicked"))??;
        followed
    }

    /// Until it is time to cut the power.
    fn follow(
        &self,
        silence: Duration,
        on_event: &mut dyn FnMut(Event) -> ControlFlow<Duration>,
    ) -> Result<()> {
        let mut moment = None;
        loop {
            let limit = moment.map_or(silence, |moment: Instant| {
                moment.saturating_duration_since(Instant::now())
            });
            match self.events.recv_timeout(limit) {
                Ok(event) => {
                    let told = on_event(event).break_value();
                    moment = moment.or(told.map(|delay| Instant::now() + delay));
                }
                Err(_) if moment.is_some() => return Ok(()),
                Err(RecvTimeoutError::Timeout) => bail!("the writer told nothing for {silence:?}"),
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("the writer ended before the power was cut")
                }
            }
        }
    }
}

fn lock(gate: &Gate) -> std::sync::MutexGuard<'_, Option<Sender<Event>>> {
    gate.lock().unwrap_or_else(PoisonError::into_inner)
}
