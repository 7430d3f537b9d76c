//! What may be stored: a byte budget, and charges against it that free themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::storage::{Errno, Result};

/// The bytes that a storage may hold, and those that it holds.
#[derive(Debug)]
pub(super) struct Budget {
    capacity: u64,
    used: AtomicU64,
}

impl Budget {
    pub(super) fn new(capacity: u64) -> Arc<Budget> {
        Arc::new(Budget {
            capacity,
            used: AtomicU64::new(0),
        })
    }

    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> Result<()> {
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= self.capacity)
            })
            .map(drop)
            .map_err(|_| Errno::NOSPC)
    }

    fn give(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Bytes taken from a [`Budget`], given back on drop.
#[derive(Debug)]
pub(super) struct Charge {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Charge {
    /// Takes `bytes`, or says `ENOSPC`.
    pub(super) fn take(budget: &Arc<Budget>, bytes: u64) -> Result<Charge> {
        budget.take(bytes)?;
        Ok(Charge {
            budget: Arc::clone(budget),
            bytes,
        })
    }

    /// A charge of nothing, to be grown.
    pub(super) fn empty(budget: &Arc<Budget>) -> Charge {
        Charge {
            budget: Arc::clone(budget),
            bytes: 0,
        }
    }

    pub(super) fn grow(&mut self, bytes: u64) -> Result<()> {
        self.budget.take(bytes)?;
        self.bytes += bytes;
        Ok(())
    }

    pub(super) fn shrink(&mut self, bytes: u64) {
        self.bytes -= bytes;
        self.budget.give(bytes);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.give(self.bytes);
    }
}
