//! Mounting and unmounting.

mod report;
mod session;
mod unmount;

pub use session::{MountError, MountHandle, MountReport, Unmounter, mount, spawn};
pub use unmount::{UnmountError, UnmountMode, unmount};
