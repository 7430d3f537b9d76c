//! How long the kernel waits for an answer before it gives the whole connection up.

use std::time::Duration;

use super::Negotiated;
use crate::config::units::format_duration;

/// The kernel looks this often at requests under way, and takes no shorter limit
/// (`FUSE_TIMEOUT_TIMER_FREQ` in `fs/fuse/dev.c`).
const PERIOD: Duration = Duration::from_secs(15);

/// The bounds of the administrator, `fs.fuse.default_request_timeout` and `fs.fuse.max_request_timeout`; zero is none
/// (Linux 6.15).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bounds {
    default: Duration,
    max: Duration,
}

impl Bounds {
    pub(super) fn of_this_system() -> Bounds {
        let read = |name| {
            std::fs::read_to_string(format!("/proc/sys/fs/fuse/{name}_request_timeout"))
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .map_or(Duration::ZERO, Duration::from_secs)
        };
        Bounds {
            default: read("default"),
            max: read("max"),
        }
    }

    /// What the kernel makes of the limit that INIT names (`init_server_timeout` in `fs/fuse/inode.c`).
    fn in_force(self, named: Duration) -> Duration {
        let wanted = if named.is_zero() { self.default } else { named };
        match (wanted, self.max) {
            (Duration::ZERO, Duration::ZERO) => Duration::ZERO,
            (limit, Duration::ZERO) | (Duration::ZERO, limit) => limit.max(PERIOD),
            (limit, max) => limit.min(max).max(PERIOD),
        }
    }

    /// The line of the report, where there is something to report. `named` is what INIT could name of what
    /// was asked for.
    pub(super) fn report(self, asked: Duration, named: Duration) -> Option<Negotiated> {
        let in_force = self.in_force(named);
        if asked.is_zero() && in_force.is_zero() {
            return None;
        }
        let text = |limit: Duration| match limit.is_zero() {
            true => "none".to_owned(),
            false => format_duration(limit),
        };
        let item = Negotiated::limit("request_timeout", text(asked), text(in_force));
        if in_force == asked {
            return Some(item);
        }
        Some(item.because(if named.is_zero() && !asked.is_zero() {
            "this kernel or this transport takes none"
        } else if in_force == named {
            "the kernel counts whole seconds, 65,535 at most"
        } else if in_force == PERIOD {
            "the kernel looks every 15 seconds"
        } else {
            "fs.fuse.default_request_timeout or fs.fuse.max_request_timeout says so"
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn the_kernels_limit_is_what_was_named_within_the_bounds() {
        for (default, max, named, in_force) in [
            (0, 0, 0, 0),
            (0, 0, 60, 60),
            (0, 0, 1, 15),
            (30, 0, 0, 30),
            (30, 0, 60, 60),
            (0, 40, 0, 40),
            (30, 40, 60, 40),
            (0, 5, 60, 15),
        ] {
            let bounds = Bounds {
                default: secs(default),
                max: secs(max),
            };
            assert_eq!(
                bounds.in_force(secs(named)),
                secs(in_force),
                "{bounds:?}, {named}"
            );
        }
    }

    #[test]
    fn what_differs_from_what_was_asked_has_a_reason() {
        let free = Bounds::default();
        assert_eq!(free.report(secs(0), secs(0)), None);
        let report = |asked, named| {
            let item = free.report(secs(asked), secs(named)).expect("a line");
            (item.effective, item.why.unwrap_or_default())
        };
        for (asked, named, in_force, why) in [
            (60, 60, "1m", ""),
            (2, 2, "15s", "the kernel looks every 15 seconds"),
            (60, 0, "none", "this kernel or this transport takes none"),
            (
                86_400,
                65_535,
                "18h12m15s",
                "the kernel counts whole seconds, 65,535 at most",
            ),
        ] {
            assert_eq!(report(asked, named), (in_force.to_owned(), why.to_owned()));
        }
        let bounded = Bounds {
            default: secs(30),
            ..free
        };
        let item = bounded.report(secs(0), secs(0)).expect("a line");
        assert_eq!(
            (item.asked.as_str(), item.effective.as_str()),
            ("none", "30s")
        );
        assert!(item.why.is_some());
    }
}
