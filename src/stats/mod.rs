//! Counters and latencies of a mount.

mod figures;
mod opcode;

pub use figures::{ReadAheadStatistics, XAttrCacheStatistics};
pub use opcode::Opcode;
