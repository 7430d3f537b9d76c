//! Notifications: messages that no request asked for.

use std::ffi::OsStr;
use std::io::IoSlice;
use std::os::unix::ffi::OsStrExt;

use zerocopy::{Immutable, IntoBytes};

use super::abi::{
    NotifyCode, NotifyDeleteOut, NotifyEntryFlags, NotifyInvalEntryOut, NotifyInvalInodeOut,
    NotifyPollWakeupOut, NotifyPruneOut, NotifyRetrieveOut, NotifyStoreOut, OutHeader,
};
use super::reply::message_len;

/// A notification. One writev(2) of [`slices`](Self::slices) sends it; the error of that call is the
/// kernel's answer: `ENOENT` where it does not have the inode or the name, `EINVAL` where it does not
/// know this notification.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Notification<'a> {
    header: OutHeader,
    arguments: Arguments,
    data: &'a [u8],
    /// What ends a name, or nothing.
    nul: &'static [u8],
}

/// The largest structure of a notification in bytes.
const LARGEST: usize = size_of::<NotifyRetrieveOut>();

/// A structure as bytes.
#[derive(Debug, Clone, Copy)]
struct Arguments {
    bytes: [u8; LARGEST],
    len: usize,
}

impl Arguments {
    fn of<T: IntoBytes + Immutable>(arguments: &T) -> Arguments {
        const { assert!(size_of::<T>() <= LARGEST) };
        let mut bytes = [0; LARGEST];
        bytes[..size_of::<T>()].copy_from_slice(arguments.as_bytes());
        Arguments {
            bytes,
            len: size_of::<T>(),
        }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[allow(
    dead_code,
    reason = "all that the kernel understands; a mount sends some"
)]
impl<'a> Notification<'a> {
    /// A file that was polled with `kh` may be ready.
    pub(crate) fn poll_wakeup(kh: u64) -> Notification<'static> {
        Notification::of(NotifyCode::Poll, &NotifyPollWakeupOut { kh }, &[], &[])
    }

    /// The attributes of `ino` are stale, and so are `len` bytes of its pages from `off` on: 0, to the
    /// end; a negative `off`, none.
    pub(crate) fn inval_inode(ino: u64, off: i64, len: i64) -> Notification<'static> {
        let arguments = NotifyInvalInodeOut { ino, off, len };
        Notification::of(NotifyCode::InvalInode, &arguments, &[], &[])
    }

    /// The name is gone. The kernel unmounts what is mounted on it.
    pub(crate) fn inval_entry(parent: u64, name: &'a OsStr) -> Notification<'a> {
        Notification::entry(parent, name, NotifyEntryFlags::empty())
    }

    /// The name is to be looked up again before it is used. Only for a kernel with
    /// [`HAS_EXPIRE_ONLY`](super::abi::InitFlags::HAS_EXPIRE_ONLY).
    pub(crate) fn expire_entry(parent: u64, name: &'a OsStr) -> Notification<'a> {
        Notification::entry(parent, name, NotifyEntryFlags::EXPIRE_ONLY)
    }

    fn entry(parent: u64, name: &'a OsStr, flags: NotifyEntryFlags) -> Notification<'a> {
        let arguments = NotifyInvalEntryOut {
            parent,
            namelen: len_of(name.as_bytes()),
            flags,
        };
        Notification::of(NotifyCode::InvalEntry, &arguments, name.as_bytes(), b"\0")
    }

    /// The name of `child` is gone, and so is `child`: who watches it is told (inotify(7), `IN_DELETE_SELF`). Who watches
    /// the directory is not, since Linux 5.3.
    pub(crate) fn delete(parent: u64, child: u64, name: &'a OsStr) -> Notification<'a> {
        let arguments = NotifyDeleteOut {
            parent,
            child,
            namelen: len_of(name.as_bytes()),
            padding: 0,
        };
        Notification::of(NotifyCode::Delete, &arguments, name.as_bytes(), b"\0")
    }

    /// These are the bytes of the inode from `offset` on; the page cache takes them.
    pub(crate) fn store(nodeid: u64, offset: u64, data: &'a [u8]) -> Notification<'a> {
        let arguments = NotifyStoreOut {
            nodeid,
            offset,
            size: len_of(data),
            padding: 0,
        };
        Notification::of(NotifyCode::Store, &arguments, data, &[])
    }

    /// Asks for `size` bytes of what the page cache has of the inode from `offset` on. They come as
    /// [`NotifyReply`](super::Operation::NotifyReply) with the number `unique`.
    pub(crate) fn retrieve(
        unique: u64,
        nodeid: u64,
        offset: u64,
        size: u32,
    ) -> Notification<'static> {
        let arguments = NotifyRetrieveOut {
            notify_unique: unique,
            nodeid,
            offset,
            size,
            padding: 0,
        };
        Notification::of(NotifyCode::Retrieve, &arguments, &[], &[])
    }

    /// Requests that were read and not answered are to be sent again. Only for a kernel with
    /// [`HAS_RESEND`](super::abi::InitFlags::HAS_RESEND).
    pub(crate) fn resend() -> Notification<'static> {
        Notification::of(NotifyCode::Resend, &(), &[], &[])
    }

    /// Every cached name is to be looked up again before it is used (version 7.44).
    pub(crate) fn inc_epoch() -> Notification<'static> {
        Notification::of(NotifyCode::IncEpoch, &(), &[], &[])
    }

    /// These inodes may be forgotten where nobody uses them (version 7.45).
    pub(crate) fn prune(nodeids: &'a [u64]) -> Notification<'a> {
        let arguments = NotifyPruneOut {
            count: u32::try_from(nodeids.len()).unwrap_or(u32::MAX),
            padding: 0,
            spare: 0,
        };
        Notification::of(NotifyCode::Prune, &arguments, nodeids.as_bytes(), &[])
    }

    fn of<T: IntoBytes + Immutable>(
        code: NotifyCode,
        arguments: &T,
        data: &'a [u8],
        nul: &'static [u8],
    ) -> Notification<'a> {
        let arguments = Arguments::of(arguments);
        Notification {
            header: OutHeader {
                len: message_len(arguments.as_bytes().len() + data.len() + nul.len()),
                error: code as i32,
                unique: 0,
            },
            arguments,
            data,
            nul,
        }
    }

    /// The bytes to send, in their order.
    pub(crate) fn slices(&self) -> [IoSlice<'_>; 4] {
        let header = self.header.as_bytes();
        [header, self.arguments.as_bytes(), self.data, self.nul].map(IoSlice::new)
    }
}

/// A length as messages have it. What does not fit is more than any device takes.
fn len_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}
