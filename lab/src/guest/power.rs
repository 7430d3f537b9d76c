//! The agent's part in a power cut: writes until the machine is killed, and looks when it is up again.

use std::convert::Infallible;
use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::Path;
use std::thread;

use anyhow::{Context, Result};

use super::protocol::{PowerVerify, PowerWrite};
use crate::power::verify::{Loss, verify_both};
use crate::power::{Event, writer};
use crate::volumes::Volumes;

/// The writer's directory in that of a contestant.
const WRITER: &str = "writer";

/// Writes into an empty directory of the contestant, which is durable itself. Does not return before
/// the machine is killed, unless something fails.
pub(super) fn write(
    volumes: &Volumes,
    write: &PowerWrite,
    told: &dyn Fn(Event) -> Result<()>,
) -> Result<Infallible> {
    volumes.visit(write.contestant, |place| {
        make_empty(&place.backing.join(WRITER))?;
        let root = place.root.join(WRITER);
        writer::write(
            &root,
            write.seed,
            write.last,
            &mut |event| match told(event) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            },
        )?;
        loop {
            thread::park();
        }
    })
}

/// What is not as promised, behind the mount and through it.
pub(super) fn verify(volumes: &Volumes, verify: &PowerVerify) -> Result<Vec<Loss>> {
    volumes.revisit(verify.contestant, |place| {
        let mounted = place.mounted.map(|_| place.root.join(WRITER));
        verify_both(&place.backing.join(WRITER), mounted.as_deref(), &verify.log)
    })
}

fn make_empty(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    fs::create_dir(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    rustix::fs::syncfs(File::open(directory)?)?;
    Ok(())
}
