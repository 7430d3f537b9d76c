//! A directory of a slow file system, listed with attributes: names are looked up ahead, several at once.

mod support;

use std::ffi::OsStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dynamicfs::storage::*;
use dynamicfs::{OptimizedFUSEConfig, ReadDirPlus};
use rustix::fs::OFlags;
use support::{TestMount, can_mount};

/// What a look at a name takes: a disk that seeks, or a server in the neighbourhood.
const LATENCY: Duration = Duration::from_millis(3);

/// That latency, and a count of the looks.
#[derive(Default)]
struct Slow {
    looks: AtomicUsize,
    under_way: AtomicUsize,
    most: AtomicUsize,
}

impl Layer for Slow {
    fn lookup(
        &self,
        below: &dyn FilesystemInterface,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
    ) -> Result<Entry> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(under_way, Ordering::SeqCst);
        std::thread::sleep(LATENCY);
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        below.lookup(caller, parent, name)
    }
}

/// With files of the names 0, 1, 2, …
fn memory(files: usize) -> MemoryStorage {
    let storage = MemoryStorage::new();
    let mode = CreateMode {
        mode: 0o644,
        umask: 0,
    };
    for n in 0..files {
        let name = n.to_string();
        let name = name.as_ref();
        let created = storage.create(&Caller::ROOT, ROOT_INO, name, mode, OFlags::WRONLY);
        let (entry, fh) = created.unwrap();
        storage.release(entry.attr.ino, fh).unwrap();
        storage.forget(entry.attr.ino, 1);
    }
    storage
}

/// The names of the root with their inodes, up to `most` of them.
fn list(storage: &LocalStorage, most: usize) -> Vec<(String, Ino)> {
    let mut all = Vec::new();
    let fh = storage.opendir(&Caller::ROOT, ROOT_INO).unwrap();
    let sink = &mut |dirent: &DirEntry<'_>, entry: Option<&Entry>| {
        let Some(entry) = entry else {
            return DirSink::Taken;
        };
        if all.len() == most {
            return DirSink::Full;
        }
        all.push((dirent.name.to_str().unwrap().to_owned(), entry.attr.ino));
        DirSink::Taken
    };
    let listed = storage.readdirplus(&Caller::ROOT, ROOT_INO, fh, 0, sink);
    listed.unwrap();
    storage.releasedir(ROOT_INO, fh).unwrap();
    all
}

/// A slow storage mounted, so that only looks at names prime its attributes, and a local one on top.
fn mounted(files: usize) -> (Arc<Slow>, TestMount, LocalStorage) {
    let mut config = OptimizedFUSEConfig::balanced();
    config.readdirplus = ReadDirPlus::Off;
    (config.entry_timeout_secs, config.attr_timeout_secs) = (600, 600);
    config.worker_threads = 8;
    let slow = Arc::new(Slow::default());
    let layered = Layered::new(Box::new(memory(files)), slow.clone());
    let mount = TestMount::of(Box::new(layered), config);
    let storage = LocalStorage::open(mount.root()).unwrap();
    (slow, mount, storage)
}

#[test]
fn slow_looks_are_made_several_at_once_and_each_once() {
    if !can_mount("looking ahead") {
        return;
    }
    const FILES: usize = 100;
    let (slow, mount, storage) = mounted(FILES);
    let start = Instant::now();
    let all = list(&storage, usize::MAX);
    let took = start.elapsed();
    let names = (0..FILES).map(|n| n.to_string());
    for name in names {
        let found = all.iter().find(|(listed, _)| *listed == name);
        let ino = found.expect("every name is listed").1;
        let looked_up = storage.lookup(&Caller::ROOT, ROOT_INO, name.as_ref());
        assert_eq!(looked_up.unwrap().attr.ino, ino, "{name}");
    }
    assert_eq!(all.len(), FILES);
    // Who comes to a name that is being looked up waits for that look.
    assert_eq!(slow.looks.load(Ordering::SeqCst), FILES);
    let most = slow.most.load(Ordering::SeqCst);
    assert!(
        (4..=9).contains(&most),
        "{most} looks at once, {took:?} for {FILES}"
    );
    drop(storage);
    mount.unmount();
}

#[test]
fn a_listing_that_takes_no_more_ends_the_looks() {
    if !can_mount("looking ahead") {
        return;
    }
    // So many that it would take long to look at all of them, also on a machine that does something else.
    const FILES: usize = 500;
    let (slow, mount, storage) = mounted(FILES);
    assert_eq!(list(&storage, 10).len(), 10);
    let looks = slow.looks.load(Ordering::SeqCst);
    assert!(looks < FILES, "all were looked at");
    std::thread::sleep(4 * LATENCY);
    assert_eq!(slow.looks.load(Ordering::SeqCst), looks);
    drop(storage);
    mount.unmount();
}
