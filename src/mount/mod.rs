//! Mounting and unmounting.

mod cpu_latency;
pub mod doctor;
pub mod registry;
mod report;
mod session;
pub mod table;
mod unmount;

pub use session::{MountError, MountHandle, MountReport, Unmounter, mount, spawn};
pub use unmount::{UnmountError, UnmountMode, unmount};
