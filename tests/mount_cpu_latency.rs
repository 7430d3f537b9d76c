//! Processors stay awake while requests come fast, and only then.

mod support;

use std::fs::File;
use std::io::Read;

use dynamicfs::OptimizedFUSEConfig;
use rustix::fs::statfs;
use support::{DEADLINE, TestMount, can_mount, wait_for};

const DEVICE: &str = "/dev/cpu_dma_latency";
const DRIVER: &str = "/sys/devices/system/cpu/cpuidle/current_driver";

/// The strictest limit that anybody has set, in µs. Whoever asks has set none.
fn limit() -> i32 {
    let mut device = File::open(DEVICE).unwrap_or_else(|error| panic!("{DEVICE}: {error}"));
    let mut micros = [0; 4];
    device.read_exact(&mut micros).expect(DEVICE);
    i32::from_ne_bytes(micros)
}

fn reported(mount: &TestMount) -> Option<(String, Option<String>)> {
    let items = mount.handle().report().capabilities;
    let item = items
        .into_iter()
        .find(|item| item.name == "cpu_latency_qos")?;
    assert_eq!(item.asked, "0 us");
    Some((item.effective, item.why))
}

#[test]
fn processors_are_awake_while_requests_come_fast() {
    if !can_mount("cpu_latency_qos") {
        return;
    }
    let mount = TestMount::local(OptimizedFUSEConfig::high_performance());
    let (effective, why) = reported(&mount).expect("in the report");
    if std::thread::available_parallelism().is_ok_and(|processors| processors.get() == 1) {
        assert_eq!(effective, "no");
        assert!(why.is_some_and(|why| why.contains("one processor")));
        return;
    }
    let root = mount.path("");
    let driver = std::fs::read_to_string(DRIVER).unwrap_or_else(|_| "none".into());
    // Without a driver the limit is set all the same, but nothing obeys it.
    let (in_force, reason) = match driver.trim() {
        "none" => ("no", "no cpuidle driver"),
        _ => ("0 us", "while requests come fast"),
    };
    assert_eq!(effective, in_force, "{why:?}");
    assert!(why.is_some_and(|why| why.contains(reason)));
    let set_by_a_burst = || {
        for _ in 0..1_000 {
            statfs(&root).expect("statfs");
        }
        limit() == 0
    };
    wait_for("no limit before there are requests", DEADLINE, || {
        limit() > 0
    });
    wait_for("a limit while requests come fast", DEADLINE, set_by_a_burst);
    wait_for("no limit when they have ended", DEADLINE, || limit() > 0);
    // A second burst is noticed as the first was.
    wait_for("a limit again", DEADLINE, set_by_a_burst);
    drop(mount);
    wait_for("no limit without the mount", DEADLINE, || limit() > 0);
}

#[test]
fn other_presets_leave_them_alone() {
    if !can_mount("cpu_latency_qos, off") {
        return;
    }
    for config in [
        OptimizedFUSEConfig::balanced(),
        OptimizedFUSEConfig::safe(),
        OptimizedFUSEConfig::baseline(),
    ] {
        assert_eq!(reported(&TestMount::local(config)), None);
    }
}
