//! Operations on names.

use std::ffi::OsStr;
use std::path::Path;

use std::os::unix::ffi::OsStringExt;

use super::super::convert::entry_out;
use super::super::wire::abi::{ForgetIn, ForgetOne, LinkIn, MkdirIn, MknodIn};
use super::call::Call;
use crate::platform::RenameFlags;
use crate::stats::Opcode;
use crate::storage::{CreateMode, Ino};

pub(super) fn lookup(call: &Call<'_>, name: &OsStr) {
    call.answer(Opcode::Lookup, |fs, caller| {
        fs.lookup(caller, call.ino(), name).map(entry_out)
    });
}

pub(super) fn forget(call: &Call<'_>, args: &ForgetIn) {
    let nodeid = call.ino();
    forget_all(
        call,
        &[ForgetOne {
            nodeid,
            nlookup: args.nlookup,
        }],
    );
}

/// Nobody waits for an answer.
pub(super) fn forget_all(call: &Call<'_>, all: &[ForgetOne]) {
    let _ = call.run(Opcode::Forget, |fs, _| {
        for one in all {
            fs.forget(one.nodeid, one.nlookup);
        }
        Ok(())
    });
}

pub(super) fn readlink(call: &Call<'_>) {
    call.answer_data(Opcode::ReadLink, |fs, _| {
        let target = fs.readlink(call.ino())?;
        Ok(target.into_os_string().into_vec())
    });
}

pub(super) fn symlink(call: &Call<'_>, name: &OsStr, target: &OsStr) {
    call.answer(Opcode::SymLink, |fs, caller| {
        let target = Path::new(target);
        fs.symlink(caller, call.ino(), name, target).map(entry_out)
    });
}

pub(super) fn mknod(call: &Call<'_>, args: &MknodIn, name: &OsStr) {
    let mode = CreateMode {
        mode: args.mode,
        umask: args.umask,
    };
    call.answer(Opcode::MkNod, |fs, caller| {
        fs.mknod(caller, call.ino(), name, mode, args.rdev)
            .map(entry_out)
    });
}

pub(super) fn mkdir(call: &Call<'_>, args: &MkdirIn, name: &OsStr) {
    let mode = CreateMode {
        mode: args.mode,
        umask: args.umask,
    };
    call.answer(Opcode::MkDir, |fs, caller| {
        fs.mkdir(caller, call.ino(), name, mode).map(entry_out)
    });
}

pub(super) fn unlink(call: &Call<'_>, name: &OsStr) {
    call.answer(Opcode::Unlink, |fs, caller| {
        fs.unlink(caller, call.ino(), name)
    });
}

pub(super) fn rmdir(call: &Call<'_>, name: &OsStr) {
    call.answer(Opcode::RmDir, |fs, caller| {
        fs.rmdir(caller, call.ino(), name)
    });
}

pub(super) fn rename(call: &Call<'_>, name: &OsStr, to: (Ino, &OsStr), flags: u32) {
    let flags = RenameFlags::from_bits_retain(flags);
    call.answer(Opcode::Rename, |fs, caller| {
        fs.rename(caller, call.ino(), name, to.0, to.1, flags)
    });
}

pub(super) fn link(call: &Call<'_>, args: &LinkIn, name: &OsStr) {
    call.answer(Opcode::Link, |fs, caller| {
        fs.link(caller, args.oldnodeid, call.ino(), name)
            .map(entry_out)
    });
}
