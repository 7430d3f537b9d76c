//! The lock manager: tables by inode, and the requests that wait for them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;
use parking_lot::Mutex;

use super::deadlock::WaitGraph;
use super::table::Table;
use super::types::{Conflict, LockRange, LockRequest, LockType, WaitId};
use crate::storage::{Errno, Fh, Ino};

/// Independent parts, by inode number: a power of two well above the number of worker threads.
const SHARDS: u64 = 32;

/// Called once with the outcome of a waiting request.
pub type OnGrant = Box<dyn FnOnce(Result<(), Errno>) + Send>;

struct Waiter {
    id: WaitId,
    request: LockRequest,
    on_grant: OnGrant,
}

#[derive(Default)]
struct InodeLocks {
    table: Table,
    waiters: VecDeque<Waiter>,
}

/// Callbacks to run once no lock is held.
type Outcomes = Vec<(OnGrant, Result<(), Errno>)>;

/// Arbitrates fcntl(2) and flock(2) locks among the callers of a mount.
///
/// A request that must wait costs no thread: its callback runs later, on the thread that released
/// the lock in its way, with no lock of the manager held. Waiting requests are tried in the order of
/// their arrival. As in the kernel a *new* request is tested against the locks that are held and
/// not against those that wait, so readers that never leave a gap can keep a writer out.
#[derive(Default)]
pub struct LockManager {
    shards: [Mutex<HashMap<Ino, InodeLocks>>; SHARDS as usize],
    graph: WaitGraph,
    next_wait: AtomicU64,
}

impl LockManager {
    /// A manager with no locks.
    pub fn new() -> LockManager {
        LockManager::default()
    }

    /// The lock that stands in the way of `request`, if any (`F_GETLK`). Changes nothing.
    pub fn test(&self, request: &LockRequest) -> Option<Conflict> {
        let request = normal(request);
        let shard = self.shard(request.ino).lock();
        shard.get(&request.ino)?.table.first_conflict(&request)
    }

    /// Takes a lock without waiting (`F_SETLK`, `LOCK_NB`). What the owner already holds in the
    /// range is replaced. A flock(2) conversion that fails loses the lock that was to be
    /// converted, as flock(2) warns.
    ///
    /// # Errors
    /// `EAGAIN` when another owner's lock conflicts.
    pub fn set(&self, request: &LockRequest) -> Result<(), Errno> {
        let request = normal(request);
        self.change(request.ino, |manager, locks| {
            drop_for_conversion(locks, &request);
            if locks.table.first_conflict(&request).is_some() {
                return (Err(Errno::AGAIN), manager.grant(locks));
            }
            locks.table.insert(&request);
            // A downgrade may let others in.
            (Ok(()), manager.grant(locks))
        })
    }

    /// Takes a lock, and waits for it if need be (`F_SETLKW`, `LOCK_SH`, `LOCK_EX`).
    ///
    /// `on_grant` is called exactly once: before this returns when the lock is free or the wait
    /// would be a deadlock (`EDEADLK`, POSIX locks only), otherwise later, with `EINTR` after
    /// [`cancel`](Self::cancel).
    pub fn set_waiting(&self, request: &LockRequest, on_grant: OnGrant) -> WaitId {
        let request = normal(request);
        let id = WaitId(
            self.next_wait.fetch_add(1, Ordering::Relaxed) * SHARDS + shard_index(request.ino),
        );
        self.change(request.ino, |manager, locks| {
            drop_for_conversion(locks, &request);
            let mut outcomes = Outcomes::new();
            if locks.table.first_conflict(&request).is_none() {
                locks.table.insert(&request);
                outcomes.push((on_grant, Ok(())));
            } else if request.lock_type == LockType::Posix
                && !manager
                    .graph
                    .enter(id, request.owner, blockers(locks, &request))
            {
                outcomes.push((on_grant, Err(Errno::DEADLK)));
            } else {
                locks.waiters.push_back(Waiter {
                    id,
                    request,
                    on_grant,
                });
            }
            outcomes.append(&mut manager.grant(locks));
            ((), outcomes)
        });
        id
    }

    /// Gives up what an owner holds in a range (`F_UNLCK`, `LOCK_UN`).
    pub fn unlock(&self, ino: Ino, lock_type: LockType, owner: u64, range: LockRange) {
        let range = match lock_type {
            LockType::Flock => LockRange::WHOLE,
            _ => range,
        };
        self.change(ino, |manager, locks| {
            locks.table.remove(lock_type, owner, range);
            ((), manager.grant(locks))
        });
    }

    /// A process closed a descriptor of the file (FLUSH): all its POSIX locks on it go.
    pub fn release_posix(&self, ino: Ino, owner: u64) {
        self.unlock(ino, LockType::Posix, owner, LockRange::WHOLE);
    }

    /// The last descriptor of an open file was closed (RELEASE): its flock(2) lock goes.
    pub fn release_flock(&self, ino: Ino, owner: u64) {
        self.unlock(ino, LockType::Flock, owner, LockRange::WHOLE);
    }

    /// The last descriptor of an open file was closed (RELEASE): all that was locked through it
    /// goes. This is what ends OFD locks, for whose end the kernel sends no request.
    pub fn release_handle(&self, ino: Ino, fh: Fh) {
        self.change(ino, |manager, locks| {
            locks.table.remove_handle(fh);
            ((), manager.grant(locks))
        });
    }

    /// Interrupts a waiting request: its callback gets `EINTR`. False when it waits no more.
    pub fn cancel(&self, id: WaitId) -> bool {
        let index = (id.0 % SHARDS) as usize;
        let ino = self.shards[index]
            .lock()
            .iter()
            .find(|(_, locks)| locks.waiters.iter().any(|waiter| waiter.id == id))
            .map(|(ino, _)| *ino);
        ino.is_some_and(|ino| self.cancel_where(ino, |waiter| waiter.id == id) > 0)
    }

    /// Interrupts every waiting request of an owner on a file; says how many there were.
    pub fn cancel_all_of(&self, ino: Ino, owner: u64) -> usize {
        self.cancel_where(ino, |waiter| waiter.request.owner == owner)
    }

    /// The waiting requests and the processes behind them: a transport that is not told of
    /// interruptions looks from time to time which of these processes are gone.
    pub fn waiting(&self) -> Vec<(WaitId, u32)> {
        let mut all: Vec<_> = self
            .shards
            .iter()
            .flat_map(|shard| {
                let shard = shard.lock();
                let waiters = shard.values().flat_map(|locks| &locks.waiters);
                waiters
                    .map(|waiter| (waiter.id, waiter.request.pid))
                    .collect::<Vec<_>>()
            })
            .collect();
        all.sort_unstable();
        all
    }

    fn cancel_where(&self, ino: Ino, is_meant: impl Fn(&Waiter) -> bool) -> usize {
        self.change(ino, |manager, locks| {
            let (meant, rest): (VecDeque<_>, VecDeque<_>) =
                locks.waiters.drain(..).partition(|waiter| is_meant(waiter));
            locks.waiters = rest;
            let outcomes: Outcomes = meant
                .into_iter()
                .map(|waiter| {
                    manager.graph.leave(waiter.id);
                    (waiter.on_grant, Err(Errno::INTR))
                })
                .collect();
            (outcomes.len(), outcomes)
        })
    }

    /// Runs `change` on the locks of `ino` and then, with nothing locked, the callbacks.
    fn change<R>(
        &self,
        ino: Ino,
        change: impl FnOnce(&LockManager, &mut InodeLocks) -> (R, Outcomes),
    ) -> R {
        let mut shard = self.shard(ino).lock();
        let locks = shard.entry(ino).or_default();
        let (answer, outcomes) = change(self, locks);
        if locks.table.is_empty() && locks.waiters.is_empty() {
            shard.remove(&ino);
        }
        drop(shard);
        for (on_grant, outcome) in outcomes {
            on_grant(outcome);
        }
        answer
    }

    /// Grants what can be granted, first come first served, and brings the wait graph up to date.
    fn grant(&self, locks: &mut InodeLocks) -> Outcomes {
        let mut outcomes = Outcomes::new();
        let mut still = VecDeque::with_capacity(locks.waiters.len());
        for waiter in std::mem::take(&mut locks.waiters) {
            if locks.table.first_conflict(&waiter.request).is_some() {
                still.push_back(waiter);
            } else {
                locks.table.insert(&waiter.request);
                self.graph.leave(waiter.id);
                outcomes.push((waiter.on_grant, Ok(())));
            }
        }
        locks.waiters = still;
        for waiter in &locks.waiters {
            if waiter.request.lock_type == LockType::Posix {
                self.graph
                    .update(waiter.id, blockers(locks, &waiter.request));
            }
        }
        outcomes
    }

    fn shard(&self, ino: Ino) -> &Mutex<HashMap<Ino, InodeLocks>> {
        &self.shards[shard_index(ino) as usize]
    }

    /// Inodes that have locks or waiting requests.
    #[cfg(test)]
    pub(super) fn inode_count(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }
}

impl std::fmt::Debug for LockManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LockManager")
            .field("waiting", &self.waiting().len())
            .finish_non_exhaustive()
    }
}

fn shard_index(ino: Ino) -> u64 {
    ino % SHARDS
}

/// flock(2) knows no ranges.
fn normal(request: &LockRequest) -> LockRequest {
    LockRequest {
        range: match request.lock_type {
            LockType::Flock => LockRange::WHOLE,
            _ => request.range,
        },
        ..*request
    }
}

/// A flock(2) conversion is not atomic: the old lock goes first (`flock_lock_inode` of the kernel).
fn drop_for_conversion(locks: &mut InodeLocks, request: &LockRequest) {
    if request.lock_type == LockType::Flock
        && locks
            .table
            .flock_kind(request.owner)
            .is_some_and(|kind| kind != request.kind)
    {
        let whole = LockRange::WHOLE;
        locks.table.remove(LockType::Flock, request.owner, whole);
    }
}

/// The POSIX owners that stand in the way of `request`.
fn blockers(locks: &InodeLocks, request: &LockRequest) -> Vec<u64> {
    locks
        .table
        .conflicts(request)
        .filter(|held| held.lock_type == LockType::Posix)
        .map(|held| held.owner)
        .collect()
}
