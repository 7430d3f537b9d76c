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
