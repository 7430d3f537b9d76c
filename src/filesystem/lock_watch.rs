//! Interrupting those who wait for a lock.
//!
//! A transport that does not hand over `FUSE_INTERRUPT` leaves a waiting process unable to take a signal,
//! even SIGKILL: the kernel waits for the answer. So while anybody waits, a thread looks at
//! `/proc/TID/status` for signals that the waiting thread would take, and cancels its wait.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::locks::{LockManager, WaitId};

/// How long a signal may go unnoticed. Short enough for a person, long enough to cost nothing.
const PERIOD: Duration = Duration::from_millis(50);

#[derive(Default)]
struct State {
    /// Waiting requests and the threads behind them.
    waiting: HashMap<WaitId, u32>,
    running: bool,
    stopped: bool,
}

/// The thread and what it looks at. The thread lives only while somebody waits.
#[derive(Default)]
pub(super) struct LockWatch {
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl LockWatch {
    /// Looks after a waiting request until it is answered.
    pub(super) fn watch(&self, manager: &Arc<LockManager>, id: WaitId, tid: u32) {
        if !is_waiting(manager).contains(&id) {
            return;
        }
        let mut state = self.shared.0.lock();
        state.waiting.insert(id, tid);
        if state.running || state.stopped {
            return;
        }
        let (shared, manager) = (self.shared.clone(), manager.clone());
        let started = std::thread::Builder::new()
            .name("dynamicfs-locks".into())
            .spawn(move || look_until_nobody_waits(&shared, &manager));
        match started {
            Ok(_) => state.running = true,
            Err(error) => {
                tracing::error!(%error, "no thread to interrupt waiting locks");
            }
        }
    }

    /// Ends the thread at its next look.
    pub(super) fn stop(&self) {
        self.shared.0.lock().stopped = true;
        self.shared.1.notify_all();
    }
}

fn look_until_nobody_waits(shared: &(Mutex<State>, Condvar), manager: &LockManager) {
    let mut state = shared.0.lock();
    loop {
        shared.1.wait_for(&mut state, PERIOD);
        let still = is_waiting(manager);
        state.waiting.retain(|id, _| still.contains(id));
        if state.waiting.is_empty() || state.stopped {
            state.running = false;
            return;
        }
        let signalled: Vec<WaitId> = state
            .waiting
            .iter()
            .filter(|(_, tid)| has_signal(**tid))
            .map(|(id, _)| *id)
            .collect();
        // The answers run in this thread, and one may bring the next request here.
        parking_lot::MutexGuard::unlocked(&mut state, || {
            for id in signalled {
                manager.cancel(id);
            }
        });
    }
}

fn is_waiting(manager: &LockManager) -> HashSet<WaitId> {
    manager.waiting().into_iter().map(|(id, _)| id).collect()
}

/// Whether a signal is pending that the thread neither blocks nor ignores; also true when the thread
/// is gone. (proc_pid_status(5): `SigPnd`, `ShdPnd`, `SigBlk`, `SigIgn`.)
fn has_signal(tid: u32) -> bool {
    match std::fs::read_to_string(format!("/proc/{tid}/status")) {
        Ok(status) => signal_in(&status),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

fn signal_in(status: &str) -> bool {
    let mask = |field: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
            .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
            .unwrap_or(0)
    };
    (mask("SigPnd") | mask("ShdPnd")) & !mask("SigBlk") & !mask("SigIgn") != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_signals_that_would_be_taken_count() {
        let status = |pending: &str, shared: &str, blocked: &str, ignored: &str| {
            format!(
                "Name:\tx\nSigPnd:\t{pending}\nShdPnd:\t{shared}\nSigBlk:\t{blocked}\nSigIgn:\t{ignored}\n"
            )
        };
        assert!(!signal_in(&status("0", "0", "0", "0")));
        assert!(signal_in(&status("0000000000000100", "0", "0", "0")));
        assert!(signal_in(&status("0", "0000000000000100", "0", "0")));
        assert!(!signal_in(&status("0", "100", "100", "0")));
        assert!(!signal_in(&status("0", "100", "0", "100")));
    }

    #[test]
    fn a_thread_that_is_gone_counts_as_signalled() {
        // Beyond the largest pid that Linux gives (4,194,304).
        assert!(has_signal(4_194_305));
        assert!(!has_signal(std::process::id()));
    }
}
