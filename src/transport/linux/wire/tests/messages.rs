//! Messages as a kernel sends them.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::abi::Opcode;
use super::super::request::Dialect;
pub(in super::super::super) use super::super::shapes::*;

/// Adds extensions to a message, and says so in its header.
pub(in super::super::super) fn extend(message: &mut Vec<u8>, extensions: &[u8]) {
    assert_eq!(extensions.len() % 8, 0);
    message.extend_from_slice(extensions);
    let units = (extensions.len() / 8) as u16;
    message[36..38].copy_from_slice(&units.to_ne_bytes());
    set_len(message);
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
