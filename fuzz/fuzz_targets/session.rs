//! A session over a socket and a storage in memory: whatever is sent, nothing panics, and every request has
//! one answer.
#![no_main]

use std::sync::Arc;

use dynamicfs::DynamicFS;
use dynamicfs::config::{OptimizedFUSEConfig, TransportChoice};
use dynamicfs::storage::MemoryStorage;
use dynamicfs::transport::Wire;
use libfuzzer_sys::fuzz_target;

/// Where the upper half of `size` is in `struct fuse_read_in`.
const SIZE: std::ops::Range<usize> = 18..20;

const READ: u8 = 15;
const READDIR: u8 = 28;
const SETLKW: u8 = 33;
const READDIRPLUS: u8 = 44;
/// FORGET, INTERRUPT, NOTIFY_REPLY, BATCH_FORGET.
const UNANSWERED: [u8; 4] = [2, 36, 41, 42];

fuzz_target!(|bytes: &[u8]| {
    let storage = Box::new(MemoryStorage::with_capacity(1 << 20));
    let fs = DynamicFS::new_with_config(storage, OptimizedFUSEConfig::balanced());
    let mut wire = Wire::to(TransportChoice::Linux, Arc::new(fs)).expect("a session");
    let mut rest = bytes;
    // Operation, node, how much follows the header.
    while let [operation, node, len, after @ ..] = rest {
        let (body, after) = after.split_at((*len as usize).min(after.len()));
        rest = after;
        let mut body = body.to_vec();
        match *operation {
            // May wait for ever.
            SETLKW => continue,
            // The answer has to fit through the socket.
            READ | READDIR | READDIRPLUS if body.len() >= SIZE.end => body[SIZE].fill(0),
            _ => {}
        }
        wire.send((*operation).into(), (*node).into(), &[&body])
            .expect("the session goes on");
        if !UNANSWERED.contains(operation) {
            let (of, _) = wire.receive_any().expect("an answer");
            assert_eq!(of, wire.last());
        }
    }
});
