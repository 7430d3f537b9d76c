//! What it costs to decode a request, serve it and encode the answer, beside the way there and back.
//!
//! `cargo bench --features internals --bench requests`. Three figures for each request:
//! - `way`: through a socket to a thread that answers with zeros, and back,
//! - `session_linux`, `session_fuser`: the same way to a session of that transport, which serves a file
//!   system in memory,
//! - `filesystem_alone`: the call of the file system that the session makes.
//!
//! A session less `way` is what the daemon works for a request; less `filesystem_alone` as well, what the
//! transport does of it (decoding, counting, encoding). Both ends of the socket are bound to one
//! processor: a thread woken on another costs ten times what is to be measured.

use std::ffi::OsStr;
use std::fmt;
use std::sync::Arc;

use divan::{Bencher, black_box};
use dynamicfs::filesystem::EntryAnswer;
use dynamicfs::storage::{Caller, CreateMode, Fh, Ino, MemoryStorage, ROOT_INO, WriteFlags};
use dynamicfs::transport::Wire;
use dynamicfs::{DynamicFS, TransportChoice};
use rustix::fs::OFlags;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Requests in one sample.
const CALLS: u32 = 1_000;
const NAME: &str = "file.txt";
const DATA: [u8; 4096] = [7; 4096];
const ROOT: Caller = Caller::ROOT;

fn main() {
    // Before any thread is made, so that all inherit it.
    bind_to_one_processor();
    divan::main();
}

fn bind_to_one_processor() {
    let allowed = sched_getaffinity(None).expect("the processors that may be used");
    let first = (0..CpuSet::MAX_CPU).find(|&cpu| allowed.is_set(cpu));
    let mut one = CpuSet::new();
    one.set(first.expect("a processor"));
    sched_setaffinity(None, &one).expect("a processor that may be used");
}

#[derive(Clone, Copy)]
enum Request {
    GetAttr,
    Lookup,
    Write4K,
}

const REQUESTS: [Request; 3] = [Request::GetAttr, Request::Lookup, Request::Write4K];

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Request::GetAttr => "GETATTR",
            Request::Lookup => "LOOKUP",
            Request::Write4K => "WRITE 4 KiB",
        })
    }
}

impl Request {
    /// Bytes of a successful answer: `fuse_attr_out`, `fuse_entry_out`, `fuse_write_out`.
    fn answer_len(self) -> usize {
        match self {
            Request::GetAttr => 104,
            Request::Lookup => 128,
            Request::Write4K => 8,
        }
    }

    /// Sends it over the wire and waits for the answer.
    fn ask(self, wire: &mut Wire, file: &File) {
        let answer = match self {
            // `fuse_getattr_in`: no flags, no handle.
            Request::GetAttr => wire.ask(3, file.ino, &[&[0; 16]]),
            Request::Lookup => wire.ask(1, ROOT_INO, &[NAME.as_bytes(), b"\0"]),
            Request::Write4K => wire.ask(16, file.ino, &[&file.write_header(), &DATA]),
        };
        assert_eq!(answer.expect("an answer").len(), self.answer_len());
    }

    /// The same without a transport.
    fn call(self, fs: &DynamicFS, file: &File) {
        match self {
            Request::GetAttr => {
                black_box(fs.getattr(file.ino, None)).expect("attributes");
            }
            Request::Lookup => {
                black_box(fs.lookup(&ROOT, ROOT_INO, OsStr::new(NAME))).expect("an entry");
            }
            Request::Write4K => {
                let flags = WriteFlags::default();
                let written = fs.write(&ROOT, file.ino, file.fh, 0, black_box(&DATA), flags);
                assert_eq!(written, Ok(DATA.len()));
            }
        }
    }
}

/// An open file.
struct File {
    ino: Ino,
    fh: Fh,
}

impl File {
    fn create(fs: &DynamicFS) -> File {
        let mode = CreateMode {
            mode: 0o644,
            umask: 0,
        };
        let name = OsStr::new(NAME);
        match fs.create(&ROOT, ROOT_INO, name, mode, OFlags::RDWR) {
            Ok((EntryAnswer::Found { attr, .. }, opened)) => File {
                ino: attr.ino,
                fh: opened.fh,
            },
            other => panic!("no file: {other:?}"),
        }
    }

    /// `fuse_write_in`: handle, offset 0, size; no flags, no owner of locks.
    fn write_header(&self) -> [u8; 40] {
        let mut header = [0; 40];
        header[..8].copy_from_slice(&self.fh.to_ne_bytes());
        header[16..20].copy_from_slice(&(DATA.len() as u32).to_ne_bytes());
        header
    }
}

/// A file system in memory with a file.
fn filesystem() -> (Arc<DynamicFS>, File) {
    let fs = Arc::new(DynamicFS::new(Box::new(MemoryStorage::new())));
    let file = File::create(&fs);
    (fs, file)
}

#[divan::bench(args = REQUESTS, sample_size = CALLS)]
fn way(bencher: Bencher<'_, '_>, request: Request) {
    let (_, file) = filesystem();
    let mut wire = Wire::to_nothing(request.answer_len()).expect("a thread");
    bencher.bench_local(|| request.ask(&mut wire, &file));
}

#[divan::bench(args = REQUESTS, sample_size = CALLS)]
fn session_linux(bencher: Bencher<'_, '_>, request: Request) {
    session(bencher, request, TransportChoice::Linux);
}

#[divan::bench(args = REQUESTS, sample_size = CALLS)]
fn session_fuser(bencher: Bencher<'_, '_>, request: Request) {
    session(bencher, request, TransportChoice::Fuser);
}

fn session(bencher: Bencher<'_, '_>, request: Request, transport: TransportChoice) {
    let (fs, file) = filesystem();
    let mut wire = Wire::to(transport, fs).expect("a session");
    bencher.bench_local(|| request.ask(&mut wire, &file));
}

#[divan::bench(args = REQUESTS, sample_size = CALLS)]
fn filesystem_alone(bencher: Bencher<'_, '_>, request: Request) {
    let (fs, file) = filesystem();
    bencher.bench_local(|| request.call(&fs, &file));
}
