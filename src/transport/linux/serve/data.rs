//! Operations on the contents of open files.

use super::super::buffer::AnswerBuffer;
use super::super::wire::Reply;
use super::super::wire::abi::{
    self, CopyFileRangeIn, CopyFileRangeOut, FallocateIn, LseekIn, LseekOut, ReadIn, WriteIn,
    WriteOut,
};
use super::call::Call;
use crate::platform::FallocateFlags;
use crate::stats::Opcode;
use crate::storage::{Errno, Result, SeekTo, WriteFlags};

pub(super) fn read(call: &Call<'_>, args: &ReadIn, buffer: &mut AnswerBuffer) {
    let Ok(room) = buffer.room(args.size as usize) else {
        return call.fail(Errno::NOMEM);
    };
    let outcome = call.run(Opcode::Read, |fs, _| {
        fs.read(call.ino(), args.fh, args.offset, room)
    });
    match outcome {
        Ok(n) => {
            call.context.fs.statistics().bytes_read(n as u64);
            call.reply(&Reply::data(call.unique(), &room[..n]));
        }
        Err(error) => call.fail(error),
    }
}

/// That set-id bits go, where the kernel asks for it, is what a storage does anyway, as the caller
/// ([`FilesystemInterface::write`](crate::storage::FilesystemInterface::write)).
pub(super) fn write(call: &Call<'_>, args: &WriteIn, data: &[u8]) {
    let flags = WriteFlags {
        from_page_cache: args.write_flags.contains(abi::WriteFlags::CACHE),
    };
    call.answer(Opcode::Write, |fs, caller| {
        let n = fs.write(caller, call.ino(), args.fh, args.offset, data, flags)?;
        fs.statistics().bytes_written(n as u64);
        Ok(WriteOut {
            size: n as u32,
            padding: 0,
        })
    });
}

pub(super) fn fallocate(call: &Call<'_>, args: &FallocateIn) {
    let mode = FallocateFlags::from_bits_retain(args.mode);
    call.answer(Opcode::Fallocate, |fs, caller| {
        fs.fallocate(caller, call.ino(), args.fh, mode, args.offset, args.length)
    });
}

pub(super) fn lseek(call: &Call<'_>, args: &LseekIn) {
    call.answer(Opcode::LSeek, |fs, _| {
        let to = match args.whence as i32 {
            libc::SEEK_DATA => SeekTo::Data,
            libc::SEEK_HOLE => SeekTo::Hole,
            _ => return Err(Errno::INVAL),
        };
        if i64::try_from(args.offset).is_err() {
            return Err(Errno::NXIO);
        }
        let offset = fs.lseek(call.ino(), args.fh, args.offset, to)?;
        Ok(LseekOut { offset })
    });
}

pub(super) fn copy_file_range(call: &Call<'_>, args: &CopyFileRangeIn) {
    call.answer(Opcode::CopyFileRange, |_, _| {
        // The answer has 32 bits, and the kernel asks for no more than they hold.
        let len = args.len.min(u64::from(u32::MAX));
        Ok(WriteOut {
            size: copy(call, args, len)? as u32,
            padding: 0,
        })
    });
}

pub(super) fn copy_file_range_64(call: &Call<'_>, args: &CopyFileRangeIn) {
    call.answer(Opcode::CopyFileRange, |_, _| {
        let bytes_copied = copy(call, args, args.len)? as u64;
        Ok(CopyFileRangeOut { bytes_copied })
    });
}

fn copy(call: &Call<'_>, args: &CopyFileRangeIn, len: u64) -> Result<usize> {
    call.context.fs.copy_file_range(
        &call.caller,
        call.ino(),
        args.fh_in,
        args.off_in,
        args.nodeid_out,
        args.fh_out,
        args.off_out,
        len,
    )
}
