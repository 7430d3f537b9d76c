//! The set-user-id helper `fusermount3`, which mounts for those who may not.
//!
//! It is given a socket, mounts, and sends the device back through it (`_FUSE_COMMFD`, libfuse).

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
    recvmsg, socketpair,
};

use super::options::Options;

const PROGRAM: &str = "fusermount3";

/// A helper that stays to unmount when this process has ended, however it ends.
pub(super) struct Attendant {
    /// Its closing, by us or by our end, is the sign.
    _socket: OwnedFd,
    helper: Child,
}

impl Attendant {
    /// The mount is gone, and the helper not needed any more.
    pub(super) fn dismiss(self) {
        let Attendant {
            _socket,
            mut helper,
        } = self;
        drop(_socket);
        if let Err(error) = helper.wait() {
            tracing::debug!(%error, "the mount helper cannot be waited for");
        }
    }
}

/// Mounts and returns the device, and the helper where it has to stay.
///
/// # Errors
/// The helper is not there, or refuses; the text is its own.
pub(super) fn mount(
    mountpoint: &Path,
    options: &Options,
) -> io::Result<(OwnedFd, Option<Attendant>)> {
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // As standard input: any other descriptor would have to be inheritable, and so be inherited by
    // whatever else is started at the same time.
    let mut helper = Command::new(PROGRAM)
        .arg("-o")
        .arg(options.for_helper())
        .arg("--")
        .arg(mountpoint)
        .env("_FUSE_COMMFD", "0")
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(not_there)?;
    let Some(device) = receive_descriptor(&ours)? else {
        drop(ours);
        let said = helper.wait_with_output()?.stderr;
        return Err(refusal(&String::from_utf8_lossy(&said)));
    };
    if options.auto_unmount() {
        let attendant = Attendant {
            _socket: ours,
            helper,
        };
        return Ok((device, Some(attendant)));
    }
    helper.wait()?;
    Ok((device, None))
}

/// Takes a mount of this user away.
///
/// # Errors
/// The helper is not there, or refuses.
pub(super) fn unmount(mountpoint: &Path) -> io::Result<()> {
    let unmounted = Command::new(PROGRAM)
        .args(["-u", "-z", "--"])
        .arg(mountpoint)
        .stdin(Stdio::null())
        .output()
        .map_err(not_there)?;
    match unmounted.status.success() {
        true => Ok(()),
        false => Err(refusal(&String::from_utf8_lossy(&unmounted.stderr))),
    }
}

fn not_there(error: io::Error) -> io::Error {
    let text =
        format!("not privileged, and {PROGRAM} cannot be run ({error}); install the package fuse3");
    io::Error::new(error.kind(), text)
}

fn refusal(said: &str) -> io::Error {
    let kind = match said.contains("user_allow_other") {
        true => io::ErrorKind::PermissionDenied,
        false => io::ErrorKind::Other,
    };
    io::Error::new(kind, said.trim().to_owned())
}

/// The descriptor that comes through a socket; `None` when it is closed without.
fn receive_descriptor(socket: &OwnedFd) -> io::Result<Option<OwnedFd>> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let parts = &mut [IoSliceMut::new(&mut byte)];
        match recvmsg(socket, parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?,
        }
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    Ok(control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    }))
}
