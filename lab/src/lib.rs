//! The lab: runs conformance suites and workloads on native ext4 and on every preset, and compares.

pub mod bench;
pub mod cell;
pub mod compare;
pub mod conformance;
pub mod exceptions;
pub mod guest;
mod hash;
pub mod image;
pub mod images;
pub mod machine;
mod material;
pub mod meter;
pub mod namespace;
pub mod outcome;
mod page;
pub mod paths;
pub mod process;
mod program;
pub mod progress;
pub mod report;
pub mod schedule;
pub mod suite;
pub mod suites;
pub mod target;
pub mod tools;
pub mod volumes;
pub mod workload;
