//! The lab.

pub mod suite;
