//! Counters and latencies of a mount, and the socket over which another process asks for them.

mod activity;
mod figures;
mod opcode;
mod recorder;
mod render;
mod snapshot;
pub mod socket;
mod window;

pub(crate) use activity::Activity;
pub use figures::{ReadAheadStatistics, XAttrCacheStatistics};
pub use opcode::Opcode;
pub use recorder::Statistics;
pub use render::{prometheus, text};
pub use snapshot::{OpFigures, Snapshot, Throughput};
