//! Backing files of this connection.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::device::Device;
use super::sys;

/// A registered backing file, until it is dropped. Files that are open with it keep it.
pub(super) struct BackingId {
    device: Arc<Device>,
    id: u32,
}

impl BackingId {
    pub(super) fn register(device: &Arc<Device>, file: &OwnedFd) -> io::Result<BackingId> {
        let id = sys::register_backing(device.as_fd(), file.as_fd())?;
        Ok(BackingId {
            device: device.clone(),
            id,
        })
    }

    pub(super) fn get(&self) -> u32 {
        self.id
    }
}

impl Drop for BackingId {
    fn drop(&mut self) {
        if let Err(error) = sys::unregister_backing(self.device.as_fd(), self.id) {
            // After an unmount: the connection has let go of it by itself.
            tracing::debug!(%error, id = self.id, "a backing file cannot be given back");
        }
    }
}
