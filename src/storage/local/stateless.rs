//! Descriptors of files that nobody opened (handle 0), kept for a while: a mount without OPEN requests
//! names only the inode.

use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lru::LruCache;
use parking_lot::Mutex;
use rustix::fs::OFlags;

use super::LocalStorage;
use super::descriptors::{reopen, stat};
use super::inodes::Node;
use crate::storage::types::{Errno, Fh, FileKind, Ino, NO_HANDLE, Result};

/// How long a descriptor for writing is kept after its last use. As long as it is open, the file cannot be
/// executed (`ETXTBSY`) and its file system cannot be made read-only, also behind the mount.
const WRITING: Duration = Duration::from_secs(1);

/// The descriptors of one inode.
#[derive(Default)]
struct Open {
    reading: Option<Arc<OwnedFd>>,
    writing: Option<(Arc<OwnedFd>, Instant)>,
}

/// What is open, by the serial number of the inode.
struct Kept {
    open: LruCache<u64, Open>,
    /// A thread closes what is no longer written to.
    sweeping: bool,
}

/// The descriptors of files that nobody opened.
pub(super) struct Unopened {
    kept: Arc<Mutex<Kept>>,
}

impl Unopened {
    /// Keeps the descriptors of at most `capacity` files.
    pub(super) fn new(capacity: usize) -> Unopened {
        let capacity = NonZeroUsize::new(capacity).unwrap_or(NonZeroUsize::MIN);
        let kept = Kept {
            open: LruCache::new(capacity),
            sweeping: false,
        };
        Unopened {
            kept: Arc::new(Mutex::new(kept)),
        }
    }

    fn reading(&self, node: &Node) -> Option<Arc<OwnedFd>> {
        self.kept.lock().open.get(&node.serial)?.reading.clone()
    }

    fn writing(&self, node: &Node) -> Option<Arc<OwnedFd>> {
        let mut kept = self.kept.lock();
        let (fd, used) = kept.open.get_mut(&node.serial)?.writing.as_mut()?;
        *used = Instant::now();
        Some(fd.clone())
    }

    fn keep_reading(&self, node: &Node, fd: Arc<OwnedFd>) {
        self.keep(node, |open| open.reading = Some(fd));
    }

    fn keep_writing(&self, node: &Node, fd: Arc<OwnedFd>) {
        self.keep(node, |open| open.writing = Some((fd, Instant::now())));
        let mut kept = self.kept.lock();
        if !kept.sweeping {
            kept.sweeping = self.sweep();
        }
        if !kept.sweeping {
            // Without a thread that closes it in time it is better opened each time.
            kept.open.pop(&node.serial);
        }
    }

    fn keep(&self, node: &Node, add: impl FnOnce(&mut Open)) {
        let mut kept = self.kept.lock();
        let mut open = kept.open.pop(&node.serial).unwrap_or_default();
        add(&mut open);
        let pushed_out = kept.open.push(node.serial, open);
        drop(kept);
        // Closed here, outside the lock.
        drop(pushed_out);
    }

    /// Starts the thread that closes what is no longer written to, and ends with the last of it. Says
    /// whether it runs.
    fn sweep(&self) -> bool {
        let kept = Arc::downgrade(&self.kept);
        let thread = std::thread::Builder::new().name("dynamicfs-close".into());
        let started = thread.spawn(move || {
            loop {
                std::thread::sleep(WRITING / 2);
                match kept.upgrade() {
                    Some(kept) if kept.lock().close_idle() => {}
                    _ => return,
                }
            }
        });
        started
            .inspect_err(|error| tracing::warn!(%error, "no thread to close written files"))
            .is_ok()
    }

    /// The inode is forgotten.
    pub(super) fn drop_of(&self, node: &Node) {
        if node.kind == FileKind::RegularFile {
            let open = self.kept.lock().open.pop(&node.serial);
            drop(open);
        }
    }

    /// Closes all that is not in use.
    pub(super) fn clear(&self) {
        self.kept.lock().open.clear();
    }
}

impl Kept {
    /// Closes what has not been written to for [`WRITING`]; says whether anything is left to close later.
    fn close_idle(&mut self) -> bool {
        let mut left = false;
        for (_, open) in self.open.iter_mut() {
            if open
                .writing
                .as_ref()
                .is_some_and(|(_, used)| used.elapsed() >= WRITING)
            {
                open.writing = None;
            }
            left |= open.writing.is_some();
        }
        self.sweeping = left;
        left
    }
}

impl LocalStorage {
    /// A descriptor to read `ino` with: that of the open file `fh`, or for the handle 0 one of our own.
    ///
    /// # Errors
    /// `EBADF` when nothing is open under this number.
    pub(super) fn readable(&self, ino: Ino, fh: Fh) -> Result<Arc<OwnedFd>> {
        if fh != NO_HANDLE {
            return Ok(self.files.require(fh)?.fd.clone());
        }
        let node = self.inodes.get(ino)?;
        if let Some(fd) = self.unopened.reading(&node) {
            return Ok(fd);
        }
        let fd = Arc::new(self.open_node(&node, OFlags::RDONLY)?);
        self.unopened.keep_reading(&node, fd.clone());
        Ok(fd)
    }

    /// The same to write with.
    ///
    /// # Errors
    /// `EBADF` when nothing is open under this number.
    pub(super) fn writable(&self, ino: Ino, fh: Fh) -> Result<Arc<OwnedFd>> {
        if fh != NO_HANDLE {
            return Ok(self.files.require(fh)?.fd.clone());
        }
        let node = self.inodes.get(ino)?;
        if let Some(fd) = self.unopened.writing(&node) {
            return Ok(fd);
        }
        let fd = Arc::new(self.open_node(&node, OFlags::WRONLY)?);
        self.unopened.keep_writing(&node, fd.clone());
        Ok(fd)
    }

    /// Keeps the open file `fh` for operations by inode.
    pub(super) fn detach(&self, ino: Ino, fh: Fh) -> Result<()> {
        let file = self.files.remove(fh)?;
        let node = self.inodes.get(ino)?;
        match file.writable {
            true => self.unopened.keep_writing(&node, file.fd.clone()),
            false => self.unopened.keep_reading(&node, file.fd.clone()),
        }
        Ok(())
    }

    /// A descriptor to write to `ino` at `offset`. An append-only file (chattr(1)) that nobody opened is
    /// written to at its end, and nowhere else.
    ///
    /// # Errors
    /// Those of [`writable`](Self::writable); `EPERM` for another place in an append-only file.
    pub(super) fn writable_at(&self, ino: Ino, fh: Fh, offset: u64) -> Result<Arc<OwnedFd>> {
        match self.writable(ino, fh) {
            Err(Errno::PERM) if fh == NO_HANDLE => {
                let node = self.inodes.get(ino)?;
                let fd = self.open_node(&node, OFlags::WRONLY | OFlags::APPEND)?;
                match stat(fd.as_fd(), c"")?.stx_size == offset {
                    true => Ok(Arc::new(fd)),
                    false => Err(Errno::PERM),
                }
            }
            other => other,
        }
    }

    fn open_node(&self, node: &Arc<Node>, flags: OFlags) -> Result<OwnedFd> {
        if node.kind != FileKind::RegularFile {
            return Err(Errno::BADF);
        }
        let path = self.fd(node)?;
        self.identity.daemon()?;
        let open = || self.descriptors.with_room(|| reopen(path.as_fd(), flags));
        match open() {
            Err(Errno::MFILE | Errno::NFILE) => {
                self.unopened.clear();
                open()
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Caller, CreateMode, FilesystemInterface, ROOT_INO, WriteFlags};

    fn storage(dir: &std::path::Path) -> (LocalStorage, Ino) {
        std::fs::write(dir.join("file"), "before").unwrap();
        let storage = LocalStorage::open(dir).unwrap();
        let entry = storage.lookup(&Caller::ROOT, ROOT_INO, "file".as_ref());
        let ino = entry.unwrap().attr.ino;
        (storage, ino)
    }

    const FLAGS: WriteFlags = WriteFlags {
        from_page_cache: false,
    };

    #[test]
    fn a_file_that_nobody_opened_is_read_and_written_by_its_inode() {
        let dir = tempfile::tempdir().unwrap();
        let (storage, ino) = storage(dir.path());
        let mut buffer = [0; 16];
        assert_eq!(storage.read(ino, NO_HANDLE, 0, &mut buffer), Ok(6));
        let written = storage.write(&Caller::ROOT, ino, NO_HANDLE, 6, b" after", FLAGS);
        assert_eq!(written, Ok(6));
        assert_eq!(storage.read(ino, NO_HANDLE, 0, &mut buffer), Ok(12));
        assert_eq!(&buffer[..12], b"before after");
        assert_eq!(storage.fsync(ino, NO_HANDLE, false), Ok(()));
        assert_eq!(storage.release(ino, NO_HANDLE), Ok(()));
    }

    #[test]
    fn a_new_file_goes_on_without_its_handle() {
        let dir = tempfile::tempdir().unwrap();
        let storage = LocalStorage::open(dir.path()).unwrap();
        let mode = CreateMode {
            mode: 0o644,
            umask: 0,
        };
        let name = "new".as_ref();
        let created = storage.create(&Caller::ROOT, ROOT_INO, name, mode, OFlags::WRONLY);
        let (entry, fh) = created.unwrap();
        let ino = entry.attr.ino;
        assert_eq!(FilesystemInterface::detach(&storage, ino, fh), Ok(()));
        assert_eq!(storage.statistics().open_files, 0);
        // Not opened again: that would fail.
        std::fs::remove_file(dir.path().join("new")).unwrap();
        let written = storage.write(&Caller::ROOT, ino, NO_HANDLE, 0, b"kept", FLAGS);
        assert_eq!(written, Ok(4));
    }

    #[test]
    fn its_data_stay_when_its_name_goes() {
        let dir = tempfile::tempdir().unwrap();
        let (storage, ino) = storage(dir.path());
        let unlinked = storage.unlink(&Caller::ROOT, ROOT_INO, "file".as_ref());
        assert_eq!(unlinked, Ok(()));
        let mut buffer = [0; 16];
        assert_eq!(storage.read(ino, NO_HANDLE, 0, &mut buffer), Ok(6));
        storage.forget(ino, 1);
        assert_eq!(
            storage.read(ino, NO_HANDLE, 0, &mut buffer),
            Err(Errno::STALE)
        );
    }

    #[test]
    fn what_was_written_to_is_closed_soon() {
        let dir = tempfile::tempdir().unwrap();
        let (storage, ino) = storage(dir.path());
        let written = storage.write(&Caller::ROOT, ino, NO_HANDLE, 0, b"x", FLAGS);
        assert_eq!(written, Ok(1));
        let node = storage.inodes.get(ino).unwrap();
        assert!(storage.unopened.writing(&node).is_some());
        let deadline = Instant::now() + 10 * WRITING;
        while storage.unopened.kept.lock().sweeping {
            assert!(Instant::now() < deadline, "still open for writing");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(storage.unopened.writing(&node).is_none());
    }
}
