//! File data that pass the daemon: large answers are spliced from the backing file, large writes on request into it, and
//! the bytes are the same as by a copy.

mod support;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;

use dynamicfs::config::{KernelFeatures, OpenPolicy};
use dynamicfs::storage::{
    Caller, Errno, Fh, FilesystemInterface, Ino, Layer, Layered, MemoryStorage, WriteFlags,
};
use dynamicfs::{IoMode, OptimizedFUSEConfig, TransportChoice};
use rustix::fs::IFlags;
use support::sys::Mapping;
use support::{
    Aligned, Lcg, Mounted, TestMount, can_mount, local_storage, skipped, test_dir, with_io_mode,
    writable,
};

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

/// Why a capability is not in force.
fn refusal(mount: &TestMount, name: &str) -> String {
    let report = mount.handle().report();
    let item = report.capabilities.iter().find(|item| item.name == name);
    let item = item.expect("it is in the report");
    assert_eq!(item.effective, "no");
    item.why.clone().unwrap_or_default()
}

const NO_FILES: &str = "the storage has no kernel-backed files";

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
    let file = writable(mount.path("f"));
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
    const AT_ONCE: usize = 128 << 10;
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
                    let mut buffer = Aligned::new(AT_ONCE);
                    for at in (0..4 << 20).step_by(AT_ONCE) {
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

/// Through the page cache of the mount, to which pages of the backing file may be moved.
fn moving() -> OptimizedFUSEConfig {
    let mut config = native(IoMode::WriteThrough);
    config.splice_move = true;
    config
}

/// Whether the file system of the tests gives pages up.
fn can_move(case: &str) -> bool {
    const TMPFS: i64 = 0x0102_1994;
    let dir = test_dir();
    let gives = rustix::fs::statfs(dir.path()).unwrap().f_type as i64 != TMPFS;
    if !gives {
        skipped(case, "files that are not in memory alone, as on a tmpfs");
    }
    gives && can_mount(case)
}

/// A mount of a directory with the file `f`, whose pages lie alone in the page cache: written one by one, they are
/// no parts of large folios, which the kernel does not move.
fn mount_pages(config: OptimizedFUSEConfig) -> TestMount {
    TestMount::prepared(config, |backing| {
        let mut file = File::create(backing.join("f")).unwrap();
        for page in content().chunks(rustix::param::page_size()) {
            file.write_all(page).unwrap();
        }
        // Dirty pages stay where they are.
        file.sync_all().unwrap();
    })
}

/// How many pages of the file `f` the page cache has behind the mount.
fn pages_behind(mount: &TestMount) -> usize {
    let mapping = Mapping::shared(&writable(mount.backing("f")), LEN).unwrap();
    mapping.cached_pages().unwrap()
}

#[test]
fn pages_are_moved_where_that_was_asked_for() {
    if !can_move("moved pages") {
        return;
    }
    let all = LEN.div_ceil(rustix::param::page_size());
    for config in [native(IoMode::WriteThrough), moving()] {
        let moves = config.splice_move;
        let mount = mount_pages(config);
        assert_eq!(pages_behind(&mount), all);
        assert!(fs::read(mount.path("f")).unwrap() == content());
        assert!(spliced(&mount) >= 1 << 19);
        match (moves, pages_behind(&mount)) {
            (true, left) => assert!(left < all / 2, "{left} pages of {all} stayed"),
            (false, left) => assert_eq!(left, all),
        }
        // Those that were moved, and what is fetched again.
        assert!(fs::read(mount.path("f")).unwrap() == content());
        assert!(fs::read(mount.backing("f")).unwrap() == content());
        mount.drop_caches();
        assert!(fs::read(mount.path("f")).unwrap() == content());
    }
}

#[test]
fn what_changes_after_its_pages_were_moved_is_seen() {
    if !can_move("changes of moved pages") {
        return;
    }
    let mut config = moving();
    // What changes behind is looked at before each read.
    config.attr_timeout_secs = 0;
    let mount = mount_pages(config);
    let (behind, before) = (writable(mount.backing("f")), writable(mount.path("f")));
    let mut expected = content();
    let check = |expected: &[u8], what: &str| {
        assert!(read(&before, 0, LEN) == expected, "before, {what}");
        assert!(read(&behind, 0, LEN) == expected, "behind, {what}");
    };
    check(&expected, "read");

    let ours = Lcg(6).bytes(300_000);
    before.write_all_at(&ours, 100_001).unwrap();
    expected[100_001..][..ours.len()].copy_from_slice(&ours);
    check(&expected, "written before");

    let theirs = Lcg(7).bytes(300_000);
    behind.write_all_at(&theirs, 300_003).unwrap();
    expected[300_003..][..theirs.len()].copy_from_slice(&theirs);
    // The pages behind are dirty, and must not get lost.
    check(&expected, "written behind");

    before.set_len(500_000).unwrap();
    behind.set_len(450_000).unwrap();
    before.set_len(LEN as u64).unwrap();
    expected[450_000..].fill(0);
    behind.sync_all().unwrap();
    check(&expected, "cut and lengthened");
    drop((before, behind));
    assert!(fs::read(mount.unmount().path().join("backing/f")).unwrap() == expected);
}

#[test]
fn without_a_backing_file_nothing_is_moved() {
    if !can_mount("moves without a backing file") {
        return;
    }
    let memory = TestMount::of(Box::new(MemoryStorage::new()), moving());
    fs::write(memory.path("f"), content()).unwrap();
    memory.drop_caches();
    assert!(fs::read(memory.path("f")).unwrap() == content());
    assert_eq!(spliced(&memory), 0);
    assert_eq!(refusal(&memory, "SPLICE_MOVE"), NO_FILES);
}

/// Requests come by a pipe; none is larger than one that everybody may have.
fn piping(io_mode: IoMode) -> OptimizedFUSEConfig {
    let mut config = native(io_mode);
    config.splice_read = true;
    // One large write, and the only worker takes what comes next by the pipe.
    config.worker_threads = 1;
    let largest = (1 << 20) - 2 * rustix::param::page_size();
    (config.max_read_size, config.max_write_size) = (largest, largest);
    config
}

/// The same without the pipe.
fn reading(io_mode: IoMode) -> OptimizedFUSEConfig {
    let mut config = piping(io_mode);
    config.splice_read = false;
    config
}

/// A mount whose worker has had a large write.
fn primed(mount: TestMount) -> TestMount {
    let file = File::create(mount.path("primer")).unwrap();
    file.write_all_at(&[0; PIECE], 0).unwrap();
    file.sync_all().unwrap();
    drop(file);
    fs::remove_file(mount.path("primer")).unwrap();
    mount
}

/// What the file `name` has behind the mount and before it.
fn assert_content(mount: &TestMount, name: &str, expected: &[u8]) {
    assert!(fs::read(mount.backing(name)).unwrap() == expected, "behind");
    assert!(fs::read(mount.path(name)).unwrap() == expected, "before");
    mount.drop_caches();
    assert!(fs::read(mount.path(name)).unwrap() == expected, "again");
}

#[test]
fn large_writes_are_spliced_where_that_was_asked_for() {
    if !can_mount("large writes") {
        return;
    }
    for io_mode in [IoMode::WriteThrough, IoMode::WritebackCache, IoMode::Direct] {
        for config in [reading(io_mode), piping(io_mode)] {
            let splices = config.splice_read;
            let mount = TestMount::local(config);
            let mut file = File::create(mount.path("f")).unwrap();
            let content = Lcg(8).bytes(3 << 20);
            let mut rest = &content[..];
            for (n, len) in [1, 4096, 100, 65_535, 65_536, 700_001]
                .into_iter()
                .cycle()
                .enumerate()
            {
                let (piece, more) = rest.split_at(len.min(rest.len()));
                file.write_all(piece).unwrap();
                rest = more;
                if n % 3 == 0 {
                    fs::create_dir(mount.path(format!("d{n}"))).unwrap();
                }
                if rest.is_empty() {
                    break;
                }
            }
            file.sync_all().unwrap();
            let statistics = mount.handle().statistics();
            match splices {
                true => assert!(statistics.bytes_spliced > 1 << 20, "{io_mode}"),
                false => assert_eq!(statistics.bytes_spliced, 0, "{io_mode}"),
            }
            assert!(statistics.bytes_written >= content.len() as u64);
            assert_content(&mount, "f", &content);
        }
    }
}

#[test]
fn writes_to_anywhere_are_there() {
    if !can_mount("writes to anywhere") {
        return;
    }
    // In this mode each write(2) is one request of its own offset and length, from memory of the caller.
    let mount = primed(mount(piping(IoMode::Direct)));
    let (mut expected, file) = (content(), writable(mount.path("f")));
    let mut random = Lcg(9);
    for (offset, len) in [
        (0, 64 << 10),
        (1, 64 << 10),
        (4095, 100_001),
        (LEN - 70_000, 80_000),
        (LEN + 123_456, 1 << 17),
        (77, 1 << 20),
    ] {
        let before = mount.handle().statistics();
        let data = random.bytes(len + 3);
        // From the middle of a page.
        let data = &data[3..];
        file.write_all_at(data, offset as u64).unwrap();
        let after = mount.handle().statistics();
        assert_eq!(after.bytes_written - before.bytes_written, len as u64);
        assert!(
            after.bytes_spliced > before.bytes_spliced,
            "{len} at {offset}"
        );
        expected.resize(expected.len().max(offset + len), 0);
        expected[offset..][..len].copy_from_slice(data);
    }
    let before = spliced(&mount);
    file.write_all_at(&random.bytes((64 << 10) - 1), 0).unwrap();
    assert_eq!(spliced(&mount), before, "a small write is copied");
    file.write_all_at(&expected[..64 << 10], 0).unwrap();
    assert_eq!(spliced(&mount), before + (64 << 10));
    assert_content(&mount, "f", &expected);
}

#[test]
fn a_write_of_many_pieces_fits_into_the_pipe() {
    if !can_mount("writes of pieces") {
        return;
    }
    let mount = primed(TestMount::local(piping(IoMode::Direct)));
    let mut file = File::create(mount.path("f")).unwrap();
    // Each in a page of its own, so that a request has as many pages as can be before it has as many bytes.
    let page = rustix::param::page_size();
    let memory = Lcg(10).bytes(600 * page);
    let pieces: Vec<_> = memory.chunks(page).map(|page| &page[100..1124]).collect();
    let mut slices: Vec<_> = pieces
        .iter()
        .map(|piece| std::io::IoSlice::new(piece))
        .collect();
    let mut slices = &mut slices[..];
    while !slices.is_empty() {
        let n = file.write_vectored(slices).unwrap();
        std::io::IoSlice::advance_slices(&mut slices, n);
    }
    assert!(spliced(&mount) > 0);
    assert_content(&mount, "f", &pieces.concat());
}

/// What becomes of writes of 300,000 bytes, one after the other from `offset` on: bytes, or an error.
fn results(mount: &TestMount, offset: u64) -> Vec<Result<usize, Option<i32>>> {
    let file = File::create(mount.path("f")).unwrap();
    let data = Lcg(11).bytes(300_000);
    let mut end = offset;
    let results = (0..20).map(|_| {
        let written = file
            .write_at(&data, end)
            .map_err(|error| error.raw_os_error());
        end += *written.as_ref().unwrap_or(&0) as u64;
        written
    });
    let results: Vec<_> = results.collect();
    if offset == 0 {
        let found = fs::read(mount.backing("f")).unwrap();
        assert_eq!(found.len() as u64, end);
        assert!(
            found
                .chunks(data.len())
                .all(|piece| data.starts_with(piece))
        );
    }
    results
}

#[test]
fn a_full_disk_and_a_full_file_say_what_they_say_to_a_copy() {
    if !can_mount("full disks") {
        return;
    }
    let to_full_disk = |config| {
        let mut tmpfs = None;
        let mount = TestMount::prepared(config, |root| {
            fs::remove_dir(root).unwrap();
            tmpfs = Some(Mounted::tmpfs(root.to_owned(), 4));
        });
        let mount = primed(mount);
        let results = results(&mount, 0);
        drop(mount);
        drop(tmpfs);
        results
    };
    for io_mode in [IoMode::WriteThrough, IoMode::Direct] {
        let (copied, spliced) = (
            to_full_disk(reading(io_mode)),
            to_full_disk(piping(io_mode)),
        );
        assert_eq!(copied.last(), Some(&Err(Some(libc::ENOSPC))), "{io_mode}");
        assert!(
            copied.iter().any(|n| n.is_ok_and(|n| n < 300_000)),
            "{io_mode}"
        );
        assert_eq!(spliced, copied, "{io_mode}");
    }
    // The largest file that ext4 has; others say something else, to both.
    let to_largest = |config| {
        results(
            &primed(TestMount::local(config)),
            (16 << 40) - 4096 - 400_000,
        )
    };
    let copied = to_largest(reading(IoMode::Direct));
    assert_eq!(to_largest(piping(IoMode::Direct)), copied);
}

#[test]
fn a_large_write_of_another_takes_set_id_bits_away() {
    if !can_mount("set-id bits and large writes") {
        return;
    }
    for io_mode in [IoMode::WriteThrough, IoMode::Direct] {
        let mount = mount(piping(io_mode));
        let path = mount.path("f");
        std::os::unix::fs::chown(&path, Some(1), Some(1)).unwrap();
        let mode = |path: &std::path::Path| fs::metadata(path).unwrap().mode() & 0o7777;
        let set = || fs::set_permissions(&path, fs::Permissions::from_mode(0o6777)).unwrap();
        // Root keeps them.
        set();
        writable(&path).write_all_at(&[0; 200_000], 0).unwrap();
        assert_eq!(mode(&path), 0o6777, "{io_mode}");
        let before = spliced(&mount);
        let mut command = std::process::Command::new("dd");
        command.args([
            "if=/dev/zero",
            "bs=200000",
            "count=1",
            "conv=notrunc",
            "status=none",
        ]);
        let command = command.arg(format!("of={}", path.display()));
        let status = command.uid(12_345).gid(12_345).status().expect("dd");
        assert!(status.success(), "{status}");
        assert!(spliced(&mount) > before, "{io_mode}");
        assert_eq!(mode(&path), 0o777, "{io_mode}");
        assert_eq!(mode(&mount.backing("f")), 0o777, "{io_mode}, behind");
    }
}

#[test]
fn several_write_at_once_each_its_own() {
    if !can_mount("several writers") {
        return;
    }
    for io_mode in [IoMode::WriteThrough, IoMode::WritebackCache, IoMode::Direct] {
        let mut config = piping(io_mode);
        config.worker_threads = 4;
        let mount = TestMount::local(config);
        let content = |n: u64| Lcg(20 + n).bytes(1 << 20);
        std::thread::scope(|scope| {
            for n in 0..4 {
                let (path, content) = (mount.path(format!("f{n}")), content(n));
                scope.spawn(move || {
                    for _ in 0..5 {
                        let mut file = File::create(&path).unwrap();
                        for piece in content.chunks(150_000) {
                            file.write_all(piece).unwrap();
                        }
                        file.sync_all().unwrap();
                        assert!(fs::read(&path).unwrap() == content, "{n}");
                    }
                });
            }
        });
        for n in 0..4 {
            assert_content(&mount, &format!("f{n}"), &content(n));
        }
    }
}

#[test]
fn files_that_nobody_opened_are_spliced_to_too() {
    if !can_mount("writes and stateless opens") {
        return;
    }
    let mut config = piping(IoMode::Passthrough);
    config.open = OpenPolicy::Stateless;
    let mount = primed(TestMount::local(config));
    fs::write(mount.path("f"), content()).unwrap();
    assert!(spliced(&mount) >= 1 << 19);
    assert_content(&mount, "f", &content());
}

#[test]
fn what_can_only_be_appended_to_is_copied() {
    if !can_mount("append-only files") {
        return;
    }
    for open in [OpenPolicy::Passthrough, OpenPolicy::Stateless] {
        let mut config = piping(IoMode::WriteThrough);
        config.open = open;
        let mount = mount(config);
        let Some(_flagged) = support::Flagged::set(mount.backing("f"), IFlags::APPEND) else {
            return skipped("append-only files", "a file system with flags");
        };
        let mount = primed(mount);
        let before = spliced(&mount);
        let mut file = OpenOptions::new()
            .append(true)
            .open(mount.path("f"))
            .unwrap();
        let more = Lcg(12).bytes(300_000);
        file.write_all(&more).unwrap();
        assert_eq!(spliced(&mount), before);
        assert_content(&mount, "f", &[content(), more].concat());
    }
}

/// What a storage does when it shall write from a pipe.
struct WritesFrom(fn() -> Result<usize, Errno>);

impl Layer for WritesFrom {
    fn write_from(
        &self,
        _: &dyn FilesystemInterface,
        _: &Caller,
        _: Ino,
        _: Fh,
        _: u64,
        _: BorrowedFd<'_>,
        _: usize,
        _: WriteFlags,
    ) -> Result<usize, Errno> {
        self.0()
    }
}

#[test]
fn a_storage_that_cannot_is_given_a_copy() {
    if !can_mount("a storage that cannot splice") {
        return;
    }
    let over = |write_from| {
        let (dir, config) = (test_dir(), piping(IoMode::Direct));
        fs::create_dir(dir.path().join("backing")).unwrap();
        let local = local_storage(&dir.path().join("backing"), &config);
        let storage = Layered::new(Box::new(local), WritesFrom(write_from));
        TestMount::over(dir, Box::new(storage), config)
    };
    for error in [|| Err(Errno::NOSYS), || Err(Errno::IO)] {
        let mount = primed(over(error));
        fs::write(mount.path("f"), content()).unwrap();
        assert_eq!(spliced(&mount), 0);
        assert_content(&mount, "f", &content());
    }
    // A bug costs the write that met it.
    let mount = primed(over(|| panic!("a storage with a bug")));
    let error = fs::write(mount.path("f"), content()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    fs::write(mount.path("f"), [1; 1000]).unwrap();
    assert_content(&mount, "f", &[1; 1000]);

    let memory = TestMount::of(Box::new(MemoryStorage::new()), piping(IoMode::Direct));
    fs::write(memory.path("f"), content()).unwrap();
    assert!(fs::read(memory.path("f")).unwrap() == content());
    assert_eq!(refusal(&memory, "SPLICE_READ"), NO_FILES);
}

#[test]
fn requests_that_fit_into_no_pipe_are_read() {
    let case = "pipes that are too small";
    let most = fs::read_to_string("/proc/sys/fs/pipe-max-size").unwrap();
    if most.trim() != "1048576" {
        return skipped(case, "the usual fs.pipe-max-size of 1 MiB");
    }
    if !can_mount(case) {
        return;
    }
    let mut config = piping(IoMode::Direct);
    config.max_write_size += rustix::param::page_size();
    let mount = TestMount::local(config);
    let why = refusal(&mount, "SPLICE_READ");
    assert!(
        why.starts_with("no pipe holds the largest request"),
        "{why}"
    );
    fs::write(mount.path("f"), content()).unwrap();
    assert_eq!(spliced(&mount), 0);
    assert_content(&mount, "f", &content());
}
