//! Operations on open files, except their data.

use std::ffi::OsStr;

use rustix::fs::OFlags;

use super::super::convert::{entry_out, open_out};
use super::super::wire::abi::{
    CreateIn, CreateOut, FlushIn, FsyncFlags, FsyncIn, OpenIn, ReleaseIn,
};
use super::call::Call;
use crate::filesystem::{DynamicFS, EntryAnswer, Opened};
use crate::stats::Opcode;
use crate::storage::{Caller, CreateMode, Result};

pub(super) fn open(call: &Call<'_>, args: &OpenIn) {
    let flags = OFlags::from_bits_retain(args.flags);
    call.answer(Opcode::Open, |fs, caller| {
        let mut opened = fs.open(caller, call.ino(), flags)?;
        let backing = call.register(call.ino(), &mut opened);
        Ok(open_out(&opened, backing))
    });
}

pub(super) fn create(call: &Call<'_>, args: &CreateIn, name: &OsStr) {
    created(call, args, |fs, caller, mode, flags| {
        fs.create(caller, call.ino(), name, mode, flags)
    });
}

pub(super) fn tmpfile(call: &Call<'_>, args: &CreateIn) {
    created(call, args, |fs, caller, mode, flags| {
        fs.tmpfile(caller, call.ino(), mode, flags)
    });
}

/// A file without a name counts as a CREATE, too.
fn created(
    call: &Call<'_>,
    args: &CreateIn,
    create: impl FnOnce(&DynamicFS, &Caller, CreateMode, OFlags) -> Result<(EntryAnswer, Opened)>,
) {
    let flags = OFlags::from_bits_retain(args.flags);
    let mode = CreateMode {
        mode: args.mode,
        umask: args.umask,
    };
    call.answer(Opcode::Create, |fs, caller| {
        let (answer, mut opened) = create(fs, caller, mode, flags)?;
        let entry = entry_out(answer);
        let backing = call.register(entry.nodeid, &mut opened);
        Ok(CreateOut {
            entry,
            open: open_out(&opened, backing),
        })
    });
}

pub(super) fn release(call: &Call<'_>, args: &ReleaseIn) {
    call.context.backing.release(call.ino());
    let flags = OFlags::from_bits_retain(args.flags);
    call.answer(Opcode::Release, |fs, _| {
        fs.release(call.ino(), args.fh, flags)
    });
}

pub(super) fn flush(call: &Call<'_>, args: &FlushIn) {
    call.answer(Opcode::Flush, |fs, _| {
        fs.flush(call.ino(), args.fh, args.lock_owner)
    });
}

pub(super) fn fsync(call: &Call<'_>, args: &FsyncIn) {
    let datasync = args.fsync_flags.contains(FsyncFlags::FDATASYNC);
    call.answer(Opcode::FSync, |fs, _| {
        fs.fsync(call.ino(), args.fh, datasync)
    });
}
