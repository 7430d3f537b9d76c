//! fcntl(2) locks as requests, and what a close releases.

use super::DynamicFS;
use super::locks::{Conflict, LockRequest, WaitId};
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
        let id = self.setlk_interruptible(request, answer);
        self.lock_watch.watch(&self.lock_manager, id, tid);
    }

    /// As [`setlk_waiting`](Self::setlk_waiting), for a transport that is told of interruptions and passes
    /// them on to [`interrupt`](Self::interrupt).
    pub fn setlk_interruptible(
        &self,
        request: &LockRequest,
        answer: impl FnOnce(std::result::Result<(), Errno>) + Send + 'static,
    ) -> WaitId {
        self.lock_manager.set_waiting(request, Box::new(answer))
    }

    /// Ends a wait for a lock with `EINTR`, if it still waits.
    pub fn interrupt(&self, wait: WaitId) {
        self.lock_manager.cancel(wait);
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
