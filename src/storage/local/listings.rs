//! Listings of directories that nobody opened (handle 0): where each request left off.
//!
//! A request says only which directory and after which cookie. So the open directory of the last request is
//! kept under both, and the next request of the same listing finds it. Listings that are given up are
//! pushed out by others.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;

use super::LocalStorage;
use super::directories::OpenDirectory;
use super::inodes::Node;
use crate::storage::types::{Errno, FileKind, Ino, Result};

/// Listings under way that are kept at most: more than a few at once are rare, and one that was pushed
/// out costs a directory opened again.
const KEPT: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// `f_type` of file systems whose cookies say the same to every descriptor and do not move when other
/// names come and go (`linux/magic.h`): ext4, XFS, Btrfs, F2FS, bcachefs, tmpfs (of Linux 6.6 and later; before,
/// only while the listing is kept here).
const STABLE_COOKIES: [u64; 6] = [
    0xef53,
    0x5846_5342,
    0x9123_683e,
    0xf2f5_2010,
    0xca45_1a4e,
    0x0102_1994,
];

/// Whether listings of a file system with this `f_type` can go on without an open directory.
pub(super) fn has_stable_cookies(kind: u64) -> bool {
    STABLE_COOKIES.contains(&kind)
}

/// The table, by the serial number of the inode and the cookie.
pub(super) struct Listings {
    kept: Mutex<LruCache<(u64, u64), OpenDirectory>>,
}

impl Listings {
    pub(super) fn new() -> Listings {
        Listings {
            kept: Mutex::new(LruCache::new(KEPT)),
        }
    }

    fn take(&self, node: &Node, cookie: u64) -> Option<OpenDirectory> {
        self.kept.lock().pop(&(node.serial, cookie))
    }

    fn keep(&self, directory: OpenDirectory) {
        let place = (directory.serial(), directory.cookie());
        let pushed_out = self.kept.lock().push(place, directory);
        // Closed here, outside the lock.
        drop(pushed_out);
    }

    /// The inode is forgotten.
    pub(super) fn drop_of(&self, node: &Node) {
        if node.kind != FileKind::Directory {
            return;
        }
        let mut kept = self.kept.lock();
        let of_node = kept
            .iter()
            .filter(|((serial, _), _)| *serial == node.serial);
        let places: Vec<_> = of_node.map(|(&place, _)| place).collect();
        for place in places {
            kept.pop(&place);
        }
    }

    pub(super) fn clear(&self) {
        self.kept.lock().clear();
    }
}

/// Goes on with the listing of `ino` after `cookie`; `walk` says whether there may be more to come.
pub(super) fn go_on(
    storage: &LocalStorage,
    ino: Ino,
    cookie: u64,
    walk: impl FnOnce(&OpenDirectory) -> Result<bool>,
) -> Result<()> {
    let node = storage.inodes.get(ino)?;
    let left_off = match cookie {
        // A new listing shows what is there now.
        0 => None,
        cookie => storage.listings.take(&node, cookie),
    };
    let directory = match left_off {
        Some(directory) => {
            directory.forget_outdated()?;
            directory
        }
        // What getdents(2) says of a directory that is gone.
        None => open(storage, node).map_err(|error| match error {
            Errno::STALE => Errno::NOENT,
            other => other,
        })?,
    };
    if walk(&directory)? {
        storage.listings.keep(directory);
    }
    Ok(())
}

/// Opens a directory for this process: whoever asks has been checked.
pub(super) fn open(storage: &LocalStorage, node: Arc<Node>) -> Result<OpenDirectory> {
    if node.kind != FileKind::Directory {
        return Err(Errno::NOTDIR);
    }
    let path = storage.fd(&node)?;
    storage.identity.daemon()?;
    Ok(OpenDirectory::open(storage, node, &path)?.shared())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::storage::{DirSink, FilesystemInterface, NO_HANDLE, ROOT_INO};

    /// Up to `most` names after `cookie`, and the cookie of the last.
    fn list(storage: &LocalStorage, cookie: u64, most: usize) -> (Vec<String>, u64) {
        let (mut names, mut last) = (Vec::new(), cookie);
        let listed = storage.readdir(ROOT_INO, NO_HANDLE, cookie, &mut |entry| {
            if names.len() == most {
                return DirSink::Full;
            }
            names.push(entry.name.to_str().unwrap().to_owned());
            last = entry.offset;
            DirSink::Taken
        });
        listed.unwrap();
        (names, last)
    }

    fn directory() -> (tempfile::TempDir, LocalStorage) {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..100 {
            std::fs::write(dir.path().join(n.to_string()), "").unwrap();
        }
        let storage = LocalStorage::open(dir.path()).unwrap();
        (dir, storage)
    }

    #[test]
    fn a_listing_goes_on_where_it_left_off_and_ends() {
        let (_dir, storage) = directory();
        let (mut names, mut cookie) = list(&storage, 0, 7);
        assert_eq!(storage.listings.kept.lock().len(), 1);
        loop {
            let (more, last) = list(&storage, cookie, 7);
            if more.is_empty() {
                break;
            }
            names.extend(more);
            cookie = last;
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 102);
        assert_eq!(storage.listings.kept.lock().len(), 0);
    }

    #[test]
    fn what_was_read_ahead_for_one_listing_is_not_shown_old_to_another() {
        let (dir, storage) = directory();
        let (all, _) = list(&storage, 0, usize::MAX);
        // Only of a directory that has not changed just now is anything read ahead trusted.
        let changed = std::fs::metadata(dir.path()).unwrap().modified().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while changed.elapsed().unwrap_or_default() < Duration::from_millis(50) {
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        }
        let (_, cookie) = list(&storage, 0, 10);
        let victim = &all[50];
        std::fs::remove_file(dir.path().join(victim)).unwrap();
        let (names, _) = list(&storage, cookie, usize::MAX);
        assert!(!names.contains(victim));
        assert_eq!(names.len(), 91);
    }

    #[test]
    fn a_forgotten_directory_and_the_end_of_the_mount_leave_nothing_open() {
        let (dir, storage) = directory();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        std::fs::write(dir.path().join("sub/a"), "").unwrap();
        let caller = crate::storage::Caller::ROOT;
        let sub = storage.lookup(&caller, ROOT_INO, "sub".as_ref()).unwrap();
        let first = &mut |_: &crate::storage::DirEntry<'_>| DirSink::Full;
        storage.readdir(sub.attr.ino, NO_HANDLE, 0, first).unwrap();
        assert_eq!(storage.listings.kept.lock().len(), 1);
        storage.forget(sub.attr.ino, 1);
        assert_eq!(storage.listings.kept.lock().len(), 0);
        list(&storage, 0, 1);
        FilesystemInterface::destroy(&storage);
        assert_eq!(storage.listings.kept.lock().len(), 0);
    }
}
