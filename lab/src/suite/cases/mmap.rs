//! Mappings are coherent with read and write, and end with the file.

use super::super::sys::Map;
use super::prelude::*;

pub(super) const CASES: &[Case] = &[
    case!(
        "mmap",
        write_seen_by_read,
        "what a shared mapping writes, read(2) reads"
    ),
    case!(
        "mmap",
        write_call_seen_by_map,
        "what write(2) writes, a mapping reads"
    ),
    case!("mmap", two_processes, "two processes share a mapping"),
    case!(
        "mmap",
        survives_close,
        "a mapping outlives its descriptor, and its data reach the file"
    ),
    case!(
        "mmap",
        msync_reaches_other_descriptor,
        "msync, then a fresh open reads the data"
    ),
    case!(
        "mmap",
        msync_reaches_backing,
        "data synced here are read below the mount"
    ),
    case!(
        "mmap",
        past_end_is_sigbus,
        "a page past the end of the file is SIGBUS"
    ),
    case!(
        "mmap",
        tail_of_last_page_is_zero,
        "the rest of the last page reads as zero"
    ),
    case!(
        "mmap",
        private_changes_stay_private,
        "a private mapping never changes the file"
    ),
    case!(
        "mmap",
        mtime_after_msync,
        "a mapped write changes mtime by msync"
    ),
    case!(
        "mmap",
        truncate_under_mapping,
        "truncation cuts the mapping off, growing restores it"
    ),
    case!(
        "mmap",
        hole_filled_through_mapping,
        "a hole is filled through a mapping"
    ),
    case!(
        "mmap",
        permissions_of_descriptor,
        "a mapping needs the descriptor's access mode"
    ),
    case!("mmap", empty_and_misaligned, "errors of mmap itself"),
    case!(
        "mmap",
        map_while_appending,
        "a mapping sees appended data within its pages"
    ),
    case!(
        "mmap",
        large_map_random_pages,
        "pages written at random through a map of 8 MiB"
    ),
    case!(
        "mmap",
        unlinked,
        "a mapping of an unlinked file keeps working"
    ),
    case!(
        "mmap",
        read_into_own_mapping,
        "read(2) of a file into a mapping of itself"
    ),
];

const PAGE: usize = 4096;

fn write_seen_by_read(_: &Cx) -> Checked {
    let fd = create("f")?;
    rustix::fs::ftruncate(&fd, 2 * PAGE as u64)?;
    let map = Map::shared(&fd, 2 * PAGE)?;
    for (i, offset) in [0, 1, PAGE - 1, PAGE, 2 * PAGE - 3].into_iter().enumerate() {
        let bytes = pattern(i as u64, 3);
        map.write(offset, &bytes);
        same!(read_at(&fd, 3, offset as u64)?, bytes);
        same!(read_at(read_only("f")?, 3, offset as u64)?, bytes);
    }
    Ok(())
}

fn write_call_seen_by_map(_: &Cx) -> Checked {
    write_file("f", pattern(1, 2 * PAGE))?;
    let fd = read_write("f")?;
    let map = Map::shared(&fd, 2 * PAGE)?;
    let read_only_map = Map::shared_read(read_only("f")?, 2 * PAGE)?;
    same!(map.read(0, 2 * PAGE), pattern(1, 2 * PAGE));
    for offset in [0, 5, PAGE - 2, PAGE + 7] {
        let bytes = pattern(offset as u64 + 9, 100);
        write_at(&fd, &bytes, offset as u64)?;
        same!(map.read(offset, 100), bytes);
        same!(read_only_map.read(offset, 100), bytes);
    }
    Ok(())
}

fn two_processes(_: &Cx) -> Checked {
    write_file("f", [0; PAGE])?;
    let (ping, pong) = (Gate::new()?, Gate::new()?);
    let child = spawn(|| {
        let map = Map::shared(read_write("f")?, PAGE)?;
        for round in 1..=20_u8 {
            ping.wait()?;
            same!(map.read(0, 1), [round]);
            map.write(1, &[round]);
            pong.open()?;
        }
        Ok(())
    })?;
    let map = Map::shared(read_write("f")?, PAGE)?;
    for round in 1..=20_u8 {
        map.write(0, &[round]);
        ping.open()?;
        pong.wait()?;
        same!(map.read(1, 1), [round]);
    }
    child.join()
}

fn survives_close(_: &Cx) -> Checked {
    write_file("f", pattern(1, PAGE))?;
    let map = Map::shared(read_write("f")?, PAGE)?;
    map.write(10, b"after close");
    same!(read_at(read_only("f")?, 11, 10)?, b"after close");
    drop(map);
    same!(read_at(read_only("f")?, 11, 10)?, b"after close");
    Ok(())
}

fn msync_reaches_other_descriptor(_: &Cx) -> Checked {
    write_file("f", pattern(1, 3 * PAGE))?;
    let map = Map::shared(read_write("f")?, 3 * PAGE)?;
    map.write(PAGE + 1, b"synced");
    map.sync()?;
    same!(read_at(read_only("f")?, 6, PAGE as u64 + 1)?, b"synced");
    let mut page = sys::Aligned::new(1);
    let direct = open("f", OFlags::RDONLY | OFlags::DIRECT)?;
    same!(
        rustix::io::pread(&direct, page.bytes_mut(), PAGE as u64)?,
        PAGE
    );
    same!(page.bytes()[1..7], *b"synced");
    Ok(())
}

fn msync_reaches_backing(cx: &Cx) -> Checked {
    write_file("f", pattern(1, PAGE))?;
    let map = Map::shared(read_write("f")?, PAGE)?;
    map.write(7, b"below");
    map.sync()?;
    same!(read_at(read_only(cx.backing().join("f"))?, 5, 7)?, b"below");
    Ok(())
}

fn past_end_is_sigbus(_: &Cx) -> Checked {
    write_file("f", pattern(1, 100))?;
    let map = Map::shared(read_write("f")?, 2 * PAGE)?;
    same!(map.read(0, 100), pattern(1, 100));
    let reader = spawn(|| Ok(map.read(PAGE, 1)))?;
    same!(reader.join_signal()?, Some(libc::SIGBUS));
    let writer = spawn(|| {
        map.write(PAGE + 1, b"x");
        Ok(())
    })?;
    same!(writer.join_signal()?, Some(libc::SIGBUS));
    same!(size_of("f")?, 100);
    Ok(())
}

fn tail_of_last_page_is_zero(_: &Cx) -> Checked {
    write_file("f", pattern(1, 100))?;
    let map = Map::shared(read_write("f")?, PAGE)?;
    same!(map.read(100, PAGE - 100), vec![0; PAGE - 100]);
    map.write(200, b"beyond");
    map.sync()?;
    same!(size_of("f")?, 100);
    drop(map);
    sys::truncate("f", 300)?;
    same!(read_all("f")?[100..], [0; 200]);
    Ok(())
}

fn private_changes_stay_private(_: &Cx) -> Checked {
    write_file("f", pattern(1, PAGE))?;
    let fd = read_only("f")?;
    let map = Map::private(&fd, PAGE)?;
    map.write(0, b"private");
    same!(map.read(0, 7), b"private");
    same!(read_all("f")?, pattern(1, PAGE));
    drop(map);
    same!(read_all("f")?, pattern(1, PAGE));
    Ok(())
}

fn mtime_after_msync(cx: &Cx) -> Checked {
    write_file("f", pattern(1, PAGE))?;
    age("f")?;
    let changed = ctime_then_tick("f")?;
    let fd = read_write("f")?;
    let map = Map::shared(&fd, PAGE)?;
    map.read(0, 1);
    same!(lstat("f")?.st_mtime, LONG_AGO);
    map.write(0, b"now");
    map.sync()?;
    drop(map);
    drop(fd);
    let stat = lstat("f")?;
    cx.observe("mtime moved", stat.st_mtime > LONG_AGO);
    cx.observe("ctime moved", ctime(&stat) > changed);
    cx.becomes_visible("mtime", || {
        lstat("f").is_ok_and(|stat| stat.st_mtime > LONG_AGO)
    })
}

fn truncate_under_mapping(_: &Cx) -> Checked {
    write_file("f", pattern(1, 3 * PAGE))?;
    let fd = read_write("f")?;
    let map = Map::shared(&fd, 3 * PAGE)?;
    same!(
        map.read(2 * PAGE, 10),
        pattern(1, 3 * PAGE)[2 * PAGE..2 * PAGE + 10]
    );
    rustix::fs::ftruncate(&fd, PAGE as u64 + 10)?;
    same!(map.read(PAGE, 10), pattern(1, 3 * PAGE)[PAGE..PAGE + 10]);
    same!(map.read(PAGE + 10, 100), [0; 100]);
    let reader = spawn(|| Ok(map.read(2 * PAGE, 1)))?;
    same!(reader.join_signal()?, Some(libc::SIGBUS));
    rustix::fs::ftruncate(&fd, 3 * PAGE as u64)?;
    same!(map.read(2 * PAGE, 10), [0; 10]);
    map.write(2 * PAGE, b"back");
    same!(read_at(&fd, 4, 2 * PAGE as u64)?, b"back");
    Ok(())
}

fn hole_filled_through_mapping(_: &Cx) -> Checked {
    let fd = create("f")?;
    rustix::fs::ftruncate(&fd, 64 * PAGE as u64)?;
    let map = Map::shared(&fd, 64 * PAGE)?;
    same!(map.read(33 * PAGE, 16), [0; 16]);
    map.write(33 * PAGE + 5, b"filled");
    map.sync()?;
    same!(read_at(&fd, 6, 33 * PAGE as u64 + 5)?, b"filled");
    ensure!(lstat("f")?.st_blocks > 0);
    same!(read_at(&fd, 8, 32 * PAGE as u64)?, [0; 8]);
    Ok(())
}

fn permissions_of_descriptor(_: &Cx) -> Checked {
    write_file("f", pattern(1, PAGE))?;
    same!(
        code(&Map::shared(read_only("f")?, PAGE).map(drop)),
        "EACCES"
    );
    same!(
        code(&Map::shared_read(open("f", OFlags::WRONLY)?, PAGE).map(drop)),
        "EACCES"
    );
    same!(
        code(&Map::shared(open("f", OFlags::WRONLY)?, PAGE).map(drop)),
        "EACCES"
    );
    same!(
        code(&Map::shared_read(read_only("f")?, PAGE).map(drop)),
        "ok"
    );
    Ok(())
}

fn empty_and_misaligned(cx: &Cx) -> Checked {
    let fd = create("f")?;
    same!(code(&Map::shared(&fd, 0).map(drop)), "EINVAL");
    same!(code(&Map::shared(&fd, PAGE).map(drop)), "ok");
    let directory = open(".", OFlags::RDONLY)?;
    cx.observe_code(
        "of a directory",
        &Map::shared_read(&directory, PAGE).map(drop),
    );
    Ok(())
}

fn map_while_appending(_: &Cx) -> Checked {
    let fd = create("f")?;
    write_all(&fd, b"x")?;
    let map = Map::shared_read(read_only("f")?, 4 * PAGE)?;
    let mut expected = b"x".to_vec();
    for i in 0..12 {
        let bytes = pattern(i, 1111);
        write_all(&fd, &bytes)?;
        expected.extend_from_slice(&bytes);
        same!(hash(&map.read(0, expected.len())), hash(&expected));
    }
    Ok(())
}

fn large_map_random_pages(_: &Cx) -> Checked {
    const PAGES: usize = 2048;
    let fd = create("f")?;
    rustix::fs::ftruncate(&fd, (PAGES * PAGE) as u64)?;
    let map = Map::shared(&fd, PAGES * PAGE)?;
    let page_of = |i: usize| (i * 1_237) % PAGES;
    for i in 0..500 {
        map.write(page_of(i) * PAGE + i, &(i as u64).to_le_bytes());
    }
    drop(map);
    rustix::fs::fsync(&fd)?;
    let reader = read_only("f")?;
    for i in 0..500 {
        let offset = (page_of(i) * PAGE + i) as u64;
        same!(read_at(&reader, 8, offset)?, (i as u64).to_le_bytes());
    }
    Ok(())
}

fn unlinked(_: &Cx) -> Checked {
    write_file("f", pattern(1, 4 * PAGE))?;
    let fd = read_write("f")?;
    let map = Map::shared(&fd, 4 * PAGE)?;
    rustix::fs::unlink("f")?;
    same!(hash(&map.read(0, 4 * PAGE)), hash(&pattern(1, 4 * PAGE)));
    map.write(PAGE, b"gone but here");
    map.sync()?;
    same!(read_at(&fd, 13, PAGE as u64)?, b"gone but here");
    drop(fd);
    same!(map.read(PAGE, 13), b"gone but here");
    Ok(())
}

fn read_into_own_mapping(_: &Cx) -> Checked {
    write_file("f", pattern(1, 4 * PAGE))?;
    let fd = read_write("f")?;
    let map = Map::shared(&fd, 4 * PAGE)?;
    let n = map.read_from(&fd, 2 * PAGE, PAGE, 0)?;
    same!(n, PAGE);
    same!(map.read(2 * PAGE, PAGE), pattern(1, PAGE));
    let n = map.write_to(&fd, 0, PAGE, 3 * PAGE as u64)?;
    same!(n, PAGE);
    same!(read_at(&fd, PAGE, 3 * PAGE as u64)?, pattern(1, PAGE));
    Ok(())
}
