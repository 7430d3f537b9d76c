//! Bytes of the last ten seconds.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Whole seconds looked back on.
const SECONDS: u64 = 10;
/// One slot more than looked back on (the running second), rounded up to a power of two.
const SLOTS: usize = 16;
/// A slot packs the second it belongs to and its bytes into one word, so that both change at once:
/// 20 bits of seconds (12 days until a number returns), 44 bits of bytes (17 TB in one second).
const BYTE_BITS: u32 = 44;
const BYTE_MASK: u64 = (1 << BYTE_BITS) - 1;
const SECOND_MASK: u64 = (1 << (u64::BITS - BYTE_BITS)) - 1;

/// A ring of one-second sums. Lock-free; seconds are counted from the start of the mount.
#[derive(Debug, Default)]
pub(super) struct Window {
    slots: [AtomicU64; SLOTS],
}

impl Window {
    pub(super) fn add(&self, bytes: u64, second: u64) {
        let slot = &self.slots[second as usize % SLOTS];
        let tag = second & SECOND_MASK;
        let _ = slot.fetch_update(Relaxed, Relaxed, |word| {
            let before = if word >> BYTE_BITS == tag {
                word & BYTE_MASK
            } else {
                0
            };
            Some(tag << BYTE_BITS | before.saturating_add(bytes).min(BYTE_MASK))
        });
    }

    /// Bytes of the running second and of the [`SECONDS`] before it.
    pub(super) fn sum(&self, now: u64) -> u64 {
        (now.saturating_sub(SECONDS)..=now)
            .map(|second| {
                let word = self.slots[second as usize % SLOTS].load(Relaxed);
                if word >> BYTE_BITS == second & SECOND_MASK {
                    word & BYTE_MASK
                } else {
                    0
                }
            })
            .sum()
    }

    /// The time that [`sum`](Self::sum) covers `uptime` after the start.
    pub(super) fn span(uptime: Duration) -> Duration {
        let first = uptime.as_secs().saturating_sub(SECONDS);
        uptime - Duration::from_secs(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_seconds_fall_out() {
        let window = Window::default();
        window.add(7, 0);
        window.add(5, 4);
        window.add(5, 4);
        assert_eq!(window.sum(4), 17);
        assert_eq!(window.sum(10), 17);
        assert_eq!(window.sum(11), 10);
        assert_eq!(window.sum(15), 0);
    }

    #[test]
    fn a_reused_slot_starts_from_zero() {
        let window = Window::default();
        window.add(100, 3);
        window.add(1, 3 + SLOTS as u64);
        assert_eq!(window.sum(3 + SLOTS as u64), 1);
    }

    #[test]
    fn the_span_is_the_time_that_is_summed() {
        assert_eq!(
            Window::span(Duration::from_millis(2500)),
            Duration::from_millis(2500)
        );
        assert_eq!(
            Window::span(Duration::from_millis(60_250)),
            Duration::from_millis(10_250)
        );
    }
}
