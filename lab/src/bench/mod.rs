//! `cargo xtask bench`: the workloads on native ext4, on every preset and on the peers that a user
//! would pick instead, in one run on one ext4 image.
//!
//! What makes the ratios fair:
//! - A repetition makes the files anew behind each contestant, mounts all contestants, and runs
//!   each workload on each of them, one after the other, so that a busy moment of the machine falls
//!   on all. It begins with another contestant each time, and every second one goes backwards.
//! - The ratio to ext4 is taken within a repetition; the median of the repetitions counts, and
//!   their range is shown.
//! - Warming and cooling happen right before each turn, and a turn begins when all daemons are
//!   idle: nobody's preparation touches another's turn.

mod attempt;
pub mod calibration;
pub mod claims;
pub mod compare;
pub mod contestant;
mod cpu_latency;
mod cpus;
mod daemons;
pub mod environment;
mod gate;
pub(crate) mod json;
mod judge;
mod mounted;
pub mod peers;
mod plan;
pub mod quote;
pub mod render;
pub mod requests;
pub mod result;
mod rooms;
mod run;
#[cfg(test)]
pub(crate) mod sample;
mod site;
pub mod statistics;
mod view;

pub use self::plan::Plan;
pub use self::site::Site;
