//! Power cuts on this machine: ext4 on an image stops writing from one moment to the next. Where a
//! whole machine can be killed, the same promises are tested so (see [`crate::power`]).

use anyhow::Result;

use super::Place;
use crate::outcome::SuiteResult;
use crate::power::cut;
use crate::power::shutdown::{Mounter, Shutdown, Unmount};

/// Cuts the power of a file system of its own, which the contestant of `place` serves.
///
/// # Errors
///
/// When the file system or the mount cannot be made, or the writer fails while the power is on.
pub fn run(place: &Place<'_>) -> Result<SuiteResult> {
    let mounter = place.mounted.map(|mounted| -> Mounter<'_> {
        Box::new(move |source, mountpoint| {
            let mount =
                mounted
                    .command
                    .mount(source, mountpoint, mounted.preset, mounted.permissions)?;
            Ok(Box::new(move || mount.unmount()) as Unmount)
        })
    });
    let mut machine = Shutdown::new(place.scratch, mounter, place.patience)?;
    Ok(cut::run(&mut machine, place.cuts, cut::SEED)?.result)
}
