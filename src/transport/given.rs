//! Connections that somebody else has mounted: `/dev/fd/N` in the place of a mountpoint.
//!
//! Whoever may mount (a container runtime, systemd, `fusermount3` for another) opens `/dev/fuse`, mounts with
//! it, and starts the daemon with the descriptor open. So the daemon needs no right to mount, nor to see the
//! mountpoint. The form of the name is libfuse's.

use std::io;
use std::os::fd::RawFd;
use std::path::Path;
use std::sync::Arc;

/// The number of the descriptor, where a mountpoint names one.
pub fn descriptor(mountpoint: &Path) -> Option<RawFd> {
    let number = mountpoint.to_str()?.strip_prefix("/dev/fd/")?;
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse().ok().filter(|_| digits)
}

/// Ends a session whose mount is out of reach: the workers answer what they have and leave. The mount
/// stays, dead, until whoever made it takes it away.
///
/// # Errors
/// The workers could not be woken.
pub type Ender = Arc<dyn Fn() -> io::Result<()> + Send + Sync>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_of_descriptors_are_taken_for_them() {
        assert_eq!(descriptor(Path::new("/dev/fd/0")), Some(0));
        assert_eq!(descriptor(Path::new("/dev/fd/17")), Some(17));
        for other in [
            "/dev/fd/",
            "/dev/fd/-1",
            "/dev/fd/+1",
            "/dev/fd/x",
            "/dev/fd/1/2",
            "/dev/fd/99999999999",
            "dev/fd/3",
            "/mnt",
        ] {
            assert_eq!(descriptor(Path::new(other)), None, "{other}");
        }
    }
}
