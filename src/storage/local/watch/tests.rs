use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use super::*;
use crate::storage::{Caller, CreateMode, FilesystemInterface, LocalStorage, ROOT_INO};

const DEADLINE: Duration = Duration::from_secs(10);

const ROOT: Caller = Caller::ROOT;

/// Keeps what it hears.
#[derive(Default)]
struct Heard(Mutex<BTreeSet<Change>>);

impl ChangeListener for Heard {
    fn name_changed(&self, parent: Ino, name: &OsStr) {
        self.0.lock().insert(Change::Name(parent, name.to_owned()));
    }

    fn name_gone(&self, parent: Ino, name: &OsStr) {
        self.0.lock().insert(Change::Gone(parent, name.to_owned()));
    }

    fn absences_in_doubt(&self) {
        self.0.lock().insert(Change::Anything);
    }

    fn attributes_changed(&self, ino: Ino) {
        self.0.lock().insert(Change::Attributes(ino));
    }

    fn contents_changed(&self, ino: Ino) {
        self.0.lock().insert(Change::Contents(ino));
    }
}

impl Heard {
    fn wait_for(&self, change: &Change) {
        let deadline = Instant::now() + DEADLINE;
        while !self.0.lock().contains(change) {
            let heard = self.0.lock().clone();
            assert!(Instant::now() < deadline, "no {change:?}, but {heard:?}");
            std::thread::yield_now();
        }
    }
}

/// A storage that is watched in one of the two ways, with the directory `dir` and in it `file`.
fn watched(handles: bool) -> (tempfile::TempDir, LocalStorage, Arc<Heard>) {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("dir")).unwrap();
    std::fs::write(root.path().join("dir/file"), "old").unwrap();
    let storage = LocalStorage::builder(root.path()).file_handles(handles);
    let storage = storage.build().unwrap();
    let heard = Arc::new(Heard::default());
    let method = storage.watch(heard.clone()).unwrap();
    let privileged = crate::platform::privileges() == [true, true];
    let expected = match handles && privileged {
        true => WatchMethod::Fanotify,
        false => WatchMethod::Inotify,
    };
    assert_eq!(method, expected);
    assert_eq!(storage.watch(heard.clone()), Err(Errno::ALREADY));
    (root, storage, heard)
}

/// Another process: what this one does counts as the storage's own.
fn elsewhere(directory: &Path, script: &str) {
    let mut shell = Command::new("sh");
    let status = shell.args(["-ec", script]).current_dir(directory).status();
    assert!(status.unwrap().success(), "{script}");
}

fn hears_of_everything(handles: bool) {
    let (root, storage, heard) = watched(handles);
    let lookup = |parent, name: &str| {
        let found = storage.lookup(&ROOT, parent, OsStr::new(name)).unwrap();
        found.attr.ino
    };
    let dir = lookup(ROOT_INO, "dir");
    let file = lookup(dir, "file");
    let changes = [
        ("echo more >> dir/file", Change::Contents(file)),
        ("chmod 600 dir/file", Change::Attributes(file)),
        ("ln dir/file dir/link", Change::Name(dir, "link".into())),
        ("mkdir dir/sub", Change::Name(dir, "sub".into())),
        ("mv dir/link dir/moved", Change::Name(dir, "moved".into())),
        ("rmdir dir/sub", Change::Contents(dir)),
        ("rm dir/file", Change::Gone(dir, "file".into())),
        ("mv dir away", Change::Gone(ROOT_INO, "dir".into())),
    ];
    for (script, change) in changes {
        // What is told a second time is not taken for the next.
        std::thread::scope(|scope| {
            scope.spawn(|| elsewhere(root.path(), script));
        });
        heard.wait_for(&change);
        heard.0.lock().remove(&change);
    }
    storage.destroy();
}

#[test]
fn a_mark_on_the_file_system_tells_of_everything() {
    hears_of_everything(true);
}

#[test]
fn watches_of_directories_tell_of_everything() {
    hears_of_everything(false);
}

#[test]
fn what_goes_through_the_storage_is_not_told_where_processes_are_known() {
    if crate::platform::privileges() != [true, true] {
        // Then there is no such way to watch, which `watched` checks in the other tests.
        return;
    }
    let (root, storage, heard) = watched(true);
    let mode = CreateMode {
        mode: 0o755,
        umask: 0,
    };
    storage
        .mkdir(&ROOT, ROOT_INO, OsStr::new("own"), mode)
        .unwrap();
    elsewhere(root.path(), "mkdir other");
    heard.wait_for(&Change::Name(ROOT_INO, "other".into()));
    let own = Change::Name(ROOT_INO, "own".into());
    assert!(!heard.0.lock().contains(&own));
    storage.destroy();
}

#[test]
fn where_events_were_lost_everything_that_is_held_is_told_by_its_last_name() {
    let (_root, storage, heard) = watched(true);
    let name = |name: &'static str| OsStr::new(name);
    let dir = storage
        .lookup(&ROOT, ROOT_INO, name("dir"))
        .unwrap()
        .attr
        .ino;
    let file = storage.lookup(&ROOT, dir, name("file")).unwrap().attr.ino;
    let flags = crate::platform::RenameFlags::empty();
    let (old, new) = (name("file"), name("renamed"));
    storage.rename(&ROOT, dir, old, dir, new, flags).unwrap();
    let teller = Teller {
        inodes: storage.inodes.clone(),
        listener: heard.clone(),
    };
    teller.tell(&BTreeSet::from([Change::Anything]));
    let heard = heard.0.lock().clone();
    for change in [
        Change::Anything,
        Change::Name(ROOT_INO, "dir".into()),
        Change::Name(dir, "renamed".into()),
        Change::Contents(file),
        Change::Attributes(file),
        Change::Contents(ROOT_INO),
    ] {
        assert!(heard.contains(&change), "{change:?} of {heard:?}");
    }
}
