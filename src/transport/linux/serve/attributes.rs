//! Operations on attributes, and of the file system as a whole.

use rustix::fs::Access;

use super::super::convert::{attr_out, set_attr, statfs_out, statx_out};
use super::super::wire::Reply;
use super::super::wire::abi::{
    AccessIn, GetattrFlags, GetattrIn, IoctlIn, IoctlOut, SetattrIn, StatxIn,
};
use super::call::Call;
use crate::stats::Opcode;
use crate::storage::Fh;
use crate::transport::ioctl::inode_ioctl;

fn handle(flags: GetattrFlags, fh: Fh) -> Option<Fh> {
    flags.contains(GetattrFlags::FH).then_some(fh)
}

pub(super) fn getattr(call: &Call<'_>, args: &GetattrIn) {
    call.answer(Opcode::GetAttr, |fs, _| {
        let fh = handle(args.getattr_flags, args.fh);
        fs.getattr(call.ino(), fh).map(|answer| attr_out(&answer))
    });
}

/// Everything is answered, whatever was asked for: it costs nothing more. Asked only by who wants to know the
/// birth time; refused, the kernel takes GETATTR for all of the mount, and leaves that time out.
pub(super) fn statx(call: &Call<'_>, args: &StatxIn) {
    if !call.context.fs.config().birth_time {
        return call.unsupported(Opcode::GetAttr);
    }
    call.answer(Opcode::GetAttr, |fs, _| {
        let fh = handle(args.getattr_flags, args.fh);
        fs.getattr(call.ino(), fh).map(|answer| statx_out(&answer))
    });
}

pub(super) fn setattr(call: &Call<'_>, args: &SetattrIn) {
    let changes = set_attr(args);
    call.answer(Opcode::SetAttr, |fs, caller| {
        fs.setattr(caller, call.ino(), &changes)
            .map(|answer| attr_out(&answer))
    });
}

pub(super) fn access(call: &Call<'_>, args: &AccessIn) {
    let mask = Access::from_bits_retain(args.mask);
    call.answer(Opcode::Access, |fs, caller| {
        fs.access(caller, call.ino(), mask)
    });
}

pub(super) fn statfs(call: &Call<'_>) {
    call.answer(Opcode::StatFs, |fs, _| {
        fs.statfs(call.ino()).map(|figures| statfs_out(&figures))
    });
}

pub(super) fn ioctl(call: &Call<'_>, args: &IoctlIn, data: &[u8]) {
    let outcome = call.run(Opcode::IoCtl, |fs, caller| {
        inode_ioctl(fs, caller, call.ino(), args.cmd, data)
    });
    match outcome {
        Ok(answer) => {
            let arguments = IoctlOut::default();
            let unique = call.unique();
            call.reply(&Reply::arguments_and_data(
                unique,
                &arguments,
                answer.as_ref(),
            ));
        }
        Err(error) => call.fail(error),
    }
}
