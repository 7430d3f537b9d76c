//! A run of the lab: which steps on which targets, two guests at a time, every result kept as it comes.

mod assemble;
mod plan;
mod power;
mod run;
mod site;
mod store;
mod xfstests;

pub use self::assemble::assemble;
pub use self::plan::{Request, plan};
pub use self::run::{Site, run};
pub use self::site::Sites;
pub use self::store::{Facts, Record, RunPlan, Store, TargetPlan};
