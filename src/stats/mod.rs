//! Counters and latencies of a mount.

mod opcode;

pub use opcode::Opcode;
