//! Waking a thread by the first request after a pause.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// What one thread waits at for requests to come. Those who serve them pay a load of what seldom changes.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    /// The thread waits for the next request.
    awaited: AtomicBool,
    ended: Mutex<bool>,
    changed: Condvar,
}

impl Activity {
    /// A request was served.
    pub(super) fn stir(&self) {
        if self.awaited.load(Ordering::Relaxed) && self.awaited.swap(false, Ordering::Relaxed) {
            // Under the lock, so that the thread is not between its look and its sleep.
            let _ended = self.ended.lock();
            self.changed.notify_all();
        }
    }

    /// Sleeps until the next request; one that is being counted at this moment may be missed, the one
    /// after it not. False once this has [ended](Self::end).
    pub(crate) fn wait(&self) -> bool {
        let mut ended = self.ended.lock();
        self.awaited.store(true, Ordering::Relaxed);
        while !*ended && self.awaited.load(Ordering::Relaxed) {
            self.changed.wait(&mut ended);
        }
        !*ended
    }

    /// Sleeps for that long, whatever comes. False once this has [ended](Self::end).
    pub(crate) fn sleep(&self, period: Duration) -> bool {
        let mut ended = self.ended.lock();
        if !*ended {
            self.changed.wait_for(&mut ended, period);
        }
        !*ended
    }

    /// Ends all sleep.
    pub(crate) fn end(&self) {
        *self.ended.lock() = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_request_wakes_the_thread_and_the_end_does() {
        let activity = Activity::default();
        std::thread::scope(|scope| {
            let woken = scope.spawn(|| activity.wait());
            while !activity.awaited.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            activity.stir();
            assert!(woken.join().expect("no panic"));

            let ended = scope.spawn(|| activity.wait());
            activity.end();
            assert!(!ended.join().expect("no panic"));
        });
        let start = Instant::now();
        assert!(!activity.sleep(Duration::from_secs(60)));
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_sleep_takes_its_time() {
        let activity = Activity::default();
        let period = Duration::from_millis(20);
        let start = Instant::now();
        assert!(activity.sleep(period));
        assert!(start.elapsed() >= period);
    }
}
