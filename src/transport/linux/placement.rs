//! On which processor a worker serves.
//!
//! A caller waits for its answer. If the worker is woken on another processor, that one has to be
//! roused first, and the way there and back costs twice as much as on the caller's own (measured: 15 to
//! 18 µs against 7). The kernel's scheduler spreads threads by load, not by who waits for whom, so a
//! worker that has served one caller alone for a while follows it.

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Requests of one caller in a row before a worker follows it. Looking where it runs costs as much as two
/// requests.
const FIRST: u32 = 64;

/// Requests after which it is looked again: callers move. Looking that often costs 0.05 µs a request.
const AGAIN: u32 = 256;

/// Bytes of data from which on working beside the caller, on another processor, pays more.
const MUCH: u32 = 32 << 10;

/// Where one worker is, and for whom.
pub(super) struct Placement {
    /// The processors that this thread may use; `None` where there is no choice.
    allowed: Option<CpuSet>,
    caller: u32,
    streak: u32,
    bound: Option<usize>,
}

impl Placement {
    /// For the calling thread.
    pub(super) fn of_this_thread() -> Placement {
        let allowed = sched_getaffinity(None).ok();
        Placement {
            allowed: allowed.filter(|set| set.count() > 1),
            caller: 0,
            streak: 0,
            bound: None,
        }
    }

    /// A request came from the thread `caller` (0: from the kernel itself) with so much data, there or
    /// back.
    pub(super) fn served(&mut self, caller: u32, data: u32) {
        if self.allowed.is_none() || caller == 0 {
            return;
        }
        if caller != self.caller || data >= MUCH {
            self.caller = caller;
            self.streak = 0;
            self.unbind();
            return;
        }
        self.streak = self.streak.wrapping_add(1);
        if self.streak == FIRST || self.streak.is_multiple_of(AGAIN) {
            self.follow();
        }
    }

    fn follow(&mut self) {
        let Some(allowed) = &self.allowed else {
            return;
        };
        let cpu = processor_of(self.caller).filter(|&cpu| allowed.is_set(cpu));
        let Some(cpu) = cpu.filter(|&cpu| self.bound != Some(cpu)) else {
            return;
        };
        let mut only = CpuSet::new();
        only.set(cpu);
        if sched_setaffinity(None::<Pid>, &only).is_ok() {
            self.bound = Some(cpu);
        }
    }

    fn unbind(&mut self) {
        if self.bound.take().is_some()
            && let Some(allowed) = &self.allowed
            && let Err(error) = sched_setaffinity(None::<Pid>, allowed)
        {
            // The processors were taken from this process in the meantime; it runs where it may.
            tracing::debug!(%error, "a worker stays on its processor");
        }
    }
}

/// The processor on which a thread ran last (proc_pid_stat(5), field 39).
fn processor_of(tid: u32) -> Option<usize> {
    let stat = std::fs::read_to_string(format!("/proc/{tid}/stat")).ok()?;
    processor_in(&stat)
}

fn processor_in(stat: &str) -> Option<usize> {
    // The second field, in parentheses, is a name that may have blanks and parentheses itself.
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(36)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(name: &str) -> String {
        let rest: Vec<_> = (3..=52).map(|field| field.to_string()).collect();
        format!("12 ({name}) {}", rest.join(" "))
    }

    #[test]
    fn the_processor_is_found_whatever_the_name() {
        assert_eq!(processor_in(&fields("cat")), Some(39));
        assert_eq!(processor_in(&fields("a) b (c")), Some(39));
        assert_eq!(processor_in("12 (cat) R 1"), None);
    }

    #[test]
    fn this_thread_is_on_a_processor_it_may_use() {
        let tid = rustix::thread::gettid().as_raw_nonzero().get();
        let cpu = processor_of(tid as u32).expect("a processor");
        let allowed = sched_getaffinity(None).expect("the processors");
        assert!(allowed.is_set(cpu));
    }

    #[test]
    fn a_worker_follows_one_caller_and_lets_go_of_it_for_another() {
        let before = sched_getaffinity(None).expect("the processors");
        let mut placement = Placement::of_this_thread();
        let here = rustix::thread::gettid().as_raw_nonzero().get() as u32;
        for _ in 0..=FIRST {
            placement.served(here, 0);
        }
        let bound = sched_getaffinity(None).expect("the processors");
        assert_eq!(bound.count(), 1, "there is always a processor to be on");
        placement.served(here + 1, 0);
        assert_eq!(sched_getaffinity(None).expect("the processors"), before);
    }

    #[test]
    fn much_data_is_served_beside_the_caller() {
        let mut placement = Placement::of_this_thread();
        let here = rustix::thread::gettid().as_raw_nonzero().get() as u32;
        for _ in 0..=FIRST {
            placement.served(here, MUCH);
        }
        assert_eq!(placement.bound, None);
    }
}
