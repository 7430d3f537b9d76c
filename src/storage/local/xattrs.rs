//! Extended attributes, through an open file, or through the name that procfs gives a descriptor: it
//! leads to the very inode, a symbolic link included.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use rustix::fs::XattrFlags;

use super::LocalStorage;
use super::identity::Groups;
use super::sys::ProcPath;
use crate::storage::types::*;

/// First buffer for a value or list: most fit, and need no second call.
const FIRST_SIZE: usize = 256;

/// The kernel's limit of values and lists (`XATTR_SIZE_MAX`, `XATTR_LIST_MAX`).
const LARGEST: usize = 64 << 10;

/// Reads into a buffer that is large enough, whatever the size is at the moment.
fn sized(mut read: impl FnMut(&mut [u8]) -> Result<usize>) -> Result<Vec<u8>> {
    let mut buffer = vec![0; FIRST_SIZE];
    loop {
        match read(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(Errno::RANGE) if buffer.len() < LARGEST => buffer.resize(LARGEST, 0),
            Err(error) => return Err(error),
        }
    }
}

/// An inode, by what the system calls on attributes take.
struct Subject {
    fd: Arc<OwnedFd>,
    /// None for a file that is open anyway: one walk less for the kernel.
    path: Option<ProcPath>,
}

impl Subject {
    fn new(storage: &LocalStorage, ino: Ino) -> Result<Subject> {
        let node = storage.inodes.get(ino)?;
        if let Some(fd) = node.open_file() {
            return Ok(Subject { fd, path: None });
        }
        let fd = storage.fd(&node)?;
        let path = Some(ProcPath::new(&*fd));
        Ok(Subject { fd, path })
    }

    fn get(&self, name: &OsStr, buffer: &mut [u8]) -> Result<usize> {
        match &self.path {
            None => rustix::fs::fgetxattr(&self.fd, name, buffer),
            Some(path) => rustix::fs::getxattr(path.as_c_str(), name, buffer),
        }
    }

    fn list(&self, buffer: &mut [u8]) -> Result<usize> {
        match &self.path {
            None => rustix::fs::flistxattr(&self.fd, buffer),
            Some(path) => rustix::fs::listxattr(path.as_c_str(), buffer),
        }
    }

    fn set(&self, name: &OsStr, value: &[u8], flags: XattrFlags) -> Result<()> {
        match &self.path {
            None => rustix::fs::fsetxattr(&self.fd, name, value, flags),
            Some(path) => rustix::fs::setxattr(path.as_c_str(), name, value, flags),
        }
    }

    fn remove(&self, name: &OsStr) -> Result<()> {
        match &self.path {
            None => rustix::fs::fremovexattr(&self.fd, name),
            Some(path) => rustix::fs::removexattr(path.as_c_str(), name),
        }
    }
}

pub(super) fn getxattr(
    storage: &LocalStorage,
    caller: &Caller,
    ino: Ino,
    name: &OsStr,
) -> Result<Vec<u8>> {
    let subject = Subject::new(storage, ino)?;
    let _checked = storage.identity.checked(caller)?;
    sized(|buffer| subject.get(name, buffer))
}

pub(super) fn listxattr(storage: &LocalStorage, caller: &Caller, ino: Ino) -> Result<Vec<u8>> {
    let subject = Subject::new(storage, ino)?;
    let names = {
        let _checked = storage.identity.checked(caller)?;
        sized(|buffer| subject.list(buffer))?
    };
    if caller.uid == 0 {
        return Ok(names);
    }
    // Shown to CAP_SYS_ADMIN only, which the daemon has and the caller has not (xattr(7)).
    let shown = |name: &&[u8]| !name.starts_with(b"trusted.");
    let names = names.split_inclusive(|&byte| byte == 0).filter(shown);
    Ok(names.flatten().copied().collect())
}

pub(super) fn setxattr(
    storage: &LocalStorage,
    caller: &Caller,
    ino: Ino,
    name: &OsStr,
    value: &[u8],
    flags: XattrFlags,
) -> Result<()> {
    let subject = Subject::new(storage, ino)?;
    let _checked = changing(storage, caller, name)?;
    subject.set(name, value, flags)
}

pub(super) fn removexattr(
    storage: &LocalStorage,
    caller: &Caller,
    ino: Ino,
    name: &OsStr,
) -> Result<()> {
    let subject = Subject::new(storage, ino)?;
    let _checked = changing(storage, caller, name)?;
    subject.remove(name)
}

/// An ACL changes the mode, and S_ISGID stays only for members of the group
/// (`posix_acl_update_mode`). All else is the daemon's where the kernel has checked.
fn changing<'a>(
    storage: &'a LocalStorage,
    caller: &Caller,
    name: &OsStr,
) -> Result<Option<super::identity::Checked<'a>>> {
    if storage.identity.checks == PermissionChecks::Storage {
        return storage.identity.checked(caller).map(Some);
    }
    if name.as_bytes().starts_with(b"system.posix_acl_") {
        storage.identity.acting(caller, Groups::OfCaller)?;
    } else {
        storage.identity.daemon()?;
    }
    Ok(None)
}
