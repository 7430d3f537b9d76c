//! Counting: an operation is done a few times on a fresh mount, and the daemon's own counters are
//! read before and after each.

use std::collections::BTreeMap;
use std::fs::File;

use dynamicfs::OptimizedFUSEConfig;
use dynamicfs::stats::Snapshot;

use crate::operations::{Operation, TURNS};
use crate::support::{DEADLINE, TestMount, wait_for};

/// Requests of each kind.
pub(crate) type Counts = BTreeMap<String, u64>;

/// What one `operation` costs after the first, which may find things as nothing before it left them.
/// The least of several turns: other programs on this machine may make the kernel drop what it caches,
/// and a lifetime may end at any moment.
pub(crate) fn requests(operation: &Operation, config: OptimizedFUSEConfig) -> Counts {
    let mount = TestMount::prepared(config, |backing| {
        std::fs::write(backing.join("opened"), "").unwrap();
        (operation.setup)(backing);
    });
    // From the answers to these the kernel learns which opens need no request.
    File::open(mount.path("opened")).unwrap();
    assert!(std::fs::read_dir(mount.root()).unwrap().count() > 0);
    (operation.warm)(&mount);
    settle(&mount);
    let mut turns = Vec::new();
    let mut open = None;
    for turn in 0..TURNS {
        let before = counts(&mount.handle().statistics());
        (operation.act)(&mount, turn, &mut open);
        if open.is_none() {
            settle(&mount);
        }
        turns.push(difference(&before, &counts(&mount.handle().statistics())));
    }
    let least = turns.into_iter().skip(1);
    least.min_by_key(total).expect("more than one turn")
}

/// Requests of all kinds.
pub(crate) fn total(counts: &Counts) -> u64 {
    counts.values().sum()
}

/// Waits for the requests that nobody waits for: what was closed is released some time after, and counted some
/// time after that.
fn settle(mount: &TestMount) {
    wait_for("the releases are counted", DEADLINE, || {
        let figures = mount.handle().statistics();
        let [opened, closed, released] = ["OPENDIR", "RELEASEDIR", "RELEASE"].map(|name| {
            let op = figures.ops.iter().find(|op| op.name == name);
            op.map_or(0, |op| op.count - op.errors)
        });
        // Without opens, a file that was created first is released too.
        let files = figures.passthrough_opens + figures.plain_opens;
        figures.open_files == 0 && released >= files && opened == closed
    });
}

fn counts(figures: &Snapshot) -> Counts {
    let ops = figures.ops.iter();
    ops
        // The kernel gives inodes back when it likes, many in one request, and nobody waits.
        .filter(|op| op.name != "FORGET")
        .map(|op| (op.name.clone(), op.count))
        .collect()
}

fn difference(before: &Counts, after: &Counts) -> Counts {
    let more = after.iter().map(|(name, count)| {
        let earlier = before.get(name).copied().unwrap_or(0);
        (name.clone(), count - earlier)
    });
    more.filter(|(_, count)| *count > 0).collect()
}
