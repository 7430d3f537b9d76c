//! The CPU latency limit of the kernel, which a preset sets while it is busy (`cpu_latency_qos`) and for
//! a moment after: what is left of it would help whoever has the next turn.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::process::poll_until;

const DEVICE: &str = "/dev/cpu_dma_latency";

/// Who holds a limit longer is no contestant, and helps or harms them all.
const PATIENCE: Duration = Duration::from_millis(500);

/// Waits until idle processors may halt.
pub(super) fn wait_until_lifted() {
    wait(Path::new(DEVICE), PATIENCE);
}

fn wait(device: &Path, patience: Duration) {
    // In vain or not, the turn begins.
    let _ = poll_until(Instant::now() + patience, || Ok(limit(device) != Some(0)));
}

/// In microseconds; `None` where the kernel has no such limit.
fn limit(device: &Path) -> Option<i32> {
    let mut bytes = [0; 4];
    File::open(device).ok()?.read_exact(&mut bytes).ok()?;
    Some(i32::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_zero_to_go_and_for_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let device = dir.path().join("device");
        let took = |content: Option<i32>| {
            match content {
                Some(limit) => std::fs::write(&device, limit.to_ne_bytes()).unwrap(),
                None => std::fs::remove_file(&device).unwrap(),
            }
            let start = Instant::now();
            wait(&device, Duration::from_millis(200));
            start.elapsed()
        };
        assert!(took(Some(0)) >= Duration::from_millis(200));
        assert!(took(Some(2_000_000_000)) < Duration::from_millis(100));
        assert!(took(None) < Duration::from_millis(100));
    }
}
