//! Operations on open directories.

use super::super::buffer::AnswerBuffer;
use super::super::convert::{entry_out, opendir_out};
use super::super::wire::abi::{EntryOut, FsyncFlags, FsyncIn, ReadIn, ReleaseIn};
use super::super::wire::{Listing, Reply};
use super::call::Call;
use crate::filesystem::DynamicFS;
use crate::stats::Opcode;
use crate::storage::{Caller, Errno, FileKind, Result};

pub(super) fn opendir(call: &Call<'_>) {
    call.answer(Opcode::OpenDir, |fs, caller| {
        let opened = fs.opendir(caller, call.ino())?;
        Ok(opendir_out(&opened))
    });
}

pub(super) fn readdir(call: &Call<'_>, args: &ReadIn, buffer: &mut AnswerBuffer) {
    list(
        call,
        Opcode::ReadDir,
        args,
        buffer,
        |fs, caller, listing| {
            let (ino, fh, offset) = (call.ino(), args.fh, args.offset);
            fs.readdir(caller, ino, fh, offset, &mut |dirent, kind| {
                listing.push(dirent, kind)
            })
        },
    );
}

pub(super) fn readdirplus(call: &Call<'_>, args: &ReadIn, buffer: &mut AnswerBuffer) {
    let op = Opcode::ReadDirPlus;
    list(call, op, args, buffer, |fs, caller, listing| {
        let (ino, fh, offset) = (call.ino(), args.fh, args.offset);
        // Node 0: the kernel takes the name alone, and counts no lookup.
        let unknown = EntryOut::default();
        if fs.names_suffice(ino, offset) {
            return fs.readdir(caller, ino, fh, offset, &mut |dirent, kind| {
                listing.push_plus(dirent, kind, &unknown)
            });
        }
        fs.readdirplus(caller, ino, fh, offset, &mut |plus| {
            let kind = match plus.entry {
                Some(crate::filesystem::EntryAnswer::Found { attr, .. }) => attr.kind,
                // `.` and `..`.
                _ => FileKind::Directory,
            };
            let found = plus.entry.map_or(unknown, entry_out);
            listing.push_plus(plus.dirent, kind, &found)
        })
    });
}

fn list(
    call: &Call<'_>,
    op: Opcode,
    args: &ReadIn,
    buffer: &mut AnswerBuffer,
    fill: impl FnOnce(&DynamicFS, &Caller, &mut Listing<'_>) -> Result<()>,
) {
    let Ok(room) = buffer.room(args.size as usize) else {
        return call.fail(Errno::NOMEM);
    };
    let mut listing = Listing::new(room);
    match call.run(op, |fs, caller| fill(fs, caller, &mut listing)) {
        Ok(()) => call.reply(&Reply::data(call.unique(), listing.bytes())),
        Err(error) => call.fail(error),
    }
}

pub(super) fn releasedir(call: &Call<'_>, args: &ReleaseIn) {
    call.answer(Opcode::ReleaseDir, |fs, _| {
        fs.releasedir(call.ino(), args.fh)
    });
}

pub(super) fn fsyncdir(call: &Call<'_>, args: &FsyncIn) {
    let datasync = args.fsync_flags.contains(FsyncFlags::FDATASYNC);
    call.answer(Opcode::FSyncDir, |fs, _| {
        fs.fsyncdir(call.ino(), args.fh, datasync)
    });
}
