//! Reading and writing.

use std::io::{IoSlice, IoSliceMut};

use rustix::fs::{SeekFrom, copy_file_range, ftruncate, seek};
use rustix::io::{ReadWriteFlags, preadv2, pwritev2, readv, writev};

use super::prelude::*;

pub(super) const CASES: &[Case] = &[
    case!(
        "data",
        append_two_descriptors_unaligned,
        "O_APPEND on two descriptors interleaves"
    ),
    case!(
        "data",
        append_two_processes,
        "O_APPEND from two processes loses no record"
    ),
    case!(
        "data",
        append_ignores_offset,
        "O_APPEND writes at the end whatever the offset"
    ),
    case!(
        "data",
        append_after_foreign_growth,
        "O_APPEND sees the end that another descriptor set"
    ),
    case!("data", write_8_mib_in_one_call, "a large write is complete"),
    case!(
        "data",
        odd_offsets_and_sizes,
        "reads of odd sizes at odd offsets"
    ),
    case!(
        "data",
        read_at_and_past_end,
        "reads at the end and past it return 0"
    ),
    case!(
        "data",
        zero_length,
        "writes and reads of nothing change nothing"
    ),
    case!("data", vectors, "readv and writev keep the order"),
    case!("data", rwf_flags, "preadv2 and pwritev2 with their flags"),
    case!(
        "data",
        seek_positions,
        "the file position under lseek, read and write"
    ),
    case!(
        "data",
        shared_position_after_fork,
        "parent and child share the file position"
    ),
    case!(
        "data",
        truncate_shrinks_and_zeroes,
        "bytes cut off read as zero after growing again"
    ),
    case!("data", truncate_path_grows, "truncate(2) grows with zeroes"),
    case!(
        "data",
        truncate_between_descriptors,
        "a truncation is seen by other descriptors"
    ),
    case!(
        "data",
        write_past_end_leaves_zeroes,
        "the gap before a write reads as zero"
    ),
    case!(
        "data",
        overwrite_middle,
        "an overwrite changes its range alone"
    ),
    case!(
        "data",
        copy_file_range_between_files,
        "copy_file_range copies exactly"
    ),
    case!(
        "data",
        copy_file_range_overlap,
        "copy_file_range within a file"
    ),
    case!(
        "data",
        sendfile_and_splice,
        "sendfile and splice move the right bytes"
    ),
    case!(
        "data",
        direct_aligned,
        "O_DIRECT writes and reads whole blocks"
    ),
    case!("data", direct_misaligned, "O_DIRECT with bad alignment"),
    case!(
        "data",
        direct_write_then_buffered_read,
        "a direct write is seen by cached reads"
    ),
    case!(
        "data",
        buffered_write_then_direct_read,
        "a cached write is seen by direct reads"
    ),
    case!(
        "data",
        concurrent_disjoint_writers,
        "four threads write interleaved blocks"
    ),
    case!(
        "data",
        readers_during_writes,
        "readers never see bytes of neither version"
    ),
    case!("data", large_sparse_offset, "data beyond 4 GiB"),
];

fn append(path: &str) -> Result<std::os::fd::OwnedFd, Errno> {
    open(path, OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND)
}

fn append_two_descriptors_unaligned(cx: &Cx) -> Checked {
    let (a, b) = (append("f")?, append("f")?);
    let mut expected = Vec::new();
    for i in 0..60 {
        let bytes = pattern(i, [1, 511, 4095, 4097, 3, 1000][i as usize % 6]);
        write_all(if i % 2 == 0 { &a } else { &b }, &bytes)?;
        expected.extend_from_slice(&bytes);
        same!(size_of("f")?, expected.len() as u64);
    }
    same!(hash(&read_all("f")?), hash(&expected));
    cx.observe("content", hash(&expected));
    Ok(())
}

fn append_two_processes(_: &Cx) -> Checked {
    const RECORD: usize = 97;
    let writer = |tag: u8| {
        move || {
            let fd = append("f")?;
            for _ in 0..500 {
                same!(rustix::io::write(&fd, &[tag; RECORD])?, RECORD);
            }
            Ok(())
        }
    };
    let (a, b) = (spawn(writer(b'a'))?, spawn(writer(b'b'))?);
    a.join()?;
    b.join()?;
    let bytes = read_all("f")?;
    same!(bytes.len(), 1000 * RECORD);
    let whole = |record: &[u8]| record.iter().all(|byte| *byte == record[0]);
    ensure!(bytes.chunks(RECORD).all(whole), "records are torn");
    same!(
        bytes.iter().filter(|byte| **byte == b'a').count(),
        500 * RECORD
    );
    Ok(())
}

fn append_ignores_offset(cx: &Cx) -> Checked {
    write_file("f", "0123456789")?;
    let fd = open("f", OFlags::RDWR | OFlags::APPEND)?;
    same!(seek(&fd, SeekFrom::Start(2))?, 2);
    write_all(&fd, b"AB")?;
    same!(seek(&fd, SeekFrom::Current(0))?, 12);
    same!(read_all("f")?, b"0123456789AB");
    // Linux appends here too, against POSIX (pwrite(2), BUGS).
    write_at(&fd, b"CD", 0)?;
    cx.observe("after pwrite", String::from_utf8_lossy(&read_all("f")?));
    Ok(())
}

fn append_after_foreign_growth(_: &Cx) -> Checked {
    let appender = append("f")?;
    let other = read_write("f")?;
    write_all(&appender, b"one")?;
    write_at(&other, b"two", 5)?;
    write_all(&appender, b"three")?;
    ftruncate(&other, 4)?;
    write_all(&appender, b"!")?;
    same!(read_all("f")?, b"one\0!");
    Ok(())
}

fn write_8_mib_in_one_call(_: &Cx) -> Checked {
    let bytes = pattern(9, 8 << 20);
    let fd = create("f")?;
    same!(rustix::io::write(&fd, &bytes)?, bytes.len());
    same!(size_of("f")?, bytes.len() as u64);
    same!(hash(&read_all("f")?), hash(&bytes));
    Ok(())
}

fn odd_offsets_and_sizes(_: &Cx) -> Checked {
    let bytes = pattern(2, 300_007);
    write_file("f", &bytes)?;
    let fd = read_only("f")?;
    for (offset, len) in [
        (0, 1),
        (1, 4095),
        (4095, 2),
        (4097, 65_537),
        (131_071, 131_074),
    ] {
        same!(
            hash(&read_at(&fd, len, offset as u64)?),
            hash(&bytes[offset..offset + len])
        );
    }
    same!(read_at(&fd, 100, 300_000)?, bytes[300_000..]);
    Ok(())
}

fn read_at_and_past_end(_: &Cx) -> Checked {
    write_file("f", "abc")?;
    let fd = read_only("f")?;
    same!(read_at(&fd, 10, 3)?, b"");
    same!(read_at(&fd, 10, 4096)?, b"");
    same!(read_at(&fd, 10, 1 << 40)?, b"");
    same!(read_at(&fd, 10, 2)?, b"c");
    Ok(())
}

fn zero_length(cx: &Cx) -> Checked {
    write_file("f", "abc")?;
    age("f")?;
    let fd = read_write("f")?;
    same!(rustix::io::write(&fd, b"")?, 0);
    same!(rustix::io::pwrite(&fd, b"", 1000)?, 0);
    same!(rustix::io::read(&fd, &mut [0_u8; 0])?, 0);
    same!(size_of("f")?, 3);
    cx.observe("mtime kept", lstat("f")?.st_mtime == LONG_AGO);
    Ok(())
}

fn vectors(_: &Cx) -> Checked {
    let fd = create("f")?;
    let (a, b, c) = (pattern(1, 1000), pattern(2, 1), pattern(3, 7777));
    let n = writev(&fd, &[IoSlice::new(&a), IoSlice::new(&b), IoSlice::new(&c)])?;
    same!(n, 8778);
    seek(&fd, SeekFrom::Start(0))?;
    let (mut x, mut y) = (vec![0; 1001], vec![0; 7777]);
    same!(
        readv(&fd, &mut [IoSliceMut::new(&mut x), IoSliceMut::new(&mut y)])?,
        8778
    );
    same!(x, [a, b].concat());
    same!(y, c);
    Ok(())
}

fn rwf_flags(cx: &Cx) -> Checked {
    let fd = create("f")?;
    let all = [
        ("none", ReadWriteFlags::empty()),
        ("dsync", ReadWriteFlags::DSYNC),
        ("sync", ReadWriteFlags::SYNC),
        ("append", ReadWriteFlags::APPEND),
    ];
    for (name, flags) in all {
        cx.observe_code(name, &pwritev2(&fd, &[IoSlice::new(b"abcd")], 0, flags));
        cx.observe(format!("{name} size"), size_of("f")?);
    }
    let mut buffer = [0; 4];
    let high = preadv2(
        &fd,
        &mut [IoSliceMut::new(&mut buffer)],
        0,
        ReadWriteFlags::HIPRI,
    );
    cx.observe_code("hipri", &high);
    same!(
        preadv2(
            &fd,
            &mut [IoSliceMut::new(&mut buffer)],
            4,
            ReadWriteFlags::empty()
        )?,
        4
    );
    same!(buffer, *b"abcd");
    Ok(())
}

fn seek_positions(_: &Cx) -> Checked {
    write_file("f", "0123456789")?;
    let fd = read_write("f")?;
    same!(seek(&fd, SeekFrom::End(-3))?, 7);
    let mut two = [0; 2];
    same!(rustix::io::read(&fd, &mut two)?, 2);
    same!(two, *b"78");
    same!(seek(&fd, SeekFrom::Current(0))?, 9);
    same!(code(&seek(&fd, SeekFrom::Current(-10))), "EINVAL");
    same!(seek(&fd, SeekFrom::End(5))?, 15);
    same!(rustix::io::read(&fd, &mut two)?, 0);
    write_all(&fd, b"x")?;
    same!(read_all("f")?, b"0123456789\0\0\0\0\0x");
    Ok(())
}

fn shared_position_after_fork(_: &Cx) -> Checked {
    write_file("f", "0123456789")?;
    let fd = read_only("f")?;
    in_child(|| {
        let mut four = [0; 4];
        same!(rustix::io::read(&fd, &mut four)?, 4);
        Ok(())
    })?;
    let mut rest = [0; 10];
    let n = rustix::io::read(&fd, &mut rest)?;
    same!(rest[..n], *b"456789");
    Ok(())
}

fn truncate_shrinks_and_zeroes(_: &Cx) -> Checked {
    let bytes = pattern(5, 10_000);
    let fd = create("f")?;
    write_all(&fd, &bytes)?;
    for cut in [9_999, 5_000, 4_096, 1] {
        ftruncate(&fd, cut)?;
        ftruncate(&fd, 10_000)?;
        let got = read_at(&fd, 20_000, 0)?;
        same!(got.len(), 10_000);
        let cut = cut as usize;
        ensure!(got[..cut] == bytes[..cut], "bytes before {cut} changed");
        ensure!(
            got[cut..].iter().all(|byte| *byte == 0),
            "old bytes after {cut} came back"
        );
    }
    Ok(())
}

fn truncate_path_grows(_: &Cx) -> Checked {
    write_file("f", "abc")?;
    sys::truncate("f", 5000)?;
    let bytes = read_all("f")?;
    same!(bytes.len(), 5000);
    same!(bytes[..3], *b"abc");
    ensure!(bytes[3..].iter().all(|byte| *byte == 0));
    sys::truncate("f", 0)?;
    same!(read_all("f")?, b"");
    same!(code(&sys::truncate("f", -1)), "EINVAL");
    same!(code(&sys::truncate("none", 1)), "ENOENT");
    same!(code(&sys::truncate(".", 1)), "EISDIR");
    Ok(())
}

fn truncate_between_descriptors(_: &Cx) -> Checked {
    let a = create("f")?;
    write_all(&a, &pattern(6, 20_000))?;
    let b = read_write("f")?;
    same!(read_at(&b, 20_000, 0)?.len(), 20_000);
    ftruncate(&a, 7)?;
    same!(read_at(&b, 20_000, 0)?, pattern(6, 7));
    same!(rustix::fs::fstat(&b)?.st_size, 7);
    drop(open("f", OFlags::WRONLY | OFlags::TRUNC)?);
    same!(read_at(&b, 20_000, 0)?, b"");
    write_all(&a, b"tail")?;
    same!(rustix::fs::fstat(&b)?.st_size, 20_004);
    Ok(())
}

fn write_past_end_leaves_zeroes(_: &Cx) -> Checked {
    let fd = create("f")?;
    write_at(&fd, b"start", 0)?;
    write_at(&fd, b"end", 9_001)?;
    let bytes = read_all("f")?;
    same!(bytes.len(), 9_004);
    ensure!(bytes[5..9_001].iter().all(|byte| *byte == 0));
    same!(bytes[9_001..], *b"end");
    Ok(())
}

fn overwrite_middle(_: &Cx) -> Checked {
    let mut bytes = pattern(7, 50_000);
    write_file("f", &bytes)?;
    let fd = open("f", OFlags::WRONLY)?;
    for (offset, len) in [(1, 3), (4_094, 5), (8_192, 4_096), (20_000, 12_345)] {
        let new = pattern(offset as u64, len);
        write_at(&fd, &new, offset as u64)?;
        bytes[offset..offset + len].copy_from_slice(&new);
    }
    same!(hash(&read_all("f")?), hash(&bytes));
    Ok(())
}

fn copy_file_range_between_files(cx: &Cx) -> Checked {
    let bytes = pattern(8, 100_000);
    write_file("a", &bytes)?;
    let (a, b) = (read_only("a")?, create("b")?);
    let (mut from, mut to) = (1_000, 3);
    while from < 100_000 {
        match copy_file_range(&a, Some(&mut from), &b, Some(&mut to), 200_000)? {
            0 => break,
            _ => continue,
        }
    }
    same!(hash(&read_all("b")?[3..]), hash(&bytes[1_000..]));
    same!(to, 99_003);
    cx.observe_code("source not readable", &{
        let a = open("a", OFlags::WRONLY)?;
        copy_file_range(&a, None, &b, None, 10)
    });
    cx.observe_code("target appends", &{
        let b = open("b", OFlags::WRONLY | OFlags::APPEND)?;
        copy_file_range(&a, None, &b, None, 10)
    });
    same!(copy_file_range(&a, Some(&mut 100_000), &b, None, 10)?, 0);
    Ok(())
}

fn copy_file_range_overlap(cx: &Cx) -> Checked {
    let bytes = pattern(8, 60_000);
    write_file("f", &bytes)?;
    let fd = read_write("f")?;
    let overlapping = copy_file_range(&fd, Some(&mut 0), &fd, Some(&mut 10), 100);
    cx.observe_code("overlapping", &overlapping);
    same!(hash(&read_all("f")?), hash(&bytes));
    let (mut from, mut to) = (0, 40_000);
    while from < 10_000 {
        let rest = 10_000 - from as usize;
        copy_file_range(&fd, Some(&mut from), &fd, Some(&mut to), rest)?;
    }
    let now = read_all("f")?;
    ensure!(now[40_000..50_000] == bytes[..10_000] && now[..40_000] == bytes[..40_000]);
    Ok(())
}

fn sendfile_and_splice(_: &Cx) -> Checked {
    let bytes = pattern(9, 30_000);
    write_file("a", &bytes)?;
    let (a, b) = (read_only("a")?, create("b")?);
    let mut offset = 5_000;
    let mut left = 20_000;
    while left > 0 {
        left -= rustix::fs::sendfile(&b, &a, Some(&mut offset), left)?;
    }
    same!(hash(&read_all("b")?), hash(&bytes[5_000..25_000]));

    let (read, write) = rustix::pipe::pipe()?;
    let c = create("c")?;
    let flags = rustix::pipe::SpliceFlags::empty();
    let (mut from, mut to) = (0, 0);
    while from < 30_000 {
        let mut held = rustix::pipe::splice(&a, Some(&mut from), &write, None, 8192, flags)?;
        ensure!(held > 0, "splice ended early at {from}");
        while held > 0 {
            held -= rustix::pipe::splice(&read, None, &c, Some(&mut to), held, flags)?;
        }
    }
    same!(hash(&read_all("c")?), hash(&bytes));
    Ok(())
}

fn direct(path: &str) -> Result<std::os::fd::OwnedFd, Errno> {
    open(path, OFlags::RDWR | OFlags::CREATE | OFlags::DIRECT)
}

fn direct_aligned(cx: &Cx) -> Checked {
    let opened = direct("f");
    cx.observe_code("open", &opened);
    let Ok(fd) = opened else { return Ok(()) };
    let bytes = sys::Aligned::from_pattern(&pattern(1, 64 * 4096));
    same!(rustix::io::pwrite(&fd, bytes.bytes(), 0)?, 64 * 4096);
    let mut back = sys::Aligned::new(8);
    same!(
        rustix::io::pread(&fd, back.bytes_mut(), 16 * 4096)?,
        8 * 4096
    );
    ensure!(back.bytes() == &bytes.bytes()[16 * 4096..24 * 4096]);
    ftruncate(&fd, 64 * 4096 - 100)?;
    same!(rustix::io::pread(&fd, back.bytes_mut(), 63 * 4096)?, 3996);
    same!(rustix::io::pread(&fd, back.bytes_mut(), 64 * 4096)?, 0);
    Ok(())
}

fn direct_misaligned(cx: &Cx) -> Checked {
    write_file("f", pattern(1, 16_384))?;
    let Ok(fd) = direct("f") else { return Ok(()) };
    let mut page = sys::Aligned::new(2);
    cx.observe_code(
        "offset 1",
        &rustix::io::pread(&fd, &mut page.bytes_mut()[..4096], 1),
    );
    cx.observe_code(
        "length 100",
        &rustix::io::pread(&fd, &mut page.bytes_mut()[..100], 0),
    );
    cx.observe_code(
        "address 1",
        &rustix::io::pread(&fd, &mut page.bytes_mut()[1..4097], 0),
    );
    cx.observe_code(
        "write length 100",
        &rustix::io::pwrite(&fd, &page.bytes()[..100], 0),
    );
    cx.observe("content", hash(&read_all("f")?));
    Ok(())
}

fn direct_write_then_buffered_read(_: &Cx) -> Checked {
    write_file("f", pattern(1, 65_536))?;
    let cached = read_only("f")?;
    same!(
        hash(&read_at(&cached, 65_536, 0)?),
        hash(&pattern(1, 65_536))
    );
    let fd = direct("f")?;
    let bytes = sys::Aligned::from_pattern(&pattern(2, 8192));
    same!(rustix::io::pwrite(&fd, bytes.bytes(), 4096)?, 8192);
    same!(hash(&read_at(&cached, 8192, 4096)?), hash(bytes.bytes()));
    same!(
        hash(&read_at(&cached, 4096, 0)?),
        hash(&pattern(1, 65_536)[..4096])
    );
    Ok(())
}

fn buffered_write_then_direct_read(_: &Cx) -> Checked {
    let cached = create("f")?;
    let bytes = pattern(3, 65_536);
    write_all(&cached, &bytes)?;
    let fd = direct("f")?;
    let mut back = sys::Aligned::new(16);
    same!(rustix::io::pread(&fd, back.bytes_mut(), 0)?, 65_536);
    same!(hash(back.bytes()), hash(&bytes));
    write_at(&cached, b"changed", 4096)?;
    same!(
        rustix::io::pread(&fd, back.bytes_mut(), 4096)?,
        65_536 - 4096
    );
    same!(back.bytes()[..7], *b"changed");
    Ok(())
}

fn concurrent_disjoint_writers(_: &Cx) -> Checked {
    const BLOCK: usize = 3_001;
    drop(create("f")?);
    let write_every_fourth = |thread: usize| -> Result<(), Errno> {
        let fd = read_write("f")?;
        for block in (thread..200).step_by(4) {
            write_at(&fd, &pattern(block as u64, BLOCK), (block * BLOCK) as u64)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|t| scope.spawn(move || write_every_fourth(t)))
            .collect();
        threads
            .into_iter()
            .try_for_each(|t| t.join().unwrap_or(Err(Errno::CANCELED)))
    })?;
    let bytes = read_all("f")?;
    same!(bytes.len(), 200 * BLOCK);
    for (block, got) in bytes.chunks(BLOCK).enumerate() {
        ensure!(
            got == pattern(block as u64, BLOCK),
            "block {block} is wrong"
        );
    }
    Ok(())
}

fn readers_during_writes(_: &Cx) -> Checked {
    write_file("f", [b'a'; 4096])?;
    let writer = spawn(|| {
        let fd = read_write("f")?;
        for round in 0..400 {
            write_at(&fd, &[if round % 2 == 0 { b'b' } else { b'a' }; 4096], 0)?;
        }
        Ok(())
    })?;
    let fd = read_only("f")?;
    for _ in 0..400 {
        let bytes = read_at(&fd, 4096, 0)?;
        same!(bytes.len(), 4096);
        ensure!(bytes.iter().all(|byte| matches!(byte, b'a' | b'b')));
    }
    writer.join()?;
    ensure!(read_at(&fd, 4096, 0)?.iter().all(|byte| *byte == b'a'));
    Ok(())
}

fn large_sparse_offset(_: &Cx) -> Checked {
    const FAR: u64 = (5 << 30) + 13;
    let fd = create("f")?;
    write_at(&fd, b"far", FAR)?;
    same!(size_of("f")?, FAR + 3);
    same!(read_at(&fd, 10, FAR)?, b"far");
    same!(read_at(&fd, 4, (1 << 32) - 2)?, [0; 4]);
    same!(seek(&fd, SeekFrom::End(-3))?, FAR);
    ensure!(
        (lstat("f")?.st_blocks as u64) * 512 < 1 << 20,
        "the hole takes space"
    );
    Ok(())
}
