//! How requests arrive.
//!
//! A [`Transport`] mounts, negotiates with the kernel, and turns each request into a call of
//! [`DynamicFS`]. What is *asked* of the kernel is decided once for all transports
//! ([`capability::plan`]); a transport only says which of it it can honour.

mod backing;
pub mod capability;
pub mod fuser;
pub mod given;
mod handshake;
mod ioctl;
#[cfg(target_os = "linux")]
pub mod linux;
mod locks;
mod negotiation;
mod request_timeout;
#[cfg(any(test, feature = "internals"))]
mod wire;

pub use negotiation::{Negotiated, Negotiation};
#[cfg(any(test, feature = "internals"))]
#[doc(hidden)]
pub use wire::Wire;

use std::path::Path;
use std::sync::Arc;

use crate::config::{MountOption, TransportChoice};
use crate::filesystem::{DynamicFS, KernelNotifier};
use capability::Capability;

/// The transport that a configuration chooses.
///
/// On systems other than Linux, [`TransportChoice::Linux`] gives one whose mounts fail with
/// [`TransportError::NotHere`].
pub fn of(choice: TransportChoice) -> &'static dyn Transport {
    match choice {
        #[cfg(target_os = "linux")]
        TransportChoice::Auto | TransportChoice::Linux => &linux::LinuxTransport,
        #[cfg(not(target_os = "linux"))]
        TransportChoice::Linux => &Elsewhere,
        #[cfg(not(target_os = "linux"))]
        TransportChoice::Auto => &fuser::FuserTransport,
        TransportChoice::Fuser => &fuser::FuserTransport,
    }
}

/// A way to serve a mount.
pub trait Transport {
    /// The name, as reports show it.
    fn name(&self) -> &'static str;

    /// The capabilities of which its negotiations tell.
    fn capabilities(&self) -> &'static [Capability];

    /// Why it never asks for a capability, whatever kernel it meets; `None` where it can.
    fn excludes(&self, capability: Capability) -> Option<&'static str>;

    /// Mounts at `mountpoint`, or takes the connection that it names ([`given`]), and finishes the handshake
    /// with the kernel.
    ///
    /// # Errors
    /// What mount(2) or the mount helper said; the mount is then not there. Of a connection that was given:
    /// it is none, or its mount is not for this transport or these options.
    fn mount(
        &self,
        fs: Arc<DynamicFS>,
        mountpoint: &Path,
        options: &[MountOption],
    ) -> Result<Box<dyn Session>, TransportError>;
}

/// A mount whose handshake is done.
pub trait Session: Send {
    /// What the kernel granted.
    fn negotiation(&self) -> &Negotiation;
    /// A way to send notifications.
    fn notifier(&self) -> Box<dyn KernelNotifier>;
    /// A way to end the session without unmounting, where the mount was [`given`].
    fn ender(&self) -> Option<given::Ender> {
        None
    }
    /// Serves requests until the mount is gone.
    ///
    /// # Errors
    /// When the connection to the kernel broke for another reason.
    fn serve(self: Box<Self>) -> Result<(), TransportError>;
}

/// Why a transport failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// A mount option that the transport cannot pass on, and must not ignore.
    #[error(
        "the mount option {option} is not possible with the transport {transport}; leave it out"
    )]
    Option {
        /// The option.
        option: String,
        /// The transport.
        transport: &'static str,
    },
    /// The transport belongs to another operating system.
    #[error("the transport {transport} is not for this system; leave the choice to transport=auto")]
    NotHere {
        /// The transport.
        transport: &'static str,
    },
    /// A mount option that only mount(2) could have carried out, for a connection that was given.
    #[error(
        "the mount option {option} is for whoever mounted this connection; leave it out here, and mount with it"
    )]
    Mounted {
        /// The option.
        option: String,
    },
    /// A connection was given, and the transport only serves mounts of its own.
    #[error(
        "the transport {transport} cannot serve a connection that is mounted already; leave the choice to transport=auto"
    )]
    Given {
        /// The transport.
        transport: &'static str,
    },
    /// Mounting or the handshake failed.
    #[error("cannot mount: {0}")]
    Mount(#[source] std::io::Error),
    /// Serving ended with an error.
    #[error("the connection to the kernel broke: {0}")]
    Serve(#[source] std::io::Error),
}

/// The transport of another system.
#[cfg(not(target_os = "linux"))]
struct Elsewhere;

#[cfg(not(target_os = "linux"))]
impl Transport for Elsewhere {
    fn name(&self) -> &'static str {
        TransportChoice::Linux.name()
    }

    fn capabilities(&self) -> &'static [Capability] {
        Capability::ALL
    }

    fn excludes(&self, _: Capability) -> Option<&'static str> {
        Some("the transport is not for this system")
    }

    fn mount(
        &self,
        _: Arc<DynamicFS>,
        _: &Path,
        _: &[MountOption],
    ) -> Result<Box<dyn Session>, TransportError> {
        let transport = self.name();
        Err(TransportError::NotHere { transport })
    }
}
