//! Who does what, and since when.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::operation::Operation;

/// What a thread is at.
#[derive(Debug, Clone)]
struct Doing {
    operation: Operation,
    path: String,
    since: Instant,
}

/// An operation that took long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slow {
    pub(super) thread: usize,
    /// Its name and its path.
    pub(super) what: String,
    pub(super) took: Duration,
}

/// The board on which threads write what they do, for who watches.
#[derive(Debug)]
pub(super) struct Board {
    places: Vec<Mutex<Option<Doing>>>,
    slowest: Mutex<Option<Slow>>,
    done: AtomicU64,
}

impl Board {
    pub(super) fn new(threads: usize) -> Self {
        Board {
            places: (0..threads).map(|_| Mutex::default()).collect(),
            slowest: Mutex::default(),
            done: AtomicU64::new(0),
        }
    }

    /// A thread does something, and is at it until this returns.
    pub(super) fn during<T>(
        &self,
        thread: usize,
        operation: Operation,
        path: String,
        work: impl FnOnce() -> T,
    ) -> T {
        let since = Instant::now();
        *lock(&self.places[thread]) = Some(Doing {
            operation,
            path,
            since,
        });
        let result = work();
        let doing = lock(&self.places[thread]).take();
        let took = since.elapsed();
        self.done.fetch_add(1, Ordering::Relaxed);
        let mut slowest = lock(&self.slowest);
        let longest = slowest.as_ref().map_or(Duration::ZERO, |slow| slow.took);
        if let Some(doing) = doing.filter(|_| took > longest) {
            *slowest = Some(doing.slow(thread, took));
        }
        result
    }

    /// Operations so far.
    pub(super) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// The one that took longest of those that ended.
    pub(super) fn slowest(&self) -> Option<Slow> {
        lock(&self.slowest).clone()
    }

    /// Those that have not ended after `limit`.
    pub(super) fn stuck(&self, limit: Duration) -> Vec<Slow> {
        let places = self.places.iter().enumerate();
        places
            .filter_map(|(thread, place)| {
                let doing = lock(place);
                let doing = doing.as_ref()?;
                let took = doing.since.elapsed();
                (took > limit).then(|| doing.slow(thread, took))
            })
            .collect()
    }
}

impl Doing {
    fn slow(&self, thread: usize, took: Duration) -> Slow {
        Slow {
            thread,
            what: format!("{:?} {}", self.operation, self.path),
            took,
        }
    }
}

/// A thread that panicked leaves what it wrote.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_come_back_is_named() {
        let board = Board::new(2);
        board.during(0, Operation::Stat, "w0/a".to_owned(), || ());
        let stuck = board.during(1, Operation::Sync, "w1/f7".to_owned(), || {
            board.stuck(Duration::ZERO)
        });
        assert_eq!(stuck.len(), 1);
        assert_eq!((stuck[0].thread, stuck[0].what.as_str()), (1, "Sync w1/f7"));
        assert!(board.stuck(Duration::ZERO).is_empty());
        assert_eq!(board.done(), 2);
        assert!(board.slowest().is_some());
    }
}
