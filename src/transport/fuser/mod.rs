//! The portable transport, on the crate `fuser`.
//!
//! The only place where types of that crate appear.

mod adapter;
mod backing;
mod capabilities;
mod convert;
mod options;

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Negotiation, Session, Transport, TransportError};
use crate::config::MountOption;
use crate::filesystem::{DynamicFS, KernelNotifier};
use crate::storage::Ino;

use adapter::Adapter;

/// Serves a mount with `fuser`'s session loop: each worker thread has its own clone of the device,
/// and answers a request before it reads the next.
#[derive(Debug, Clone, Copy, Default)]
pub struct FuserTransport;

impl FuserTransport {
    /// Why this transport never asks for a capability, whatever kernel it meets.
    pub fn excludes(capability: super::capability::Capability) -> Option<&'static str> {
        capabilities::flag(capability).err()
    }
}

impl Transport for FuserTransport {
    fn name(&self) -> &'static str {
        "fuser"
    }

    fn mount(
        &self,
        fs: Arc<DynamicFS>,
        mountpoint: &Path,
        options: &[MountOption],
    ) -> Result<Box<dyn Session>, TransportError> {
        options::refuse(options)?;
        let config = options::session_config(fs.config(), options);
        let negotiation = Arc::new(Mutex::new(Negotiation::default()));
        let adapter = Adapter::new(fs.clone(), negotiation.clone());
        let session =
            fuser::Session::new(adapter, mountpoint, &config).map_err(TransportError::Mount)?;
        let negotiation = negotiation.lock().clone();
        Ok(Box::new(FuserSession {
            session,
            negotiation,
            fs,
        }))
    }
}

struct FuserSession {
    session: fuser::Session<Adapter>,
    negotiation: Negotiation,
    fs: Arc<DynamicFS>,
}

impl Session for FuserSession {
    fn negotiation(&self) -> &Negotiation {
        &self.negotiation
    }

    fn notifier(&self) -> Box<dyn KernelNotifier> {
        Box::new(Notifier(self.session.notifier()))
    }

    fn serve(self: Box<Self>) -> Result<(), TransportError> {
        let served = self.session.run().map_err(TransportError::Serve);
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
