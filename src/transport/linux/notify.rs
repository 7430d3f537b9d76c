//! Notifications to the kernel.

use std::ffi::OsStr;
use std::io;
use std::sync::Arc;

use super::device::Device;
use super::wire::Notification;
use crate::filesystem::KernelNotifier;
use crate::storage::Ino;

/// Sends through the first device of a connection; the kernel takes notifications through any.
pub(super) struct Notifier {
    pub(super) device: Arc<Device>,
    /// Whether the kernel knows names that expire without being dropped.
    pub(super) expires: bool,
}

impl Notifier {
    fn send(&self, notification: &Notification<'_>) -> io::Result<()> {
        Ok(self.device.send(&notification.slices())?)
    }
}

impl KernelNotifier for Notifier {
    fn inval_inode(&self, ino: Ino, offset: i64, len: i64) -> io::Result<()> {
        self.send(&Notification::inval_inode(ino, offset, len))
    }

    fn inval_entry(&self, parent: Ino, name: &OsStr) -> io::Result<()> {
        self.send(&Notification::inval_entry(parent, name))
    }

    fn expire_entry(&self, parent: Ino, name: &OsStr) -> io::Result<()> {
        if !self.expires {
            return self.inval_entry(parent, name);
        }
        self.send(&Notification::expire_entry(parent, name))
    }
}
