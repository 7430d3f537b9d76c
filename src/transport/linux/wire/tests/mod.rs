//! What the protocol's bytes are, told a second time and independently.

mod decoding;
mod encoding;
mod layout;
pub(in super::super) mod messages;
