//! The FUSE protocol: from bytes to requests, from answers to bytes.
//!
//! Nothing here opens, reads or writes anything, and nothing allocates: a [`Request`] borrows from the
//! buffer that the message was read into, a [`Reply`] and a [`Notification`] from what they send.
//!
//! # Where a message should lie
//!
//! [`Request::decode`] takes the whole message, as one read of the device returns it, at an address
//! that is a multiple of 8. A receive buffer that begins [`WRITE_HEAD`] bytes before a page boundary has the
//! data of a WRITE exactly from that boundary on, so they can go to a file with `O_DIRECT`, and no read in
//! two parts is needed:
//!
//! ```text
//!            page boundary                    page boundary
//!                  │                                │
//!   [header|WriteIn]│[data …                        │ …
//!    40     40      │
//! ```

pub(crate) mod abi;
mod dirents;
#[cfg(any(test, feature = "internals"))]
mod encode;
mod error;
mod extensions;
mod notification;
mod reader;
mod reply;
mod request;
#[cfg(any(test, feature = "internals"))]
mod shapes;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) use tests::messages;

pub(crate) use dirents::Listing;
#[cfg(any(test, feature = "internals"))]
pub use encode::check_decoder;
pub(crate) use error::DecodeError;
pub(crate) use notification::Notification;
pub(crate) use reply::Reply;
pub(crate) use request::{Dialect, Operation, Request};
#[cfg(any(test, feature = "internals"))]
pub use shapes::shaped_body;

/// Bytes before the data of a WRITE: its header and its arguments.
pub(crate) const WRITE_HEAD: usize = size_of::<abi::InHeader>() + size_of::<abi::WriteIn>();
