//! Backing files registered with the kernel: one id an inode, shared by its opens.
//!
//! The kernel requires it: a second id for an inode that is open with another is refused with `EBUSY`
//! (`fuse_inode_uncached_io_start`).

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::filesystem::{DynamicFS, FileAccess, Opened};
use crate::storage::Ino;

const SHARDS: usize = 16;

struct Registered<Id> {
    id: Arc<Id>,
    opens: u32,
}

/// The table of registered backing files. An `Id` takes its registration back when it is dropped.
pub(super) struct BackingFiles<Id> {
    shards: [Mutex<HashMap<Ino, Registered<Id>>>; SHARDS],
}

impl<Id> BackingFiles<Id> {
    pub(super) fn new() -> BackingFiles<Id> {
        BackingFiles {
            shards: std::array::from_fn(|_| Mutex::new(HashMap::new())),
        }
    }

    fn shard(&self, ino: Ino) -> &Mutex<HashMap<Ino, Registered<Id>>> {
        &self.shards[ino as usize % SHARDS]
    }

    /// Registers the backing file of an open that wants passthrough; where the kernel refuses, the open
    /// and the mount fall back.
    pub(super) fn admit(
        &self,
        fs: &DynamicFS,
        ino: Ino,
        opened: &mut Opened,
        register: impl FnOnce(&OwnedFd) -> io::Result<Id>,
    ) -> Option<Arc<Id>> {
        let FileAccess::Passthrough(file) = &opened.access else {
            return None;
        };
        match self.open(ino, file, register) {
            Ok(id) => Some(id),
            Err(error) => {
                opened.access = fs.passthrough_refused(ino, &error);
                None
            }
        }
    }

    /// The id for a new open of `ino`, registered with `register` if it is the first.
    ///
    /// The shard stays locked during the registration, so that two first opens at once do not
    /// register twice.
    fn open(
        &self,
        ino: Ino,
        file: &OwnedFd,
        register: impl FnOnce(&OwnedFd) -> io::Result<Id>,
    ) -> io::Result<Arc<Id>> {
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
