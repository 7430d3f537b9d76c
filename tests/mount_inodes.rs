//! What the kernel holds of a mount, and what is left of it afterwards.

mod support;

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use dynamicfs::mount::{MountError, UnmountError, UnmountMode};
use dynamicfs::{OptimizedFUSEConfig, ReadDirPlus};
use support::{DEADLINE, TestMount, can_mount, is_mountpoint, wait_for};

/// Files in a directory.
const FILES: usize = 200;

fn plant_tree(root: &Path, directories: usize) {
    for d in 0..directories {
        let dir = root.join(format!("d{d}"));
        fs::create_dir(&dir).unwrap();
        for f in 0..FILES {
            File::create(dir.join(format!("f{f}"))).unwrap();
        }
    }
}

/// Like find(1) with a stat of each file; returns how many there are.
fn walk(dir: &Path) -> usize {
    let mut found = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.metadata().unwrap();
        found += if kind.is_dir() {
            walk(&entry.path())
        } else {
            1
        };
    }
    found
}

#[test]
fn lookup_counts_return_to_the_root_alone_after_a_walk() {
    if !can_mount("lookup counts") {
        return;
    }
    for (readdirplus, directories) in [
        (ReadDirPlus::Auto, 100),
        (ReadDirPlus::On, 10),
        (ReadDirPlus::Off, 10),
    ] {
        let mut config = OptimizedFUSEConfig::high_performance();
        config.readdirplus = readdirplus;
        config.entry_timeout_secs = 600;
        config.attr_timeout_secs = 600;
        let mount = TestMount::prepared(config, |root| plant_tree(root, directories));
        let before = mount.handle().statistics().inodes;
        for _ in 0..2 {
            assert_eq!(walk(mount.root()), directories * FILES);
        }
        let held = mount.handle().statistics().inodes;
        assert!(
            held > (directories * FILES) as u64,
            "{held} inodes: nothing was cached"
        );
        mount.drop_caches();
        wait_for("the kernel forgets all", DEADLINE, || {
            mount.handle().statistics().inodes == before
        });
        assert_eq!(mount.handle().statistics().open_files, 0);
        // And it goes on working.
        assert!(mount.path("d7/f7").exists());
    }
}

#[test]
fn removed_and_renamed_files_are_forgotten_when_closed() {
    if !can_mount("forgotten files") {
        return;
    }
    let mount = TestMount::local(OptimizedFUSEConfig::balanced());
    let before = mount.handle().statistics().inodes;
    for round in 0..300 {
        let path = mount.path(format!("f{round}"));
        let file = File::create(&path).unwrap();
        if round % 3 == 0 {
            fs::hard_link(&path, mount.path("link")).unwrap();
            fs::remove_file(mount.path("link")).unwrap();
        }
        if round % 3 == 1 {
            fs::rename(&path, mount.path("other")).unwrap();
            fs::rename(mount.path("other"), &path).unwrap();
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 0, "usable after removal");
    }
    wait_for("all are released and forgotten", DEADLINE, || {
        mount.drop_caches();
        let now = mount.handle().statistics();
        now.inodes == before && now.open_files == 0
    });
}

#[test]
fn a_busy_mount_is_not_unmounted_and_goes_on() {
    if !can_mount("busy mount") {
        return;
    }
    let mount = TestMount::local(OptimizedFUSEConfig::balanced());
    let file = File::create(mount.path("open")).unwrap();
    let unmounter = mount.handle().unmounter();
    let refused = unmounter.unmount(UnmountMode::Normal);
    assert!(
        matches!(&refused, Err(UnmountError::Busy { path }) if path == mount.root()),
        "{refused:?}"
    );
    fs::write(mount.path("more"), "x").unwrap();
    assert_eq!(fs::read(mount.path("more")).unwrap(), b"x");
    drop(file);
    mount.unmount();
}

#[test]
fn a_lazy_unmount_ends_with_the_last_close() {
    if !can_mount("lazy unmount") {
        return;
    }
    let dir = support::test_dir();
    let (backing, mountpoint) = (dir.path().join("backing"), dir.path().join("mnt"));
    fs::create_dir(&backing).unwrap();
    fs::create_dir(&mountpoint).unwrap();
    let config = support::with_io_mode(dynamicfs::IoMode::WriteThrough);
    let storage = Box::new(support::local_storage(&backing, &config));
    let handle = support::serve(storage, config, &mountpoint).unwrap();
    let mut file = File::create(mountpoint.join("open")).unwrap();
    let unmounter = handle.unmounter();
    unmounter.unmount(UnmountMode::Lazy).unwrap();
    assert!(!is_mountpoint(&mountpoint));
    assert!(!mountpoint.join("open").exists(), "out of the tree at once");
    let (ended, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || ended.send(handle.wait()));
    std::io::Write::write_all(&mut file, b"still served").unwrap();
    assert!(end.try_recv().is_err(), "ended with a file open");
    drop(file);
    end.recv_timeout(DEADLINE).expect("ends").expect("well");
    assert_eq!(fs::read(backing.join("open")).unwrap(), b"still served");
    let again = unmounter.unmount(UnmountMode::Normal);
    assert!(
        matches!(again, Err(UnmountError::NotMounted { .. })),
        "{again:?}"
    );
}

#[test]
fn a_dropped_handle_unmounts() {
    if !can_mount("dropped handle") {
        return;
    }
    let mount = TestMount::local(OptimizedFUSEConfig::balanced());
    let root = mount.root().to_owned();
    assert!(is_mountpoint(&root));
    fs::write(mount.path("f"), "x").unwrap();
    support::within("drop", Duration::from_secs(10), move || drop(mount));
    assert!(!is_mountpoint(&root));
}

#[test]
fn what_cannot_be_mounted_leaves_nothing_behind() {
    if !can_mount("mount errors") {
        return;
    }
    let dir = support::test_dir();
    let config = OptimizedFUSEConfig::balanced();
    let storage = Box::new(support::local_storage(dir.path(), &config));
    let absent = dir.path().join("absent");
    let refused = support::serve(storage, config, &absent);
    assert!(
        matches!(refused, Err(MountError::Transport(_))),
        "{refused:?}"
    );
    assert!(!is_mountpoint(&absent));
}
