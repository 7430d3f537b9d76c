//! A run of the lab: which steps on which targets, two guests at a time, every result kept as it comes.

mod run;
mod store;

pub use self::run::{Site, run};
pub use self::store::{Facts, Record, RunPlan, Store, TargetPlan};
