//! Extended attributes, through the name that procfs gives a descriptor: it leads to the very
//! inode, a symbolic link included.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

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

pub(super) fn getxattr(
    storage: &LocalStorage,
    caller: &Caller,
    ino: Ino,
    name: &OsStr,
) -> Result<Vec<u8>> {
    let fd = storage.fd_of(ino)?;
    let _checked = storage.identity.checked(caller)?;
    let path = ProcPath::new(&fd);
    sized(|buffer| rustix::fs::getxattr(path.as_c_str(), name, buffer))
}

pub(super) fn listxattr(storage: &LocalStorage, caller: &Caller, ino: Ino) -> Result<Vec<u8>> {
    let fd = storage.fd_of(ino)?;
    let names = {
        let _checked = storage.identity.checked(caller)?;
        let path = ProcPath::new(&fd);
        sized(|buffer| rustix::fs::listxattr(path.as_c_str(), buffer))?
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
    let fd = storage.fd_of(ino)?;
    let _checked = changing(storage, caller, name)?;
    rustix::fs::setxattr(ProcPath::new(&fd).as_c_str(), name, value, flags)
}

pub(super) fn removexattr(
    storage: &LocalStorage,
    caller: &Caller,
    ino: Ino,
    name: &OsStr,
) -> Result<()> {
    let fd = storage.fd_of(ino)?;
    let _checked = changing(storage, caller, name)?;
    rustix::fs::removexattr(ProcPath::new(&fd).as_c_str(), name)
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
