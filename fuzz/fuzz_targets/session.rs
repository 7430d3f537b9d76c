//! A session over a socket and a storage in memory: whatever is asked, nothing panics, and every request has
//! one answer.
#![no_main]

use std::sync::Arc;

use dynamicfs::config::{OptimizedFUSEConfig, TransportChoice};
use dynamicfs::storage::MemoryStorage;
use dynamicfs::transport::Wire;
use dynamicfs::transport::linux::shaped_body;
use dynamicfs::{DynamicFS, Errno};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

const READ: u8 = 15;
const READDIR: u8 = 28;
const SETLKW: u8 = 33;
const READDIRPLUS: u8 = 44;
/// FORGET, INTERRUPT, NOTIFY_REPLY, BATCH_FORGET.
const UNANSWERED: [u8; 4] = [2, 36, 41, 42];

/// Where the upper half of `size` is in `struct fuse_read_in`.
const SIZE: std::ops::Range<usize> = 18..20;

/// A few names, so that they meet.
const NAMES: [&str; 8] = [
    "a",
    "b",
    "c",
    ".",
    "..",
    "user.a",
    "system.posix_acl_access",
    "security.b",
];

/// A request of the right shape.
#[derive(Debug, Arbitrary)]
struct Step {
    operation: u8,
    node: u8,
    handle: u8,
    name: u8,
    text: u8,
    /// What the numbers are made of.
    noise: Vec<u8>,
    data: Vec<u8>,
}

impl Step {
    fn body(&self) -> Vec<u8> {
        let name = |number: u8| NAMES[usize::from(number) % NAMES.len()].as_bytes();
        let texts = (name(self.name), name(self.text), &*self.data);
        let operation = self.operation.into();
        let body = shaped_body(operation, u64::from(self.handle % 8), &self.noise, texts);
        let mut body = body.unwrap_or_default();
        // The answer has to fit through the socket.
        if [READ, READDIR, READDIRPLUS].contains(&self.operation) {
            body[SIZE].fill(0);
        }
        body
    }
}

fuzz_target!(|steps: Vec<Step>| {
    let storage = Box::new(MemoryStorage::with_capacity(1 << 20));
    let fs = DynamicFS::new_with_config(storage, OptimizedFUSEConfig::balanced());
    let mut wire = Wire::to(TransportChoice::Linux, Arc::new(fs)).expect("a session");
    // A wait for a lock may be for ever.
    for step in steps.iter().filter(|step| step.operation != SETLKW) {
        let node = u64::from(step.node % 8);
        wire.send(step.operation.into(), node, &[&step.body()])
            .expect("the session goes on");
        if !UNANSWERED.contains(&step.operation) {
            let (of, answer) = wire.receive_any().expect("an answer");
            let error = answer.err().and_then(|error| error.raw_os_error());
            // As what is no request is answered; a second INIT is none.
            let refused = error == Some(Errno::IO.raw_os_error()) && step.operation != 26;
            assert!(!refused, "{step:?}");
            assert_eq!(of, wire.last());
        }
    }
});
