//! Answers.

use std::io::IoSlice;

use zerocopy::{Immutable, IntoBytes};

use super::abi::OutHeader;
use crate::storage::Errno;

/// An answer to a request: header, arguments, data. One writev(2) of [`slices`](Self::slices) sends it;
/// the device takes an answer whole or not at all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply<'a> {
    header: OutHeader,
    arguments: &'a [u8],
    data: &'a [u8],
}

/// From here on an error number is for the inside of a kernel alone (`ERESTARTSYS`).
const FIRST_INTERNAL_ERROR: i32 = 512;

impl<'a> Reply<'a> {
    /// Done, and there is nothing to tell.
    pub(crate) fn empty(unique: u64) -> Reply<'static> {
        Reply::build(unique, &[], &[])
    }

    /// Done; the answer is one of the structures in [`abi`](super::abi).
    pub(crate) fn arguments<T: IntoBytes + Immutable>(unique: u64, arguments: &'a T) -> Reply<'a> {
        Reply::build(unique, arguments.as_bytes(), &[])
    }

    /// Done; the answer is data: of a READ, of a listing, of a link, of an attribute.
    pub(crate) fn data(unique: u64, data: &'a [u8]) -> Reply<'a> {
        Reply::build(unique, &[], data)
    }

    /// What goes before an answer of `len` bytes of data that come by another way.
    pub(crate) fn before_data(unique: u64, len: usize) -> Reply<'static> {
        let mut reply = Reply::empty(unique);
        reply.header.len = message_len(len);
        reply
    }

    /// Done; the answer is a structure and data, as that of IOCTL.
    pub(crate) fn arguments_and_data<T: IntoBytes + Immutable>(
        unique: u64,
        arguments: &'a T,
        data: &'a [u8],
    ) -> Reply<'a> {
        Reply::build(unique, arguments.as_bytes(), data)
    }

    /// Failed.
    ///
    /// A number that is none of the user's becomes `EIO`: the device would refuse the answer, and the
    /// caller would wait for ever.
    pub(crate) fn error(unique: u64, errno: Errno) -> Reply<'static> {
        let error = match errno.raw_os_error() {
            error @ 1..FIRST_INTERNAL_ERROR => error,
            _ => Errno::IO.raw_os_error(),
        };
        let mut reply = Reply::empty(unique);
        reply.header.error = -error;
        reply
    }

    fn build(unique: u64, arguments: &'a [u8], data: &'a [u8]) -> Reply<'a> {
        Reply {
            header: OutHeader {
                len: message_len(arguments.len() + data.len()),
                error: 0,
                unique,
            },
            arguments,
            data,
        }
    }

    /// The bytes to send, in their order.
    pub(crate) fn slices(&self) -> [IoSlice<'_>; 3] {
        [self.header.as_bytes(), self.arguments, self.data].map(IoSlice::new)
    }
}

/// Bytes of a message of which so many follow the header. What does not fit into the number is more than any
/// device takes.
pub(super) fn message_len(len: usize) -> u32 {
    u32::try_from(size_of::<OutHeader>() + len).unwrap_or(u32::MAX)
}
