//! The ways of file data, compared with a model: the same bytes through the mount, in the backing
//! file, and in the model.
//!
//! Nothing is mapped here: a page fault that waits for a daemon in the same process holds a lock of
//! the address space that the daemon may need, and both wait for ever.

mod support;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;

use dynamicfs::{IoMode, OptimizedFUSEConfig};
use rustix::fs::FallocateFlags;
use support::{Lcg, TestMount, can_mount, with_io_mode};

const MODES: [IoMode; 4] = [
    IoMode::Passthrough,
    IoMode::WriteThrough,
    IoMode::WritebackCache,
    IoMode::Direct,
];
/// Offsets are below this.
const RANGE: u64 = 600_000;

fn open(mount: &TestMount, name: &str) -> File {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    options.open(mount.path(name)).unwrap()
}

/// A file, and what must be in it.
struct Checked<'a> {
    mount: &'a TestMount,
    name: &'static str,
    file: File,
    model: Vec<u8>,
    numbers: Lcg,
}

impl Checked<'_> {
    fn new<'a>(mount: &'a TestMount, name: &'static str, seed: u64) -> Checked<'a> {
        Checked {
            file: open(mount, name),
            mount,
            name,
            model: Vec::new(),
            numbers: Lcg(seed),
        }
    }

    fn step(&mut self) {
        match self.numbers.below(13) {
            0..4 => self.write(),
            4..7 => self.read(),
            7 => self.truncate(),
            8 => self.append(),
            9 => self.sync(),
            10 => self.punch_hole(),
            11 => self.copy(),
            _ => self.file = open(self.mount, self.name),
        }
        let size = self.file.metadata().unwrap().len();
        assert_eq!(size, self.model.len() as u64);
    }

    fn write(&mut self) {
        let at = self.numbers.below(RANGE) as usize;
        let len = 1 + self.numbers.below(40_000) as usize;
        let data = self.numbers.bytes(len);
        self.file.write_all_at(&data, at as u64).unwrap();
        self.model.resize(self.model.len().max(at + len), 0);
        self.model[at..at + len].copy_from_slice(&data);
    }

    fn read(&mut self) {
        let at = self.numbers.below(RANGE) as usize;
        let mut buffer = vec![0; 1 + self.numbers.below(60_000) as usize];
        let mut n = 0;
        while n < buffer.len() {
            match self
                .file
                .read_at(&mut buffer[n..], (at + n) as u64)
                .unwrap()
            {
                0 => break,
                more => n += more,
            }
        }
        let from = at.min(self.model.len());
        let to = (at + buffer.len()).min(self.model.len());
        assert!(buffer[..n] == self.model[from..to], "read {n} at {at}");
    }

    fn truncate(&mut self) {
        let size = self.numbers.below(RANGE);
        self.file.set_len(size).unwrap();
        self.model.resize(size as usize, 0);
    }

    fn punch_hole(&mut self) {
        let (at, len) = (self.numbers.below(RANGE), 1 + self.numbers.below(100_000));
        let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&self.file, mode, at, len).unwrap();
        let end = ((at + len) as usize).min(self.model.len());
        self.model[(at as usize).min(end)..end].fill(0);
    }

    /// Within the file, from its first half to where no source is.
    fn copy(&mut self) {
        let half = RANGE / 2;
        let (mut from, mut to) = (self.numbers.below(half), half + self.numbers.below(half));
        let len = 1 + self.numbers.below(half - from) as usize;
        let source = from as usize..(from as usize + len).min(self.model.len());
        if source.is_empty() {
            return;
        }
        let at = to as usize;
        self.model
            .resize(self.model.len().max(at + source.len()), 0);
        self.model.copy_within(source.clone(), at);
        let mut left = source.len();
        while left > 0 {
            let (file, from, to) = (&self.file, Some(&mut from), Some(&mut to));
            let copied = rustix::fs::copy_file_range(file, from, file, to, left).unwrap();
            assert_ne!(copied, 0, "{left} bytes are left to copy");
            left -= copied;
        }
    }

    fn append(&mut self) {
        let len = 1 + self.numbers.below(10_000) as usize;
        let data = self.numbers.bytes(len);
        let mut options = OpenOptions::new();
        let mut file = options
            .append(true)
            .open(self.mount.path(self.name))
            .unwrap();
        file.write_all(&data).unwrap();
        self.model.extend_from_slice(&data);
    }

    fn sync(&mut self) {
        self.file.sync_all().unwrap();
        let real = fs::read(self.mount.backing(self.name)).unwrap();
        assert!(real == self.model, "after fsync the backing file differs");
    }
}

#[test]
fn a_random_mix_leaves_the_same_bytes_everywhere() {
    if !can_mount("random mix") {
        return;
    }
    for (io_mode, exclusive) in MODES
        .into_iter()
        .flat_map(|mode| [(mode, false), (mode, true)])
    {
        let mut config = with_io_mode(io_mode);
        config.exclusive = exclusive;
        let mount = TestMount::local(config);
        assert_eq!(mount.handle().report().io_mode, io_mode.to_string());
        let mut one = Checked::new(&mount, "one", 11);
        let mut two = Checked::new(&mount, "two", 12);
        for step in 0..300 {
            let file = if step % 3 == 0 { &mut two } else { &mut one };
            file.step();
        }
        for file in [one, two] {
            let seen = fs::read(mount.path(file.name)).unwrap();
            assert!(
                seen == file.model,
                "{io_mode}: {} through the mount",
                file.name
            );
            let (name, model) = (file.name, file.model.clone());
            drop(file);
            assert_eq!(
                fs::metadata(mount.path(name)).unwrap().len(),
                model.len() as u64
            );
        }
    }
}

#[test]
fn an_unmount_writes_out_everything() {
    if !can_mount("unmount") {
        return;
    }
    for io_mode in MODES {
        let mount = TestMount::local(with_io_mode(io_mode));
        let mut expected = Vec::new();
        for n in 0..20 {
            let data = Lcg(n).bytes(100_000);
            fs::write(mount.path(format!("f{n}")), &data).unwrap();
            expected.push(data);
        }
        let dir = mount.unmount();
        for (n, data) in expected.iter().enumerate() {
            let real = fs::read(dir.path().join(format!("backing/f{n}"))).unwrap();
            assert!(real == *data, "{io_mode}: f{n}");
        }
    }
}

#[test]
fn fsync_returns_only_when_the_backing_file_has_the_data() {
    if !can_mount("fsync") {
        return;
    }
    for io_mode in MODES {
        let mount = TestMount::local(with_io_mode(io_mode));
        let file = open(&mount, "f");
        let mut model = Vec::new();
        for round in 0..20 {
            let data = vec![round; 30_000];
            file.write_all_at(&data, model.len() as u64).unwrap();
            model.extend_from_slice(&data);
            if round % 2 == 0 {
                file.sync_data().unwrap();
            } else {
                file.sync_all().unwrap();
            }
            let real = fs::read(mount.backing("f")).unwrap();
            assert!(real == model, "{io_mode}, round {round}");
        }
        assert!(mount.ops("FSYNC") >= 20, "{io_mode}: not asked");
    }
}

#[test]
fn only_the_writeback_cache_answers_writes_from_memory() {
    if !can_mount("writes from memory") {
        return;
    }
    for (io_mode, asked) in [
        (IoMode::WriteThrough, true),
        (IoMode::Direct, true),
        (IoMode::WritebackCache, false),
    ] {
        let mount = TestMount::local(with_io_mode(io_mode));
        let file = open(&mount, "f");
        for n in 0..100 {
            file.write_all_at(b"0123456789", n * 10).unwrap();
        }
        let requests = mount.ops("WRITE");
        match asked {
            true => assert_eq!(requests, 100, "{io_mode}"),
            // Writeback may have begun, but not a request for each.
            false => assert!(requests < 10, "{requests} requests"),
        }
        file.sync_all().unwrap();
        assert_eq!(fs::metadata(mount.backing("f")).unwrap().len(), 1000);
    }
}

/// The kernel owns size and times with the writeback cache: they must still reach the file.
#[test]
fn writeback_keeps_times_and_sizes_right() {
    if !can_mount("writeback times") {
        return;
    }
    let mount = TestMount::local(with_io_mode(IoMode::WritebackCache));
    fs::write(mount.path("f"), b"first").unwrap();
    let before = fs::metadata(mount.path("f")).unwrap();
    let mut appender = OpenOptions::new()
        .append(true)
        .open(mount.path("f"))
        .unwrap();
    support::wait_for("the clock of the kernel ticks", support::DEADLINE, || {
        fs::write(mount.backing("tick"), "x").unwrap();
        let tick = fs::metadata(mount.backing("tick"))
            .unwrap()
            .modified()
            .unwrap();
        tick > before.modified().unwrap()
    });
    appender.write_all(b" second").unwrap();
    let seen = fs::metadata(mount.path("f")).unwrap();
    assert_eq!(seen.len(), 12);
    assert!(seen.modified().unwrap() > before.modified().unwrap());
    drop(appender);
    let seen = fs::metadata(mount.path("f")).unwrap();
    assert_eq!(fs::read(mount.backing("f")).unwrap(), b"first second");
    let dir = mount.unmount();
    let real = fs::metadata(dir.path().join("backing/f")).unwrap();
    assert_eq!(real.modified().unwrap(), seen.modified().unwrap());
}

#[test]
fn direct_io_keeps_no_pages_of_the_mount() {
    if !can_mount("direct") {
        return;
    }
    let mount = TestMount::local(with_io_mode(IoMode::Direct));
    fs::write(mount.backing("f"), b"one").unwrap();
    let file = open(&mount, "f");
    let mut buffer = [0; 3];
    file.read_exact_at(&mut buffer, 0).unwrap();
    // Same size, written behind the mount: the next read shows it, whatever the times to live.
    fs::write(mount.backing("f"), b"two").unwrap();
    file.read_exact_at(&mut buffer, 0).unwrap();
    assert_eq!(&buffer, b"two");
    assert_eq!(OptimizedFUSEConfig::balanced().attr_timeout_secs, 5);
}

#[test]
fn pages_that_nobody_else_changes_outlive_writes() {
    if !can_mount("pages of an exclusive mount") {
        return;
    }
    for (exclusive, reads) in [(false, 1), (true, 0)] {
        let mut config = with_io_mode(IoMode::WriteThrough);
        config.exclusive = exclusive;
        let mount = TestMount::local(config);
        let path = mount.path("file");
        fs::write(&path, [b'a'; 8192]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), [b'a'; 8192]);
        let before = mount.ops("READ");
        let file = open(&mount, "file");
        file.write_all_at(&[b'b'; 4096], 0).unwrap();
        // The answer brings a modification time that is new to the kernel.
        assert_eq!(file.metadata().unwrap().len(), 8192);
        let mut seen = [0; 8192];
        file.read_exact_at(&mut seen, 0).unwrap();
        assert_eq!((seen[0], seen[8191]), (b'b', b'a'));
        assert_eq!(mount.ops("READ") - before, reads, "exclusive: {exclusive}");
    }
}
