//! Who waits for whom, over all inodes: finds the circle that fcntl(2) calls `EDEADLK`.

use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;

use super::types::WaitId;

#[derive(Debug)]
struct Edge {
    waiter: u64,
    blockers: Vec<u64>,
}

/// The waiting POSIX requests. Taken after the lock of a shard, never before it.
#[derive(Debug, Default)]
pub(super) struct WaitGraph {
    edges: Mutex<HashMap<WaitId, Edge>>,
}

impl WaitGraph {
    /// Records that `waiter` waits for `blockers`; false, and nothing recorded, when one of them
    /// waits for `waiter` already.
    pub(super) fn enter(&self, id: WaitId, waiter: u64, blockers: Vec<u64>) -> bool {
        let mut edges = self.edges.lock();
        if reaches(&edges, &blockers, waiter) {
            return false;
        }
        edges.insert(id, Edge { waiter, blockers });
        true
    }

    /// The locks around a waiting request changed.
    pub(super) fn update(&self, id: WaitId, blockers: Vec<u64>) {
        if let Some(edge) = self.edges.lock().get_mut(&id) {
            edge.blockers = blockers;
        }
    }

    pub(super) fn leave(&self, id: WaitId) {
        self.edges.lock().remove(&id);
    }
}

fn reaches(edges: &HashMap<WaitId, Edge>, from: &[u64], goal: u64) -> bool {
    let mut seen = HashSet::new();
    let mut open: Vec<u64> = from.to_vec();
    while let Some(owner) = open.pop() {
        if owner == goal {
            return true;
        }
        if seen.insert(owner) {
            let waits = edges.values().filter(|edge| edge.waiter == owner);
            open.extend(waits.flat_map(|edge| edge.blockers.iter().copied()));
        }
    }
    false
}
