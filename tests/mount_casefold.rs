//! A storage that folds case: what the kernel remembers of one spelling never stands in the way of
//! another. The real thing, ext4 with `chattr +F`, is the lab's suite `casefold`.

mod support;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use dynamicfs::storage::*;
use dynamicfs::{OptimizedFUSEConfig, Preset};
use rustix::fs::RenameFlags;
use support::{TestMount, can_mount, presets};

/// All names become lower case. Nothing is listed here, so `readdirplus` is as it was.
struct Folding;

fn folded(name: &OsStr) -> OsString {
    name.to_ascii_lowercase()
}

/// As the trait asks: names of such a directory have no lifetime.
fn uncached(mut entry: Entry) -> Entry {
    entry.entry_ttl = Some(Duration::ZERO);
    entry
}

impl Layer for Folding {
    fn folds_case(&self, _below: &dyn FilesystemInterface, _parent: Ino) -> bool {
        true
    }
    fn lookup(
        &self,
        below: &dyn FilesystemInterface,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
    ) -> Result<Entry> {
        below.lookup(caller, parent, &folded(name)).map(uncached)
    }
    fn mkdir(
        &self,
        below: &dyn FilesystemInterface,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
        mode: CreateMode,
    ) -> Result<Entry> {
        let entry = below.mkdir(caller, parent, &folded(name), mode);
        entry.map(uncached)
    }
    fn unlink(
        &self,
        below: &dyn FilesystemInterface,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
    ) -> Result<()> {
        below.unlink(caller, parent, &folded(name))
    }
    fn rmdir(
        &self,
        below: &dyn FilesystemInterface,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
    ) -> Result<()> {
        below.rmdir(caller, parent, &folded(name))
    }
    fn rename(
        &self,
        below: &dyn FilesystemInterface,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
        newparent: Ino,
        newname: &OsStr,
        flags: RenameFlags,
    ) -> Result<()> {
        let (name, newname) = (folded(name), folded(newname));
        below.rename(caller, parent, &name, newparent, &newname, flags)
    }
    fn create(
        &self,
        below: &dyn FilesystemInterface,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
        mode: CreateMode,
        flags: OpenFlags,
    ) -> Result<(Entry, Fh)> {
        let (entry, fh) = below.create(caller, parent, &folded(name), mode, flags)?;
        Ok((uncached(entry), fh))
    }
}

fn is_there(path: &Path) -> bool {
    match fs::symlink_metadata(path) {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

/// Long enough that nothing expires during the test.
fn patient(mut config: OptimizedFUSEConfig) -> OptimizedFUSEConfig {
    config.attr_timeout_secs = 600;
    config.entry_timeout_secs = 600;
    config.negative_timeout_secs = 600;
    config
}

#[test]
fn every_spelling_appears_and_disappears_at_once() {
    if !can_mount("folding") {
        return;
    }
    for (preset, config) in presets() {
        let storage = Layered::new(Box::new(MemoryStorage::new()), Folding);
        let mount = TestMount::of(Box::new(storage), patient(config));
        let spellings = ["name", "NAME", "Name"].map(|name| mount.path(name));
        let look = || spellings.each_ref().map(|path| is_there(path));
        assert_eq!(look(), [false; 3], "{preset}");
        File::create_new(mount.path("nAME")).unwrap();
        assert_eq!(look(), [true; 3], "{preset}: created");
        let again = File::create_new(mount.path("naMe")).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists, "{preset}");
        fs::remove_file(mount.path("NaMe")).unwrap();
        assert_eq!(look(), [false; 3], "{preset}: removed");
        fs::create_dir(mount.path("nAmE")).unwrap();
        assert_eq!(look(), [true; 3], "{preset}: a directory");
        fs::rename(mount.path("NAme"), mount.path("other")).unwrap();
        assert_eq!(look(), [false; 3], "{preset}: renamed");
        assert!(is_there(&mount.path("OTHER")), "{preset}");
    }
}

#[test]
fn where_case_counts_absence_is_remembered_as_before() {
    if !can_mount("absence") {
        return;
    }
    let config = patient(Preset::Balanced.config());
    let mount = TestMount::local(config);
    assert!(!is_there(&mount.path("name")));
    let asked = mount.ops("LOOKUP");
    assert!(!is_there(&mount.path("name")));
    assert_eq!(mount.ops("LOOKUP"), asked, "the kernel asked again");
}
