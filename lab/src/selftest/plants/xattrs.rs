//! Faults of extended attributes and ACLs.

use rustix::fs::XattrFlags;

use super::prelude::*;

pub(super) const PLANTS: &[Plant] = &[
    Plant {
        name: "xattr-loses-last-byte",
        what: "the value of an extended attribute lacks its last byte",
        on: SAFE,
        caught_by: &[suite("xattr::value_sizes")],
        bug: || Box::new(XattrLosesLastByte),
    },
    Plant {
        name: "xattr-create-ignored",
        what: "XATTR_CREATE and XATTR_REPLACE are ignored",
        on: SAFE,
        caught_by: &[suite("xattr::create_and_replace")],
        bug: || Box::new(XattrCreateIgnored),
    },
    Plant {
        name: "xattr-list-loses-last",
        what: "the list of extended attributes lacks the last one",
        on: SAFE,
        caught_by: &[suite("xattr::list")],
        bug: || Box::new(XattrListLosesLast),
    },
    Plant {
        name: "missing-xattr-is-enoent",
        what: "an extended attribute that is not there is reported as a missing file",
        on: SAFE,
        caught_by: &[suite("xattr::missing")],
        bug: || Box::new(MissingXattrIsEnoent),
    },
    Plant {
        name: "no-space-is-eio",
        what: "where there is no space for an extended attribute, EIO is reported",
        on: SAFE,
        caught_by: &[suite("xattr::value_sizes")],
        bug: || Box::new(NoSpaceIsEio),
    },
    Plant {
        name: "default-acl-ignored",
        what: "a new file or directory does not inherit the default ACL",
        on: SAFE,
        caught_by: &[
            suite("acl::default_overrides_umask"),
            suite("acl::default_is_inherited"),
            suite("acl::default_limits_mode"),
        ],
        bug: || Box::new(DefaultAclIgnored),
    },
];

struct XattrLosesLastByte;

impl Layer for XattrLosesLastByte {
    fn getxattr(&self, inner: &Inner, caller: &Caller, ino: Ino, name: &OsStr) -> Result<Vec<u8>> {
        let mut value = inner.getxattr(caller, ino, name)?;
        value.pop();
        Ok(value)
    }
}

struct XattrCreateIgnored;

impl Layer for XattrCreateIgnored {
    fn setxattr(
        &self,
        inner: &Inner,
        caller: &Caller,
        ino: Ino,
        name: &OsStr,
        value: &[u8],
        _: XattrFlags,
    ) -> Result<()> {
        inner.setxattr(caller, ino, name, value, XattrFlags::empty())
    }
}

struct XattrListLosesLast;

impl Layer for XattrListLosesLast {
    fn listxattr(&self, inner: &Inner, caller: &Caller, ino: Ino) -> Result<Vec<u8>> {
        let mut list = inner.listxattr(caller, ino)?;
        // Each name ends with NUL.
        list.pop();
        let end = list.iter().rposition(|&byte| byte == 0);
        list.truncate(end.map_or(0, |end| end + 1));
        Ok(list)
    }
}

struct MissingXattrIsEnoent;

impl Layer for MissingXattrIsEnoent {
    fn getxattr(&self, inner: &Inner, caller: &Caller, ino: Ino, name: &OsStr) -> Result<Vec<u8>> {
        match inner.getxattr(caller, ino, name) {
            Err(Errno::NODATA) if name.as_encoded_bytes().starts_with(b"user.") => {
                Err(Errno::NOENT)
            }
            answer => answer,
        }
    }
}

struct NoSpaceIsEio;

impl Layer for NoSpaceIsEio {
    fn setxattr(
        &self,
        inner: &Inner,
        caller: &Caller,
        ino: Ino,
        name: &OsStr,
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<()> {
        match inner.setxattr(caller, ino, name, value, flags) {
            Err(Errno::NOSPC) => Err(Errno::IO),
            answer => answer,
        }
    }
}

const ACLS: [&str; 2] = ["system.posix_acl_access", "system.posix_acl_default"];

struct DefaultAclIgnored;

impl DefaultAclIgnored {
    /// As if the directory had no default ACL.
    fn strip(inner: &Inner, entry: Entry, mode: CreateMode) -> Result<Entry> {
        for acl in ACLS {
            match inner.removexattr(&Caller::ROOT, entry.attr.ino, OsStr::new(acl)) {
                Ok(()) | Err(Errno::NODATA) => {}
                Err(other) => return Err(other),
            }
        }
        let set_id = u32::from(entry.attr.perm) & 0o6000;
        let changes = SetAttr {
            mode: Some(set_id | (mode.mode & 0o777 & !mode.umask)),
            ..SetAttr::default()
        };
        let attr = inner.setattr(&Caller::ROOT, entry.attr.ino, &changes)?;
        Ok(Entry { attr, ..entry })
    }
}

impl Layer for DefaultAclIgnored {
    fn mkdir(
        &self,
        inner: &Inner,
        caller: &Caller,
        parent: Ino,
        name: &OsStr,
        mode: CreateMode,
    ) -> Result<Entry> {
        let entry = inner.mkdir(caller, parent, name, mode)?;
        Self::strip(inner, entry, mode)
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
        let (entry, fh) = inner.create(caller, parent, name, mode, flags)?;
        Ok((Self::strip(inner, entry, mode)?, fh))
    }
}
