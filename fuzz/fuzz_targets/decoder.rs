//! The decoder of requests: whatever the bytes are, it neither panics nor takes for a request what is
//! not one (`check_decoder` says when).
#![no_main]

use dynamicfs::transport::linux::check_decoder;
use libfuzzer_sys::fuzz_target;

/// Of the first byte: SETXATTR has the longer arguments.
const SETXATTR_EXT: u8 = 1;
/// Of the first byte: the header tells the right length. Few random messages get further otherwise.
const RIGHT_LENGTH: u8 = 2;
/// Of the first byte: the second is the operation.
const KNOWN_OPERATION: u8 = 4;

/// Bytes of `struct fuse_in_header`: length and operation are its first two numbers of 32 bits, the length
/// of the extensions the one of 16 bits at byte 36.
const HEADER: usize = 40;

fuzz_target!(|bytes: &[u8]| {
    let [how, operation, message @ ..] = bytes else {
        return;
    };
    let mut message = message.to_vec();
    if message.len() >= HEADER {
        if how & RIGHT_LENGTH != 0 {
            let len = message.len() as u32;
            message[..4].copy_from_slice(&len.to_ne_bytes());
        }
        if how & KNOWN_OPERATION != 0 {
            message[4..8].copy_from_slice(&u32::from(*operation).to_ne_bytes());
        }
    }
    check_decoder(&message, how & SETXATTR_EXT != 0);
});
