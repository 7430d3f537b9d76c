//! Operations on the contents of open files.

use std::os::fd::AsFd;

use super::super::buffer::Buffers;
use super::super::splice::{self, Pipe};
use super::super::wire::Reply;
use super::super::wire::abi::{
    self, CopyFileRangeIn, CopyFileRangeOut, FallocateIn, LseekIn, LseekOut, ReadIn, WriteIn,
    WriteOut,
};
use super::call::Call;
use crate::filesystem::DynamicFS;
use crate::platform::FallocateFlags;
use crate::stats::Opcode;
use crate::storage::{Errno, Result, SeekTo, WriteFlags};

pub(super) fn read(call: &Call<'_>, args: &ReadIn, buffers: &mut Buffers) {
    let size = args.size as usize;
    let Ok(room) = buffers.answer.room(size) else {
        return call.fail(Errno::NOMEM);
    };
    let pipe = (call.context.splices && size >= splice::FROM).then_some(&mut buffers.pipe);
    match call.run(Opcode::Read, |fs, _| gather(call, fs, args, room, pipe)) {
        Ok(data) => {
            let statistics = call.context.fs.statistics();
            statistics.bytes_read(data.len() as u64);
            match data {
                Gathered::InRoom(n) => call.reply(&Reply::data(call.unique(), &room[..n])),
                Gathered::InPipe(n) => {
                    statistics.bytes_spliced(n as u64);
                    call.reply_spliced(&mut buffers.pipe, n);
                }
            }
        }
        Err(error) => call.fail(error),
    }
}

/// Where the data of a READ are, and how many bytes.
enum Gathered {
    InRoom(usize),
    InPipe(usize),
}

impl Gathered {
    fn len(&self) -> usize {
        match *self {
            Gathered::InRoom(n) | Gathered::InPipe(n) => n,
        }
    }
}

/// Into `pipe` where it can be, otherwise into `room`.
fn gather(
    call: &Call<'_>,
    fs: &DynamicFS,
    args: &ReadIn,
    room: &mut [u8],
    pipe: Option<&mut Pipe>,
) -> Result<Gathered> {
    let (ino, fh, offset) = (call.ino(), args.fh, args.offset);
    let spliced = pipe.and_then(|pipe| {
        let file = fs.file_to_read(ino, fh)?;
        let header = Reply::before_data(call.unique(), room.len());
        let filled = pipe.fill(&header.slices(), file.as_fd(), offset, room.len());
        // Whatever is wrong, reading says it better, or can do it.
        let n = filled.ok()?;
        fs.has_read(ino, fh, offset, n);
        if n == room.len() {
            return Some(Gathered::InPipe(n));
        }
        // The end of the file, which the header does not know.
        pipe.take_back(&mut room[..n]).ok()?;
        Some(Gathered::InRoom(n))
    });
    match spliced {
        Some(gathered) => Ok(gathered),
        None => fs.read(ino, fh, offset, room).map(Gathered::InRoom),
    }
}

pub(super) fn write(call: &Call<'_>, args: &WriteIn, data: &[u8]) {
    answer_write(call, |fs| copy_in(call, fs, args, data));
}

/// A WRITE whose data are in `pipe`; as many as `room` has bytes, which is for a copy of them.
pub(super) fn write_piped(call: &Call<'_>, args: &WriteIn, pipe: &mut Pipe, room: &mut [u8]) {
    answer_write(call, |fs| {
        let (caller, ino, flags) = (&call.caller, call.ino(), write_flags(args));
        let (fh, offset, len) = (args.fh, args.offset, room.len());
        let spliced = pipe.pour(|data| fs.write_from(caller, ino, fh, offset, data, len, flags));
        if let Ok(n) = spliced {
            fs.statistics().bytes_spliced(n as u64);
            return Ok(n);
        }
        // Nothing was written. Whatever is wrong, writing a copy says it better, or can do it.
        pipe.take_rest(room).map_err(|_| Errno::IO)?;
        copy_in(call, fs, args, room)
    });
}

/// Runs a WRITE, which says how many bytes it took.
fn answer_write(call: &Call<'_>, write: impl FnOnce(&DynamicFS) -> Result<usize>) {
    call.answer(Opcode::Write, |fs, _| {
        let n = write(fs)?;
        fs.statistics().bytes_written(n as u64);
        Ok(WriteOut {
            size: n as u32,
            padding: 0,
        })
    });
}

fn copy_in(call: &Call<'_>, fs: &DynamicFS, args: &WriteIn, data: &[u8]) -> Result<usize> {
    let (ino, flags) = (call.ino(), write_flags(args));
    fs.write(&call.caller, ino, args.fh, args.offset, data, flags)
}

fn write_flags(args: &WriteIn) -> WriteFlags {
    WriteFlags {
        from_page_cache: args.write_flags.contains(abi::WriteFlags::CACHE),
    }
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
