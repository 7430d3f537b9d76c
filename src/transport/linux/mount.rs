//! Getting a connection to the kernel: by mount(2), or through the helper.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::device::Device;
use super::helper::{self, Attendant};
use super::options::Options;
use crate::platform;

/// A mount whose connection waits for its INIT to be answered. Dropped before it is
/// [kept](Mount::keep), it is taken away again.
pub(super) struct Mount {
    mountpoint: PathBuf,
    attendant: Option<Attendant>,
    kept: bool,
}

impl Mount {
    /// Mounts, as this process where it may, otherwise through the helper, which also does the mounts
    /// that are to end with this process.
    ///
    /// # Errors
    /// What mount(2) or the helper said.
    pub(super) fn make(mountpoint: &Path, options: &Options) -> io::Result<(OwnedFd, Mount)> {
        let mountpoint = mountpoint.canonicalize()?;
        let direct = match options.auto_unmount() {
            true => None,
            false => directly(&mountpoint, options)?,
        };
        let (device, attendant) = match direct {
            Some(device) => (device, None),
            None => helper::mount(&mountpoint, options)?,
        };
        let mount = Mount {
            mountpoint,
            attendant,
            kept: false,
        };
        Ok((device, mount))
    }

    /// The mount is served from now on, and ends as its users wish.
    pub(super) fn keep(mut self) -> Option<Attendant> {
        self.kept = true;
        self.attendant.take()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let gone = match platform::unmount(&self.mountpoint, true) {
            Err(Errno::PERM) => helper::unmount(&self.mountpoint),
            other => other.map_err(io::Error::from),
        };
        if let Err(error) = gone {
            tracing::warn!(%error, mountpoint = %self.mountpoint.display(), "a mount without a daemon stays");
        }
    }
}

/// mount(2); `None` where this process may not.
fn directly(mountpoint: &Path, options: &Options) -> io::Result<Option<OwnedFd>> {
    let device = match Device::open() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
        other => other?,
    };
    // By lstat(2): a mountpoint is a directory or a file, and the path has no link any more.
    let mode = mountpoint.symlink_metadata()?.mode();
    let data = format!(
        "fd={},rootmode={:o},user_id={},group_id={}{}",
        device.as_raw_fd(),
        mode,
        rustix::process::getuid().as_raw(),
        rustix::process::getgid().as_raw(),
        options.data(),
    );
    let data = CString::new(data)?;
    let (source, kind) = (options.source(), options.fs_type());
    match rustix::mount::mount(source, mountpoint, kind, options.flags(), data.as_c_str()) {
        Ok(()) => Ok(Some(device)),
        Err(Errno::PERM) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
