//! Do the suites find what is wrong? Faults are planted in a storage, and each must be found by the
//! cases that say they would.
//!
//! `dynamicfs-planted` is the command with a fault between its storage and the kernel. Without a
//! fault, the control, it must show no difference from ext4 beyond the accepted ones.

mod control;
mod plants;
mod report;
mod run;

pub use control::Control;
pub use plants::{Plant, all, find};
pub use report::{summary, table};
pub use run::{Plan, Selftest, Verdict};

use std::sync::Arc;

use dynamicfs::storage::{FilesystemInterface, Layer, Layered};

/// The environment variable that tells `dynamicfs-planted` which fault to plant; none without it.
pub const VARIABLE: &str = "LAB_PLANT";

/// The storage with the fault in it.
pub fn plant_in(
    storage: Box<dyn FilesystemInterface>,
    plant: &Plant,
) -> Box<dyn FilesystemInterface> {
    let fault: Arc<dyn Layer> = (plant.bug)().into();
    Box::new(Layered::new(storage, fault))
}
