//! What must hold before a mount: one line for what does not, with the way out.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::config::Resolved;
use crate::mount::{Given, doctor, table};
use crate::transport::Negotiated;

use super::exit::{Exit, Failure};
use super::prepare::is_explicit;

fn unusable(message: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Paths, message)
}

/// The directory to serve, absolute.
pub(super) fn source(path: &Path) -> Result<PathBuf, Failure> {
    let shown = path.display();
    // canonicalize() may succeed on a mount that is dead, and metadata() does not.
    let found = path
        .canonicalize()
        .and_then(|found| Ok((found.metadata()?, found)));
    match found {
        Ok((found, path)) if found.is_dir() => Ok(path),
        Ok(_) => Err(unusable(format_args!(
            "source {shown}: not a directory; give the directory to serve, or memory:[SIZE]"
        ))),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(unusable(format_args!(
            "source {shown}: no such directory; create it or correct the path"
        ))),
        Err(error) if error.raw_os_error() == Some(libc::ENOTCONN) => Err(unusable(format_args!(
            "source {shown}: its FUSE daemon is dead; clear it with 'dynamicfs umount --lazy {shown}'"
        ))),
        Err(error) => Err(unusable(format_args!("source {shown}: {error}"))),
    }
}

/// The connection that the mountpoint names, where it is no path.
pub(super) fn given(path: &Path) -> Result<Option<Given>, Failure> {
    Given::named(path).transpose().map_err(|error| {
        unusable(format_args!(
            "mountpoint {}: {error}; give the number of a descriptor of /dev/fuse that is open here",
            path.display()
        ))
    })
}

/// The directory to mount on, absolute.
pub(super) fn mountpoint(path: &Path, warnings: &mut Vec<String>) -> Result<PathBuf, Failure> {
    let shown = path.display();
    let found = table::resolve_mountpoint(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => unusable(format_args!(
            "mountpoint {shown}: no such directory; create it with 'mkdir -p {shown}'"
        )),
        _ => unusable(format_args!("mountpoint {shown}: {error}")),
    })?;
    if table::is_stale(&found) {
        return Err(unusable(format_args!(
            "mountpoint {shown}: a mount whose daemon is dead is still there; clear it with \
             'dynamicfs umount --lazy {shown}'"
        )));
    }
    let entry = table::mounted_at(&found).map_err(|error| {
        Failure::new(Exit::Failed, format_args!("/proc/self/mountinfo: {error}"))
    })?;
    if entry.is_some_and(|entry| entry.is_ours()) {
        return Err(unusable(format_args!(
            "mountpoint {shown}: there is a dynamicfs mount already; unmount it with \
             'dynamicfs umount {shown}'"
        )));
    }
    if !found.is_dir() {
        return Err(unusable(format_args!(
            "mountpoint {shown}: not a directory; give an empty directory"
        )));
    }
    // That it cannot be listed says nothing about mounting.
    if std::fs::read_dir(&found).is_ok_and(|mut entries| entries.next().is_some()) {
        warnings.push(format!(
            "mountpoint {shown}: not empty; what is in it is hidden while it is mounted"
        ));
    }
    Ok(found)
}

/// A directory mounted on itself, or into itself, would ask its own daemon for an answer.
pub(super) fn apart(source: &Path, mountpoint: &Path) -> Result<(), Failure> {
    let (shown, at) = (source.display(), mountpoint.display());
    if source == mountpoint {
        Err(unusable(format_args!(
            "source and mountpoint are both {shown}; mount on another directory"
        )))
    } else if source.starts_with(mountpoint) {
        Err(unusable(format_args!(
            "source {shown} is inside the mountpoint {at}, which would hide it; mount elsewhere"
        )))
    } else if mountpoint.starts_with(source) {
        Err(unusable(format_args!(
            "mountpoint {at} is inside the source {shown}, which would contain itself; mount elsewhere"
        )))
    } else {
        Ok(())
    }
}

/// There is FUSE, and this process may mount.
pub(super) fn fuse() -> Result<(), Failure> {
    let device = doctor::device();
    let no = |message: String| Err(Failure::new(Exit::NoFuse, message));
    let cannot_open = |error: String| {
        no(format!(
            "/dev/fuse cannot be opened: {error}; let root run 'chmod 0666 /dev/fuse' (its usual \
             mode), or allow the device to the container"
        ))
    };
    if !device.present {
        return no(
            "/dev/fuse does not exist: run 'modprobe fuse', or start the container with \
             '--device /dev/fuse'"
                .to_owned(),
        );
    }
    if doctor::privileges().sys_admin {
        return device.error.map_or(Ok(()), cannot_open);
    }
    match doctor::helper() {
        // The transport opens the device itself before it calls the helper.
        Some(helper) if helper.set_user_id => device.error.map_or(Ok(()), cannot_open),
        Some(helper) => no(format!(
            "mounting needs root here: {} has no set-user-id bit; run as root, or reinstall the \
             package fuse3",
            helper.path.display()
        )),
        None => no(
            "mounting needs root or the helper fusermount3, which is not in PATH; run as root, or \
             install the package fuse3"
                .to_owned(),
        ),
    }
}

/// Users other than root may let others in where `/etc/fuse.conf` says so. What only a preset asked
/// for is given up and reported; what the user asked for is refused.
pub(super) fn allow_other(resolved: &mut Resolved) -> Result<Option<Negotiated>, Failure> {
    let allowed = doctor::privileges().uid == 0 || doctor::user_allow_other();
    if !resolved.config.allow_other || allowed {
        return Ok(None);
    }
    const WHY: &str = "/etc/fuse.conf has no line user_allow_other";
    let origin = resolved.origin("allow_other");
    if is_explicit(origin) {
        let origin = origin.map(ToString::to_string).unwrap_or_default();
        return Err(Failure::new(
            Exit::NoFuse,
            format_args!(
                "allow_other ({origin}): {WHY}; let root add it, or mount with --allow-other=false"
            ),
        ));
    }
    resolved.config.allow_other = false;
    Ok(Some(Negotiated::capability(
        "allow_other",
        true,
        false,
        Some(WHY.to_owned()),
    )))
}
