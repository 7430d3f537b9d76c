use std::ffi::OsStr;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::WRITE_HEAD;
use super::super::abi::*;
use super::super::encode::{Placed, check_decoder};
use super::super::error::Defect;
use super::super::extensions::SecurityContext;
use super::super::request::{Dialect, Operation, Request};
use super::messages::*;
use crate::storage::Errno;

/// The defect of a message that must have one.
fn defect(message: &[u8], dialect: Dialect) -> Defect {
    let message = Placed::new(message);
    let decoded = Request::decode(message.bytes(), dialect);
    decoded.expect_err("a defect").defect
}

/// A sample of `opcode`, in the newer dialect.
fn sample(opcode: Opcode) -> Vec<u8> {
    let mut samples = samples().filter(|(of, dialect, _)| (*of, *dialect) == (opcode, NEWER));
    samples.next().expect("a sample of each").2
}

const NEWER: Dialect = Dialect { setxattr_ext: true };

#[test]
fn every_message_comes_back_as_the_bytes_it_was() {
    for (opcode, dialect, message) in samples() {
        let placed = Placed::new(&message);
        let request = Request::decode(placed.bytes(), dialect).expect("a request");
        assert_eq!(request.header.opcode, opcode as u32);
        // Many operations have the same shape.
        let variant = format!("{:?}", request.operation);
        let name = variant.split([' ', '(']).next();
        assert_eq!(name, Some(&*format!("{opcode:?}")));
        assert_eq!(request.encode(dialect), message, "{opcode:?}");
    }
}

#[test]
fn a_write_is_told_by_its_head_and_nothing_else_is() {
    let head_of = |message: &[u8]| message.len().min(WRITE_HEAD);
    for (opcode, dialect, message) in samples() {
        let placed = Placed::new(&message);
        let (head, data) = placed.bytes().split_at(head_of(&message));
        let found = Request::decode_write(head, data.len());
        if opcode != Opcode::Write {
            assert_eq!(found, None, "{opcode:?}");
            continue;
        }
        let whole = Request::decode(placed.bytes(), dialect).expect("a request");
        let Operation::Write { args, .. } = whole.operation else {
            panic!("a write");
        };
        let operation = Operation::Write { args, data: &[] };
        assert_eq!(found, Some(Request { operation, ..whole }));
        for other in [0, data.len() - 1, data.len() + 1] {
            assert_eq!(Request::decode_write(head, other), None);
        }
        assert_eq!(
            Request::decode_write(&head[..WRITE_HEAD - 8], data.len() + 8),
            None
        );
    }
    let mut extended = sample(Opcode::Write);
    extend(&mut extended, &[0; 8]);
    let placed = Placed::new(&extended);
    let (head, data) = placed.bytes().split_at(WRITE_HEAD);
    assert_eq!(Request::decode_write(head, data.len()), None);
}

#[test]
fn every_truncation_of_every_message_is_an_error() {
    for (opcode, dialect, message) in samples() {
        for len in 0..message.len() {
            // Read in part: the header tells another length.
            let received = &message[..len];
            let error = defect(received, dialect);
            let expected = match len {
                ..HEADER => Defect::Short,
                received => Defect::Length { received },
            };
            assert_eq!(error, expected, "{opcode:?} of {len}");
            // Sent in part.
            if len >= HEADER && !(opcode == Opcode::Init && len >= HEADER + 8) {
                let mut sent = received.to_vec();
                set_len(&mut sent);
                assert_eq!(defect(&sent, dialect), Defect::Short, "{opcode:?} of {len}");
            }
        }
    }
}

#[test]
fn what_goes_on_too_long_is_an_error() {
    for (opcode, dialect, mut message) in samples() {
        if opcode == Opcode::Init {
            continue;
        }
        for _ in 0..17 {
            message.push(0);
            let received = message.len();
            assert_eq!(defect(&message, dialect), Defect::Length { received });
            set_len(&mut message);
            assert_eq!(defect(&message, dialect), Defect::Long, "{opcode:?}");
        }
    }
}

#[test]
fn the_kernel_is_told_what_it_can_understand() {
    let answer = |message: &[u8]| {
        let message = Placed::new(message);
        let decoded = Request::decode(message.bytes(), NEWER);
        decoded.expect_err("a defect").answer()
    };
    let mut unknown = sample(Opcode::Statfs);
    unknown[8..16].copy_from_slice(&5_u64.to_ne_bytes());
    for number in [0, 48, 49, 54, 4096, u32::MAX] {
        unknown[4..8].copy_from_slice(&number.to_ne_bytes());
        assert_eq!(answer(&unknown), Some((5, Errno::NOSYS)));
    }
    let mut short = sample(Opcode::Getattr);
    short.truncate(HEADER);
    set_len(&mut short);
    let unique = u64::from_ne_bytes(short[8..16].try_into().expect("8 bytes"));
    assert_eq!(answer(&short), Some((unique, Errno::IO)));
    // Nobody waits for an answer to these, or nobody knows for which.
    for opcode in [
        Opcode::Forget,
        Opcode::BatchForget,
        Opcode::Interrupt,
        Opcode::NotifyReply,
    ] {
        short[4..8].copy_from_slice(&(opcode as u32).to_ne_bytes());
        assert_eq!(answer(&short), None);
    }
    assert_eq!(answer(&short[..HEADER - 1]), None);
}

#[test]
fn a_message_in_the_wrong_place_is_an_error() {
    let message = sample(Opcode::Getattr);
    for shift in 1..8 {
        let placed = Placed::new(&[vec![0; shift], message.clone()].concat());
        let decoded = Request::decode(&placed.bytes()[shift..], NEWER);
        assert_eq!(decoded.expect_err("misplaced").defect, Defect::Misaligned);
    }
}

#[test]
fn a_name_that_leads_elsewhere_is_an_error() {
    let named = |opcode, name: &[u8]| message(opcode, NEWER, &[1], (name, name, b""));
    for opcode in [
        Opcode::Lookup,
        Opcode::Create,
        Opcode::Rename2,
        Opcode::Symlink,
    ] {
        for name in [&b""[..], b"/", b"a/b", b"../etc", b"a/"] {
            assert_eq!(
                defect(&named(opcode, name), NEWER),
                Defect::Name,
                "{opcode:?}"
            );
        }
        for name in [&b"."[..], b"..", b"\xff\xfe"] {
            let message = Placed::new(&named(opcode, name));
            assert!(Request::decode(message.bytes(), NEWER).is_ok());
        }
    }
    // The kernel names an unnamed file so.
    let message = Placed::new(&named(Opcode::Tmpfile, b"/"));
    assert!(Request::decode(message.bytes(), NEWER).is_ok());
}

#[test]
fn lengths_that_no_message_has_are_errors() {
    for (opcode, at) in [
        (Opcode::Write, 16),
        (Opcode::NotifyReply, 16),
        (Opcode::Ioctl, 24),
        (Opcode::Setxattr, 0),
        (Opcode::BatchForget, 0),
    ] {
        let right = sample(opcode);
        let at = HEADER + at;
        let number = u32::from_ne_bytes(right[at..at + 4].try_into().expect("4 bytes"));
        for (wrong, expected) in [
            (number + 1, Defect::Short),
            (u32::MAX, Defect::Short),
            (1 << 28, Defect::Short),
            (number - 1, Defect::Long),
            (0, Defect::Long),
        ] {
            let mut message = right.clone();
            message[at..at + 4].copy_from_slice(&wrong.to_ne_bytes());
            assert_eq!(defect(&message, NEWER), expected, "{opcode:?} {wrong}");
        }
    }
}

#[test]
fn an_init_may_have_any_length_from_two_versions_on() {
    let full = sample(Opcode::Init);
    for len in [8, 16, 20, 64, 72, 200] {
        let mut message = full.clone();
        message.resize(HEADER + len, 0xff);
        set_len(&mut message);
        let placed = Placed::new(&message);
        let request = Request::decode(placed.bytes(), NEWER).expect("an INIT");
        let Operation::Init(args) = request.operation else {
            panic!("another operation");
        };
        let word = |at: usize| match message.get(HEADER + at..HEADER + at + 4) {
            Some(word) => u32::from_ne_bytes(word.try_into().expect("4 bytes")),
            None => 0,
        };
        let fields = [
            args.major,
            args.minor,
            args.max_readahead,
            args.flags,
            args.flags2,
        ];
        assert_eq!(fields, [0, 4, 8, 12, 16].map(word), "of {len}");
    }
}

/// Found by the fuzz target: the encoder, which only tests have, made such a message longer.
#[test]
fn an_init_with_extensions_comes_back_as_long_as_it_was() {
    let mut message = sample(Opcode::Init);
    message.truncate(HEADER + 24);
    extend(&mut message, &extensions()[48..]);
    check_decoder(&message, false);
}

#[test]
fn the_shorter_setxattr_has_no_flags_of_its_own() {
    let texts: (&[u8], &[u8], &[u8]) = (b"", b"user.x", b"value");
    for dialect in DIALECTS {
        let message = Placed::new(&message(Opcode::Setxattr, dialect, &[9], texts));
        let request = Request::decode(message.bytes(), dialect).expect("a request");
        let Operation::Setxattr { args, name, value } = request.operation else {
            panic!("another operation");
        };
        assert_eq!((name, value), (OsStr::new("user.x"), &b"value"[..]));
        assert_eq!((args.size, args.flags), (5, 0x0909_0909));
        let flags = if dialect.setxattr_ext { 0x0909_0909 } else { 0 };
        assert_eq!(args.setxattr_flags.bits(), flags);
    }
}

/// One security context and one group, as `fs/fuse/dir.c` writes them.
fn extensions() -> Vec<u8> {
    let numbers = |numbers: &[u32]| numbers.iter().flat_map(|n| n.to_ne_bytes()).collect();
    let parts: [Vec<u8>; 4] = [
        // 8 + 8 + 8 + 6, up to a multiple of 8.
        numbers(&[32, 1, 6, 0]),
        b"selinux\0label\0\0\0".to_vec(),
        numbers(&[16, EXT_GROUPS, 1, 1234]),
        // Of a kind that is not known.
        numbers(&[16, 77, 0, 0]),
    ];
    parts.concat()
}

#[test]
fn creations_bring_a_security_context_and_a_group() {
    for (opcode, name) in [
        (Opcode::Mknod, "a"),
        (Opcode::Mkdir, "of some length"),
        (Opcode::Symlink, "x"),
        (Opcode::Create, "yz"),
        (Opcode::Tmpfile, "t"),
    ] {
        let texts: (&[u8], &[u8], &[u8]) = (name.as_bytes(), b"target", b"");
        let mut message = message(opcode, NEWER, &[3], texts);
        extend(&mut message, &extensions());
        let placed = Placed::new(&message);
        let request = Request::decode(placed.bytes(), NEWER).expect("a request");
        let contexts: Vec<_> = request.extensions.security_contexts().collect();
        let expected = SecurityContext {
            name: OsStr::new("selinux"),
            value: b"label\0",
        };
        assert_eq!(contexts, [expected], "{opcode:?}");
        assert_eq!(request.extensions.groups().collect::<Vec<_>>(), [1234]);
        assert_eq!(request.encode(NEWER), message, "{opcode:?}");
    }
}

#[test]
fn broken_extensions_are_errors() {
    let wrong = [
        // The length of the first: odd, too short, too long, less than its header, none.
        (0, [31, 24, 40, 7, 0].as_slice()),
        // How many contexts: none for what follows, more than follow.
        (1, &[0, 2, 31]),
        // How long the context is.
        (2, &[0, 9, u32::MAX]),
        // The length of the second, and how many groups it has.
        (8, &[8, 24, 32, 12, 3, u32::MAX]),
        (10, &[2, 1 << 30, u32::MAX]),
        // The length of the one that is not known.
        (12, &[24, 4, 0, u32::MAX]),
    ];
    for (number, values) in wrong {
        for value in values {
            let mut message = sample(Opcode::Mkdir);
            let mut extensions = extensions();
            extensions[4 * number..4 * number + 4].copy_from_slice(&value.to_ne_bytes());
            extend(&mut message, &extensions);
            let defect = defect(&message, NEWER);
            assert_eq!(defect, Defect::Extensions, "number {number}: {value}");
        }
    }
    // Two whose lengths are right together, but neither alone.
    let mut message = sample(Opcode::Mkdir);
    let odd: Vec<u8> = [12, 77, 0_u32]
        .iter()
        .flat_map(|n| n.to_ne_bytes())
        .collect();
    extend(&mut message, &[odd.clone(), odd].concat());
    assert_eq!(defect(&message, NEWER), Defect::Extensions);
    // More of them than there is message.
    let mut message = sample(Opcode::Mkdir);
    message[36..38].copy_from_slice(&u16::MAX.to_ne_bytes());
    assert_eq!(defect(&message, NEWER), Defect::Short);
}

proptest! {
    #[test]
    fn whatever_a_kernel_can_send_comes_back_as_the_bytes_it_was(
        (dialect, message) in any_message(),
    ) {
        let placed = Placed::new(&message);
        let request = Request::decode(placed.bytes(), dialect);
        prop_assert_eq!(request.expect("a request").encode(dialect), message);
    }

    #[test]
    fn arbitrary_bytes_are_no_panic(
        bytes in vec(any::<u8>(), 0..300),
        setxattr_ext: bool,
    ) {
        check_decoder(&bytes, setxattr_ext);
    }

    #[test]
    fn messages_with_wrong_bytes_are_no_panic(
        (dialect, mut message) in any_message(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        tell in any::<bool>(),
    ) {
        for (at, byte) in changes {
            let at = at.index(message.len());
            message[at] = byte;
        }
        if cut.index(3) == 0 {
            message.truncate(cut.index(message.len()));
        }
        if tell && message.len() >= HEADER {
            set_len(&mut message);
        }
        check_decoder(&message, dialect.setxattr_ext);
    }

    #[test]
    fn arbitrary_extensions_are_no_panic(
        words in vec(prop_oneof![0..40_u32, any::<u32>()], 0..40),
    ) {
        let mut message = sample(Opcode::Create);
        let words = &words[..words.len() / 2 * 2];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        extend(&mut message, &bytes);
        check_decoder(&message, NEWER.setxattr_ext);
    }
}
