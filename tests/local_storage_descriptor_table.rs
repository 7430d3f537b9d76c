//! The table of descriptors is large enough from the start. Alone in its process, whose table it is.

use dynamicfs::storage::LocalStorage;
use rustix::process::{Resource, getrlimit};

/// Slots of the table (`FDSize` in proc_pid_status(5)).
fn slots() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("FDSize:"));
    size.unwrap().trim().parse().unwrap()
}

#[test]
fn no_request_waits_for_the_table_to_grow() {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    // Those of inodes, and as many of open files.
    let used = 2 * 4096.min(limit / 4);
    assert!(slots() < used, "{} slots before", slots());
    let dir = tempfile::tempdir().unwrap();
    let _storage = LocalStorage::open(dir.path()).unwrap();
    assert!(slots() >= used, "{} slots, {used} are used", slots());
}
