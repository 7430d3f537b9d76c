//! The native transport of Linux: `/dev/fuse` without a library between.
//!
//! | module | what is in it |
//! |---|---|
//! | `wire` | the protocol: structures, requests from bytes, answers to bytes |
//! | `mount`, `helper`, `options` | getting a connection |
//! | `capabilities`, `session` | the handshake, and what lives as long as the connection |
//! | `workers`, `device`, `buffer` | the threads that serve it |
//! | `serve` | requests, one function each |
//! | `interrupts`, `notify`, `backing` | waits and signals, notifications, backing files |
//! | `sys` | the system calls without a safe form |

mod backing;
mod buffer;
mod capabilities;
mod convert;
mod device;
mod helper;
mod interrupts;
mod mount;
mod notify;
mod options;
mod serve;
mod session;
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

use std::path::Path;
use std::sync::Arc;

use super::capability::Capability;
use super::{Session, Transport, TransportError};
use crate::config::{MountOption, TransportChoice};
use crate::filesystem::DynamicFS;

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
        let (device, mount) = Mount::make(mountpoint, &options).map_err(TransportError::Mount)?;
        let owner = rustix::process::getuid().as_raw();
        let only = options.only_root_and_owner().then_some(owner);
        let mut session = LinuxSession::begin(fs, device, only).map_err(TransportError::Mount)?;
        session.attend(mount.keep());
        Ok(Box::new(session))
    }
}
