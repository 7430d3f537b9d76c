//! From a request to its answer: one file per group of operations, one function per operation.
//!
//! A worker reads a request, serves it and answers it; nothing is handed to another thread, except the
//! wait for a lock ([`locks`]).

mod attributes;
mod call;
mod data;
mod directories;
mod files;
mod locks;
mod names;
mod xattrs;

pub(super) use call::Context;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::buffer::Buffers;
use super::device::Device;
use super::splice::Pipe;
use super::wire::{DecodeError, Operation, Reply, Request, WRITE_HEAD};
use crate::stats::Opcode;
use crate::storage::Errno;
use call::Call;

/// Serves one message: a request, or what should have been one.
pub(super) fn message(
    context: &Arc<Context>,
    device: &Arc<Device>,
    buffers: &mut Buffers,
    message: &[u8],
) {
    match Request::decode(message, context.dialect) {
        Ok(request) => serve(context, device, buffers, &request, |call, buffers| {
            dispatch(call, &request.operation, buffers);
        }),
        Err(error) => refuse(device, &error),
    }
}

/// Serves a message of which only the first [`WRITE_HEAD`] bytes are in `message`, and the others in the pipe: a WRITE
/// without taking its data out, if it can be.
pub(super) fn begun(
    context: &Arc<Context>,
    device: &Arc<Device>,
    buffers: &mut Buffers,
    message: &mut [u8],
) {
    let (head, rest) = message.split_at_mut(WRITE_HEAD);
    if let Some(request) = Request::decode_write(head, rest.len())
        && let Operation::Write { args, .. } = request.operation
    {
        return serve(context, device, buffers, &request, |call, buffers| {
            data::write_piped(call, args, &mut buffers.pipe, rest);
        });
    }
    // What has no end is answered as such.
    let taken = buffers.pipe.take_rest(rest);
    let len = taken.map_or(WRITE_HEAD, |()| message.len());
    self::message(context, device, buffers, &message[..len]);
}

/// A bug in a storage costs the request that met it, not the mount.
fn serve(
    context: &Arc<Context>,
    device: &Arc<Device>,
    buffers: &mut Buffers,
    request: &Request<'_>,
    answer: impl FnOnce(&Call<'_>, &mut Buffers),
) {
    let call = Call::new(context, device, request);
    if catch_unwind(AssertUnwindSafe(|| answer(&call, buffers))).is_err() {
        // Nobody knows what is in it.
        buffers.pipe = Pipe::default();
        let operation = request.header.opcode;
        tracing::error!(operation, "serving a request panicked");
        if request.wants_answer() {
            call.fail(Errno::IO);
        }
    }
}

fn refuse(device: &Device, error: &DecodeError) {
    let Some((unique, errno)) = error.answer() else {
        tracing::error!(%error, "the kernel sent what is no request");
        return;
    };
    match errno {
        // Of a newer kernel. It asks once.
        Errno::NOSYS => tracing::debug!(%error, "not served"),
        _ => tracing::error!(%error, "the kernel sent what is no request"),
    }
    call::send(device, unique, &Reply::error(unique, errno));
}

fn dispatch(call: &Call<'_>, operation: &Operation<'_>, buffers: &mut Buffers) {
    if !call.may_ask(operation) {
        return call.reply(&Reply::error(call.unique(), Errno::ACCESS));
    }
    match *operation {
        Operation::Lookup { name } => names::lookup(call, name),
        Operation::Forget(args) => names::forget(call, args),
        Operation::BatchForget(all) => names::forget_all(call, all),
        Operation::Readlink => names::readlink(call),
        Operation::Symlink { name, target } => names::symlink(call, name, target),
        Operation::Mknod { args, name } => names::mknod(call, args, name),
        Operation::Mkdir { args, name } => names::mkdir(call, args, name),
        Operation::Unlink { name } => names::unlink(call, name),
        Operation::Rmdir { name } => names::rmdir(call, name),
        Operation::Rename {
            args,
            name,
            newname,
        } => names::rename(call, name, (args.newdir, newname), 0),
        Operation::Rename2 {
            args,
            name,
            newname,
        } => names::rename(call, name, (args.newdir, newname), args.flags),
        Operation::Link { args, name } => names::link(call, args, name),

        Operation::Getattr(args) => attributes::getattr(call, args),
        Operation::Statx(args) => attributes::statx(call, args),
        Operation::Setattr(args) => attributes::setattr(call, args),
        Operation::Access(args) => attributes::access(call, args),
        Operation::Statfs => attributes::statfs(call),
        Operation::Ioctl { args, data } => attributes::ioctl(call, args, data),

        Operation::Open(args) => files::open(call, args),
        Operation::Create { args, name } => files::create(call, args, name),
        Operation::Tmpfile { args, .. } => files::tmpfile(call, args),
        Operation::Release(args) => files::release(call, args),
        Operation::Flush(args) => files::flush(call, args),
        Operation::Fsync(args) => files::fsync(call, args),

        Operation::Read(args) => data::read(call, args, buffers),
        Operation::Write { args, data } => data::write(call, args, data),
        Operation::Fallocate(args) => data::fallocate(call, args),
        Operation::Lseek(args) => data::lseek(call, args),
        Operation::CopyFileRange(args) => data::copy_file_range(call, args),
        Operation::CopyFileRange64(args) => data::copy_file_range_64(call, args),

        Operation::Opendir(_) => directories::opendir(call),
        Operation::Readdir(args) => directories::readdir(call, args, &mut buffers.answer),
        Operation::Readdirplus(args) => directories::readdirplus(call, args, &mut buffers.answer),
        Operation::Releasedir(args) => directories::releasedir(call, args),
        Operation::Fsyncdir(args) => directories::fsyncdir(call, args),

        Operation::Getxattr { args, name } => xattrs::getxattr(call, args, name),
        Operation::Listxattr(args) => xattrs::listxattr(call, args),
        Operation::Setxattr { args, name, value } => xattrs::setxattr(call, &args, name, value),
        Operation::Removexattr { name } => xattrs::removexattr(call, name),

        Operation::Getlk(args) => locks::getlk(call, args),
        Operation::Setlk(args) => locks::setlk(call, args),
        Operation::Setlkw(args) => locks::setlkw(call, args),
        Operation::Interrupt(args) => locks::interrupt(call, args),

        // The kernel then answers itself: always ready, as for the files of any disk.
        Operation::Poll(_) => call.unsupported(Opcode::Poll),
        Operation::Bmap(_) => call.unsupported(Opcode::BMap),
        // Only virtiofs is asked.
        Operation::Syncfs(_) => call.reply(&Reply::error(call.unique(), Errno::NOSYS)),
        // Answers to a notification that is never sent.
        Operation::NotifyReply { .. } => {}
        Operation::Destroy => call.reply(&Reply::empty(call.unique())),
        // Comes once, before all else.
        Operation::Init(_) => call.reply(&Reply::error(call.unique(), Errno::IO)),
    }
}
