//! A small run of the bench: what fails is named and stops nobody else, and nothing is left behind.

mod support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use dynamicfs_lab::bench::contestant::Contestant;
use dynamicfs_lab::bench::peers::Peer;
use dynamicfs_lab::bench::result::{Bench, Settings};
use dynamicfs_lab::bench::{Plan, Site};
use dynamicfs_lab::image::Image;
use dynamicfs_lab::paths::Paths;
use dynamicfs_lab::progress::Progress;
use dynamicfs_lab::workload::{self, Fixtures};

use self::support::{is_mounted, may_mount};

fn peer(name: &str, command: &str) -> Contestant {
    let peer: Peer = format!("{name}={command}").parse().unwrap();
    let ready = peer.find(&Paths::discover()).unwrap();
    Contestant::peer(&peer, ready)
}

/// Three workloads on ext4 and on these, on a small image below `root`.
fn run(root: &Path, peers: Vec<Contestant>) -> Bench {
    let fixtures = Fixtures {
        dir: root.join("fixtures"),
        quick: true,
    };
    fs::create_dir(&fixtures.dir).unwrap();
    let plan = Plan {
        contestants: [Contestant::ext4()].into_iter().chain(peers).collect(),
        absent: Vec::new(),
        workloads: workload::select(&["create-4k", "stat-hot", "append-fsync"]).unwrap(),
        settings: Settings {
            repetitions: 2,
            more_if_noisy: 0,
            turn_ms: 5,
            quick: true,
        },
        limit: Duration::from_secs(60),
        command: "a test".to_owned(),
        version: "0".to_owned(),
        fixtures,
    };
    let image = Image::create(root, &root.join("ext4"), 256 << 20).unwrap();
    let site = Site::of(image, &root.join("mnt"), "a small image");
    plan.run(&site, &Progress::new(plan.steps())).unwrap()
}

#[test]
fn what_fails_is_named_and_stops_nobody_else() {
    if !may_mount() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().canonicalize().unwrap();
    let good = peer("good", "bindfs -f {src} {mnt}");
    let bad = peer("bad", "sh -c 'echo no such option; exit 3' {src} {mnt}");
    let read_only = peer("read-only", "bindfs -f -r {src} {mnt}");
    let bench = run(&root, vec![good, bad, read_only]);

    let reason = bench.contestant("bad").unwrap().not_run.as_deref().unwrap();
    assert!(
        reason.contains("mounting bad") && reason.contains("no such option"),
        "{reason}"
    );
    assert_eq!(bench.rows.len(), 3);
    for row in &bench.rows {
        assert!(row.cell("bad").is_none());
        let to_ext4 = row.to_ext4("ext4").unwrap();
        assert_eq!((to_ext4.min, to_ext4.max), (1.0, 1.0));
        let good = row.cell("good").unwrap();
        assert_eq!(good.samples.len(), 2, "{:?}", good.failed);
        let figures = good.figures.as_ref().unwrap();
        assert!(figures.cpu.client > 0.0 && figures.daemon_memory > Some(1 << 16));
    }
    let read_only = bench.row("create-4k").unwrap().cell("read-only").unwrap();
    assert!(read_only.failed.as_deref().unwrap().contains("Read-only"));
    assert!(
        bench
            .row("stat-hot")
            .unwrap()
            .figures("read-only")
            .is_some()
    );

    let create = bench.row("create-4k").unwrap().figures("good").unwrap();
    match &create.requests {
        Some(requests) => assert_eq!(requests["CREATE"], 1.0),
        None => eprintln!("requests not counted: the kernel has no fuse:fuse_request_send"),
    }
    assert!(create.cpu.daemon > 0.0);
    assert_eq!(
        Bench::from_json(&bench.to_json().unwrap())
            .unwrap()
            .rows
            .len(),
        3
    );

    for contestant in ["good", "read-only"] {
        assert!(!is_mounted(&root.join("mnt").join(contestant)));
    }
    assert!(!is_mounted(&root.join("ext4")));
}
