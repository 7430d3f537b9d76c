//! Names: lookup, and whatever makes, moves or removes one.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, Statx};
use rustix::path::Arg;

use super::LocalStorage;
use super::attributes::{attr_of, decode_dev, kind_of};
use super::descriptors::stat;
use super::identity::Groups;
use super::inodes::{Key, NewNode, Node};
use super::sys::{NAME_ONLY, ProcPath};
use crate::storage::types::*;

/// Climbing further than this towards the root is given up (`PATH_MAX` / 2 components).
const DEEPEST: usize = 2048;

/// One component of a path: resolving it never leaves the directory, and a symbolic link in its
/// place is never followed.
///
/// # Errors
/// `EINVAL` for what is no single component, `.` and `..` included.
pub(super) fn single(name: &OsStr) -> Result<&OsStr> {
    match name.as_bytes() {
        b"" | b"." | b".." => Err(Errno::INVAL),
        bytes if bytes.contains(&b'/') || bytes.contains(&0) => Err(Errno::INVAL),
        _ => Ok(name),
    }
}

pub(super) fn lookup(
    storage: &LocalStorage,
    caller: &Caller,
    parent: Ino,
    name: &OsStr,
) -> Result<Entry> {
    let parent = match storage.inodes.get(parent) {
        Err(Errno::STALE) if name == "." => return storage.recall(parent),
        known => known?,
    };
    let dir = storage.fd(&parent)?;
    match name.as_bytes() {
        b"." => return storage.entry_of_fd(dir.as_fd(), None),
        b".." => return lookup_parent(storage, &parent, dir.as_fd()),
        _ => {}
    }
    let name = single(name)?;
    let found = {
        let _checked = storage.identity.checked(caller)?;
        stat(dir.as_fd(), name)?
    };
    storage.entry(&parent, dir.as_fd(), name, &found)
}

/// `..` is asked for by an NFS server only. A directory moved out of the root has no parent here.
fn lookup_parent(storage: &LocalStorage, node: &Node, dir: BorrowedFd<'_>) -> Result<Entry> {
    let root = storage.inodes.get(ROOT_INO)?;
    if node.key == root.key {
        return storage.entry_of_fd(dir, None);
    }
    let up = |fd: BorrowedFd<'_>| {
        let flags = NAME_ONLY | OFlags::DIRECTORY;
        storage
            .descriptors
            .with_room(|| rustix::fs::openat(fd, c"..", flags, Mode::empty()))
    };
    let parent = up(dir)?;
    let mut at = up(dir)?;
    let mut below = node.key;
    for _ in 0..DEEPEST {
        let here = Key::of(&stat(at.as_fd(), c"")?);
        if here == root.key {
            return storage.entry_of_fd(parent.as_fd(), None);
        }
        if here == below {
            break;
        }
        below = here;
        at = up(at.as_fd())?;
    }
    Err(Errno::STALE)
}

impl LocalStorage {
    /// The entry for `name`, which was just seen as `found`. Counts a lookup. Runs privileged.
    pub(super) fn entry(
        &self,
        parent: &Arc<Node>,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        found: &Statx,
    ) -> Result<Entry> {
        let node = match self.inodes.find_counted(found) {
            Some(node) => node,
            None => {
                let kind = kind_of(found).ok_or(Errno::IO)?;
                let handle =
                    name.into_with_c_str(|name| Ok(self.descriptors.handle(dir, name, kind)))?;
                let location = match handle {
                    Some(_) => None,
                    None => Some((parent.clone(), name.to_owned())),
                };
                let new = NewNode {
                    kind,
                    handle,
                    verified: false,
                    location,
                };
                let node = self.inodes.insert_counted(found, new);
                self.watch_new(&node);
                node
            }
        };
        self.see_at(&node, parent, name);
        let entry = Entry::new(attr_of(node.id, found)?, node.generation);
        Ok(self.named(parent, entry))
    }

    /// The entry under a name of `parent`: where other spellings are the same name, it is not cached.
    fn named(&self, parent: &Arc<Node>, mut entry: Entry) -> Entry {
        if self.folds_case(parent) {
            entry.entry_ttl = Some(Duration::ZERO);
        }
        entry
    }

    /// The entry for the inode behind a descriptor, which has the given name. Counts a lookup.
    pub(super) fn entry_of_fd(
        &self,
        fd: BorrowedFd<'_>,
        location: Option<(Arc<Node>, &OsStr)>,
    ) -> Result<Entry> {
        self.node_of_fd(fd, location).map(|(_, entry)| entry)
    }

    /// The same, with the inode itself.
    pub(super) fn node_of_fd(
        &self,
        fd: BorrowedFd<'_>,
        location: Option<(Arc<Node>, &OsStr)>,
    ) -> Result<(Arc<Node>, Entry)> {
        let found = stat(fd, c"")?;
        let parent = location.as_ref().map(|(parent, _)| parent.clone());
        let node = match self.inodes.find_counted(&found) {
            Some(node) => node,
            None => {
                let kind = kind_of(&found).ok_or(Errno::IO)?;
                let handle = self.descriptors.handle(fd, c"", kind);
                let location = match handle {
                    Some(_) => None,
                    None => location.map(|(parent, name)| (parent, name.to_owned())),
                };
                if handle.is_none() {
                    self.locations_used.store(true, Ordering::Relaxed);
                }
                let new = NewNode {
                    kind,
                    handle,
                    verified: true,
                    location,
                };
                let node = self.inodes.insert_counted(&found, new);
                self.watch_new(&node);
                node
            }
        };
        let entry = Entry::new(attr_of(node.id, &found)?, node.generation);
        let entry = match parent {
            Some(parent) => self.named(&parent, entry),
            None => entry,
        };
        Ok((node, entry))
    }

    /// The entry for what was just made under `name`.
    fn entry_of_new(&self, parent: &Arc<Node>, dir: BorrowedFd<'_>, name: &OsStr) -> Result<Entry> {
        let found = stat(dir, name)?;
        self.entry(parent, dir, name, &found)
    }
}

pub(super) fn mknod(
    storage: &LocalStorage,
    caller: &Caller,
    parent: Ino,
    name: &OsStr,
    mode: CreateMode,
    rdev: u32,
) -> Result<Entry> {
    let name = single(name)?;
    let parent = storage.inodes.get(parent)?;
    let dir = storage.fd(&parent)?;
    let kind = match mode.mode & libc::S_IFMT {
        0 => FileType::RegularFile,
        libc::S_IFDIR | libc::S_IFLNK => return Err(Errno::INVAL),
        _ => FileType::from_raw_mode(mode.mode),
    };
    {
        let (_checked, mode) = storage.identity.creating(caller, mode.mode, mode.umask)?;
        rustix::fs::mknodat(&dir, name, kind, mode, decode_dev(rdev))?;
    }
    storage.entry_of_new(&parent, dir.as_fd(), name)
}

pub(super) fn mkdir(
    storage: &LocalStorage,
    caller: &Caller,
    parent: Ino,
    name: &OsStr,
    mode: CreateMode,
) -> Result<Entry> {
    let name = single(name)?;
    let parent = storage.inodes.get(parent)?;
    let dir = storage.fd(&parent)?;
    {
        // mkdir(2) takes no set-id bits.
        let permissions = mode.mode & 0o1777;
        let (_checked, mode) = storage.identity.creating(caller, permissions, mode.umask)?;
        rustix::fs::mkdirat(&dir, name, mode)?;
    }
    storage.entry_of_new(&parent, dir.as_fd(), name)
}

pub(super) fn symlink(
    storage: &LocalStorage,
    caller: &Caller,
    parent: Ino,
    name: &OsStr,
    target: &Path,
) -> Result<Entry> {
    let name = single(name)?;
    let parent = storage.inodes.get(parent)?;
    let dir = storage.fd(&parent)?;
    {
        let (_checked, _) = storage.identity.creating(caller, 0, 0)?;
        rustix::fs::symlinkat(target, &dir, name)?;
    }
    storage.entry_of_new(&parent, dir.as_fd(), name)
}

pub(super) fn readlink(storage: &LocalStorage, ino: Ino) -> Result<PathBuf> {
    let node = storage.inodes.get(ino)?;
    if node.kind != FileKind::Symlink {
        return Err(Errno::INVAL);
    }
    let target = rustix::fs::readlinkat(storage.fd(&node)?, c"", Vec::new())?;
    Ok(std::ffi::OsString::from_vec(target.into_bytes()).into())
}

pub(super) fn link(
    storage: &LocalStorage,
    caller: &Caller,
    ino: Ino,
    newparent: Ino,
    newname: &OsStr,
) -> Result<Entry> {
    let newname = single(newname)?;
    let fd = storage.fd_of(ino)?;
    let newparent = storage.inodes.get(newparent)?;
    let dir = storage.fd(&newparent)?;
    {
        let _checked = storage.identity.checked(caller)?;
        // AT_EMPTY_PATH would need CAP_DAC_READ_SEARCH, which a checked caller has not.
        let path = ProcPath::new(&fd);
        rustix::fs::linkat(CWD, path.as_c_str(), &dir, newname, AtFlags::SYMLINK_FOLLOW)?;
    }
    storage.entry_of_fd(fd.as_fd(), Some((newparent, newname)))
}

/// What a removal takes the name of. Held open over the removal, so that the inode, if the kernel
/// still knows it, stays usable without a name.
struct Victim {
    node: Arc<Node>,
    fd: Arc<OwnedFd>,
    /// Before the removal.
    names: u32,
}

impl Victim {
    /// `None` where the kernel holds no such inode, or nothing has the name.
    fn find(storage: &LocalStorage, dir: BorrowedFd<'_>, name: &OsStr) -> Option<Victim> {
        let open = || rustix::fs::openat(dir, name, NAME_ONLY, Mode::empty());
        let fd = Arc::new(storage.descriptors.with_room(open).ok()?);
        let found = stat(fd.as_fd(), c"").ok()?;
        let node = storage.inodes.find(&found)?;
        node.pinned.lock().get_or_insert_with(|| fd.clone());
        Some(Victim {
            node,
            fd,
            names: found.stx_nlink,
        })
    }

    /// After the attempt: keeps what lost its last name pinned.
    fn settle(self, removed: bool) {
        // Some file systems report links of a removed directory. A name that was given at this very moment
        // is not seen, and being pinned does no harm.
        let known = removed && (self.names <= 1 || self.node.kind == FileKind::Directory);
        let names_left = match known {
            true => 0,
            false => stat(self.fd.as_fd(), c"").map_or(0, |stat| stat.stx_nlink),
        };
        let mut pinned = self.node.pinned.lock();
        if removed && (names_left == 0 || self.node.handle.is_none()) {
            // In place of what another attempt has pinned, which may fail and take it away.
            *pinned = Some(self.fd);
        } else if names_left > 0 && pinned.as_ref().is_some_and(|fd| Arc::ptr_eq(fd, &self.fd)) {
            *pinned = None;
        }
    }
}

fn remove(
    storage: &LocalStorage,
    caller: &Caller,
    parent: Ino,
    name: &OsStr,
    flags: AtFlags,
) -> Result<()> {
    let name = single(name)?;
    let dir = storage.fd_of(parent)?;
    let victim = Victim::find(storage, dir.as_fd(), name);
    let result = {
        let _checked = storage.identity.checked(caller)?;
        rustix::fs::unlinkat(&dir, name, flags)
    };
    if let Some(victim) = victim {
        victim.settle(result.is_ok());
    }
    result
}

pub(super) fn unlink(
    storage: &LocalStorage,
    caller: &Caller,
    parent: Ino,
    name: &OsStr,
) -> Result<()> {
    remove(storage, caller, parent, name, AtFlags::empty())
}

pub(super) fn rmdir(
    storage: &LocalStorage,
    caller: &Caller,
    parent: Ino,
    name: &OsStr,
) -> Result<()> {
    remove(storage, caller, parent, name, AtFlags::REMOVEDIR)
}

pub(super) fn rename(
    storage: &LocalStorage,
    caller: &Caller,
    (parent, name): (Ino, &OsStr),
    (newparent, newname): (Ino, &OsStr),
    flags: RenameFlags,
) -> Result<()> {
    let (name, newname) = (single(name)?, single(newname)?);
    let (from, to) = (storage.inodes.get(parent)?, storage.inodes.get(newparent)?);
    let (from_fd, to_fd) = (storage.fd(&from)?, storage.fd(&to)?);
    let keeps_target = flags.intersects(RenameFlags::NOREPLACE | RenameFlags::EXCHANGE);
    let victim = match keeps_target {
        true => None,
        false => Victim::find(storage, to_fd.as_fd(), newname),
    };
    let result = {
        if flags.contains(RenameFlags::WHITEOUT) {
            // The whiteout is a new object.
            storage.identity.acting(caller, Groups::Any)?;
        }
        let _checked = storage.identity.checked(caller)?;
        rustix::fs::renameat_with(&from_fd, name, &to_fd, newname, flags)
    };
    if let Some(victim) = victim {
        victim.settle(result.is_ok());
    }
    result?;
    if storage.locations_used.load(Ordering::Relaxed) {
        storage.note_location(&to, to_fd.as_fd(), newname);
        if flags.contains(RenameFlags::EXCHANGE) {
            storage.note_location(&from, from_fd.as_fd(), name);
        }
    }
    Ok(())
}

impl LocalStorage {
    /// Records where an inode is found from now on.
    fn note_location(&self, parent: &Arc<Node>, dir: BorrowedFd<'_>, name: &OsStr) {
        let node = stat(dir, name).ok().and_then(|s| self.inodes.find(&s));
        if let Some(node) = node {
            self.see_at(&node, parent, name);
        }
    }
}
