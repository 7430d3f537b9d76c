//! How requests arrive.
//!
//! A [`Transport`] mounts, negotiates with the kernel, and turns each request into a call of
//! [`DynamicFS`]. What is *asked* of the kernel is decided once for all transports
//! ([`capability::plan`]); a transport only says which of it it can honour.

pub mod capability;
pub mod fuser;
mod negotiation;

pub use negotiation::{Negotiated, Negotiation};

use std::path::Path;
use std::sync::Arc;

use crate::config::MountOption;
use crate::filesystem::{DynamicFS, KernelNotifier};

/// A way to serve a mount.
pub trait Transport {
    /// The name, as reports show it.
    fn name(&self) -> &'static str;

    /// Mounts at `mountpoint` and finishes the handshake with the kernel.
    ///
    /// # Errors
    /// What mount(2) or the mount helper said; the mount is then not there.
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
    /// Mounting or the handshake failed.
    #[error("cannot mount: {0}")]
    Mount(#[source] std::io::Error),
    /// Serving ended with an error.
    #[error("the connection to the kernel broke: {0}")]
    Serve(#[source] std::io::Error),
}
