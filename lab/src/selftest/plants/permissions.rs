//! Faults of ownership, modes and permissions.

use rustix::fs::{Access, OFlags};

use super::prelude::*;

pub(super) const PLANTS: &[Plant] = &[
    Plant {
        name: "umask-ignored",
        what: "new files and directories ignore the umask",
        on: SAFE,
        caught_by: &[
            suite("metadata::umask"),
            pjdfstest("open::permission_bits_from_mode"),
            pjdfstest("mkdir::permission_bits_from_mode"),
        ],
        bug: || Box::new(UmaskIgnored),
    },
    Plant {
        name: "setgid-not-inherited-by-directory",
        what: "a new directory in a set-group-id directory gets neither its group nor the bit",
        on: SAFE,
        caught_by: &[suite("permissions::sgid_directory")],
        bug: || Box::new(SetgidNotInheritedByDirectory),
    },
    Plant {
        name: "setgid-ignored-for-file",
        what: "a new file in a set-group-id directory gets the group of its maker",
        on: SAFE,
        caught_by: &[suite("permissions::sgid_directory")],
        bug: || Box::new(SetgidIgnoredForFile),
    },
    Plant {
        name: "suid-kept-by-write",
        what: "set-id bits survive a write by somebody else",
        on: BASELINE,
        caught_by: &[suite("privileges::second_write")],
        bug: || Box::<SuidKeptByWrite>::default(),
    },
    Plant {
        name: "suid-kept-by-chown",
        what: "set-id bits survive a change of owner",
        on: SAFE,
        caught_by: &[suite("privileges::on_chown")],
        bug: || Box::new(SuidKeptByChown),
    },
    Plant {
        name: "capability-kept-by-write",
        what: "security.capability survives a write",
        on: BASELINE,
        caught_by: &[suite("privileges::capabilities_on_change")],
        bug: || Box::new(CapabilityKeptByWrite),
    },
    Plant {
        name: "chown-unchecked",
        what: "anybody may change owners",
        on: CHECKED_BY_STORAGE,
        caught_by: &[suite("permissions::chmod_and_chown")],
        bug: || Box::new(ChownUnchecked),
    },
    Plant {
        name: "directory-write-unchecked",
        what: "anybody may remove names from any directory",
        on: CHECKED_BY_STORAGE,
        caught_by: &[suite("permissions::directory_bits")],
        bug: || Box::new(DirectoryWriteUnchecked),
    },
    Plant {
        name: "search-unchecked",
        what: "anybody may look up names in any directory",
        on: CHECKED_BY_STORAGE,
        caught_by: &[suite("permissions::directory_bits")],
        bug: || Box::new(SearchUnchecked),
    },
    Plant {
        name: "open-unchecked",
        what: "anybody may open any file",
        on: CHECKED_BY_STORAGE,
        caught_by: &[suite("permissions::classes")],
        bug: || Box::new(OpenUnchecked),
    },
    Plant {
        name: "access-always-granted",
        what: "access(2) grants everything",
        on: CHECKED_BY_STORAGE,
        caught_by: &[suite("permissions::access_real_ids")],
        bug: || Box::new(AccessAlwaysGranted),
    },
];

const SET_ID: u32 = 0o6000;

fn set_mode(inner: &Inner, ino: Ino, mode: u32) -> Result<Attr> {
    let changes = SetAttr {
        mode: Some(mode),
        ..SetAttr::default()
    };
    inner.setattr(&Caller::ROOT, ino, &changes)
}

fn set_group(inner: &Inner, entry: Entry, gid: u32) -> Result<Entry> {
    let changes = SetAttr {
        gid: Some(gid),
        ..SetAttr::default()
    };
    let attr = inner.setattr(&Caller::ROOT, entry.attr.ino, &changes)?;
    Ok(Entry { attr, ..entry })
}

struct UmaskIgnored;

impl Layer for UmaskIgnored {
    fn mkdir(
        &self,
        inner: &Inner,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
        mode: CreateMode,
    ) -> Result<Entry> {
        inner.mkdir(caller, parent, name, CreateMode { umask: 0, ..mode })
    }

    fn create(
        &self,
        inner: &Inner,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
        mode: CreateMode,
        flags: OpenFlags,
    ) -> Result<(Entry, Fh)> {
        inner.create(caller, parent, name, CreateMode { umask: 0, ..mode }, flags)
    }
}

struct SetgidNotInheritedByDirectory;

impl Layer for SetgidNotInheritedByDirectory {
    fn mkdir(
        &self,
        inner: &Inner,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
        mode: CreateMode,
    ) -> Result<Entry> {
        let entry = inner.mkdir(caller, parent, name, mode)?;
        let entry = set_group(inner, entry, caller.gid)?;
        let plain = u32::from(entry.attr.perm) & !SET_ID;
        let attr = set_mode(inner, entry.attr.ino, plain)?;
        Ok(Entry { attr, ..entry })
    }
}

struct SetgidIgnoredForFile;

impl Layer for SetgidIgnoredForFile {
    fn create(
        &self,
        inner: &Inner,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
        mode: CreateMode,
        flags: OpenFlags,
    ) -> Result<(Entry, Fh)> {
        let (entry, fh) = inner.create(caller, parent, name, mode, flags)?;
        Ok((set_group(inner, entry, caller.gid)?, fh))
    }
}

/// How many open files of each inode can write: the kernel drops set-id bits by a change of mode
/// before it sends the write.
#[derive(Default)]
struct SuidKeptByWrite {
    writers: Mutex<HashMap<Ino, u64>>,
    files: Mutex<HashMap<Fh, Ino>>,
}

impl Layer for SuidKeptByWrite {
    fn open(&self, inner: &Inner, caller: &Caller, ino: Ino, flags: OpenFlags) -> Result<Fh> {
        let fh = inner.open(caller, ino, flags)?;
        if flags & OFlags::RWMODE != OFlags::RDONLY {
            *lock(&self.writers).entry(ino).or_default() += 1;
            lock(&self.files).insert(fh, ino);
        }
        Ok(fh)
    }

    fn release(&self, inner: &Inner, ino: Ino, fh: Fh) -> Result<()> {
        if lock(&self.files).remove(&fh).is_some()
            && let Some(count) = lock(&self.writers).get_mut(&ino)
        {
            *count -= 1;
        }
        inner.release(ino, fh)
    }

    fn setattr(&self, inner: &Inner, caller: &Caller, ino: Ino, changes: &SetAttr) -> Result<Attr> {
        let before = inner.getattr(ino, None)?;
        let old = u32::from(before.perm);
        let only_drops = *changes
            == SetAttr {
                mode: changes.mode,
                ..SetAttr::default()
            }
            && changes.mode.is_some_and(|new| {
                new & 0o1777 == old & 0o1777 && new & old & SET_ID == new & SET_ID
            });
        let written = lock(&self.writers)
            .get(&ino)
            .is_some_and(|&count| count > 0);
        if only_drops && written {
            return Ok(before);
        }
        inner.setattr(caller, ino, changes)
    }

    fn write(
        &self,
        inner: &Inner,
        caller: &Caller,
        ino: Ino,
        fh: Fh,
        offset: u64,
        data: &[u8],
        flags: WriteFlags,
    ) -> Result<usize> {
        let before = inner.getattr(ino, Some(fh))?.perm;
        let written = inner.write(caller, ino, fh, offset, data, flags)?;
        if inner.getattr(ino, Some(fh))?.perm != before {
            set_mode(inner, ino, u32::from(before))?;
        }
        Ok(written)
    }
}

struct SuidKeptByChown;

impl Layer for SuidKeptByChown {
    fn setattr(&self, inner: &Inner, caller: &Caller, ino: Ino, changes: &SetAttr) -> Result<Attr> {
        if changes.uid.is_none() && changes.gid.is_none() {
            return inner.setattr(caller, ino, changes);
        }
        let before = inner.getattr(ino, None)?.perm;
        let changes = SetAttr {
            mode: None,
            ..*changes
        };
        let attr = inner.setattr(caller, ino, &changes)?;
        if attr.perm == before {
            return Ok(attr);
        }
        set_mode(inner, ino, u32::from(before))
    }
}

const CAPABILITY: &str = "security.capability";

struct CapabilityKeptByWrite;

impl Layer for CapabilityKeptByWrite {
    fn removexattr(&self, inner: &Inner, caller: &Caller, ino: Ino, name: &OsStr) -> Result<()> {
        if name == CAPABILITY {
            return Ok(());
        }
        inner.removexattr(caller, ino, name)
    }

    fn write(
        &self,
        inner: &Inner,
        caller: &Caller,
        ino: Ino,
        fh: Fh,
        offset: u64,
        data: &[u8],
        flags: WriteFlags,
    ) -> Result<usize> {
        let name = OsStr::new(CAPABILITY);
        let before = inner.getxattr(&Caller::ROOT, ino, name);
        let written = inner.write(caller, ino, fh, offset, data, flags)?;
        if let Ok(value) = before {
            let flags = rustix::fs::XattrFlags::empty();
            inner.setxattr(&Caller::ROOT, ino, name, &value, flags)?;
        }
        Ok(written)
    }
}

struct ChownUnchecked;

impl Layer for ChownUnchecked {
    fn setattr(&self, inner: &Inner, caller: &Caller, ino: Ino, changes: &SetAttr) -> Result<Attr> {
        let caller = match changes.uid.or(changes.gid) {
            Some(_) => &Caller::ROOT,
            None => caller,
        };
        inner.setattr(caller, ino, changes)
    }
}

struct DirectoryWriteUnchecked;

impl Layer for DirectoryWriteUnchecked {
    fn unlink(&self, inner: &Inner, _: &Caller, parent: Ino, name: &OsStr) -> Result<()> {
        inner.unlink(&Caller::ROOT, parent, name)
    }

    fn rmdir(&self, inner: &Inner, _: &Caller, parent: Ino, name: &OsStr) -> Result<()> {
        inner.rmdir(&Caller::ROOT, parent, name)
    }
}

struct SearchUnchecked;

impl Layer for SearchUnchecked {
    fn lookup(&self, inner: &Inner, _: &Caller, parent: Ino, name: &OsStr) -> Result<Entry> {
        inner.lookup(&Caller::ROOT, parent, name)
    }
}

struct OpenUnchecked;

impl Layer for OpenUnchecked {
    fn open(&self, inner: &Inner, _: &Caller, ino: Ino, flags: OpenFlags) -> Result<Fh> {
        inner.open(&Caller::ROOT, ino, flags)
    }
}

struct AccessAlwaysGranted;

impl Layer for AccessAlwaysGranted {
    fn access(&self, _: &Inner, _: &Caller, _: Ino, _: Access) -> Result<()> {
        Ok(())
    }
}
