//! One mark on the file system, whose events name inodes by their file handles.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use super::super::descriptors::{Mount, stat};
use super::super::inodes::{InodeTable, Node};
use super::super::sys::RawHandle;
use super::{Change, Source, name_changed, sys};
use crate::storage::types::{Errno, ROOT_INO, Result};

/// Room for some hundred events at a time; fanotify(7) recommends 4096 bytes and more.
const BUFFER: usize = 64 * 1024;

/// `sizeof(struct fanotify_event_metadata)`.
const METADATA: usize = 24;
/// `sizeof(struct fanotify_event_info_header)`, and of the file system's id behind it.
const INFO_HEADER: usize = 4;
const FSID: usize = 8;

/// Events about a name of a directory.
const NAMES: u64 = APPEARANCES | libc::FAN_DELETE | libc::FAN_MOVED_FROM;

const APPEARANCES: u64 = libc::FAN_CREATE | libc::FAN_MOVED_TO;

/// The events of the root's file system.
pub(super) struct Fanotify {
    group: OwnedFd,
    mount: Arc<Mount>,
    inodes: Arc<InodeTable>,
    own_pid: i32,
    buffer: Vec<u8>,
}

impl Fanotify {
    /// Marks the file system of the root.
    ///
    /// # Errors
    /// `EPERM` without `CAP_SYS_ADMIN`, `EINVAL` before Linux 5.17, `EXDEV` and `ENODEV` on file systems whose
    /// inodes have no handle that is theirs alone (a subvolume of Btrfs), `EOPNOTSUPP` without handles.
    pub(super) fn start(inodes: &Arc<InodeTable>) -> Result<Fanotify> {
        let root = inodes.get(ROOT_INO)?;
        let handle = root.handle.as_ref().ok_or(Errno::OPNOTSUPP)?;
        let pinned = root.pinned.lock().clone().ok_or(Errno::STALE)?;
        let group = sys::group()?;
        sys::mark_filesystem(group.as_fd(), pinned.as_fd())?;
        Ok(Fanotify {
            group,
            mount: handle.mount().clone(),
            inodes: inodes.clone(),
            own_pid: rustix::process::getpid().as_raw_nonzero().get(),
            buffer: vec![0; BUFFER],
        })
    }

    /// The inode of a handle, if the kernel holds it. One that is gone has no names and no attributes that
    /// could be stale.
    fn node(&self, handle: &RawHandle) -> Option<Arc<Node>> {
        let fd = self.mount.open(handle).ok()?;
        self.inodes.find(&stat(fd.as_fd(), c"").ok()?)
    }

    fn note(&self, event: &Event, changes: &mut BTreeSet<Change>) {
        if event.mask & libc::FAN_Q_OVERFLOW != 0 {
            changes.insert(Change::Anything);
            return;
        }
        if event.pid == self.own_pid {
            return;
        }
        if let (true, Some((directory, name))) = (event.mask & NAMES != 0, &event.name)
            && let Some(directory) = self.node(directory)
        {
            let appeared = event.mask & APPEARANCES != 0;
            name_changed(changes, &directory, name.clone(), appeared);
        }
        // The number of links of what a name meant changes with it.
        let Some(node) = event.inode.as_ref().and_then(|handle| self.node(handle)) else {
            return;
        };
        changes.insert(Change::Attributes(node.id));
        if event.mask & libc::FAN_MODIFY != 0 {
            changes.insert(Change::Contents(node.id));
        }
    }
}

impl Source for Fanotify {
    fn fd(&self) -> BorrowedFd<'_> {
        self.group.as_fd()
    }

    fn read(&mut self, changes: &mut BTreeSet<Change>) -> Result<()> {
        let length = match rustix::io::read(&self.group, &mut self.buffer) {
            Err(Errno::AGAIN | Errno::INTR) => 0,
            other => other?,
        };
        for event in Events(&self.buffer[..length]) {
            self.note(&event, changes);
        }
        Ok(())
    }
}

/// One event, as far as it matters.
#[derive(Debug, PartialEq, Eq)]
struct Event {
    mask: u64,
    pid: i32,
    /// The directory and a name in it.
    name: Option<(RawHandle, OsString)>,
    inode: Option<RawHandle>,
}

/// Takes a buffer apart; stops at what it does not understand.
struct Events<'a>(&'a [u8]);

impl Iterator for Events<'_> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let length = number::<4>(self.0, 0).map(u32::from_ne_bytes)? as usize;
        let bytes = self.0.get(..length).filter(|_| length >= METADATA)?;
        self.0 = &self.0[length..];
        let metadata = usize::from(number(bytes, 6).map(u16::from_ne_bytes)?);
        let mut event = Event {
            mask: number(bytes, 8).map(u64::from_ne_bytes)?,
            pid: number(bytes, 20).map(i32::from_ne_bytes)?,
            name: None,
            inode: None,
        };
        let mut rest = bytes.get(metadata..)?;
        while let Some(info) = next_info(&mut rest) {
            match info.kind {
                libc::FAN_EVENT_INFO_TYPE_DFID_NAME => {
                    event.name = info.handle().map(|(handle, rest)| (handle, c_name(rest)));
                }
                libc::FAN_EVENT_INFO_TYPE_FID => {
                    event.inode = info.handle().map(|(handle, _)| handle)
                }
                _ => {}
            }
        }
        Some(event)
    }
}

/// One record behind an event.
struct Info<'a> {
    kind: u8,
    body: &'a [u8],
}

fn next_info<'a>(rest: &mut &'a [u8]) -> Option<Info<'a>> {
    let kind = *rest.first()?;
    let length = usize::from(number(rest, 2).map(u16::from_ne_bytes)?);
    let body = rest.get(INFO_HEADER..length)?;
    *rest = &rest[length..];
    Some(Info { kind, body })
}

impl<'a> Info<'a> {
    /// The `struct file_handle` in it, and what follows.
    fn handle(&self) -> Option<(RawHandle, &'a [u8])> {
        let handle = self.body.get(FSID..)?;
        let length = number(handle, 0).map(u32::from_ne_bytes)? as usize;
        let kind = number(handle, 4).map(i32::from_ne_bytes)?;
        let bytes = handle.get(8..8 + length)?;
        Some((RawHandle::new(kind, bytes)?, &handle[8 + length..]))
    }
}

/// A name that ends with NUL.
fn c_name(bytes: &[u8]) -> OsString {
    let end = bytes.iter().position(|&byte| byte == 0);
    OsStr::from_bytes(&bytes[..end.unwrap_or(bytes.len())]).to_owned()
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record with a handle of `bytes`, and a name behind it.
    fn info(kind: u8, bytes: &[u8], name: &[u8]) -> Vec<u8> {
        let mut body = vec![0; FSID];
        body.extend((bytes.len() as u32).to_ne_bytes());
        body.extend(7_i32.to_ne_bytes());
        body.extend(bytes);
        body.extend(name);
        body.resize(body.len().next_multiple_of(4), 0);
        let mut info = vec![kind, 0];
        info.extend(((INFO_HEADER + body.len()) as u16).to_ne_bytes());
        info.extend(body);
        info
    }

    fn event(mask: u64, infos: &[u8]) -> Vec<u8> {
        let mut event = ((METADATA + infos.len()) as u32).to_ne_bytes().to_vec();
        event.extend([3, 0]);
        event.extend((METADATA as u16).to_ne_bytes());
        event.extend(mask.to_ne_bytes());
        event.extend((-1_i32).to_ne_bytes());
        event.extend(42_i32.to_ne_bytes());
        event.extend(infos);
        event
    }

    #[test]
    fn an_event_names_a_directory_a_name_and_an_inode() {
        let infos = [
            info(libc::FAN_EVENT_INFO_TYPE_DFID_NAME, b"directory", b"name\0"),
            info(libc::FAN_EVENT_INFO_TYPE_PIDFD, b"", b""),
            info(libc::FAN_EVENT_INFO_TYPE_FID, b"inode", b""),
        ];
        let bytes = [
            event(libc::FAN_CREATE, &infos.concat()),
            event(libc::FAN_Q_OVERFLOW, &[]),
        ];
        let events: Vec<Event> = Events(&bytes.concat()).collect();
        let handle = |bytes| RawHandle::new(7, bytes).unwrap();
        let expected = Event {
            mask: libc::FAN_CREATE,
            pid: 42,
            name: Some((handle(b"directory"), "name".into())),
            inode: Some(handle(b"inode")),
        };
        assert_eq!(events[0], expected);
        assert_eq!(events[1].mask, libc::FAN_Q_OVERFLOW);
        assert_eq!(events.len(), 2);
    }

    #[test]
    fn what_is_cut_short_ends_the_events() {
        let infos = info(libc::FAN_EVENT_INFO_TYPE_DFID_NAME, b"directory", b"name\0");
        let bytes = event(libc::FAN_CREATE, &infos);
        for length in 0..bytes.len() {
            assert_eq!(Events(&bytes[..length]).next(), None, "{length} bytes");
        }
        // A handle that is longer than its record, and a record that is longer than the event.
        for at in [METADATA + 2, METADATA + INFO_HEADER + FSID] {
            let mut wrong = bytes.clone();
            wrong[at] = 255;
            let event = Events(&wrong).next().unwrap();
            assert_eq!(event.name, None);
        }
    }
}
