//! The filesystem: ties a storage to the caches.

pub mod locks;
