//! fcntl(2) locks as requests, and what a close releases.

use super::DynamicFS;
use super::locks::{Conflict, LockRequest};
use crate::config::LockMode;
use crate::storage::{Errno, Fh, Ino, Result};

impl DynamicFS {
    /// The lock in the way of `request` (`F_GETLK`).
    pub fn getlk(&self, request: &LockRequest) -> Result<Option<Conflict>> {
        Ok(self.lock_manager.test(request))
    }

    /// Takes a lock or fails at once (`F_SETLK`).
    ///
    /// # Errors
    /// `EAGAIN` when another owner's lock is in the way.
    pub fn setlk(&self, request: &LockRequest) -> Result<()> {
        self.lock_manager.set(request)
    }

    /// Takes a lock, now or later (`F_SETLKW`). `answer` is called exactly once, and with `EINTR`
    /// when a signal reached the waiting thread `tid` first.
    pub fn setlk_waiting(
        &self,
        request: &LockRequest,
        tid: u32,
        answer: impl FnOnce(std::result::Result<(), Errno>) + Send + 'static,
    ) {
        let id = self.lock_manager.set_waiting(request, Box::new(answer));
        self.lock_watch.watch(&self.lock_manager, id, tid);
    }

    /// Gives up a range (`F_UNLCK`).
    pub fn unlock(&self, request: &LockRequest) -> Result<()> {
        self.lock_manager
            .unlock(request.ino, request.lock_type, request.owner, request.range);
        Ok(())
    }

    pub(super) fn release_posix_locks(&self, ino: Ino, owner: u64) {
        if self.config.lock_mode == LockMode::Daemon {
            self.lock_manager.release_posix(ino, owner);
        }
    }

    pub(super) fn release_file_locks(&self, ino: Ino, fh: Fh) {
        if self.config.lock_mode == LockMode::Daemon {
            self.lock_manager.release_handle(ino, fh);
        }
    }
}
