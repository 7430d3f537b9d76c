//! Reading ahead: what a run of reads will want next, and fetching it in the background.
//!
//! - [`ReadAheadManager`] watches the reads of each inode and says what to fetch.
//! - [`Prefetcher`] fetches it, for storages that have no cache of their own.
//! - [`bdi`] raises the window of the kernel's own readahead, which works above both.

pub mod bdi;
mod blocks;
mod detector;
mod manager;
mod prefetcher;
mod state;

#[cfg(test)]
mod detector_tests;
#[cfg(test)]
mod prefetcher_tests;

pub use manager::{ReadAheadHint, ReadAheadManager};
pub use prefetcher::{PrefetchFigures, Prefetcher};
