//! Sessions whose other end is the test: what a kernel sends, what it should not, and the answers.

use std::io;
use std::sync::Arc;

use proptest::prelude::*;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::wire::abi::*;
use super::wire::messages;
use crate::config::{LockMode, OptimizedFUSEConfig, TransportChoice};
use crate::filesystem::DynamicFS;
use crate::platform::{F_UNLCK, F_WRLCK};
use crate::storage::{FilesystemInterface, Ino, MemoryStorage, ROOT_INO, StatFs};
use crate::transport::Wire;

/// Bytes of the header of a request.
const HEADER: usize = size_of::<InHeader>();

fn memory(config: OptimizedFUSEConfig) -> Arc<DynamicFS> {
    let storage = Box::new(MemoryStorage::with_capacity(1 << 20));
    Arc::new(DynamicFS::new_with_config(storage, config))
}

/// A session with a kernel that offers nothing.
fn session(fs: Arc<DynamicFS>) -> Wire {
    Wire::to(TransportChoice::Linux, fs).expect("a session")
}

fn default_session() -> Wire {
    session(memory(OptimizedFUSEConfig::balanced()))
}

/// Asks, and takes the answer for a `T`, which it begins with.
fn ask<T>(wire: &mut Wire, opcode: Opcode, node: Ino, body: &[&[u8]]) -> io::Result<T>
where
    T: FromBytes + KnownLayout + Immutable,
{
    let answer = wire.ask(opcode as u32, node, body)?;
    let (answer, _) = T::read_from_prefix(answer).expect("as long as the structure");
    Ok(answer)
}

fn errno<T: std::fmt::Debug>(answer: io::Result<T>) -> Option<i32> {
    answer.expect_err("an error").raw_os_error()
}

fn getattr(wire: &mut Wire, node: Ino) -> io::Result<AttrOut> {
    ask(
        wire,
        Opcode::Getattr,
        node,
        &[GetattrIn::default().as_bytes()],
    )
}

fn create(wire: &mut Wire, name: &str) -> CreateOut {
    let args = CreateIn {
        flags: libc::O_RDWR as u32,
        mode: libc::S_IFREG | 0o644,
        umask: 0o022,
        ..CreateIn::default()
    };
    let body: [&[u8]; 3] = [args.as_bytes(), name.as_bytes(), b"\0"];
    ask(wire, Opcode::Create, ROOT_INO, &body).expect("created")
}

fn offer(minor: u32, flags: u64) -> InitIn {
    InitIn {
        major: KERNEL_VERSION,
        minor,
        max_readahead: 1 << 17,
        flags: flags as u32,
        flags2: (flags >> 32) as u32,
        ..InitIn::default()
    }
}

/// The first answer of a new session to an INIT of these bytes.
fn handshake(config: OptimizedFUSEConfig, init: &[u8]) -> (Wire, io::Result<InitOut>) {
    let fs = memory(config);
    let mut wire = Wire::before_init(TransportChoice::Linux, fs).expect("a session");
    let answer = ask(&mut wire, Opcode::Init, 0, &[init]);
    (wire, answer)
}

#[test]
fn the_handshake_takes_nothing_that_was_not_offered_or_is_not_honoured() {
    let all = offer(KERNEL_MINOR_VERSION, u64::MAX);
    let (mut wire, answer) = handshake(OptimizedFUSEConfig::balanced(), all.as_bytes());
    let answer = answer.expect("an answer");
    let taken =
        InitFlags::from_bits_retain(u64::from(answer.flags) | u64::from(answer.flags2) << 32);
    let expected = InitFlags::INIT_EXT | InitFlags::PARALLEL_DIROPS | InitFlags::HAS_RESEND;
    assert!(taken.contains(expected));
    // The first three are not configured.
    let never = InitFlags::SECURITY_CTX
        | InitFlags::ALLOW_IDMAP
        | InitFlags::REQUEST_TIMEOUT
        | InitFlags::OVER_IO_URING
        | InitFlags::SUBMOUNTS
        | InitFlags::INIT_RESERVED
        | InitFlags::from_bits_retain(!0 << 43);
    assert!(!taken.intersects(never), "{:#x}", taken.bits());
    assert_eq!((answer.major, answer.minor), (7, KERNEL_MINOR_VERSION));
    assert!(answer.max_write >= 4096);
    getattr(&mut wire, ROOT_INO).expect("served");

    let nothing = offer(KERNEL_MINOR_VERSION, 0);
    let (_wire, answer) = handshake(OptimizedFUSEConfig::balanced(), nothing.as_bytes());
    let answer = answer.expect("an answer");
    assert_eq!((answer.flags, answer.flags2), (0, 0));
}

#[test]
fn an_old_kernel_is_answered_in_its_version_and_a_newer_one_in_ours() {
    for (minor, expected) in [(31, 31), (KERNEL_MINOR_VERSION + 1, KERNEL_MINOR_VERSION)] {
        let init = offer(minor, InitFlags::ASYNC_READ.bits());
        // Before 7.36 an INIT has four numbers.
        let sent = if minor < 36 { 16 } else { 64 };
        let init = &init.as_bytes()[..sent];
        let (mut wire, answer) = handshake(OptimizedFUSEConfig::balanced(), init);
        assert_eq!(answer.expect("an answer").minor, expected);
        getattr(&mut wire, ROOT_INO).expect("served");
    }
}

#[test]
fn a_kernel_that_speaks_another_language_is_told_so() {
    for (major, minor) in [(6, 40), (7, 8), (8, 0)] {
        let init = InitIn {
            major,
            minor,
            ..InitIn::default()
        };
        let (mut wire, answer) = handshake(OptimizedFUSEConfig::balanced(), init.as_bytes());
        assert_eq!(errno(answer), Some(libc::EPROTO), "{major}.{minor}");
        assert!(
            getattr(&mut wire, ROOT_INO).is_err(),
            "the session has ended"
        );
    }
}

#[test]
fn a_session_that_does_not_begin_with_init_ends() {
    let fs = memory(OptimizedFUSEConfig::balanced());
    let mut wire = Wire::before_init(TransportChoice::Linux, fs).expect("a session");
    assert!(getattr(&mut wire, ROOT_INO).is_err());
}

#[test]
fn a_name_is_looked_up_made_listed_and_forgotten() {
    let mut wire = default_session();
    let lookup = |wire: &mut Wire, name: &str| -> io::Result<EntryOut> {
        ask(wire, Opcode::Lookup, ROOT_INO, &[name.as_bytes(), b"\0"])
    };
    // Absence is cached for a while, and said with node 0.
    let absent = lookup(&mut wire, "file").expect("an answer");
    assert_eq!(absent.nodeid, 0);
    let made = create(&mut wire, "file");
    let found = lookup(&mut wire, "file").expect("it is there");
    assert_eq!(
        (found.nodeid, found.attr.mode),
        (made.entry.nodeid, 0o100_644)
    );

    let data = b"contents";
    let write = WriteIn {
        fh: made.open.fh,
        size: data.len() as u32,
        ..WriteIn::default()
    };
    let node = found.nodeid;
    let written: WriteOut =
        ask(&mut wire, Opcode::Write, node, &[write.as_bytes(), data]).expect("written");
    assert_eq!(written.size as usize, data.len());
    let read = ReadIn {
        fh: made.open.fh,
        size: 4096,
        ..ReadIn::default()
    };
    let answer = wire.ask(Opcode::Read as u32, node, &[read.as_bytes()]);
    assert_eq!(answer.expect("read"), data);

    let open = OpenIn::default();
    let open: OpenOut =
        ask(&mut wire, Opcode::Opendir, ROOT_INO, &[open.as_bytes()]).expect("opened");
    let read = ReadIn {
        fh: open.fh,
        ..read
    };
    let list = wire.ask(Opcode::Readdir as u32, ROOT_INO, &[read.as_bytes()]);
    let list = list.expect("a listing");
    assert!(list.windows(8).any(|name| name == b"file\0\0\0\0"));

    // Two lookups and no answer: the next one is that of the next request.
    let forget = ForgetIn { nlookup: 2 };
    wire.send(Opcode::Forget as u32, node, &[forget.as_bytes()])
        .expect("sent");
    getattr(&mut wire, ROOT_INO).expect("served");
}

#[test]
fn what_is_no_request_is_refused_and_the_session_goes_on() {
    let mut wire = default_session();
    for (opcode, _, message) in messages::samples() {
        // INIT may be as short as it likes. It came already.
        if opcode == Opcode::Init {
            continue;
        }
        for len in [HEADER, message.len() - 1, message.len() + 1] {
            let mut message = message.clone();
            message.resize(len, 0);
            messages::set_len(&mut message);
            if messages::shape(opcode, Default::default()).is_empty() && len <= HEADER {
                continue;
            }
            wire.send_bytes(&message).expect("sent");
            let unique = u64::from_ne_bytes(message[8..16].try_into().expect("8 bytes"));
            if opcode.wants_answer() {
                let (of, answer) = wire.receive_any().expect("an answer");
                let answer = answer.map(<[u8]>::to_vec);
                assert_eq!((of, errno(answer)), (unique, Some(libc::EIO)), "{opcode:?}");
            }
        }
    }
    // Not even a header: nobody to answer.
    for len in [1, 8, HEADER - 1] {
        wire.send_bytes(&vec![0; len]).expect("sent");
    }
    for number in [0, 48, 54, 4096, u32::MAX] {
        let answer = wire.ask(number, ROOT_INO, &[]).map(<[u8]>::to_vec);
        assert_eq!(errno(answer), Some(libc::ENOSYS), "operation {number}");
    }
    getattr(&mut wire, ROOT_INO).expect("served");
}

#[test]
fn a_message_that_does_not_fit_into_the_buffer_is_refused() {
    let mut config = OptimizedFUSEConfig::balanced();
    config.max_write_size = 4096;
    let mut wire = session(memory(config));
    let made = create(&mut wire, "file");
    let data = vec![1; 64 << 10];
    let write = WriteIn {
        fh: made.open.fh,
        size: data.len() as u32,
        ..WriteIn::default()
    };
    let node = made.entry.nodeid;
    let answer: io::Result<WriteOut> =
        ask(&mut wire, Opcode::Write, node, &[write.as_bytes(), &data]);
    assert_eq!(errno(answer), Some(libc::EIO));
    let attributes = getattr(&mut wire, node).expect("served");
    assert_eq!(attributes.attr.size, 0, "not even in part");
}

/// A request that brings a label.
fn labelled(opcode: Opcode, unique: u64, body: &[&[u8]], value: &[u8]) -> Vec<u8> {
    let context = Secctx {
        size: value.len() as u32,
        padding: 0,
    };
    let mut extension = [context.as_bytes(), b"security.selinux\0", value].concat();
    extension.resize(record_align(extension.len()), 0);
    let extension_header = ExtHeader {
        size: (size_of::<ExtHeader>() + extension.len()) as u32,
        kind: 1,
    };
    let body = body.concat();
    let header = InHeader {
        len: (HEADER + body.len()) as u32 + extension_header.size,
        opcode: opcode as u32,
        unique,
        nodeid: ROOT_INO,
        total_extlen: (extension_header.size / 8) as u16,
        ..InHeader::default()
    };
    [
        header.as_bytes(),
        &body,
        extension_header.as_bytes(),
        &extension,
    ]
    .concat()
}

#[test]
fn what_is_created_keeps_the_label_that_comes_with_it() {
    let mut config = OptimizedFUSEConfig::balanced();
    config.security_ctx = true;
    let init = offer(KERNEL_MINOR_VERSION, InitFlags::all().bits());
    let (mut wire, answer) = handshake(config, init.as_bytes());
    let taken = u64::from(answer.expect("an answer").flags2) << 32;
    assert!(InitFlags::from_bits_retain(taken).contains(InitFlags::SECURITY_CTX));
    let value = |wire: &mut Wire, node: Ino| {
        let args = GetxattrIn {
            size: 256,
            padding: 0,
        };
        let body: [&[u8]; 2] = [args.as_bytes(), b"security.selinux\0"];
        let answer = wire.ask(Opcode::Getxattr as u32, node, &body);
        answer.map(<[u8]>::to_vec)
    };
    let mkdir = MkdirIn {
        mode: 0o755,
        umask: 0,
    };
    let creation = CreateIn {
        mode: libc::S_IFREG | 0o644,
        ..CreateIn::default()
    };
    let makes: [(Opcode, &[u8]); 3] = [
        (Opcode::Mkdir, mkdir.as_bytes()),
        (Opcode::Create, creation.as_bytes()),
        (Opcode::Symlink, b"link\0"),
    ];
    for (number, (opcode, args)) in (1000..).zip(makes) {
        let label = format!("u:r:{opcode:?}\0");
        let name = format!("{number}\0");
        let body = [args, name.as_bytes()];
        wire.send_bytes(&labelled(opcode, number, &body, label.as_bytes()))
            .expect("sent");
        let (entry, _) = EntryOut::read_from_prefix(wire.receive().expect("made")).expect("one");
        let kept = value(&mut wire, entry.nodeid).expect("a label");
        assert_eq!(kept, label.as_bytes());
    }
    let plain = create(&mut wire, "plain");
    assert_eq!(
        errno(value(&mut wire, plain.entry.nodeid)),
        Some(libc::ENODATA)
    );
}

fn lock(made: &CreateOut, owner: u64, kind: i32) -> LkIn {
    LkIn {
        fh: made.open.fh,
        owner,
        lk: FileLock {
            start: 0,
            end: i64::MAX as u64,
            kind: kind as u32,
            pid: owner as u32,
        },
        ..LkIn::default()
    }
}

/// A session with locks, and a file on which owner 1 has one.
fn locked() -> (Wire, CreateOut) {
    let mut config = OptimizedFUSEConfig::balanced();
    config.lock_mode = LockMode::Daemon;
    let mut wire = session(memory(config));
    let made = create(&mut wire, "file");
    let first = lock(&made, 1, F_WRLCK);
    let answer = wire.ask(Opcode::Setlk as u32, made.entry.nodeid, &[first.as_bytes()]);
    answer.expect("locked");
    (wire, made)
}

#[test]
fn a_wait_for_a_lock_holds_nobody_up_and_ends_by_a_signal() {
    let (mut wire, made) = locked();
    let node = made.entry.nodeid;
    let second = lock(&made, 2, F_WRLCK);
    let answer = wire
        .ask(Opcode::Setlk as u32, node, &[second.as_bytes()])
        .map(<[u8]>::to_vec);
    assert_eq!(errno(answer), Some(libc::EAGAIN));
    wire.send(Opcode::Setlkw as u32, node, &[second.as_bytes()])
        .expect("sent");
    let waiting = wire.last();
    // Others are served meanwhile: theirs is the next answer.
    getattr(&mut wire, node).expect("served");
    let signal = InterruptIn { unique: waiting };
    wire.send(Opcode::Interrupt as u32, 0, &[signal.as_bytes()])
        .expect("sent");
    let (of, answer) = wire.receive_any().expect("an answer");
    let answer = answer.map(<[u8]>::to_vec);
    assert_eq!((of, errno(answer)), (waiting, Some(libc::EINTR)));
    // It does not have the lock.
    let unlock = lock(&made, 1, F_UNLCK);
    wire.ask(Opcode::Setlk as u32, node, &[unlock.as_bytes()])
        .expect("unlocked");
    let third = lock(&made, 3, F_WRLCK);
    wire.ask(Opcode::Setlk as u32, node, &[third.as_bytes()])
        .expect("locked");
}

#[test]
fn a_wait_for_a_lock_ends_when_it_is_released() {
    let (mut wire, made) = locked();
    let node = made.entry.nodeid;
    let second = lock(&made, 2, F_WRLCK);
    wire.send(Opcode::Setlkw as u32, node, &[second.as_bytes()])
        .expect("sent");
    let waiting = wire.last();
    let unlock = lock(&made, 1, F_UNLCK);
    wire.send(Opcode::Setlk as u32, node, &[unlock.as_bytes()])
        .expect("sent");
    let mut answered = [0; 2];
    for of in &mut answered {
        let (unique, answer) = wire.receive_any().expect("an answer");
        answer.expect("done");
        *of = unique;
    }
    answered.sort_unstable();
    assert_eq!(answered, [waiting, wire.last()]);
}

#[test]
fn a_signal_that_comes_before_its_request_ends_the_wait_too() {
    let (mut wire, made) = locked();
    let node = made.entry.nodeid;
    let signal = InterruptIn {
        unique: wire.last() + 2,
    };
    wire.send(Opcode::Interrupt as u32, 0, &[signal.as_bytes()])
        .expect("sent");
    let second = lock(&made, 2, F_WRLCK);
    let answer = wire
        .ask(Opcode::Setlkw as u32, node, &[second.as_bytes()])
        .map(<[u8]>::to_vec);
    assert_eq!(errno(answer), Some(libc::EINTR));
}

/// A storage with a bug.
struct Broken;

impl FilesystemInterface for Broken {
    fn statfs(&self, _: Ino) -> crate::storage::Result<StatFs> {
        panic!("a bug of the storage (this test expects it)");
    }
}

#[test]
fn a_panic_of_the_storage_costs_one_request() {
    let mut wire = session(Arc::new(DynamicFS::new(Box::new(Broken))));
    for _ in 0..3 {
        let answer: io::Result<StatfsOut> = ask(&mut wire, Opcode::Statfs, ROOT_INO, &[]);
        assert_eq!(errno(answer), Some(libc::EIO));
    }
    let answer = getattr(&mut wire, ROOT_INO);
    assert_eq!(errno(answer), Some(libc::ENOSYS), "what the storage says");
}

/// Makes any message one that may well meet something: node and handle are numbers that are soon given
/// out, and an answer fits through a socket.
fn aim(opcode: Opcode, message: &mut [u8], unique: u64) {
    let set = |message: &mut [u8], at: usize, number: u64| {
        message[at..at + 8].copy_from_slice(&number.to_ne_bytes());
    };
    set(message, 8, unique);
    let node = u64::from(message[16] % 6);
    set(message, 16, node);
    if let Some(at) = messages::handle_at(opcode) {
        let number = u64::from(message[HEADER + at] % 4);
        set(message, HEADER + at, number);
    }
    if matches!(opcode, Opcode::Read | Opcode::Readdir | Opcode::Readdirplus) {
        message[HEADER + 18..HEADER + 20].fill(0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_request_has_one_answer_whatever_it_asks(
        all in proptest::collection::vec(messages::any_message(), 1..60),
    ) {
        let mut wire = default_session();
        create(&mut wire, "file");
        for (number, (dialect, mut message)) in all.into_iter().enumerate() {
            let opcode = u32::from_ne_bytes(message[4..8].try_into().expect("4 bytes"));
            let opcode = Opcode::from_number(opcode).expect("a known one");
            // The session has the shorter one; a wait may be for ever.
            if opcode == Opcode::Setlkw || opcode == Opcode::Setxattr && dialect.setxattr_ext {
                continue;
            }
            aim(opcode, &mut message, number as u64);
            wire.send_bytes(&message).expect("sent");
            if opcode.wants_answer() {
                let (of, answer) = wire.receive_any().expect("an answer");
                let error = answer.err().and_then(|error| error.raw_os_error());
                prop_assert_eq!(of, number as u64, "{:?}: {:?}", opcode, error);
                // That is what a panic would be answered with.
                let broken = error == Some(libc::EIO) && opcode != Opcode::Init;
                prop_assert!(!broken, "{opcode:?}");
            }
        }
        getattr(&mut wire, ROOT_INO).expect("served");
    }
}
