//! File locks: POSIX and OFD byte ranges (fcntl(2)) and flock(2).
//!
//! Used when the daemon arbitrates locks; otherwise the kernel does, among the processes of a mount.

mod deadlock;
mod manager;
mod table;
#[cfg(test)]
mod tests;
mod types;

pub use manager::{LockManager, OnGrant};
pub use types::{Conflict, LockKind, LockRange, LockRequest, LockType, WaitId};
