//! The portable transport, on the crate `fuser`.
//!
//! The only place where types of that crate appear.

mod adapter;
mod capabilities;
mod convert;
mod gone;
mod options;

use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::capability::Capability;
use super::{Negotiation, Session, Transport, TransportError, given};
use crate::config::MountOption;
use crate::filesystem::{DynamicFS, KernelNotifier};
use crate::storage::Ino;

use adapter::Adapter;

/// Serves a mount with `fuser`'s session loop: each worker thread has its own clone of the device,
/// and answers a request before it reads the next.
#[derive(Debug, Clone, Copy, Default)]
pub struct FuserTransport;

impl Transport for FuserTransport {
    fn name(&self) -> &'static str {
        "fuser"
    }

    fn capabilities(&self) -> &'static [Capability] {
        Capability::PORTABLE
    }

    fn excludes(&self, capability: Capability) -> Option<&'static str> {
        capabilities::flag(capability).err()
    }

    fn mount(
        &self,
        fs: Arc<DynamicFS>,
        mountpoint: &Path,
        options: &[MountOption],
    ) -> Result<Box<dyn Session>, TransportError> {
        if given::descriptor(mountpoint).is_some() {
            let transport = self.name();
            return Err(TransportError::Given { transport });
        }
        options::refuse(options)?;
        let config = options::session_config(fs.config(), options);
        let session = FuserSession::begin(fs, |adapter| {
            fuser::Session::new(adapter, mountpoint, &config)
        })?;
        Ok(Box::new(session))
    }
}

/// Serves the other end of a connection that is no device, for [`Wire`](super::Wire).
#[cfg(any(test, feature = "internals"))]
pub(super) fn serve_wire(fs: Arc<DynamicFS>, connection: std::os::fd::OwnedFd) {
    let session = FuserSession::begin(fs, |adapter| {
        let (acl, config) = (fuser::SessionACL::All, fuser::Config::default());
        fuser::Session::from_fd(adapter, connection, acl, config)
    });
    // An end without DESTROY is an error to the session, and how this one ends.
    let _ = session.and_then(|session| Box::new(session).serve());
}

struct FuserSession {
    session: fuser::Session<Adapter>,
    negotiation: Negotiation,
    fs: Arc<DynamicFS>,
}

impl FuserSession {
    /// `connect` mounts and does the handshake.
    fn begin(
        fs: Arc<DynamicFS>,
        connect: impl FnOnce(Adapter) -> std::io::Result<fuser::Session<Adapter>>,
    ) -> Result<FuserSession, TransportError> {
        let negotiation = Arc::new(Mutex::new(Negotiation::default()));
        let device = Arc::new(OnceLock::new());
        let adapter = Adapter::new(fs.clone(), negotiation.clone(), device.clone());
        let session = connect(adapter).map_err(TransportError::Mount)?;
        device.get_or_init(|| session.as_fd().as_raw_fd());
        let negotiation = negotiation.lock().clone();
        Ok(FuserSession {
            session,
            negotiation,
            fs,
        })
    }
}

impl Session for FuserSession {
    fn negotiation(&self) -> &Negotiation {
        &self.negotiation
    }

    fn notifier(&self) -> Box<dyn KernelNotifier> {
        Box::new(Notifier(self.session.notifier()))
    }

    fn serve(self: Box<Self>) -> Result<(), TransportError> {
        let served = match self.session.run() {
            // Unmounted while a request was being read, which the crate does not take for the end.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => Ok(()),
            other => other.map_err(TransportError::Serve),
        };
        self.fs.destroy();
        served
    }
}

struct Notifier(fuser::Notifier);

impl KernelNotifier for Notifier {
    fn inval_inode(&self, ino: Ino, offset: i64, len: i64) -> std::io::Result<()> {
        self.0.inval_inode(fuser::INodeNo(ino), offset, len)
    }

    fn inval_entry(&self, parent: Ino, name: &std::ffi::OsStr) -> std::io::Result<()> {
        self.0.inval_entry(fuser::INodeNo(parent), name)
    }
}
