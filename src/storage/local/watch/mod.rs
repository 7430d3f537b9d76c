//! Notices what changes in the directory by other ways than through this storage.
//!
//! | file | what is in it |
//! |---|---|
//! | `fanotify` | one mark on the file system; privileged |
//! | `inotify` | a watch for each directory that the kernel holds |
//! | `sys` | the system calls |
//! | here | the thread that hands on what they notice |

mod fanotify;
mod inotify;
mod sys;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::descriptors::Descriptors;
use super::inodes::{InodeTable, Node};
use crate::platform::pipe;
use crate::storage::changes::{ChangeListener, WatchMethod};
use crate::storage::types::{Errno, Ino, ROOT_INO, Result};
use fanotify::Fanotify;
use inotify::Inotify;

pub(super) use inotify::Directories;

/// A request that is being answered while something changes may bring the old state to the kernel just
/// after it was told to drop it. So everything is told twice: no request takes as long as this.
const AGAIN: Duration = Duration::from_millis(100);

/// How long events collect before they are read: a file that is written in small pieces is told of a
/// thousand times a second and not for each piece.
const COLLECT: Duration = Duration::from_millis(1);

/// One thing that changed. Ordered, so that a set holds it once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    /// A name that appeared, or means another inode now.
    Name(Ino, OsString),
    /// A name that disappeared.
    Gone(Ino, OsString),
    Attributes(Ino),
    Contents(Ino),
    /// Events were lost: anything may have changed.
    Anything,
}

/// Where changes are read.
trait Source: Send {
    /// Readable when there is something.
    fn fd(&self) -> BorrowedFd<'_>;
    /// Reads what there is, and adds what it means.
    fn read(&mut self, changes: &mut BTreeSet<Change>) -> Result<()>;
}

/// The thread, and what adds to it.
pub(super) struct Watch {
    method: WatchMethod,
    directories: Option<Arc<Directories>>,
    /// Closed, it ends the thread.
    stop: Mutex<Option<OwnedFd>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Watch {
    /// Begins to watch the file system of the root, and failing that its directories.
    ///
    /// # Errors
    /// When neither can be had, those of inotify(7): `EMFILE` beyond `fs.inotify.max_user_instances`.
    pub(super) fn start(
        inodes: &Arc<InodeTable>,
        descriptors: &Arc<Descriptors>,
        listener: Arc<dyn ChangeListener>,
    ) -> Result<Watch> {
        let teller = Teller {
            inodes: inodes.clone(),
            listener,
        };
        let error = match Fanotify::start(inodes) {
            Ok(source) => return Watch::run(WatchMethod::Fanotify, source, None, teller),
            Err(error) => error,
        };
        tracing::info!(%error, "no mark on the whole file system; each directory is watched by itself");
        let directories = Arc::new(Directories::new()?);
        let root = inodes.get(ROOT_INO)?;
        directories.add(&root, descriptors.of(inodes, &root)?.as_fd());
        let source = Inotify::new(directories.clone(), inodes.clone(), descriptors.clone());
        Watch::run(WatchMethod::Inotify, source, Some(directories), teller)
    }

    fn run(
        method: WatchMethod,
        source: impl Source + 'static,
        directories: Option<Arc<Directories>>,
        teller: Teller,
    ) -> Result<Watch> {
        let (stopped, stop) = pipe()?;
        let thread = std::thread::Builder::new()
            .name("dynamicfs-watch".into())
            .spawn(move || {
                if let Err(error) = hand_on(source, &teller, &stopped) {
                    tracing::error!(%error, "changes behind the mount are no longer noticed: staleness is bounded by TTLs only");
                }
            })
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::AGAIN))?;
        Ok(Watch {
            method,
            directories,
            stop: Mutex::new(Some(stop)),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// How it learns of changes.
    pub(super) fn method(&self) -> WatchMethod {
        self.method
    }

    /// Where each directory must be watched by itself.
    pub(super) fn directories(&self) -> Option<&Directories> {
        self.directories.as_deref()
    }

    /// Ends the thread.
    pub(super) fn stop(&self) {
        drop(self.stop.lock().take());
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that watches for changes panicked");
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Reads and tells until `stopped` is at its end.
fn hand_on(mut source: impl Source, teller: &Teller, stopped: &OwnedFd) -> Result<()> {
    let mut told = BTreeSet::new();
    let mut again: Option<Instant> = None;
    loop {
        let wait = again.map(|at| at.saturating_duration_since(Instant::now()));
        let [changed, ended] = ready([source.fd(), stopped.as_fd()], wait)?;
        if ended {
            return Ok(());
        }
        if changed {
            let mut changes = BTreeSet::new();
            source.read(&mut changes)?;
            teller.tell(&changes);
            if !changes.is_empty() {
                told.append(&mut changes);
                again.get_or_insert_with(|| Instant::now() + AGAIN);
            }
            if ready([stopped.as_fd()], Some(COLLECT))?[0] {
                return Ok(());
            }
        }
        if again.is_some_and(|at| at <= Instant::now()) {
            teller.tell(&told);
            told.clear();
            again = None;
        }
    }
}

/// Which of the descriptors have something to say, after at most `limit`.
fn ready<const N: usize>(fds: [BorrowedFd<'_>; N], limit: Option<Duration>) -> Result<[bool; N]> {
    let limit = limit.map(|limit| Timespec {
        tv_sec: limit.as_secs() as i64,
        tv_nsec: i64::from(limit.subsec_nanos()),
    });
    let mut polled = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    match poll(&mut polled, limit.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(polled.map(|fd| !fd.revents().is_empty())),
        Err(error) => Err(error),
    }
}

struct Teller {
    inodes: Arc<InodeTable>,
    listener: Arc<dyn ChangeListener>,
}

impl Teller {
    fn tell(&self, changes: &BTreeSet<Change>) {
        if changes.contains(&Change::Anything) {
            return self.tell_all();
        }
        for change in changes {
            match change {
                Change::Name(parent, name) => self.listener.name_changed(*parent, name),
                // It is there again, perhaps with something mounted on it.
                Change::Gone(parent, name)
                    if changes.contains(&Change::Name(*parent, name.clone())) => {}
                Change::Gone(parent, name) => self.listener.name_gone(*parent, name),
                Change::Attributes(ino) => self.listener.attributes_changed(*ino),
                Change::Contents(ino) => self.listener.contents_changed(*ino),
                Change::Anything => {}
            }
        }
    }

    /// Everything that the kernel holds, each under the name by which it was seen last.
    fn tell_all(&self) {
        tracing::warn!("events were lost: everything that is cached expires");
        self.listener.absences_in_doubt();
        for node in self.inodes.all() {
            let location = node.location.lock().clone();
            if let Some((parent, name)) = location {
                self.listener.name_changed(parent.id, &name);
            }
            self.listener.attributes_changed(node.id);
            self.listener.contents_changed(node.id);
        }
    }
}

/// What a change of a name means: the name, and the listing of its directory. It may have `appeared` and
/// disappeared, in any order.
fn name_changed(changes: &mut BTreeSet<Change>, directory: &Node, name: OsString, appeared: bool) {
    changes.insert(match appeared {
        true => Change::Name(directory.id, name),
        false => Change::Gone(directory.id, name),
    });
    changes.insert(Change::Contents(directory.id));
    changes.insert(Change::Attributes(directory.id));
}

#[cfg(test)]
mod tests;
