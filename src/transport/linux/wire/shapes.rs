//! The shapes of messages, told a second time and independently of the decoder: for whoever plays the kernel
//! in a test.

use super::abi::Opcode;
use super::request::Dialect;

/// Bytes of `struct fuse_in_header`.
pub(in super::super) const HEADER: usize = 40;

/// A piece of a request after its header.
#[derive(Debug, Clone, Copy)]
pub(in super::super) enum Piece {
    /// A structure of so many bytes.
    Struct(usize),
    /// A name in a directory and its NUL.
    Name,
    /// Any string and its NUL.
    Text,
    /// Data whose length is the number of 32 bits at this offset after the header.
    Data(usize),
    /// Records of 16 bytes, as many as the number of 32 bits at this offset after the header.
    Records(usize),
}

/// What follows the header: `fs/fuse/*.c` of the kernel, what is put into `in_args` of each operation.
pub(in super::super) fn shape(opcode: Opcode, dialect: Dialect) -> &'static [Piece] {
    use Piece::{Data, Name, Records, Struct, Text};
    match opcode {
        Opcode::Readlink | Opcode::Statfs | Opcode::Destroy => &[],
        Opcode::Lookup | Opcode::Unlink | Opcode::Rmdir => &[Name],
        Opcode::Removexattr => &[Text],
        Opcode::Symlink => &[Name, Text],
        Opcode::Forget | Opcode::Interrupt | Opcode::Syncfs => &[Struct(8)],
        Opcode::Open | Opcode::Opendir | Opcode::Access | Opcode::Listxattr => &[Struct(8)],
        Opcode::Getattr | Opcode::Fsync | Opcode::Fsyncdir | Opcode::Bmap => &[Struct(16)],
        Opcode::Statx | Opcode::Release | Opcode::Releasedir | Opcode::Flush => &[Struct(24)],
        Opcode::Poll | Opcode::Lseek => &[Struct(24)],
        Opcode::Fallocate => &[Struct(32)],
        Opcode::Read | Opcode::Readdir | Opcode::Readdirplus => &[Struct(40)],
        Opcode::Getlk | Opcode::Setlk | Opcode::Setlkw => &[Struct(48)],
        Opcode::CopyFileRange | Opcode::CopyFileRange64 => &[Struct(56)],
        Opcode::Init => &[Struct(64)],
        Opcode::Setattr => &[Struct(88)],
        Opcode::Mknod | Opcode::Create => &[Struct(16), Name],
        Opcode::Tmpfile => &[Struct(16), Text],
        Opcode::Mkdir | Opcode::Link => &[Struct(8), Name],
        Opcode::Getxattr => &[Struct(8), Text],
        Opcode::Rename => &[Struct(8), Name, Name],
        Opcode::Rename2 => &[Struct(16), Name, Name],
        Opcode::Write | Opcode::NotifyReply => &[Struct(40), Data(16)],
        Opcode::Setxattr if dialect.setxattr_ext => &[Struct(16), Text, Data(0)],
        Opcode::Setxattr => &[Struct(8), Text, Data(0)],
        Opcode::Ioctl => &[Struct(32), Data(24)],
        Opcode::BatchForget => &[Struct(8), Records(0)],
        Opcode::Setupmapping | Opcode::Removemapping | Opcode::CuseInit => &[],
    }
}

/// Writes the length of a message into its header.
pub(in super::super) fn set_len(message: &mut [u8]) {
    let len = message.len() as u32;
    message[..4].copy_from_slice(&len.to_ne_bytes());
}

/// A message of the shape of `opcode`, its numbers from `noise`.
pub(in super::super) fn message(
    opcode: Opcode,
    dialect: Dialect,
    noise: &[u8],
    (name, text, data): (&[u8], &[u8], &[u8]),
) -> Vec<u8> {
    let noise = if noise.is_empty() { &[0] } else { noise };
    let mut noise = noise.iter().copied().cycle();
    let mut take = |len: usize| -> Vec<u8> { noise.by_ref().take(len).collect() };
    let mut message = take(HEADER);
    message[4..8].copy_from_slice(&(opcode as u32).to_ne_bytes());
    message[36..38].fill(0);
    for piece in shape(opcode, dialect) {
        let set = |message: &mut Vec<u8>, at: usize, number: usize| {
            let number = (number as u32).to_ne_bytes();
            message[HEADER + at..HEADER + at + 4].copy_from_slice(&number);
        };
        match *piece {
            Piece::Struct(len) => message.extend(take(len)),
            Piece::Name => message.extend([name, b"\0"].concat()),
            Piece::Text => message.extend([text, b"\0"].concat()),
            Piece::Data(at) => {
                set(&mut message, at, data.len());
                message.extend(data);
            }
            Piece::Records(at) => {
                let records = data.len() / 16;
                set(&mut message, at, records);
                // What is not a number of records is not told again when it is encoded.
                set(&mut message, at + 4, 0);
                message.extend(&data[..16 * records]);
            }
        }
    }
    set_len(&mut message);
    message
}

/// Where the arguments have the handle of an open file or directory.
pub(in super::super) fn handle_at(opcode: Opcode) -> Option<usize> {
    match opcode {
        Opcode::Getattr | Opcode::Statx | Opcode::Setattr => Some(8),
        Opcode::Read | Opcode::Readdir | Opcode::Readdirplus | Opcode::Write => Some(0),
        Opcode::Release | Opcode::Releasedir | Opcode::Flush => Some(0),
        Opcode::Fsync | Opcode::Fsyncdir | Opcode::Fallocate | Opcode::Lseek => Some(0),
        Opcode::Getlk | Opcode::Setlk | Opcode::Setlkw | Opcode::Poll => Some(0),
        Opcode::CopyFileRange | Opcode::CopyFileRange64 => Some(0),
        _ => None,
    }
}

/// What follows the header in a request that has the shape of its `operation`: its numbers from `noise`,
/// except the handle. `None` when the operation has no number of a request.
pub fn shaped_body(
    operation: u32,
    handle: u64,
    noise: &[u8],
    texts: (&[u8], &[u8], &[u8]),
) -> Option<Vec<u8>> {
    let opcode = Opcode::from_number(operation)?;
    let message = message(opcode, Dialect::default(), noise, texts);
    let mut body = message[HEADER..].to_vec();
    if let Some(at) = handle_at(opcode) {
        body[at..at + 8].copy_from_slice(&handle.to_ne_bytes());
    }
    Some(body)
}
