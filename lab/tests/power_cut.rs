//! Power cuts without a machine: ext4 keeps its promises, a daemon that answers fsync without doing it
//! is caught, and nothing is left behind.

mod support;

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use dynamicfs::mount::{UnmountError, UnmountMode, spawn, unmount};
use dynamicfs::storage::LocalStorage;
use dynamicfs::{DynamicFS, OptimizedFUSEConfig};
use dynamicfs_lab::bench::contestant::Contestant;
use dynamicfs_lab::bench::peers::Peer;
use dynamicfs_lab::outcome::{Outcome, SuiteResult};
use dynamicfs_lab::paths::Paths;
use dynamicfs_lab::power::cut::{self, CUTS_NIGHTLY};
use dynamicfs_lab::power::sequence::Promise;
use dynamicfs_lab::power::shutdown::{Mounter, Shutdown, Unmount};

use self::support::{is_mounted, may_mount};

/// The programs that the other tests start have the descriptors of this process, and so use the mount,
/// until execve(2).
fn unmount_when_idle(mountpoint: &Path) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = unmount(mountpoint, UnmountMode::Normal) {
        let busy = matches!(error, UnmountError::Busy { .. });
        assert!(busy && Instant::now() < deadline, "{error}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Cuts the power of a disk in a directory that must be empty afterwards.
fn cut_power(mounter: Option<Mounter<'_>>, cuts: u32) -> SuiteResult {
    let directory = tempfile::tempdir().unwrap();
    let mut machine = Shutdown::new(directory.path(), mounter, 1).unwrap();
    let result = cut::run(&mut machine, cuts, 1).unwrap().result;
    drop(machine);
    let left = std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(left, 0, "something is left behind");
    assert_eq!(result.cases.len(), Promise::ALL.len());
    result
}

fn failed(result: &SuiteResult) -> Vec<(&str, String)> {
    let cases = result.cases.iter();
    cases
        .filter(|(_, case)| case.outcome != Outcome::Passed)
        .map(|(name, case)| (name.as_str(), case.outcome.to_string()))
        .collect()
}

#[test]
fn ext4_keeps_every_promise() {
    if may_mount() {
        assert_eq!(failed(&cut_power(None, CUTS_NIGHTLY)), []);
    }
}

/// Through a mount that this process serves: all but syncfs(2), which the kernel keeps to itself.
#[test]
fn a_mount_keeps_every_promise_that_reaches_it() {
    if !may_mount() {
        return;
    }
    let mount = |source: &Path, mountpoint: &Path| {
        let config = OptimizedFUSEConfig::safe();
        let options = config.to_mount_options();
        let storage = LocalStorage::builder(source).build()?;
        let fs = DynamicFS::new_with_config(Box::new(storage), config);
        let handle = spawn(fs, mountpoint, &options)?;
        let at = mountpoint.to_owned();
        Ok(Box::new(move || {
            unmount_when_idle(&at);
            handle.wait()?;
            assert!(!is_mounted(&at));
            Ok(())
        }) as Unmount)
    };
    let result = cut_power(Some(Box::new(mount)), CUTS_NIGHTLY / 5);
    let failed = failed(&result);
    assert!(
        failed
            .iter()
            .all(|(name, _)| *name == Promise::Syncfs.name()),
        "{failed:?}"
    );
}

/// The example of libfuse answers fsync(2) at once.
#[test]
fn a_daemon_that_only_claims_to_sync_is_caught() {
    if !may_mount() {
        return;
    }
    let paths = Paths::discover();
    let peer: Peer = "libfuse-passthrough".parse().unwrap();
    let ready = peer.build(&paths).and_then(|()| peer.find(&paths));
    let Ok(ready) = ready else {
        assert!(
            std::env::var_os("CI").is_none(),
            "cargo xtask test installs libfuse3-dev"
        );
        eprintln!("not run: {} is not here", peer.name());
        return;
    };
    let contestant = Contestant::peer(&peer, ready);
    let mount = |source: &Path, mountpoint: &Path| {
        let mounted = contestant.mount(source, mountpoint)?;
        Ok(Box::new(move || mounted.unmount()) as Unmount)
    };
    let result = cut_power(Some(Box::new(mount)), CUTS_NIGHTLY);
    let failed = failed(&result);
    // One cut made good by the sync(2) before it, or by ext4's own commit every 5 s, says nothing; over
    // this many, each promise was the last before a cut.
    let caught = |(name, why): &&(&str, String)| {
        *name != Promise::Syncfs.name() && why.contains("(transaction ")
    };
    let caught = failed.iter().filter(caught).count();
    assert!(caught > Promise::ALL.len() / 2, "{caught}: {failed:#?}");
}
