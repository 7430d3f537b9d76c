//! File data that pass the daemon: large answers are spliced from the backing file, and the bytes are those of it.

mod support;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use dynamicfs::config::{KernelFeatures, OpenPolicy};
use dynamicfs::storage::MemoryStorage;
use dynamicfs::{IoMode, OptimizedFUSEConfig, TransportChoice};
use support::{Lcg, TestMount, can_mount, with_io_mode};

/// The file is no multiple of a page.
const LEN: usize = (1 << 20) + 1234;

const PIECE: usize = 256 << 10;

/// Through the daemon, over the transport that splices.
fn native(io_mode: IoMode) -> OptimizedFUSEConfig {
    let mut config = with_io_mode(io_mode);
    config.transport = TransportChoice::Linux;
    config
}

fn content() -> Vec<u8> {
    Lcg(5).bytes(LEN)
}

/// A mount of a directory with the file `f` of that content.
fn mount(config: OptimizedFUSEConfig) -> TestMount {
    TestMount::prepared(config, |backing| {
        fs::write(backing.join("f"), content()).unwrap();
    })
}

fn spliced(mount: &TestMount) -> u64 {
    mount.handle().statistics().bytes_spliced
}

/// Bytes from `offset`, fewer at the end, with read(2) once for each piece.
fn read(file: &File, offset: usize, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut n = 0;
    while n < len {
        match file.read_at(&mut bytes[n..], (offset + n) as u64).unwrap() {
            0 => break,
            more => n += more,
        }
    }
    bytes.truncate(n);
    bytes
}

#[test]
fn large_reads_are_spliced_with_every_way_through_the_daemon() {
    if !can_mount("large reads") {
        return;
    }
    for io_mode in [IoMode::WriteThrough, IoMode::WritebackCache, IoMode::Direct] {
        let mount = mount(native(io_mode));
        let file = File::open(mount.path("f")).unwrap();
        // No more at once than fits into a pipe without privileges.
        let pieces = (0..LEN).step_by(PIECE);
        let seen: Vec<u8> = pieces.flat_map(|at| read(&file, at, PIECE)).collect();
        assert!(seen == content(), "{io_mode}");
        let statistics = mount.handle().statistics();
        let spliced = statistics.bytes_spliced;
        assert!(spliced >= 1 << 19, "{io_mode}: {spliced} bytes spliced");
        assert!(spliced <= statistics.bytes_read, "{io_mode}: {spliced}");
    }
}

#[test]
fn reads_from_anywhere_are_those_of_the_file() {
    if !can_mount("reads from anywhere") {
        return;
    }
    // In this mode each read(2) is one request of its own offset and length.
    let mount = mount(native(IoMode::Direct));
    let (content, file) = (content(), File::open(mount.path("f")).unwrap());
    for (offset, len) in [
        (0, 64 << 10),
        (1, 64 << 10),
        (4095, 100_001),
        (LEN - (64 << 10), 64 << 10),
        (LEN - 70_000, 80_000),
        (LEN - 10, 1 << 17),
        (LEN, 1 << 17),
        (LEN + 5000, 1 << 17),
        (0, LEN + 1),
    ] {
        let end = (offset + len).min(LEN);
        let expected = content.get(offset..end).unwrap_or_default();
        assert!(read(&file, offset, len) == expected, "{len} at {offset}");
    }
    let before = spliced(&mount);
    read(&file, 0, (64 << 10) - 1);
    assert_eq!(spliced(&mount), before, "a small read is copied");
    read(&file, 0, 64 << 10);
    assert_eq!(spliced(&mount), before + (64 << 10));
}

#[test]
fn what_was_just_written_is_read() {
    if !can_mount("written and read") {
        return;
    }
    let mount = mount(native(IoMode::Direct));
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .open(mount.path("f"))
        .unwrap();
    for round in 0..50 {
        let data = vec![round; 200_000];
        file.write_all_at(&data, 100_000).unwrap();
        assert!(read(&file, 100_000, data.len()) == data, "round {round}");
    }
    file.set_len(150_000).unwrap();
    assert_eq!(read(&file, 0, 1 << 20).len(), 150_000);
    assert!(spliced(&mount) > 0);
}

#[test]
fn files_that_nobody_opened_are_spliced_from_too() {
    if !can_mount("stateless opens") {
        return;
    }
    let mut config = native(IoMode::Passthrough);
    config.open = OpenPolicy::Stateless;
    let mount = mount(config);
    assert!(fs::read(mount.path("f")).unwrap() == content());
    assert!(spliced(&mount) >= 1 << 19);
}

#[test]
fn several_read_at_once_each_its_own() {
    if !can_mount("several readers") {
        return;
    }
    let mount = TestMount::prepared(native(IoMode::WriteThrough), |backing| {
        for n in 0..4 {
            fs::write(backing.join(format!("f{n}")), vec![n; 4 << 20]).unwrap();
        }
    });
    std::thread::scope(|scope| {
        for n in 0..4_u8 {
            let path = mount.path(format!("f{n}"));
            scope.spawn(move || {
                for _ in 0..10 {
                    let mut options = OpenOptions::new();
                    let options = options.read(true).custom_flags(libc::O_DIRECT);
                    let file = options.open(&path).unwrap();
                    let mut buffer = Aligned::new();
                    for at in (0..4 << 20).step_by(Aligned::LEN) {
                        let bytes = buffer.bytes();
                        file.read_exact_at(bytes, at).unwrap();
                        assert!(bytes.iter().all(|&byte| byte == n), "{n} at {at}");
                    }
                }
            });
        }
    });
    assert!(spliced(&mount) >= 4 * 10 * (4 << 20));
}

/// Memory for direct I/O.
struct Aligned(Vec<u8>);

impl Aligned {
    const LEN: usize = 128 << 10;

    fn new() -> Aligned {
        Aligned(vec![0; Aligned::LEN + 4096])
    }

    fn bytes(&mut self) -> &mut [u8] {
        let start = self.0.as_ptr().align_offset(4096);
        &mut self.0[start..][..Aligned::LEN]
    }
}

#[test]
fn without_the_capability_or_a_backing_file_they_are_copied() {
    if !can_mount("copies") {
        return;
    }
    let mut minimal = native(IoMode::WriteThrough);
    minimal.kernel_features = KernelFeatures::Minimal;
    let copied = mount(minimal);
    assert!(fs::read(copied.path("f")).unwrap() == content());
    assert_eq!(spliced(&copied), 0);

    let storage = Box::new(MemoryStorage::new());
    let memory = TestMount::of(storage, native(IoMode::WriteThrough));
    fs::write(memory.path("f"), content()).unwrap();
    memory.drop_caches();
    assert!(fs::read(memory.path("f")).unwrap() == content());
    assert_eq!(spliced(&memory), 0);
}
