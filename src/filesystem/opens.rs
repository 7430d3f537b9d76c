//! Which inodes are open, and in which mode.
//!
//! The kernel refuses to mix passthrough and cached opens of an inode (`fs/fuse/iomode.c`), so the
//! mode of the first open binds the others until the last close.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rustix::fs::OFlags;

use crate::storage::{Ino, OpenFlags};

const SHARDS: usize = 16;

/// In the flags of an open by execve(2): the kernel's `__FMODE_EXEC` (`include/linux/fs.h`).
const EXECUTED: OpenFlags = OFlags::from_bits_retain(0x20);

/// The mode that all concurrent opens of an inode share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OpenMode {
    Passthrough,
    Cached,
    Direct,
}

#[derive(Debug)]
struct OpenInode {
    mode: OpenMode,
    opens: u32,
    /// Opens through which the file can be mapped shared and writable.
    mappable: u32,
    /// Processes that execute it.
    executed: u32,
}

/// The table of open inodes.
pub(super) struct OpenInodes {
    shards: [Mutex<HashMap<Ino, OpenInode>>; SHARDS],
    files: AtomicU64,
    passthrough: AtomicU64,
    plain: AtomicU64,
    /// Inodes that are open in passthrough and can be mapped writable; spares the others a lookup
    /// in the table at each answer with attributes.
    mappable_inodes: AtomicU64,
}

impl OpenInodes {
    pub(super) fn new() -> OpenInodes {
        OpenInodes {
            shards: std::array::from_fn(|_| Mutex::new(HashMap::new())),
            files: AtomicU64::new(0),
            passthrough: AtomicU64::new(0),
            plain: AtomicU64::new(0),
            mappable_inodes: AtomicU64::new(0),
        }
    }

    fn shard(&self, ino: Ino) -> &Mutex<HashMap<Ino, OpenInode>> {
        &self.shards[ino as usize % SHARDS]
    }

    /// Counts an open, in `wanted` mode unless other opens have settled on another; returns the
    /// mode in force.
    pub(super) fn admit(&self, ino: Ino, wanted: OpenMode, flags: OpenFlags) -> OpenMode {
        let mut shard = self.shard(ino).lock();
        let inode = shard.entry(ino).or_insert(OpenInode {
            mode: wanted,
            opens: 0,
            mappable: 0,
            executed: 0,
        });
        inode.opens += 1;
        self.files.fetch_add(1, Ordering::Relaxed);
        inode.executed += u32::from(flags.contains(EXECUTED));
        if is_mappable_writable(flags) {
            inode.mappable += 1;
            if inode.mappable == 1 {
                self.mappable_inodes.fetch_add(1, Ordering::Release);
            }
        }
        let served = match inode.mode {
            OpenMode::Passthrough => &self.passthrough,
            OpenMode::Cached | OpenMode::Direct => &self.plain,
        };
        served.fetch_add(1, Ordering::Relaxed);
        inode.mode
    }

    /// The kernel refused passthrough for this inode: its opens are cached ones.
    pub(super) fn fall_back(&self, ino: Ino) {
        if let Some(inode) = self.shard(ino).lock().get_mut(&ino) {
            inode.mode = OpenMode::Cached;
            self.passthrough.fetch_sub(1, Ordering::Relaxed);
            self.plain.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a close. Its flags are what the kernel says they were: closes that no open goes with count
    /// for nothing.
    pub(super) fn dismiss(&self, ino: Ino, flags: OpenFlags) {
        let mut shard = self.shard(ino).lock();
        let Some(inode) = shard.get_mut(&ino) else {
            return;
        };
        self.files.fetch_sub(1, Ordering::Relaxed);
        let executed = u32::from(flags.contains(EXECUTED));
        inode.executed = inode.executed.saturating_sub(executed);
        if is_mappable_writable(flags) && inode.mappable > 0 {
            inode.mappable -= 1;
            if inode.mappable == 0 {
                self.mappable_inodes.fetch_sub(1, Ordering::Release);
            }
        }
        inode.opens -= 1;
        if inode.opens == 0 {
            shard.remove(&ino);
        }
    }

    /// Whether a shared mapping may change this file without a request (passthrough only: the
    /// kernel then updates the times of the backing inode and does not tell the mount's).
    pub(super) fn may_change_unseen(&self, ino: Ino) -> bool {
        self.mappable_inodes.load(Ordering::Acquire) > 0
            && self
                .shard(ino)
                .lock()
                .get(&ino)
                .is_some_and(|inode| inode.mode == OpenMode::Passthrough && inode.mappable > 0)
    }

    /// Whether a process executes this file. Truncating by open(2) is then refused, which the kernel does
    /// itself only after the open: too late where that truncates (`FUSE_ATOMIC_O_TRUNC`).
    pub(super) fn is_executed(&self, ino: Ino) -> bool {
        let shard = self.shard(ino).lock();
        shard.get(&ino).is_some_and(|inode| inode.executed > 0)
    }

    /// Files open now.
    pub(super) fn open_files(&self) -> u64 {
        self.files.load(Ordering::Relaxed)
    }

    /// Opens since the mount whose reads and writes are requests.
    pub(super) fn plain_opens(&self) -> u64 {
        self.plain.load(Ordering::Relaxed)
    }

    /// Opens served by passthrough since the mount.
    pub(super) fn passthrough_opens(&self) -> u64 {
        self.passthrough.load(Ordering::Relaxed)
    }
}

/// Whether mmap(2) can map the file shared and writable: that needs reading and writing.
pub(super) fn is_mappable_writable(flags: OpenFlags) -> bool {
    flags & OFlags::RWMODE == OFlags::RDWR
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: OpenFlags = OFlags::RDONLY;
    const BOTH: OpenFlags = OFlags::RDWR;

    #[test]
    fn the_first_open_binds_the_others_until_the_last_close() {
        let opens = OpenInodes::new();
        assert_eq!(opens.admit(7, OpenMode::Cached, READ), OpenMode::Cached);
        assert_eq!(
            opens.admit(7, OpenMode::Passthrough, READ),
            OpenMode::Cached
        );
        opens.dismiss(7, READ);
        opens.dismiss(7, READ);
        assert_eq!(
            opens.admit(7, OpenMode::Passthrough, READ),
            OpenMode::Passthrough
        );
        assert_eq!(opens.open_files(), 1);
        assert_eq!(opens.passthrough_opens(), 1);
    }

    #[test]
    fn only_passthrough_files_that_can_be_mapped_writable_change_unseen() {
        let opens = OpenInodes::new();
        opens.admit(1, OpenMode::Cached, BOTH);
        opens.admit(2, OpenMode::Passthrough, READ);
        opens.admit(3, OpenMode::Passthrough, BOTH);
        assert!(!opens.may_change_unseen(1));
        assert!(!opens.may_change_unseen(2));
        assert!(opens.may_change_unseen(3));
        opens.dismiss(3, BOTH);
        assert!(!opens.may_change_unseen(3));
    }

    #[test]
    fn a_file_is_executed_until_the_last_process_that_does_has_ended() {
        let opens = OpenInodes::new();
        opens.admit(1, OpenMode::Cached, READ);
        assert!(!opens.is_executed(1));
        opens.admit(1, OpenMode::Cached, READ | EXECUTED);
        assert!(opens.is_executed(1));
        opens.dismiss(1, READ | EXECUTED);
        assert!(!opens.is_executed(1) && !opens.is_executed(2));
    }

    #[test]
    fn a_close_with_flags_that_no_open_had_counts_for_nothing() {
        let opens = OpenInodes::new();
        opens.admit(1, OpenMode::Passthrough, READ);
        opens.admit(1, OpenMode::Passthrough, READ);
        opens.dismiss(1, BOTH | EXECUTED);
        assert!(!opens.may_change_unseen(1) && !opens.is_executed(1));
        assert_eq!(opens.open_files(), 1);
    }

    #[test]
    fn a_refused_inode_is_cached_for_its_later_opens() {
        let opens = OpenInodes::new();
        opens.admit(1, OpenMode::Passthrough, BOTH);
        opens.fall_back(1);
        assert!(!opens.may_change_unseen(1));
        assert_eq!(
            opens.admit(1, OpenMode::Passthrough, READ),
            OpenMode::Cached
        );
    }
}
