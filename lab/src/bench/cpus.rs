//! The processors that this process may use.

use std::fs;

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Their numbers, ascending.
///
/// # Errors
///
/// Those of sched_getaffinity(2).
pub(super) fn allowed() -> Result<Vec<usize>> {
    let set = sched_getaffinity(None).context("cannot read the processors that may be used")?;
    Ok((0..CpuSet::MAX_CPU)
        .filter(|&cpu| set.is_set(cpu))
        .collect())
}

/// One of `cpus` for work beside `first`: on another core where there is one, because two threads
/// of a core share its caches.
pub(super) fn another(cpus: &[usize], first: usize) -> Option<usize> {
    let core = siblings(first);
    let others = || cpus.iter().copied().filter(|&cpu| cpu != first);
    others()
        .find(|&cpu| core.is_some() && siblings(cpu) != core)
        .or_else(|| others().next())
}

/// The processors of a core, as the kernel lists them; `None` where it does not.
fn siblings(cpu: usize) -> Option<String> {
    let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
    fs::read_to_string(path).ok()
}

/// Binds the calling thread, and no other, to one processor.
///
/// # Errors
///
/// When the processor may not be used.
pub(super) fn bind_this_thread(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set)
        .with_context(|| format!("cannot bind a thread to processor {cpu}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_stays_where_it_is_bound_and_others_do_not() {
        let before = allowed().unwrap();
        let last = *before.last().unwrap();
        let bound = std::thread::spawn(move || {
            bind_this_thread(last).unwrap();
            allowed().unwrap()
        });
        assert_eq!(bound.join().unwrap(), [last]);
        assert_eq!(allowed().unwrap(), before);
    }

    #[test]
    fn another_processor_is_another() {
        assert_eq!(another(&[3], 3), None);
        // Not of this machine, so nothing is known of their cores.
        assert_eq!(another(&[1000, 1001, 1002], 1000), Some(1001));
        let cpus = allowed().unwrap();
        assert_ne!(another(&cpus, cpus[0]), Some(cpus[0]));
    }
}
