//! Caches of this process, for what the kernel does not cache.

mod clock;
mod list;
mod shard;
#[cfg(test)]
mod tests;
mod xattr;

pub use xattr::{CachedXAttr, Ticket, XAttrCache};
