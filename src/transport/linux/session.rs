//! A connection from its handshake to its end.

use std::io;
use std::sync::Arc;

use super::buffer::ReceiveBuffer;
use super::capabilities::{Handshake, OLDEST_MINOR};
use super::device::Device;
use super::helper::Attendant;
use super::notify::Notifier;
use super::serve::Context;
use super::splice::Pipe;
use super::wire::abi::{InitFlags, KERNEL_VERSION};
use super::wire::{Dialect, Operation, Reply, Request};
use super::workers::Workers;
use crate::config::OptimizedFUSEConfig;
use crate::filesystem::{DynamicFS, KernelNotifier};
use crate::storage::Errno;
use crate::transport::backing::BackingFiles;
use crate::transport::capability::Capability;
use crate::transport::given::Ender;
use crate::transport::{Negotiation, Session, TransportError, handshake};

/// A connection whose handshake is done.
pub(super) struct LinuxSession {
    context: Arc<Context>,
    negotiation: Negotiation,
    max_write: u32,
    expires: bool,
    attendant: Option<Attendant>,
}

impl LinuxSession {
    /// Waits for INIT on a connection and answers it. `only` is the one user besides root who is served,
    /// where not all are.
    pub(super) fn begin(
        fs: Arc<DynamicFS>,
        device: Device,
        only: Option<u32>,
    ) -> io::Result<LinuxSession> {
        let (handshake, negotiation) = shake_hands(&fs, &device)?;
        let context = Context {
            splices: handshake.takes(InitFlags::SPLICE_WRITE) && device.is_fuse(),
            moves: handshake.takes(InitFlags::SPLICE_MOVE),
            largest_piped: (handshake.takes(InitFlags::SPLICE_READ) && device.is_fuse())
                .then(|| largest_request(fs.config())),
            fs,
            device: Arc::new(device),
            dialect: Dialect {
                setxattr_ext: handshake.takes(InitFlags::SETXATTR_EXT),
            },
            only,
            backing: BackingFiles::new(),
            interrupts: Default::default(),
        };
        Ok(LinuxSession {
            context: Arc::new(context),
            negotiation,
            max_write: handshake.max_write(),
            expires: handshake.takes(InitFlags::HAS_EXPIRE_ONLY),
            attendant: None,
        })
    }

    /// What its requests share.
    #[cfg(test)]
    pub(super) fn context(&self) -> Arc<Context> {
        self.context.clone()
    }

    /// A helper that stays as long as the connection.
    pub(super) fn attend(&mut self, attendant: Option<Attendant>) {
        self.attendant = attendant;
    }
}

fn shake_hands(fs: &DynamicFS, device: &Device) -> io::Result<(Handshake, Negotiation)> {
    let mut buffer = ReceiveBuffer::new(0)?;
    let len = device.receive(buffer.room())?;
    let ended = || io::Error::new(io::ErrorKind::BrokenPipe, "unmounted before the handshake");
    let message = &buffer.room()[..len.ok_or_else(ended)?];
    let request = Request::decode(message, Dialect::default()).map_err(io::Error::other)?;
    let unique = request.header.unique;
    let Operation::Init(init) = request.operation else {
        return Err(io::Error::other("the kernel did not begin with INIT"));
    };
    if init.major != KERNEL_VERSION || init.minor < OLDEST_MINOR {
        let refusal = Reply::error(unique, Errno::PROTO);
        device.send(&refusal.slices())?;
        let text = format!(
            "the kernel speaks version {}.{} of the FUSE protocol; at least {KERNEL_VERSION}.{OLDEST_MINOR} (Linux 5.2) is needed, or transport=fuser",
            init.major, init.minor
        );
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    }
    let config = fs.config();
    let pipes_hold = !config.splice_read || Pipe::holds(largest_request(config));
    let mut handshake = Handshake::new(init, pipes_hold);
    let negotiation = handshake::negotiate(fs, Capability::ALL, &mut handshake);
    let answer = handshake.answer(config.max_read_size);
    let reply = Reply::arguments(unique, &answer);
    device.send(&reply.slices())?;
    Ok((handshake, negotiation))
}

/// Bytes of data in the largest request, whatever its kind: all have the same limit in pages.
fn largest_request(config: &OptimizedFUSEConfig) -> usize {
    let most = usize::try_from(handshake::max_request_bytes()).unwrap_or(usize::MAX);
    config.max_read_size.max(config.max_write_size).min(most)
}

impl Session for LinuxSession {
    fn negotiation(&self) -> &Negotiation {
        &self.negotiation
    }

    fn notifier(&self) -> Box<dyn KernelNotifier> {
        Box::new(Notifier {
            device: self.context.device.clone(),
            expires: self.expires,
        })
    }

    fn ender(&self) -> Option<Ender> {
        self.context.device.ender()
    }

    fn serve(self: Box<Self>) -> Result<(), TransportError> {
        let LinuxSession {
            context,
            max_write,
            attendant,
            ..
        } = *self;
        let fs = context.fs.clone();
        let most = fs.config().worker_threads;
        let served = Workers::serve(context.clone(), max_write, most);
        // After an abort, somebody may still wait for a lock; nobody will release it.
        for wait in context.interrupts.all() {
            fs.interrupt(wait);
        }
        fs.destroy();
        if let Some(attendant) = attendant {
            attendant.dismiss();
        }
        served.map_err(TransportError::Serve)
    }
}

/// Serves the other end of a connection that is no device, for [`Wire`](crate::transport::Wire).
#[cfg(any(test, feature = "internals"))]
pub(in super::super) fn serve_wire(fs: Arc<DynamicFS>, connection: std::os::fd::OwnedFd) {
    // The end of the connection is how this one ends, whatever the reason.
    let _ = LinuxSession::begin(fs, Device::new(connection), None)
        .map(|session| Box::new(session).serve());
}
