//! Faults of names: lookup, creation, links, renames, removal.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, RenameFlags};

use super::prelude::*;

pub(super) const PLANTS: &[Plant] = &[
    Plant {
        name: "removed-name-stays",
        what: "a removed name is found for another 10 s",
        on: BASELINE,
        caught_by: &[pjdfstest("unlink::remove_type::regular")],
        bug: || Box::<RemovedNameStays>::default(),
    },
    Plant {
        name: "long-name-is-enoent",
        what: "a name that is too long is reported as missing",
        on: SAFE,
        caught_by: &[
            suite("limits::name_length"),
            pjdfstest("unlink::enametoolong_component"),
        ],
        bug: || Box::new(LongNameIsEnoent),
    },
    Plant {
        name: "not-empty-is-eexist",
        what: "removing a directory that is not empty reports EEXIST",
        on: SAFE,
        caught_by: &[suite("directory::rmdir_refusals")],
        bug: || Box::new(NotEmptyIsEexist),
    },
    Plant {
        name: "exclusive-ignored",
        what: "O_EXCL is a look, and 2 ms later a creation that takes what is there",
        on: SAFE,
        caught_by: &[suite("open::exclusive_race")],
        bug: || Box::new(ExclusiveIgnored),
    },
    Plant {
        name: "noreplace-ignored",
        what: "RENAME_NOREPLACE is a look, and 2 ms later a rename that replaces what is there",
        on: SAFE,
        caught_by: &[suite("rename::noreplace_race")],
        bug: || Box::new(NoreplaceIgnored),
    },
    Plant {
        name: "exchange-replaces",
        what: "RENAME_EXCHANGE is a plain rename",
        on: SAFE,
        caught_by: &[suite("rename::exchange")],
        bug: || Box::new(ExchangeReplaces),
    },
    Plant {
        name: "symlink-cut-at-255",
        what: "the target of a symbolic link is cut at 255 bytes",
        on: SAFE,
        caught_by: &[suite("limits::symlink_length")],
        bug: || Box::new(SymlinkCutAt255),
    },
    Plant {
        name: "device-number-8-bits",
        what: "a device node keeps 8 bits of its number",
        on: SAFE,
        caught_by: &[
            suite("metadata::device_nodes"),
            pjdfstest("mknod::device_files::char"),
        ],
        bug: || Box::new(DeviceNumber8Bits),
    },
];

/// How long a removed name is still found.
const STALE: Duration = Duration::from_secs(10);

/// Removed names with what they were, and the references to each inode that only this file knows of.
#[derive(Default)]
struct RemovedNameStays {
    removed: Mutex<HashMap<(Ino, std::ffi::OsString), (Ino, Instant)>>,
    extra: Mutex<HashMap<Ino, u64>>,
}

impl RemovedNameStays {
    fn ghost(&self, inner: &Inner, parent: Ino, name: &OsStr) -> Option<Entry> {
        let removed = lock(&self.removed);
        let (ino, when) = removed.get(&(parent, name.to_owned()))?;
        if when.elapsed() > STALE {
            return None;
        }
        let attr = inner.getattr(*ino, None).ok()?;
        *lock(&self.extra).entry(*ino).or_default() += 1;
        Some(Entry::new(attr, 0))
    }
}

impl Layer for RemovedNameStays {
    fn lookup(&self, inner: &Inner, caller: &Caller, parent: Ino, name: &OsStr) -> Result<Entry> {
        match inner.lookup(caller, parent, name) {
            Err(Errno::NOENT) => self.ghost(inner, parent, name).ok_or(Errno::NOENT),
            answer => answer,
        }
    }

    fn unlink(&self, inner: &Inner, caller: &Caller, parent: Ino, name: &OsStr) -> Result<()> {
        // This reference is kept for as long as the mount is: the inode must outlive its name.
        let ino = inner.lookup(caller, parent, name)?.attr.ino;
        inner.unlink(caller, parent, name)?;
        lock(&self.removed).insert((parent, name.to_owned()), (ino, Instant::now()));
        Ok(())
    }

    fn forget(&self, inner: &Inner, ino: Ino, nlookup: u64) {
        let mut extra = lock(&self.extra);
        let own = extra.entry(ino).or_default();
        let here = nlookup.min(*own);
        *own -= here;
        if nlookup > here {
            inner.forget(ino, nlookup - here);
        }
    }
}

struct LongNameIsEnoent;

impl Layer for LongNameIsEnoent {
    fn lookup(&self, inner: &Inner, caller: &Caller, parent: Ino, name: &OsStr) -> Result<Entry> {
        match inner.lookup(caller, parent, name) {
            Err(Errno::NAMETOOLONG) => Err(Errno::NOENT),
            answer => answer,
        }
    }
}

struct NotEmptyIsEexist;

impl Layer for NotEmptyIsEexist {
    fn rmdir(&self, inner: &Inner, caller: &Caller, parent: Ino, name: &OsStr) -> Result<()> {
        match inner.rmdir(caller, parent, name) {
            Err(Errno::NOTEMPTY) => Err(Errno::EXIST),
            answer => answer,
        }
    }
}

/// The kernel looks before it sends an exclusive call, so that only a race shows whether the storage
/// is exclusive. This long, anybody wins it.
const RACE: Duration = Duration::from_millis(2);

/// What an exclusive call asks, as a look of its own.
fn is_free(inner: &Inner, caller: &Caller, parent: Ino, name: &OsStr) -> Result<()> {
    match inner.lookup(caller, parent, name) {
        Ok(entry) => {
            inner.forget(entry.attr.ino, 1);
            Err(Errno::EXIST)
        }
        Err(Errno::NOENT) => {
            std::thread::sleep(RACE);
            Ok(())
        }
        Err(other) => Err(other),
    }
}

struct ExclusiveIgnored;

impl Layer for ExclusiveIgnored {
    fn create(
        &self,
        inner: &Inner,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
        mode: CreateMode,
        flags: OpenFlags,
    ) -> Result<(Entry, Fh)> {
        if flags.contains(OFlags::EXCL) {
            is_free(inner, caller, parent, name)?;
        }
        inner.create(caller, parent, name, mode, flags - OFlags::EXCL)
    }
}

struct NoreplaceIgnored;

impl Layer for NoreplaceIgnored {
    fn rename(
        &self,
        inner: &Inner,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
        newparent: Ino,
        newname: &OsStr,
        flags: RenameFlags,
    ) -> Result<()> {
        if flags.contains(RenameFlags::NOREPLACE) {
            is_free(inner, caller, newparent, newname)?;
        }
        let flags = flags - RenameFlags::NOREPLACE;
        inner.rename(caller, parent, name, newparent, newname, flags)
    }
}

struct ExchangeReplaces;

impl Layer for ExchangeReplaces {
    fn rename(
        &self,
        inner: &Inner,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
        newparent: Ino,
        newname: &OsStr,
        flags: RenameFlags,
    ) -> Result<()> {
        let flags = flags - RenameFlags::EXCHANGE;
        inner.rename(caller, parent, name, newparent, newname, flags)
    }
}

struct SymlinkCutAt255;

impl Layer for SymlinkCutAt255 {
    fn symlink(
        &self,
        inner: &Inner,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
        target: &Path,
    ) -> Result<Entry> {
        use std::os::unix::ffi::OsStrExt;
        let target = target.as_os_str().as_bytes();
        let kept = OsStr::from_bytes(&target[..target.len().min(255)]);
        inner.symlink(caller, parent, name, Path::new(kept))
    }
}

struct DeviceNumber8Bits;

impl Layer for DeviceNumber8Bits {
    fn mknod(
        &self,
        inner: &Inner,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
        mode: CreateMode,
        rdev: u32,
    ) -> Result<Entry> {
        inner.mknod(caller, parent, name, mode, rdev & 0xff)
    }
}
