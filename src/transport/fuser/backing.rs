//! Backing files registered with the kernel: one id an inode, shared by its opens.
//!
//! The kernel requires it: a second id for an inode that is open with another is refused with `EBUSY`
//! (`fuse_inode_uncached_io_start`).

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use fuser::BackingId;
use parking_lot::Mutex;

use crate::storage::Ino;

const SHARDS: usize = 16;

struct Registered {
    id: Arc<BackingId>,
    opens: u32,
}

/// The table of registered backing files.
pub(super) struct BackingFiles {
    shards: [Mutex<HashMap<Ino, Registered>>; SHARDS],
}

impl BackingFiles {
    pub(super) fn new() -> BackingFiles {
        BackingFiles {
            shards: std::array::from_fn(|_| Mutex::new(HashMap::new())),
        }
    }

    fn shard(&self, ino: Ino) -> &Mutex<HashMap<Ino, Registered>> {
        &self.shards[ino as usize % SHARDS]
    }

    /// The id for a new open of `ino`, registered with `register` if it is the first.
    ///
    /// The shard stays locked during the registration, so that two first opens at once do not
    /// register twice.
    pub(super) fn open(
        &self,
        ino: Ino,
        file: &OwnedFd,
        register: impl FnOnce(&OwnedFd) -> io::Result<BackingId>,
    ) -> io::Result<Arc<BackingId>> {
        let mut shard = self.shard(ino).lock();
        if let Some(registered) = shard.get_mut(&ino) {
            registered.opens += 1;
            return Ok(registered.id.clone());
        }
        let id = Arc::new(register(file)?);
        shard.insert(
            ino,
            Registered {
                id: id.clone(),
                opens: 1,
            },
        );
        Ok(id)
    }

    /// An open of `ino` is gone; the last one takes the id with it.
    pub(super) fn release(&self, ino: Ino) {
        let mut shard = self.shard(ino).lock();
        if let Some(registered) = shard.get_mut(&ino) {
            registered.opens -= 1;
            if registered.opens == 0 {
                shard.remove(&ino);
            }
        }
    }
}
