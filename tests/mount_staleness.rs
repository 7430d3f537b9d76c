//! Changes behind the mount: seen within the declared lifetimes, and not paid for earlier.

mod support;

use std::fs;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use dynamicfs::{IoMode, KernelFeatures, OptimizedFUSEConfig, Preset};
use support::{TestMount, can_mount, wait_for};

/// Beyond a lifetime: what a loaded machine may need to look again.
const SLACK: Duration = Duration::from_secs(2);

/// All of it, so that the waits of one mode pass together with those of another.
fn changes_are_seen(preset: Preset) {
    if !can_mount("staleness") {
        return;
    }
    let modes = match preset {
        Preset::Baseline => vec![IoMode::WriteThrough],
        _ => vec![IoMode::Passthrough, IoMode::WriteThrough],
    };
    std::thread::scope(|scope| {
        for io_mode in modes {
            scope.spawn(move || {
                let mut config = preset.config();
                config.io_mode = io_mode;
                changes_are_seen_with(config);
            });
        }
    });
}

fn changes_are_seen_with(config: OptimizedFUSEConfig) {
    // Without `AUTO_INVAL_DATA` pages stay until the next open.
    let sees_content_in_open_files = config.kernel_features == KernelFeatures::All;
    let (attr, name, absence) = (
        config.attr_timeout() + SLACK,
        config.entry_timeout() + SLACK,
        config.negative_timeout() + SLACK,
    );
    let mount = TestMount::prepared(config, |root| {
        fs::write(root.join("content"), "old").unwrap();
        fs::write(root.join("grows"), "old").unwrap();
        fs::write(root.join("removed"), "old").unwrap();
        fs::write(root.join("replaced"), "old").unwrap();
        fs::create_dir(root.join("dir")).unwrap();
        fs::write(root.join("dir/listed"), "").unwrap();
    });
    let content = fs::File::open(mount.path("content")).unwrap();
    let mut buffer = [0; 3];
    content.read_exact_at(&mut buffer, 0).unwrap();
    for path in ["grows", "replaced"] {
        assert_eq!(fs::read(mount.path(path)).unwrap(), b"old");
    }
    assert!(mount.path("removed").exists());
    assert!(!mount.path("appears").exists());
    assert_eq!(names(&mount), ["listed"]);

    fs::write(mount.backing("content"), "NEW").unwrap();
    fs::write(mount.backing("grows"), "longer than it was").unwrap();
    fs::remove_file(mount.backing("removed")).unwrap();
    fs::write(mount.backing("other"), "new file").unwrap();
    fs::rename(mount.backing("other"), mount.backing("replaced")).unwrap();
    fs::write(mount.backing("appears"), "now").unwrap();
    fs::write(mount.backing("dir/second"), "").unwrap();

    wait_for("the new name", absence, || mount.path("appears").exists());
    wait_for("the new size", attr, || {
        fs::metadata(mount.path("grows")).unwrap().len() == 18
    });
    assert_eq!(
        fs::read(mount.path("grows")).unwrap(),
        b"longer than it was"
    );
    wait_for("the new content", attr, || {
        if sees_content_in_open_files {
            content.read_exact_at(&mut buffer, 0).unwrap();
        } else {
            let reopened = fs::File::open(mount.path("content")).unwrap();
            reopened.read_exact_at(&mut buffer, 0).unwrap();
        }
        &buffer == b"NEW"
    });
    wait_for("the end of the removed name", name, || {
        !mount.path("removed").exists()
    });
    wait_for("the other file of that name", name, || {
        fs::read(mount.path("replaced")).unwrap() == b"new file"
    });
    wait_for("the second name in the listing", attr, || {
        names(&mount) == ["listed", "second"]
    });
}

fn names(mount: &TestMount) -> Vec<String> {
    let entries = fs::read_dir(mount.path("dir")).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn balanced_shows_changes_in_time() {
    changes_are_seen(Preset::Balanced);
}

#[test]
fn high_performance_shows_changes_in_time() {
    changes_are_seen(Preset::HighPerformance);
}

#[test]
fn safe_shows_changes_in_time() {
    changes_are_seen(Preset::Safe);
}

#[test]
fn baseline_shows_changes_at_once() {
    changes_are_seen(Preset::Baseline);
}

/// Requests that `action` causes, the least of a few tries: other programs on this machine may
/// make the kernel drop what it caches at any moment.
fn requests(mount: &TestMount, prepare: impl Fn(), action: impl Fn()) -> u64 {
    let count = || {
        let statistics = mount.handle().statistics();
        let counted = statistics.ops.iter();
        counted
            // The kernel gives inodes back when it likes.
            .filter(|op| op.name != "FORGET")
            .map(|op| op.count)
            .sum::<u64>()
    };
    let tries = (0..5).map(|_| {
        prepare();
        let before = count();
        action();
        count() - before
    });
    tries.min().expect("five tries")
}

#[test]
fn within_its_lifetime_nothing_is_asked_twice() {
    if !can_mount("caching") {
        return;
    }
    for preset in [Preset::Balanced, Preset::HighPerformance, Preset::Safe] {
        let mount = TestMount::prepared(preset.config(), |root| {
            fs::create_dir(root.join("dir")).unwrap();
            fs::write(root.join("dir/file"), "x").unwrap();
            std::os::unix::fs::symlink("file", root.join("dir/link")).unwrap();
        });
        let (file, link) = (mount.path("dir/file"), mount.path("dir/link"));
        let stat = || assert!(fs::metadata(&file).unwrap().is_file());
        assert_eq!(requests(&mount, stat, stat), 0, "{preset:?}: stat");
        let follow = || assert!(fs::metadata(&link).unwrap().is_file());
        assert_eq!(
            requests(&mount, follow, follow),
            0,
            "{preset:?}: stat through a link"
        );
        let absent = || assert!(!mount.path("dir/absent").exists());
        let asked = requests(&mount, absent, absent);
        // `safe` remembers no absence.
        let expected = u64::from(preset == Preset::Safe);
        assert_eq!(asked, expected, "{preset:?}: a name that is not there");
        let list = || assert_eq!(names(&mount), ["file", "link"]);
        let asked = requests(&mount, list, list);
        // Opening and closing the directory; the names come from the cache.
        assert!(asked <= 3, "{preset:?}: a listing costs {asked} requests");
        let dirs = mount.ops("READDIR") + mount.ops("READDIRPLUS");
        list();
        let now = mount.ops("READDIR") + mount.ops("READDIRPLUS");
        assert!(now <= dirs + 1, "{preset:?}: the listing is not cached");
    }
}

#[test]
fn an_untouched_file_keeps_its_pages_between_opens() {
    if !can_mount("keep cache") {
        return;
    }
    let mut config = OptimizedFUSEConfig::balanced();
    config.io_mode = IoMode::WriteThrough;
    let mount = TestMount::prepared(config, |root| {
        fs::write(root.join("file"), vec![5; 1 << 20]).unwrap();
    });
    let read = || assert!(fs::read(mount.path("file")).unwrap() == vec![5; 1 << 20]);
    let reads = || mount.ops("READ");
    read();
    let least = (0..5)
        .map(|_| {
            let before = reads();
            read();
            reads() - before
        })
        .min();
    assert_eq!(least, Some(0));
}

#[test]
fn a_change_through_the_mount_shows_at_once_whatever_the_lifetimes() {
    if !can_mount("own changes") {
        return;
    }
    let mut config = OptimizedFUSEConfig::high_performance();
    config.attr_timeout_secs = 3600;
    config.entry_timeout_secs = 3600;
    config.negative_timeout_secs = 3600;
    let mount = TestMount::local(config);
    let started = Instant::now();
    assert!(!mount.path("a").exists());
    fs::write(mount.path("a"), "1").unwrap();
    assert_eq!(fs::metadata(mount.path("a")).unwrap().len(), 1);
    fs::write(mount.path("a"), "12345").unwrap();
    assert_eq!(fs::metadata(mount.path("a")).unwrap().len(), 5);
    fs::hard_link(mount.path("a"), mount.path("b")).unwrap();
    let nlink =
        |name| std::os::unix::fs::MetadataExt::nlink(&fs::metadata(mount.path(name)).unwrap());
    assert_eq!((nlink("a"), nlink("b")), (2, 2));
    fs::remove_file(mount.path("a")).unwrap();
    assert!(!mount.path("a").exists());
    assert_eq!(nlink("b"), 1);
    fs::rename(mount.path("b"), mount.path("a")).unwrap();
    assert!(mount.path("a").exists() && !mount.path("b").exists());
    fs::create_dir(mount.path("dir")).unwrap();
    assert_eq!(names(&mount), Vec::<String>::new());
    fs::write(mount.path("dir/x"), "").unwrap();
    assert_eq!(names(&mount), ["x"]);
    fs::remove_file(mount.path("dir/x")).unwrap();
    assert_eq!(names(&mount), Vec::<String>::new());
    assert!(started.elapsed() < Duration::from_secs(60));
}
