//! Looking ahead in a listing with attributes, where every look has to wait.
//!
//! Such a listing looks at one name after the other. Where the inodes come from a disk that has to seek, or over a
//! network, each look waits for an answer, and several at once take no longer than one. So once looks are slow, threads
//! look at the names that come next. What they find is thrown away: the file system has it at hand when the turn comes,
//! and nobody is told what was true some time ago.

use std::ffi::OsString;
use std::os::fd::BorrowedFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{Builder, Scope, scope};
use std::time::{Duration, Instant};

use super::descriptors::stat;

/// A look that takes longer has waited for a device. At what is in memory one takes some 3 µs, and to wake a thread
/// that looks in its place up to 40.
const SLOW: Duration = Duration::from_micros(100);

/// Looks in a row that have to be slow: more than a scheduler delays by accident.
const IN_A_ROW: u32 = 4;

/// Looks at once, beside the one whose turn it is: waiting costs no processor, and a disk or a server sorts this many
/// well.
const AT_ONCE: usize = 8;

/// The names ahead, and how far the looks at them have come.
#[derive(Default)]
struct Names {
    all: OnceLock<Vec<OsString>>,
    next: AtomicUsize,
    /// The listing takes no more.
    done: AtomicBool,
}

impl Names {
    fn look(&self, dir: BorrowedFd<'_>) {
        let all = self.all.get().map_or(&[][..], Vec::as_slice);
        while !self.done.load(Ordering::Relaxed) {
            let Some(name) = all.get(self.next.fetch_add(1, Ordering::Relaxed)) else {
                return;
            };
            // An error comes again when it is this name's turn.
            let _ = stat(dir, name.as_os_str());
        }
    }
}

/// The looks of one listing.
pub(super) struct LookAhead<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    dir: BorrowedFd<'env>,
    names: &'env Names,
    slow: u32,
    /// When the last look ended: reading the clock once a name costs half as much as twice.
    last: Instant,
}

/// Runs `list` on the directory `dir`; it looks at names by [`LookAhead::look`].
pub(super) fn listing<T>(dir: BorrowedFd<'_>, list: impl FnOnce(&mut LookAhead<'_, '_>) -> T) -> T {
    let names = Names::default();
    scope(|scope| {
        list(&mut LookAhead {
            scope,
            dir,
            names: &names,
            slow: 0,
            last: Instant::now(),
        })
    })
}

impl LookAhead<'_, '_> {
    /// Looks at one name by `look`; `rest` are the names that come next.
    pub(super) fn look<T>(
        &mut self,
        look: impl FnOnce() -> T,
        rest: impl FnOnce() -> Vec<OsString>,
    ) -> T {
        let found = look();
        if self.names.all.get().is_none() {
            let now = Instant::now();
            let took = now - std::mem::replace(&mut self.last, now);
            if self.is_slow(took) {
                self.begin(rest());
            }
        }
        found
    }

    /// Whether looks are slow, now that one took this long.
    fn is_slow(&mut self, took: Duration) -> bool {
        self.slow = if took < SLOW { 0 } else { self.slow + 1 };
        self.slow >= IN_A_ROW
    }

    fn begin(&self, ahead: Vec<OsString>) {
        let (dir, names) = (self.dir, self.names);
        let threads = ahead.len().min(AT_ONCE);
        let _ = names.all.set(ahead);
        for _ in 0..threads {
            let thread = Builder::new().name("dynamicfs-ahead".to_owned());
            // Without it, the listing is as slow as it was.
            let _ = thread.spawn_scoped(self.scope, move || names.look(dir));
        }
    }
}

impl Drop for LookAhead<'_, '_> {
    fn drop(&mut self) {
        self.names.done.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    /// Whether threads were begun after looks that took this long.
    fn begun(looks: &[Duration]) -> bool {
        let dir = tempfile::tempfile().unwrap();
        listing(dir.as_fd(), |ahead| {
            let slow = looks.iter().filter(|took| ahead.is_slow(**took)).count();
            slow > 0
        })
    }

    #[test]
    fn what_is_in_memory_and_what_was_interrupted_begins_nothing() {
        let fast = Duration::from_micros(5);
        let interrupted = Duration::from_millis(8);
        assert!(!begun(&[fast; 100]));
        assert!(!begun(
            &[interrupted, interrupted, interrupted, fast].repeat(9)
        ));
        assert!(begun(&[fast, interrupted, SLOW, SLOW, SLOW]));
    }

    #[test]
    fn names_are_looked_at_while_the_listing_takes_more() {
        let dir = tempfile::tempdir().unwrap();
        let fd = std::fs::File::open(dir.path()).unwrap();
        let wait = || std::thread::sleep(2 * SLOW);
        let all = || (0..100).map(|n| n.to_string().into()).collect();
        let looked_at = |ahead: &LookAhead<'_, '_>| ahead.names.next.load(Ordering::Relaxed);
        listing(fd.as_fd(), |ahead| {
            for _ in 1..IN_A_ROW {
                ahead.look(wait, || panic!("not yet"));
            }
            assert_eq!(looked_at(ahead), 0);
            ahead.look(wait, all);
            let deadline = Instant::now() + Duration::from_secs(20);
            while looked_at(ahead) < 100 {
                assert!(Instant::now() < deadline);
                std::thread::yield_now();
            }
            ahead.look(wait, || panic!("once is enough"));
        });
        listing(fd.as_fd(), |ahead| {
            ahead.names.done.store(true, Ordering::Relaxed);
            ahead.begin(all());
            assert_eq!(looked_at(ahead), 0, "the listing was full");
        });
    }
}
