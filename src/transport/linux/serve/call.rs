//! A request that is being served, and the ways to answer it.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use rustix::io::Errno as Os;
use zerocopy::{Immutable, IntoBytes};

use super::super::backing::BackingId;
use super::super::convert;
use super::super::device::Device;
use super::super::interrupts::Interrupts;
use super::super::splice::Pipe;
use super::super::wire::abi::{InHeader, OutHeader};
use super::super::wire::{Dialect, Operation, Reply, Request};
use crate::filesystem::{DynamicFS, Opened};
use crate::stats::Opcode;
use crate::storage::{Caller, Errno, Ino, Result};
use crate::transport::backing::BackingFiles;

/// What the requests of a connection share.
pub(in super::super) struct Context {
    pub(in super::super) fs: Arc<DynamicFS>,
    /// The first way into the connection, open as long as it lives.
    pub(in super::super) device: Arc<Device>,
    /// The form of requests.
    pub(in super::super) dialect: Dialect,
    /// Whether answers may be spliced into the device.
    pub(in super::super) splices: bool,
    /// Whether their pages may be moved into the page cache of the mount.
    pub(in super::super) moves: bool,
    /// Where requests pass a pipe: bytes of the data of the largest.
    pub(in super::super) largest_piped: Option<usize>,
    /// The one user besides root who is served, where not all are.
    pub(in super::super) only: Option<u32>,
    pub(in super::super) backing: BackingFiles<BackingId>,
    pub(in super::super) interrupts: Interrupts,
}

/// A request that is being served.
pub(super) struct Call<'a> {
    pub(super) context: &'a Arc<Context>,
    pub(super) device: &'a Arc<Device>,
    header: &'a InHeader,
    pub(super) caller: Caller,
}

impl<'a> Call<'a> {
    pub(super) fn new(
        context: &'a Arc<Context>,
        device: &'a Arc<Device>,
        request: &Request<'a>,
    ) -> Call<'a> {
        Call {
            context,
            device,
            header: request.header,
            caller: convert::caller(request),
        }
    }

    /// The inode it is about.
    pub(super) fn ino(&self) -> Ino {
        self.header.nodeid
    }

    /// Its number.
    pub(super) fn unique(&self) -> u64 {
        self.header.unique
    }

    /// Whether this caller is served. What the kernel does for whoever used a file before is always: it
    /// carries any user, or none.
    pub(super) fn may_ask(&self, operation: &Operation<'_>) -> bool {
        let Some(owner) = self.context.only else {
            return true;
        };
        self.caller.uid == 0
            || self.caller.uid == owner
            || matches!(
                operation,
                Operation::Forget(_)
                    | Operation::BatchForget(_)
                    | Operation::Interrupt(_)
                    | Operation::NotifyReply { .. }
                    | Operation::Read(_)
                    | Operation::Write { .. }
                    | Operation::Flush(_)
                    | Operation::Fsync(_)
                    | Operation::Release(_)
                    | Operation::Releasedir(_)
                    | Operation::Destroy
            )
    }

    /// Runs an operation and counts it.
    pub(super) fn run<T>(
        &self,
        op: Opcode,
        operation: impl FnOnce(&DynamicFS, &Caller) -> Result<T>,
    ) -> Result<T> {
        let fs = &self.context.fs;
        let started = Instant::now();
        let outcome = operation(fs, &self.caller);
        let error = outcome.as_ref().map(drop).map_err(|e| *e);
        fs.statistics().record(op, started.elapsed(), error);
        outcome
    }

    /// Runs an operation whose answer is a structure of the protocol, or nothing.
    pub(super) fn answer<T: IntoBytes + Immutable>(
        &self,
        op: Opcode,
        operation: impl FnOnce(&DynamicFS, &Caller) -> Result<T>,
    ) {
        match self.run(op, operation) {
            Ok(answer) => self.reply(&Reply::arguments(self.unique(), &answer)),
            Err(error) => self.fail(error),
        }
    }

    /// Runs an operation whose answer is data.
    pub(super) fn answer_data<B: AsRef<[u8]>>(
        &self,
        op: Opcode,
        operation: impl FnOnce(&DynamicFS, &Caller) -> Result<B>,
    ) {
        match self.run(op, operation) {
            Ok(data) => self.reply(&Reply::data(self.unique(), data.as_ref())),
            Err(error) => self.fail(error),
        }
    }

    /// Counts and refuses what is not served; the kernel does not ask again.
    pub(super) fn unsupported(&self, op: Opcode) {
        self.answer(op, |_, _| Err::<(), _>(Errno::NOSYS));
    }

    pub(super) fn fail(&self, error: Errno) {
        self.reply(&Reply::error(self.unique(), error));
    }

    pub(super) fn reply(&self, reply: &Reply<'_>) {
        send(self.device, self.unique(), reply);
    }

    /// Answers with the `len` bytes of data that are in a pipe, behind their header.
    pub(super) fn reply_spliced(&self, pipe: &mut Pipe, len: usize) {
        let len = size_of::<OutHeader>() + len;
        let sent = pipe.send(self.device.as_fd(), len, self.context.moves);
        settle(self.device, self.unique(), sent);
    }

    /// Registers the backing file of an open that wants passthrough.
    pub(super) fn register(&self, ino: Ino, opened: &mut Opened) -> Option<u32> {
        let context = self.context;
        let register = |file: &OwnedFd| BackingId::register(&context.device, file);
        let id = context.backing.admit(&context.fs, ino, opened, register);
        id.map(|id| id.get())
    }
}

/// Sends the answer to the request `unique`. If the device refuses its form, the caller is told of an error instead of being
/// left to wait.
pub(super) fn send(device: &Device, unique: u64, reply: &Reply<'_>) {
    settle(device, unique, device.send(&reply.slices()));
}

/// What becomes of an answer.
fn settle(device: &Device, unique: u64, sent: std::result::Result<(), Os>) {
    match sent {
        // Aborted or unmounted: nobody waits.
        Ok(()) | Err(Os::NOENT | Os::NODEV | Os::CONNABORTED | Os::PIPE) => {}
        Err(error) => {
            tracing::error!(%error, unique, "the kernel did not take an answer");
            if error == Os::INVAL {
                let failed = Reply::error(unique, Errno::IO);
                let _ = device.send(&failed.slices());
            }
        }
    }
}
