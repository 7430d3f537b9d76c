use std::ffi::OsStr;
use std::io::IoSlice;
use std::os::unix::ffi::OsStrExt;

use proptest::collection::vec;
use proptest::prelude::*;
use zerocopy::FromBytes;

use super::super::abi::*;
use super::super::{Listing, Notification, Reply};
use crate::storage::{DirEntry, DirSink, Errno, FileKind};

/// A message as the device sees it: its header and the rest.
fn sent(slices: &[IoSlice<'_>]) -> (OutHeader, Vec<u8>) {
    let bytes: Vec<u8> = slices
        .iter()
        .flat_map(|slice| slice.iter().copied())
        .collect();
    let (header, rest) = OutHeader::read_from_prefix(&bytes).expect("a header");
    assert_eq!(header.len as usize, bytes.len());
    (header, rest.to_vec())
}

#[test]
fn answers_have_a_header_and_what_follows_it() {
    let (header, rest) = sent(&Reply::empty(7).slices());
    assert_eq!((header.error, header.unique, rest.len()), (0, 7, 0));
    let written = WriteOut {
        size: 5,
        padding: 0,
    };
    let (_, rest) = sent(&Reply::arguments(7, &written).slices());
    assert_eq!(rest, [5_u32.to_ne_bytes(), [0; 4]].concat());
    assert_eq!(sent(&Reply::data(7, b"data").slices()).1, b"data");
    let polled = PollOut::default();
    let (_, rest) = sent(&Reply::arguments_and_data(7, &polled, b"data").slices());
    assert_eq!(rest, b"\0\0\0\0\0\0\0\0data");
}

#[test]
fn errors_are_those_that_the_device_takes() {
    let error = |errno| {
        let (header, rest) = sent(&Reply::error(9, errno).slices());
        assert_eq!((header.unique, rest.len()), (9, 0));
        header.error
    };
    assert_eq!(error(Errno::NOENT), -libc::ENOENT);
    assert_eq!(error(Errno::from_raw_os_error(511)), -511);
    // ERESTARTSYS, ENOTSUPP: of the inside of a kernel.
    for internal in [512, 524, 4095] {
        assert_eq!(error(Errno::from_raw_os_error(internal)), -libc::EIO);
    }
}

/// What a kernel would read.
fn expected(fixed: &[u64], text: &[u8]) -> Vec<u8> {
    let numbers = fixed.iter().flat_map(|number| number.to_ne_bytes());
    numbers.chain(text.iter().copied()).collect()
}

#[test]
fn notifications_are_what_the_kernel_reads() {
    let (name, low) = (OsStr::new("name"), u64::from_ne_bytes);
    let pair = |a: u32, b: u32| {
        let (a, b) = (a.to_ne_bytes(), b.to_ne_bytes());
        low([a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]])
    };
    let cases: [(Notification<'_>, i32, Vec<u8>); 11] = [
        (Notification::poll_wakeup(4), 1, expected(&[4], b"")),
        (
            Notification::inval_inode(4, -1, 0),
            2,
            expected(&[4, u64::MAX, 0], b""),
        ),
        (
            Notification::inval_entry(4, name),
            3,
            expected(&[4, pair(4, 0)], b"name\0"),
        ),
        (
            Notification::expire_entry(4, name),
            3,
            expected(&[4, pair(4, 1)], b"name\0"),
        ),
        (
            Notification::store(4, 5, b"data"),
            4,
            expected(&[4, 5, pair(4, 0)], b"data"),
        ),
        (
            Notification::retrieve(1, 4, 5, 6),
            5,
            expected(&[1, 4, 5, pair(6, 0)], b""),
        ),
        (
            Notification::delete(4, 8, name),
            6,
            expected(&[4, 8, pair(4, 0)], b"name\0"),
        ),
        (Notification::resend(), 7, expected(&[], b"")),
        (Notification::inc_epoch(), 8, expected(&[], b"")),
        (
            Notification::prune(&[4, 5]),
            9,
            expected(&[pair(2, 0), 0, 4, 5], b""),
        ),
        (Notification::prune(&[]), 9, expected(&[0, 0], b"")),
    ];
    for (notification, code, body) in cases {
        let (header, rest) = sent(&notification.slices());
        assert_eq!((header.error, header.unique), (code, 0));
        assert_eq!(rest, body, "code {code}");
    }
}

const KINDS: [(FileKind, u8); 7] = [
    (FileKind::RegularFile, libc::DT_REG),
    (FileKind::Directory, libc::DT_DIR),
    (FileKind::Symlink, libc::DT_LNK),
    (FileKind::NamedPipe, libc::DT_FIFO),
    (FileKind::CharDevice, libc::DT_CHR),
    (FileKind::BlockDevice, libc::DT_BLK),
    (FileKind::Socket, libc::DT_SOCK),
];

/// A record of a listing: node and number where it has attributes, then number, cookie, kind, name.
#[derive(Debug, PartialEq)]
struct Record {
    node: Option<u64>,
    ino: u64,
    off: u64,
    kind: u32,
    name: Vec<u8>,
}

/// Reads a listing as `fs/fuse/readdir.c` does.
fn records(mut bytes: &[u8], plus: bool) -> Vec<Record> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let (node, dirent, fixed) = if plus {
            let (record, _) = Direntplus::read_from_prefix(bytes).expect("a whole record");
            (Some(record.entry.nodeid), record.dirent, 152)
        } else {
            let (record, _) = Dirent::read_from_prefix(bytes).expect("a whole record");
            (None, record, 24)
        };
        let end = fixed + dirent.namelen as usize;
        let (record, rest) = bytes.split_at(end.next_multiple_of(8));
        assert!(record[end..].iter().all(|&byte| byte == 0), "old bytes");
        records.push(Record {
            node,
            ino: dirent.ino,
            off: dirent.off,
            kind: dirent.kind,
            name: record[fixed..end].to_vec(),
        });
        bytes = rest;
    }
    records
}

type Name = (Vec<u8>, usize, u64);

fn dirent(index: usize, name: &[u8]) -> DirEntry<'_> {
    DirEntry {
        ino: 100 + index as u64,
        offset: index as u64 + 1,
        kind: None,
        name: OsStr::from_bytes(name),
    }
}

proptest! {
    #[test]
    fn a_listing_has_every_entry_that_fits_and_no_other(
        names in vec((vec(1..=u8::MAX, 1..60), 0..7_usize, 0..3_u64), 0..20),
        room in 0..4000_usize,
        plus: bool,
    ) {
        let mut buffer = vec![0xee; room];
        let mut listing = Listing::new(&mut buffer);
        let taken = names.iter().enumerate().take_while(|(index, (name, kind, node))| {
            let (entry, kind) = (dirent(*index, name), KINDS[*kind].0);
            let sink = if plus {
                let attr = Attr { ino: 200 + *index as u64, ..Attr::default() };
                let found = EntryOut { nodeid: *node, attr, ..EntryOut::default() };
                listing.push_plus(&entry, kind, &found)
            } else {
                listing.push(&entry, kind)
            };
            sink == DirSink::Taken
        }).count();
        let expected: Vec<Record> = names[..taken].iter().enumerate().map(
            |(index, (name, kind, node)): (usize, &Name)| Record {
                node: plus.then_some(*node),
                ino: if plus && *node != 0 { 200 } else { 100 } + index as u64,
                off: index as u64 + 1,
                kind: KINDS[*kind].1.into(),
                name: name.clone(),
            },
        ).collect();
        let bytes = listing.bytes();
        prop_assert_eq!(records(bytes, plus), expected);
        // The next one would not have fitted.
        if let Some((name, _, _)) = names.get(taken) {
            let fixed = if plus { 152 } else { 24 };
            prop_assert!(bytes.len() + (fixed + name.len()).next_multiple_of(8) > room);
        }
    }
}
