//! Holes, fallocate and SEEK_DATA.

use rustix::fs::{FallocateFlags as F, SeekFrom, fallocate, ftruncate, seek};

use super::prelude::*;

pub(super) const CASES: &[Case] = &[
    case!(
        "sparse",
        seek_data_and_hole,
        "SEEK_DATA and SEEK_HOLE around one extent"
    ),
    case!(
        "sparse",
        seek_at_the_ends,
        "SEEK_DATA and SEEK_HOLE at and past the end"
    ),
    case!(
        "sparse",
        hole_reads_zero,
        "a hole reads as zero and takes no block"
    ),
    case!(
        "sparse",
        preallocate,
        "fallocate grows, or keeps the size when told"
    ),
    case!(
        "sparse",
        punch_hole,
        "a punched hole reads as zero and keeps the size"
    ),
    case!(
        "sparse",
        zero_range,
        "a zeroed range, within and past the end"
    ),
    case!(
        "sparse",
        collapse_and_insert,
        "FALLOC_FL_COLLAPSE_RANGE and INSERT_RANGE"
    ),
    case!("sparse", bad_arguments, "errors of fallocate"),
    case!(
        "sparse",
        write_into_hole,
        "a write into a hole changes nothing around it"
    ),
    case!(
        "sparse",
        punch_under_cached_pages,
        "a cached reader sees the punched hole"
    ),
];

const MIB: u64 = 1 << 20;

fn seek_data_and_hole(cx: &Cx) -> Checked {
    let fd = create("f")?;
    write_at(&fd, &pattern(1, 65_536), MIB)?;
    ftruncate(&fd, 3 * MIB)?;
    rustix::fs::fsync(&fd)?;
    cx.observe("first data", seek(&fd, SeekFrom::Data(0))?);
    cx.observe("first hole", seek(&fd, SeekFrom::Hole(0))?);
    cx.observe("hole after data", seek(&fd, SeekFrom::Hole(MIB))?);
    cx.observe("data inside", seek(&fd, SeekFrom::Data(MIB + 5))?);
    cx.observe_code("data after all", &seek(&fd, SeekFrom::Data(2 * MIB)));
    Ok(())
}

fn seek_at_the_ends(_: &Cx) -> Checked {
    let fd = create("f")?;
    same!(code(&seek(&fd, SeekFrom::Data(0))), "ENXIO");
    write_all(&fd, b"12345")?;
    same!(seek(&fd, SeekFrom::Data(3))?, 3);
    same!(seek(&fd, SeekFrom::Hole(3))?, 5);
    same!(code(&seek(&fd, SeekFrom::Data(5))), "ENXIO");
    same!(code(&seek(&fd, SeekFrom::Hole(6))), "ENXIO");
    Ok(())
}

fn hole_reads_zero(_: &Cx) -> Checked {
    let fd = create("f")?;
    ftruncate(&fd, 10 * MIB)?;
    same!(lstat("f")?.st_blocks, 0);
    ensure!(
        read_at(&fd, 300_000, 5 * MIB)?
            .iter()
            .all(|byte| *byte == 0)
    );
    Ok(())
}

fn preallocate(cx: &Cx) -> Checked {
    let fd = create("f")?;
    fallocate(&fd, F::KEEP_SIZE, 0, MIB)?;
    same!(size_of("f")?, 0);
    ensure!(rustix::fs::fstat(&fd)?.st_blocks * 512 >= MIB as i64);
    fallocate(&fd, F::empty(), 0, MIB)?;
    same!(size_of("f")?, MIB);
    ensure!(read_all("f")?.iter().all(|byte| *byte == 0));
    fallocate(&fd, F::empty(), 0, 10)?;
    cx.observe("size after a smaller one", size_of("f")?);
    Ok(())
}

fn punch_hole(_: &Cx) -> Checked {
    let mut bytes = pattern(1, MIB as usize);
    write_file("f", &bytes)?;
    let fd = read_write("f")?;
    fallocate(&fd, F::PUNCH_HOLE | F::KEEP_SIZE, 10_001, 200_000)?;
    bytes[10_001..210_001].fill(0);
    same!(hash(&read_all("f")?), hash(&bytes));
    fallocate(&fd, F::PUNCH_HOLE | F::KEEP_SIZE, MIB - 10, MIB)?;
    same!(size_of("f")?, MIB);
    Ok(())
}

fn zero_range(cx: &Cx) -> Checked {
    write_file("f", pattern(1, 100_000))?;
    let fd = read_write("f")?;
    for (name, flags, offset, len) in [
        ("inside", F::ZERO_RANGE, 1_000, 50_000),
        ("keep size", F::ZERO_RANGE | F::KEEP_SIZE, 90_000, 50_000),
        ("past the end", F::ZERO_RANGE, 99_000, 50_000),
    ] {
        cx.observe_code(name, &fallocate(&fd, flags, offset, len));
        cx.observe(format!("{name} content"), hash(&read_all("f")?));
        cx.observe(format!("{name} size"), size_of("f")?);
    }
    Ok(())
}

fn collapse_and_insert(cx: &Cx) -> Checked {
    write_file("f", pattern(1, 5 * 65_536))?;
    let fd = read_write("f")?;
    cx.observe_code(
        "collapse",
        &fallocate(&fd, F::COLLAPSE_RANGE, 65_536, 65_536),
    );
    cx.observe("collapsed", hash(&read_all("f")?));
    cx.observe_code("insert", &fallocate(&fd, F::INSERT_RANGE, 65_536, 65_536));
    cx.observe("inserted", hash(&read_all("f")?));
    cx.observe_code("unaligned", &fallocate(&fd, F::COLLAPSE_RANGE, 1, 10));
    cx.observe_code(
        "to the end",
        &fallocate(&fd, F::COLLAPSE_RANGE, 65_536, 1 << 30),
    );
    cx.observe("size", size_of("f")?);
    Ok(())
}

fn bad_arguments(cx: &Cx) -> Checked {
    write_file("f", "x")?;
    let fd = read_write("f")?;
    same!(code(&fallocate(&fd, F::empty(), 0, 0)), "EINVAL");
    same!(
        code(&fallocate(read_only("f")?, F::empty(), 0, 10)),
        "EBADF"
    );
    cx.observe_code(
        "punch without keep size",
        &fallocate(&fd, F::PUNCH_HOLE, 0, 10),
    );
    cx.observe_code("too big", &fallocate(&fd, F::empty(), 0, i64::MAX as u64));
    let both = F::PUNCH_HOLE | F::ZERO_RANGE | F::KEEP_SIZE;
    cx.observe_code("two modes", &fallocate(&fd, both, 0, 10));
    cx.observe_code(
        "directory",
        &fallocate(open(".", OFlags::RDONLY)?, F::empty(), 0, 10),
    );
    same!(size_of("f")?, 1);
    Ok(())
}

fn write_into_hole(_: &Cx) -> Checked {
    let fd = create("f")?;
    ftruncate(&fd, MIB)?;
    write_at(&fd, b"island", 300_001)?;
    let bytes = read_all("f")?;
    same!(bytes.len() as u64, MIB);
    same!(bytes[300_001..300_007], *b"island");
    same!(bytes.iter().filter(|byte| **byte != 0).count(), 6);
    Ok(())
}

fn punch_under_cached_pages(_: &Cx) -> Checked {
    write_file("f", pattern(1, 65_536))?;
    let reader = read_only("f")?;
    let map = sys::Map::shared_read(&reader, 65_536)?;
    same!(hash(&map.read(0, 65_536)), hash(&pattern(1, 65_536)));
    fallocate(read_write("f")?, F::PUNCH_HOLE | F::KEEP_SIZE, 8192, 8192)?;
    same!(read_at(&reader, 8192, 8192)?, vec![0; 8192]);
    same!(map.read(8192, 8192), vec![0; 8192]);
    Ok(())
}
