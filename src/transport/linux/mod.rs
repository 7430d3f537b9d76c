//! The native transport of Linux: `/dev/fuse` without a library between.
//!
//! | module | what is in it |
//! |---|---|
//! | `wire` | the protocol: structures, requests from bytes, answers to bytes |
//! | `mount`, `helper`, `options` | getting a connection |
//! | `capabilities`, `session` | the handshake, and what lives as long as the connection |
//! | `workers`, `device`, `bell`, `buffer`, `splice` | the threads that serve it |
//! | `serve` | requests, one function each |
//! | `interrupts`, `notify`, `backing` | waits and signals, notifications, backing files |
//! | `sys` | the system calls without a safe form |

mod backing;
mod bell;
mod buffer;
mod capabilities;
mod convert;
mod device;
mod helper;
mod interrupts;
mod mount;
mod notify;
#[cfg(test)]
mod notify_tests;
mod options;
mod serve;
mod session;
mod splice;
mod sys;
#[cfg(test)]
mod tests;
mod wire;
mod workers;

#[cfg(any(test, feature = "internals"))]
pub(super) use session::serve_wire;
#[cfg(any(test, feature = "internals"))]
#[doc(hidden)]
pub use wire::{check_decoder, shaped_body};

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::capability::Capability;
use super::{Session, Transport, TransportError, given};
use crate::config::{MountOption, TransportChoice};
use crate::filesystem::DynamicFS;

use device::Device;
use mount::Mount;
use options::Options;
use session::LinuxSession;

/// Serves a mount over `/dev/fuse`: as many threads as the load asks for, each with a clone of the device,
/// which reads a request, serves it and answers it before it reads the next.
#[derive(Debug, Clone, Copy, Default)]
pub struct LinuxTransport;

impl Transport for LinuxTransport {
    fn name(&self) -> &'static str {
        TransportChoice::Linux.name()
    }

    fn capabilities(&self) -> &'static [Capability] {
        Capability::ALL
    }

    fn excludes(&self, _: Capability) -> Option<&'static str> {
        None
    }

    fn mount(
        &self,
        fs: Arc<DynamicFS>,
        mountpoint: &Path,
        options: &[MountOption],
    ) -> Result<Box<dyn Session>, TransportError> {
        let options = Options::new(fs.config(), options);
        if options.auto_unmount_in_vain() {
            return Err(TransportError::Option {
                option: "auto_unmount without allow_other".to_owned(),
                transport: self.name(),
            });
        }
        let owner = rustix::process::getuid().as_raw();
        let only = options.only_root_and_owner().then_some(owner);
        if let Some(number) = given::descriptor(mountpoint) {
            if let Some(option) = options.for_mounting() {
                let option = option.to_string();
                return Err(TransportError::Mounted { option });
            }
            let session =
                Device::given(number).and_then(|device| LinuxSession::begin(fs, device, only));
            return Ok(Box::new(session.map_err(not_mounted)?));
        }
        let (device, mount) = Mount::make(mountpoint, &options).map_err(TransportError::Mount)?;
        let mut session =
            LinuxSession::begin(fs, Device::new(device), only).map_err(TransportError::Mount)?;
        session.attend(mount.keep());
        Ok(Box::new(session))
    }
}

/// Reading says `EPERM` as long as nothing is mounted with a descriptor.
fn not_mounted(error: io::Error) -> TransportError {
    TransportError::Mount(match error.raw_os_error() {
        Some(libc::EPERM) => io::Error::other("nothing is mounted with this descriptor"),
        _ => error,
    })
}
