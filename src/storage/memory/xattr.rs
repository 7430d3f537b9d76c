//! Extended attributes, by the rules of xattr(7).

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::Access;

use super::budget::Charge;
use super::fs::Fs;
use super::node::{Node, Xattr};
use super::perms;
use crate::platform::{NO_ATTRIBUTE, XattrFlags, mode};
use crate::storage::{Caller, Errno, FileKind, Ino, Result, SecurityLabel};

/// The attribute that holds file capabilities.
pub(super) const CAPABILITY: &str = "security.capability";

/// Longest name with its namespace, largest value, and largest list, in bytes (`XATTR_NAME_MAX`,
/// `XATTR_SIZE_MAX`, `XATTR_LIST_MAX` of `linux/limits.h`).
const NAME_MAX: usize = 255;
const SIZE_MAX: usize = 65_536;
const LIST_MAX: usize = 65_536;

/// What an attribute costs beside its name and value.
const XATTR_COST: u64 = 64;

#[derive(PartialEq)]
enum Namespace {
    User,
    Trusted,
    Security,
}

fn namespace(name: &OsStr) -> Result<Namespace> {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes.len() > NAME_MAX {
        return Err(Errno::RANGE);
    }
    for (prefix, namespace) in [
        (&b"user."[..], Namespace::User),
        (b"trusted.", Namespace::Trusted),
        (b"security.", Namespace::Security),
    ] {
        match bytes.strip_prefix(prefix) {
            Some(b"") => return Err(Errno::INVAL),
            Some(_) => return Ok(namespace),
            None => {}
        }
    }
    Err(Errno::OPNOTSUPP)
}

impl Fs {
    /// `xattr_permission` of the kernel.
    fn check_xattr(
        &self,
        node: &Node,
        caller: &Caller,
        namespace: &Namespace,
        write: bool,
    ) -> Result<()> {
        let refused = if write { Errno::PERM } else { NO_ATTRIBUTE };
        match namespace {
            Namespace::User => {
                if !matches!(node.kind, FileKind::RegularFile | FileKind::Directory) {
                    return Err(refused);
                }
                let meta = node.meta.lock();
                let sticky = node.is_dir() && u32::from(meta.perm) & mode::S_ISVTX != 0;
                if self.checks_here() && write && sticky && !perms::owns(&meta, caller) {
                    return Err(Errno::PERM);
                }
                drop(meta);
                let mask = if write {
                    Access::WRITE_OK
                } else {
                    Access::READ_OK
                };
                self.check(node, caller, mask)
            }
            Namespace::Trusted if self.checks_here() && caller.uid != 0 => Err(refused),
            Namespace::Security if self.checks_here() && write && caller.uid != 0 => {
                Err(Errno::PERM)
            }
            Namespace::Trusted | Namespace::Security => Ok(()),
        }
    }

    pub(super) fn getxattr(&self, caller: &Caller, ino: Ino, name: &OsStr) -> Result<Vec<u8>> {
        let namespace = namespace(name)?;
        let node = self.node(ino)?;
        self.check_xattr(&node, caller, &namespace, false)?;
        let meta = node.meta.lock();
        let xattr = meta.xattrs.get(name).ok_or(NO_ATTRIBUTE)?;
        Ok(xattr.value.clone())
    }

    pub(super) fn listxattr(&self, caller: &Caller, ino: Ino) -> Result<Vec<u8>> {
        let node = self.node(ino)?;
        let meta = node.meta.lock();
        let mut list = Vec::new();
        for name in meta.xattrs.keys() {
            // Attributes of the administrator are hidden from others.
            if caller.uid == 0 || namespace(name)? != Namespace::Trusted {
                list.extend_from_slice(name.as_bytes());
                list.push(0);
            }
        }
        Ok(list)
    }

    pub(super) fn setxattr(
        &self,
        caller: &Caller,
        ino: Ino,
        name: &OsStr,
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<()> {
        let namespace = namespace(name)?;
        if value.len() > SIZE_MAX {
            return Err(Errno::TOOBIG);
        }
        let node = self.node(ino)?;
        self.check_xattr(&node, caller, &namespace, true)?;
        let mut meta = node.meta.lock();
        let exists = meta.xattrs.contains_key(name);
        if exists && flags.contains(XattrFlags::CREATE) {
            return Err(Errno::EXIST);
        }
        if !exists && flags.contains(XattrFlags::REPLACE) {
            return Err(NO_ATTRIBUTE);
        }
        let listed: usize = meta.xattrs.keys().map(|name| name.len() + 1).sum();
        if !exists && listed + name.len() + 1 > LIST_MAX {
            return Err(Errno::NOSPC);
        }
        let xattr = self.new_xattr(name, value)?;
        meta.xattrs.insert(name.to_os_string(), xattr);
        meta.changed();
        Ok(())
    }

    fn new_xattr(&self, name: &OsStr, value: &[u8]) -> Result<Xattr> {
        let cost = XATTR_COST + (name.len() + value.len()) as u64;
        Ok(Xattr {
            value: value.to_vec(),
            _charge: Charge::take(&self.budget, cost)?,
        })
    }

    /// The attribute that a new inode begins with.
    pub(super) fn label(&self, label: &SecurityLabel) -> Result<(OsString, Xattr)> {
        if namespace(&label.name)? != Namespace::Security {
            return Err(Errno::OPNOTSUPP);
        }
        if label.value.len() > SIZE_MAX {
            return Err(Errno::TOOBIG);
        }
        let xattr = self.new_xattr(&label.name, &label.value)?;
        Ok((label.name.clone(), xattr))
    }

    pub(super) fn removexattr(&self, caller: &Caller, ino: Ino, name: &OsStr) -> Result<()> {
        let namespace = namespace(name)?;
        let node = self.node(ino)?;
        self.check_xattr(&node, caller, &namespace, true)?;
        let mut meta = node.meta.lock();
        meta.xattrs.remove(name).ok_or(NO_ATTRIBUTE)?;
        meta.changed();
        Ok(())
    }
}
