//! How many requests a contestant's work cost.
//!
//! Presets count for themselves; of all others the kernel tells (see [`Tracer`]). Both agree by
//! these conventions:
//! - Names are those of `dynamicfs stats`: RENAME2 counts as RENAME, SETLKW as SETLK.
//! - FORGET does not count. It has no answer, the kernel sends many in one message whenever it likes,
//!   and its tracepoint leaves them out; neither do INTERRUPTs.

mod tracer;

use std::collections::BTreeMap;

use anyhow::Result;

pub use self::tracer::{Count, Tracer};
use super::mounted::Mounted;

/// Requests by operation; those that did not occur are left out.
pub type Counts = BTreeMap<String, u64>;

/// What a counter found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requests {
    /// So many.
    Counted(Counts),
    /// Nothing certain, for this reason.
    NotCounted(String),
}

impl Requests {
    /// The counts, if there are any.
    pub fn counts(self) -> Option<Counts> {
        match self {
            Requests::Counted(counts) => Some(counts),
            Requests::NotCounted(_) => None,
        }
    }
}

/// Counts the requests between [`start`](RequestCounter::start) and
/// [`finish`](RequestCounter::finish). At both moments the daemons must be idle
/// ([`wait_until_idle`](crate::meter::Meter::wait_until_idle)), or requests that nobody waits for,
/// such as RELEASE, fall on the wrong side.
#[derive(Debug)]
pub struct RequestCounter<'a>(Way<'a>);

#[derive(Debug)]
enum Way<'a> {
    /// A native directory has no requests.
    Native,
    /// By the mount itself; with what it had counted before.
    Own(&'a Mounted, Counts),
    /// By the kernel.
    Kernel(Count<'a>),
    /// Not at all.
    NotAtAll(String),
}

impl<'a> RequestCounter<'a> {
    /// Begins. Traced requests are slower: time and counts are not for the same turn.
    ///
    /// # Errors
    ///
    /// When the mount's own counters cannot be read.
    pub fn start(mounted: &'a Mounted, tracer: &'a mut Tracer) -> Result<Self> {
        let way = match (mounted.connection(), mounted.own_counts()?) {
            (None, _) => Way::Native,
            (Some(_), Some(before)) => Way::Own(mounted, before),
            (Some(connection), None) => match tracer.count(connection) {
                Ok(count) => Way::Kernel(count),
                Err(reason) => Way::NotAtAll(format!("{reason:#}")),
            },
        };
        Ok(RequestCounter(way))
    }

    /// Ends, and tells the counts.
    ///
    /// # Errors
    ///
    /// When the mount's own counters cannot be read.
    pub fn finish(self) -> Result<Requests> {
        Ok(match self.0 {
            Way::Native => Requests::Counted(Counts::new()),
            Way::Own(mounted, before) => {
                let after = mounted.own_counts()?.unwrap_or_default();
                Requests::Counted(since(&before, &after))
            }
            Way::Kernel(count) => match count.finish() {
                Ok(counts) => Requests::Counted(counts),
                Err(reason) => Requests::NotCounted(format!("{reason:#}")),
            },
            Way::NotAtAll(reason) => Requests::NotCounted(reason),
        })
    }
}

/// What was added to the counts, by the conventions above.
fn since(before: &Counts, after: &Counts) -> Counts {
    after
        .iter()
        .map(|(name, count)| (name, count - before.get(name).unwrap_or(&0)))
        .filter(|&(name, count)| count > 0 && conventional(name).is_some())
        .map(|(name, count)| (name.clone(), count))
        .collect()
}

/// The name by which a request counts; `None` when it does not.
fn conventional(name: &str) -> Option<&str> {
    match name {
        "FORGET" | "BATCH_FORGET" | "INTERRUPT" => None,
        "RENAME2" => Some("RENAME"),
        "SETLKW" => Some("SETLK"),
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts<const N: usize>(counts: [(&str, u64); N]) -> Counts {
        counts.map(|(name, count)| (name.to_owned(), count)).into()
    }

    #[test]
    fn what_happened_before_and_forgets_do_not_count() {
        let before = counts([("LOOKUP", 3), ("READ", 2), ("FORGET", 1)]);
        let after = counts([("LOOKUP", 5), ("READ", 2), ("FORGET", 9), ("CREATE", 1)]);
        assert_eq!(
            since(&before, &after),
            counts([("CREATE", 1), ("LOOKUP", 2)])
        );
    }

    /// The kernel's names, brought to the convention, are names that the mount's own counters have.
    #[test]
    fn both_ways_have_the_same_names() {
        let own: Vec<&str> = dynamicfs::stats::Opcode::ALL
            .iter()
            .map(|opcode| opcode.name())
            .collect();
        for kernel in [
            "LOOKUP",
            "RENAME",
            "RENAME2",
            "SETLKW",
            "READDIRPLUS",
            "COPY_FILE_RANGE",
        ] {
            let name = conventional(kernel).unwrap();
            assert!(own.contains(&name), "{name}");
        }
    }
}
