//! Locks: the only requests whose answer another thread may send.

use std::sync::Arc;
use std::time::Instant;

use super::super::wire::Reply;
use super::super::wire::abi::{FileLock, InterruptIn, LkFlags, LkIn, LkOut};
use super::call::{Call, send};
use crate::filesystem::{LockRequest, LockType};
use crate::platform::F_UNLCK;
use crate::stats::Opcode;
use crate::storage::{Errno, Result};
use crate::transport::locks::{LockOp, Locker, raw_lock_kind};

fn op(call: &Call<'_>, args: &LkIn) -> Result<LockOp> {
    let locker = Locker {
        ino: call.ino(),
        fh: args.fh,
        owner: args.owner,
        pid: args.lk.pid,
        lock_type: match args.lk_flags.contains(LkFlags::FLOCK) {
            true => LockType::Flock,
            false => LockType::Posix,
        },
    };
    locker.op((args.lk.start, args.lk.end), args.lk.kind as i32)
}

pub(super) fn getlk(call: &Call<'_>, args: &LkIn) {
    call.answer(Opcode::GetLk, |fs, _| {
        let held = match op(call, args)? {
            LockOp::Lock(request) => fs.getlk(&request)?,
            LockOp::Unlock(_) => return Err(Errno::INVAL),
        };
        let lk = held.map_or(
            FileLock {
                kind: F_UNLCK as u32,
                ..FileLock::default()
            },
            |held| FileLock {
                start: held.range.start(),
                end: held.range.end(),
                kind: raw_lock_kind(held.kind) as u32,
                pid: held.pid.unwrap_or(0),
            },
        );
        Ok(LkOut { lk })
    });
}

pub(super) fn setlk(call: &Call<'_>, args: &LkIn) {
    call.answer(Opcode::SetLk, |fs, _| match op(call, args)? {
        LockOp::Lock(request) => fs.setlk(&request),
        LockOp::Unlock(request) => fs.unlock(&request),
    });
}

pub(super) fn setlkw(call: &Call<'_>, args: &LkIn) {
    match op(call, args) {
        Ok(LockOp::Lock(request)) => wait(call, &request),
        _ => setlk(call, args),
    }
}

/// The answer comes when the lock is granted, from whichever thread released it. It keeps the device by
/// which the request came.
fn wait(call: &Call<'_>, request: &LockRequest) {
    let (context, device) = (Arc::clone(call.context), Arc::clone(call.device));
    let (unique, started) = (call.unique(), Instant::now());
    call.context.interrupts.begin(unique);
    let wait = call
        .context
        .fs
        .setlk_interruptible(request, move |outcome| {
            context.interrupts.end(unique);
            let statistics = context.fs.statistics();
            statistics.record(Opcode::SetLk, started.elapsed(), outcome);
            match outcome {
                Ok(()) => send(&device, unique, &Reply::empty(unique)),
                Err(error) => send(&device, unique, &Reply::error(unique, error)),
            }
        });
    if let Some(wait) = call.context.interrupts.waits(unique, wait) {
        call.context.fs.interrupt(wait);
    }
}

/// A signal reached the caller of another request. Nobody waits for an answer to this one.
pub(super) fn interrupt(call: &Call<'_>, args: &InterruptIn) {
    if let Some(wait) = call.context.interrupts.interrupt(args.unique) {
        call.context.fs.interrupt(wait);
    }
}
