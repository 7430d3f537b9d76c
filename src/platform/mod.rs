//! What differs between operating systems, in one place.
//!
//! `linux` and `portable` have the same items, and one of them is compiled: nowhere else is code left out
//! by operating system, except that [`LocalStorage`](crate::storage), the native
//! [transport](crate::transport) and what looks into `/proc` and `/sys` are Linux's. `macos` is pure functions, compiled and tested everywhere.

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
mod freebsd;
#[cfg(target_os = "linux")]
mod linux;
pub mod macos;
pub(crate) mod mode;
#[cfg(not(target_os = "linux"))]
mod portable;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use portable as system;

#[cfg(feature = "cli")]
pub(crate) use system::Process;
pub(crate) use system::{
    COARSE_CLOCK, F_RDLCK, F_UNLCK, F_WRLCK, NO_ATTRIBUTE, leaves_access_time, pipe, privileges,
    unmount,
};
pub use system::{FallocateFlags, IFlags, RenameFlags, XattrFlags, sync};

use std::borrow::Cow;

use crate::config::{MountOption, OptimizedFUSEConfig};

/// An operating system whose FUSE client this library knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Platform {
    /// Linux: all fast paths.
    Linux,
    /// macOS with macFUSE.
    MacOs,
    /// FreeBSD with fusefs.
    FreeBsd,
}

impl Platform {
    /// The one that this was compiled for. An unknown system is taken for the plainest, FreeBSD.
    pub const CURRENT: Platform = if cfg!(target_os = "linux") {
        Platform::Linux
    } else if cfg!(target_os = "macos") {
        Platform::MacOs
    } else {
        Platform::FreeBsd
    };

    /// The options that a mount has on this system: some mean nothing elsewhere, some must be added.
    pub fn mount_options<'a>(
        self,
        config: &OptimizedFUSEConfig,
        options: &'a [MountOption],
    ) -> Cow<'a, [MountOption]> {
        match self {
            Platform::Linux => {
                // A limit of the mount, not of INIT: without it reads are as large as max_pages allows.
                let limit = format!("max_read={}", config.max_read_size);
                let mut options = options.to_vec();
                options.push(MountOption::Custom(limit));
                Cow::Owned(options)
            }
            Platform::MacOs => Cow::Owned(macos::mount_options(config, options)),
            Platform::FreeBsd => Cow::Borrowed(options),
        }
    }

    /// The value of an extended attribute after a write of `data` at `position`; `stored` is asked for
    /// what is there now where the write is of a part.
    ///
    /// # Errors
    /// `EINVAL` for a position that this system has not.
    pub fn xattr_written<'a>(
        self,
        name: &std::ffi::OsStr,
        position: u32,
        data: &'a [u8],
        stored: impl FnOnce() -> crate::storage::Result<Vec<u8>>,
    ) -> crate::storage::Result<Cow<'a, [u8]>> {
        match self {
            Platform::MacOs => macos::xattr_written(name, position, data, stored),
            // The argument is macFUSE's; other kernels leave it zero.
            _ => Ok(Cow::Borrowed(data)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_linux_knows_max_read() {
        let config = OptimizedFUSEConfig::balanced();
        let has = |platform: Platform| {
            let options = platform
                .mount_options(&config, &[MountOption::Ro])
                .into_owned();
            assert!(options.contains(&MountOption::Ro));
            options
                .iter()
                .any(|option| option.to_string().starts_with("max_read="))
        };
        assert!(has(Platform::Linux));
        assert!(!has(Platform::MacOs) && !has(Platform::FreeBsd));
    }

    #[test]
    fn elsewhere_a_write_of_an_attribute_is_whole() {
        let never = || panic!("asked for the stored value");
        let written = Platform::Linux.xattr_written("user.x".as_ref(), 0, b"all", never);
        assert_eq!(written.as_deref(), Ok(&b"all"[..]));
    }
}
