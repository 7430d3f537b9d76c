//! Messages as a kernel sends them.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::abi::Opcode;
use super::super::request::Dialect;

/// Bytes of `struct fuse_in_header`.
pub(in super::super::super) const HEADER: usize = 40;

/// A piece of a request after its header.
#[derive(Debug, Clone, Copy)]
pub(in super::super::super) enum Piece {
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
pub(in super::super::super) fn shape(opcode: Opcode, dialect: Dialect) -> &'static [Piece] {
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
pub(in super::super::super) fn set_len(message: &mut [u8]) {
    let len = message.len() as u32;
    message[..4].copy_from_slice(&len.to_ne_bytes());
}

/// Adds extensions to a message, and says so in its header.
pub(in super::super::super) fn extend(message: &mut Vec<u8>, extensions: &[u8]) {
    assert_eq!(extensions.len() % 8, 0);
    message.extend_from_slice(extensions);
    let units = (extensions.len() / 8) as u16;
    message[36..38].copy_from_slice(&units.to_ne_bytes());
    set_len(message);
}

/// A message of the shape of `opcode`, its numbers from `noise`.
pub(in super::super::super) fn message(
    opcode: Opcode,
    dialect: Dialect,
    noise: &[u8],
    (name, text, data): (&[u8], &[u8], &[u8]),
) -> Vec<u8> {
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

/// All operations that are decoded.
pub(in super::super::super) fn served() -> Vec<Opcode> {
    let all = Opcode::ALL.iter().copied();
    all.filter(|opcode| {
        !matches!(
            opcode,
            Opcode::Setupmapping | Opcode::Removemapping | Opcode::CuseInit
        )
    })
    .collect()
}

pub(in super::super::super) const DIALECTS: [Dialect; 2] = [
    Dialect {
        setxattr_ext: false,
    },
    Dialect { setxattr_ext: true },
];

/// A message of every operation, always the same.
pub(in super::super::super) fn samples() -> impl Iterator<Item = (Opcode, Dialect, Vec<u8>)> {
    let noise: Vec<u8> = (1..=251).collect();
    DIALECTS.into_iter().flat_map(move |dialect| {
        let noise = noise.clone();
        served().into_iter().map(move |opcode| {
            let texts: (&[u8], &[u8], &[u8]) = (b"name", b"user.any/text", &[7; 48]);
            (opcode, dialect, message(opcode, dialect, &noise, texts))
        })
    })
}

/// Any message that a kernel could send.
pub(in super::super::super) fn any_message() -> impl Strategy<Value = (Dialect, Vec<u8>)> {
    let name = vec(
        any::<u8>().prop_filter("of a name", |b| ![0, b'/'].contains(b)),
        1..40,
    );
    let text = vec(1..=u8::MAX, 0..40);
    (
        select(served()),
        any::<bool>(),
        vec(any::<u8>(), 1..200),
        (name, text, vec(any::<u8>(), 0..200)),
    )
        .prop_map(|(opcode, setxattr_ext, noise, (name, text, data))| {
            let dialect = Dialect { setxattr_ext };
            let message = message(opcode, dialect, &noise, (&name, &text, &data));
            (dialect, message)
        })
}
