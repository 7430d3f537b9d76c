//! Requests whose answers wait for others, and signals to their callers.
//!
//! Only a wait for a lock is one: all other requests are answered by the worker that read them. The
//! kernel tells of a signal with INTERRUPT, which another worker may read before the first has begun to
//! wait; so what comes too early is remembered.

use std::collections::VecDeque;

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::filesystem::WaitId;

/// Interruptions remembered of requests that do not wait (yet). Those of requests that never will push
/// the others out; a worker that has read its request takes microseconds to begin the wait.
const EARLY: usize = 256;

/// How far a waiting request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// About to wait.
    Beginning,
    /// About to wait, and interrupted already.
    Interrupted,
    /// Waits.
    Waiting(WaitId),
}

#[derive(Default)]
struct Table {
    waits: HashMap<u64, State>,
    early: VecDeque<u64>,
}

/// The waiting requests of a connection, by number.
#[derive(Default)]
pub(super) struct Interrupts(Mutex<Table>);

impl Interrupts {
    /// The request will wait, or be answered at once.
    pub(super) fn begin(&self, unique: u64) {
        let mut table = self.0.lock();
        let early = table.early.iter().position(|&early| early == unique);
        let state = match early.and_then(|at| table.early.remove(at)) {
            Some(_) => State::Interrupted,
            None => State::Beginning,
        };
        table.waits.insert(unique, state);
    }

    /// The request waits, unless it has [ended](Self::end) since. Returns the wait when it has been
    /// interrupted already.
    #[must_use]
    pub(super) fn waits(&self, unique: u64, wait: WaitId) -> Option<WaitId> {
        let mut table = self.0.lock();
        let state = table.waits.get_mut(&unique)?;
        let before = std::mem::replace(state, State::Waiting(wait));
        (before == State::Interrupted).then_some(wait)
    }

    /// The request is answered.
    pub(super) fn end(&self, unique: u64) {
        self.0.lock().waits.remove(&unique);
    }

    /// A signal reached the caller of a request. Returns the wait that it ends.
    #[must_use]
    pub(super) fn interrupt(&self, unique: u64) -> Option<WaitId> {
        let mut table = self.0.lock();
        match table.waits.get_mut(&unique) {
            Some(State::Waiting(wait)) => Some(*wait),
            Some(state) => {
                *state = State::Interrupted;
                None
            }
            None => {
                if table.early.len() == EARLY {
                    table.early.pop_front();
                }
                table.early.push_back(unique);
                None
            }
        }
    }

    /// All that wait.
    pub(super) fn all(&self) -> Vec<WaitId> {
        let table = self.0.lock();
        let waits = table.waits.values().filter_map(|state| match state {
            State::Waiting(wait) => Some(*wait),
            _ => None,
        });
        waits.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filesystem::{LockKind, LockManager, LockRange, LockRequest, LockType};

    fn wait() -> WaitId {
        let request = LockRequest {
            ino: 1,
            fh: 1,
            owner: 1,
            pid: 1,
            lock_type: LockType::Posix,
            kind: LockKind::Write,
            range: LockRange::WHOLE,
        };
        LockManager::new().set_waiting(&request, Box::new(|_| {}))
    }

    #[test]
    fn a_signal_ends_the_wait_whenever_it_comes() {
        let interrupts = Interrupts::default();
        // After the wait began.
        interrupts.begin(1);
        assert_eq!(interrupts.waits(1, wait()), None);
        assert_eq!(interrupts.interrupt(1), Some(wait()));
        interrupts.end(1);
        // While it begins.
        interrupts.begin(2);
        assert_eq!(interrupts.interrupt(2), None);
        assert_eq!(interrupts.waits(2, wait()), Some(wait()));
        interrupts.end(2);
        // Before.
        assert_eq!(interrupts.interrupt(3), None);
        interrupts.begin(3);
        assert_eq!(interrupts.waits(3, wait()), Some(wait()));
        interrupts.end(3);
        assert_eq!(interrupts.all(), []);
    }

    #[test]
    fn an_answered_request_waits_no_more() {
        let interrupts = Interrupts::default();
        interrupts.begin(1);
        interrupts.end(1);
        assert_eq!(interrupts.waits(1, wait()), None);
        assert_eq!(interrupts.interrupt(1), None);
    }

    #[test]
    fn signals_to_requests_that_never_wait_are_forgotten() {
        let interrupts = Interrupts::default();
        for unique in 0..=EARLY as u64 {
            assert_eq!(interrupts.interrupt(unique), None);
        }
        interrupts.begin(0);
        assert_eq!(interrupts.waits(0, wait()), None);
        interrupts.begin(EARLY as u64);
        assert!(interrupts.waits(EARLY as u64, wait()).is_some());
    }
}
