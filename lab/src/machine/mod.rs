//! The machines that an agent runs on: QEMU, user-mode Linux, this machine.
//!
//! Each is a child process with a stream to its agent and a file for its console, so that what drives
//! an agent ([`drive`]) need not know which it is; the tests drive a local process that only speaks the
//! language.

pub mod alarms;
pub mod doctor;
mod drive;
mod guest;
mod host;
mod qemu;
mod uml;

pub use self::drive::{Broken, Driver, Limits, drive};
pub use self::guest::{CONSOLE, Guest, Stream};
pub use self::host::Host;
pub use self::qemu::{Accelerator, Disk, Qemu, Writes};
pub use self::uml::Uml;
