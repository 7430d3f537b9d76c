//! A session whose other end is this process instead of the kernel: what a request does and costs,
//! without a mount and without privileges.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::io::retry_on_intr;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, recv, send, shutdown,
    socketpair,
};

use crate::config::TransportChoice;
use crate::filesystem::DynamicFS;
use crate::storage::Ino;

/// An answer that takes longer does not come.
const LIMIT: Duration = Duration::from_secs(20);

/// Bytes of `struct fuse_out_header`: length, negative error number, number of the request.
const ANSWER_HEADER: usize = 16;

/// Requests and answers longer than this do not fit through the socket at once.
const LONGEST: usize = 128 << 10;

const INIT: u32 = 26;

/// Sends raw requests of the FUSE protocol and receives the answers. The layout of both is that of
/// the kernel's `fuse.h`. Dropped, it ends the session.
#[derive(Debug)]
pub struct Wire {
    /// Keeps the boundaries between requests, as the device does.
    connection: OwnedFd,
    server: Option<JoinHandle<()>>,
    request: Vec<u8>,
    answer: Vec<u8>,
    sent: u64,
}

impl Wire {
    /// A transport serves `fs`; the handshake with a kernel that offers no capability is done.
    ///
    /// # Errors
    /// No socket, no thread, or the handshake failed.
    pub fn to(transport: TransportChoice, fs: Arc<DynamicFS>) -> io::Result<Wire> {
        let mut wire = Wire::before_init(transport, fs)?;
        // Version 7.40, readahead of 128 KiB, no flags.
        let mut init = [0_u32; 16];
        init[..3].copy_from_slice(&[7, 40, 128 << 10]);
        let init = init.map(u32::to_ne_bytes);
        wire.ask(INIT, 0, &[init.as_flattened()])?;
        Ok(wire)
    }

    /// A transport serves `fs`, and waits for the handshake.
    ///
    /// # Errors
    /// No socket or no thread.
    pub fn before_init(transport: TransportChoice, fs: Arc<DynamicFS>) -> io::Result<Wire> {
        let serve = match transport {
            #[cfg(target_os = "linux")]
            TransportChoice::Linux => super::linux::serve_wire,
            _ => super::fuser::serve_wire,
        };
        Wire::served_by(move |connection| serve(fs, connection))
    }

    /// A thread answers every request with `len` zeros: the cost of the way alone.
    ///
    /// # Errors
    /// No socket or no thread.
    pub fn to_nothing(len: usize) -> io::Result<Wire> {
        Wire::served_by(move |connection| {
            let mut request = vec![0; LONGEST];
            let mut answer = vec![0; ANSWER_HEADER + len];
            let size = (answer.len() as u32).to_ne_bytes();
            answer[..4].copy_from_slice(&size);
            while rustix::io::read(&connection, &mut request).is_ok_and(|n| n > 0) {
                if rustix::io::write(&connection, &answer).is_err() {
                    return;
                }
            }
        })
    }

    fn served_by(serve: impl FnOnce(OwnedFd) + Send + 'static) -> io::Result<Wire> {
        let flags = SocketFlags::CLOEXEC;
        let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
        let (connection, other) = socketpair(family, kind, flags, None)?;
        for timeout in [Timeout::Recv, Timeout::Send] {
            set_socket_timeout(&connection, timeout, Some(LIMIT))?;
        }
        let server = std::thread::Builder::new()
            .name("wire".into())
            .spawn(move || serve(other))?;
        Ok(Wire {
            connection,
            server: Some(server),
            request: Vec::new(),
            answer: vec![0; LONGEST],
            sent: 0,
        })
    }

    /// Sends a request as root: number of the operation, node, and what follows the header.
    ///
    /// # Errors
    /// The session has ended.
    pub fn send(&mut self, operation: u32, node: Ino, body: &[&[u8]]) -> io::Result<()> {
        self.sent += 1;
        let header = [operation.into(), self.sent, node, 0, 0];
        let [operation, unique, node, caller, process] = header.map(u64::to_ne_bytes);
        self.request.clear();
        let parts = [&[0; 4], &operation[..4], &unique, &node, &caller, &process];
        for part in parts.iter().chain(body) {
            self.request.extend_from_slice(part);
        }
        let len = self.request.len() as u32;
        self.request[..4].copy_from_slice(&len.to_ne_bytes());
        self.send_bytes(&self.request)
    }

    /// Sends a message as it is, whether or not it is a request.
    ///
    /// # Errors
    /// The session has ended.
    pub fn send_bytes(&self, message: &[u8]) -> io::Result<()> {
        send(&self.connection, message, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// The number of the last request that [`send`](Self::send) sent.
    pub fn last(&self) -> u64 {
        self.sent
    }

    /// The next answer, without its header.
    ///
    /// # Errors
    /// The one that was answered; `EAGAIN` when no answer comes; `EPIPE` when the session has ended.
    pub fn receive(&mut self) -> io::Result<&[u8]> {
        self.receive_any()?.1
    }

    /// The next answer: the number of its request, and what [`receive`](Self::receive) would return.
    ///
    /// # Errors
    /// `EAGAIN` when no answer comes; `EPIPE` when the session has ended.
    pub fn receive_any(&mut self) -> io::Result<(u64, io::Result<&[u8]>)> {
        // With a limit to the wait, any signal ends it, also one of whoever measures this process.
        let (n, _) =
            retry_on_intr(|| recv(&self.connection, &mut self.answer[..], RecvFlags::empty()))?;
        let Some((header, body)) = self.answer[..n].split_first_chunk::<ANSWER_HEADER>() else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let [_, _, _, _, a, b, c, d, unique @ ..] = *header;
        let answer = match i32::from_ne_bytes([a, b, c, d]) {
            0 => Ok(body),
            error => Err(io::Error::from_raw_os_error(-error)),
        };
        Ok((u64::from_ne_bytes(unique), answer))
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// See [`send`](Self::send) and [`receive`](Self::receive).
    pub fn ask(&mut self, operation: u32, node: Ino, body: &[&[u8]]) -> io::Result<&[u8]> {
        self.send(operation, node, body)?;
        self.receive()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _ = shutdown(&self.connection, Shutdown::Both);
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{MemoryStorage, ROOT_INO};

    const FORGET: u32 = 2;
    const GETATTR: u32 = 3;
    const INTERRUPT: u32 = 36;
    const POLL: u32 = 40;
    const BATCH_FORGET: u32 = 42;
    const STATX: u32 = 52;

    fn refused(wire: &mut Wire, operation: u32, body: &[u8]) -> Option<i32> {
        let answer = wire.ask(operation, ROOT_INO, &[body]);
        answer.expect_err("refused").raw_os_error()
    }

    #[test]
    fn a_request_counts_once_however_many_inodes_it_names() {
        let fs = Arc::new(DynamicFS::new(Box::new(MemoryStorage::new())));
        let mut wire = Wire::to(TransportChoice::Fuser, fs.clone()).expect("a session");
        let numbers =
            |numbers: &[u64]| -> Vec<u8> { numbers.iter().flat_map(|n| n.to_ne_bytes()).collect() };
        wire.send(FORGET, 70, &[&numbers(&[1])]).expect("sent");
        let three = numbers(&[3, 71, 1, 72, 1, 73, 1]);
        wire.send(BATCH_FORGET, 0, &[&three]).expect("sent");
        assert_eq!(refused(&mut wire, POLL, &[0; 24]), Some(libc::ENOSYS));
        let attributes = wire.ask(GETATTR, ROOT_INO, &[&[0; 16]]).expect("them");
        assert_eq!(attributes.len(), 104);
        // Only those of which the documentation of `Opcode` says so are not counted.
        for operation in [INTERRUPT, STATX] {
            assert_eq!(refused(&mut wire, operation, &[0; 40]), Some(libc::ENOSYS));
        }
        drop(wire);
        let counted: Vec<_> = fs.snapshot().ops;
        let counted: Vec<_> = counted.iter().map(|op| (&*op.name, op.count)).collect();
        let expected = [("FORGET", 2), ("GETATTR", 1), ("POLL", 1)];
        assert_eq!(counted, expected);
    }
}
