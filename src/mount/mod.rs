//! Mounting and unmounting.

mod cpu_latency;
pub mod doctor;
mod place;
pub mod registry;
mod report;
mod session;
pub mod table;
mod unmount;

pub use place::Given;
pub use session::{MountError, MountHandle, MountReport, Unmounter, mount, spawn};
pub use unmount::{UnmountError, UnmountMode, unmount};
