use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use proptest::prelude::*;

use super::*;
use crate::storage::Errno;

const NEVER: Duration = Duration::from_secs(3600);
const DEADLINE: Duration = Duration::from_secs(10);

/// Files in memory, and the writes they got.
#[derive(Default)]
struct Files {
    contents: Mutex<HashMap<Ino, Vec<u8>>>,
    writes: Mutex<Vec<(Ino, Fh, u64, usize)>>,
}

impl Files {
    fn write(&self, ino: Ino, fh: Fh, offset: u64, data: &[u8]) -> Result<usize> {
        self.writes.lock().push((ino, fh, offset, data.len()));
        let mut contents = self.contents.lock();
        let file = contents.entry(ino).or_default();
        let end = offset as usize + data.len();
        if file.len() < end {
            file.resize(end, 0);
        }
        file[offset as usize..end].copy_from_slice(data);
        Ok(data.len())
    }

    fn read(&self, ino: Ino, offset: u64, buf: &mut [u8]) -> usize {
        let contents = self.contents.lock();
        let file = contents.get(&ino).map_or(&[][..], Vec::as_slice);
        let rest = file.get(offset as usize..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        n
    }

    fn truncate(&self, ino: Ino, size: usize) {
        self.contents.lock().entry(ino).or_default().resize(size, 0);
    }
}

fn buffer_over(files: &Arc<Files>, limit: usize, max_age: Duration) -> WriteBuffer {
    let files = Arc::clone(files);
    WriteBuffer::new(limit, max_age, move |ino, fh, offset, data: &[u8]| {
        files.write(ino, fh, offset, data)
    })
    .unwrap()
}

fn content(buffer: &WriteBuffer, files: &Files, ino: Ino) -> Vec<u8> {
    let mut buf = vec![0xee; 4096];
    let n = buffer
        .read(ino, 0, &mut buf, |buf| Ok(files.read(ino, 0, buf)))
        .unwrap();
    buf.truncate(n);
    buf
}

#[test]
fn neighbours_become_one_write() {
    let files = Arc::new(Files::default());
    let buffer = buffer_over(&files, 1 << 20, NEVER);
    for (fh, offset, data) in [(1, 4, "efgh"), (2, 0, "abcd"), (3, 8, "ij"), (4, 2, "XY")] {
        buffer.write(7, fh, offset, data.as_bytes()).unwrap();
    }
    assert_eq!(buffer.held_bytes(), 10);
    assert_eq!(buffer.dirty_end(7), Some(10));
    assert_eq!(content(&buffer, &files, 7), b"abXYefghij");
    assert!(files.writes.lock().is_empty());
    buffer.flush_inode(7).unwrap();
    assert_eq!(*files.writes.lock(), [(7, 3, 0, 10)]);
    assert_eq!((buffer.held_bytes(), buffer.dirty_end(7)), (0, None));
    assert!(buffer.shared.inos().is_empty());
}

#[test]
fn the_heaviest_inode_makes_room() {
    let files = Arc::new(Files::default());
    let buffer = buffer_over(&files, 100, NEVER);
    buffer.write(1, 0, 0, &[1; 30]).unwrap();
    buffer.write(2, 0, 0, &[2; 60]).unwrap();
    buffer.write(3, 0, 0, &[3; 20]).unwrap();
    assert_eq!(*files.writes.lock(), [(2, 0, 0, 60)]);
    assert_eq!(buffer.held_bytes(), 50);
    assert_eq!(buffer.write(4, 0, 0, &[4; 1000]), Ok(1000));
    assert!(buffer.held_bytes() <= 100);
    buffer.flush_all().unwrap();
    assert_eq!(files.contents.lock()[&4], [4; 1000]);
    assert_eq!(buffer.held_bytes(), 0);
}

#[test]
fn old_data_are_written_without_being_asked() {
    let (send, receive) = channel();
    let send = Mutex::new(send);
    let sink = move |ino, _, _, data: &[u8]| {
        send.lock().send(ino).unwrap();
        Ok(data.len())
    };
    let buffer = WriteBuffer::new(100, Duration::from_millis(20), sink).unwrap();
    for ino in [5, 6] {
        let start = Instant::now();
        buffer.write(ino, 0, 0, b"x").unwrap();
        assert_eq!(receive.recv_timeout(DEADLINE), Ok(ino));
        assert!(start.elapsed() >= Duration::from_millis(20));
    }
}

#[test]
fn drop_writes_the_rest() {
    let files = Arc::new(Files::default());
    drop({
        let buffer = buffer_over(&files, 100, NEVER);
        buffer.write(1, 0, 3, b"x").unwrap();
        buffer
    });
    assert_eq!(files.contents.lock()[&1], b"\0\0\0x");
}

#[test]
fn an_error_is_told_once_and_its_data_are_dropped() {
    let files = Arc::new(Files::default());
    let inner = Arc::clone(&files);
    let sink = move |ino, fh, offset, data: &[u8]| match offset {
        50.. => Err(Errno::NOSPC),
        // Short writes are continued.
        _ => inner.write(ino, fh, offset, &data[..data.len().min(3)]),
    };
    let buffer = WriteBuffer::new(1000, NEVER, sink).unwrap();
    buffer.write(1, 0, 0, b"kept so far").unwrap();
    buffer.write(1, 0, 50, b"lost").unwrap();
    buffer.write_back(1);
    assert_eq!(buffer.held_bytes(), 0);
    assert_eq!(content(&buffer, &files, 1), b"kept so far");
    assert_eq!(buffer.flush_inode(2), Ok(()));
    assert_eq!(buffer.flush_inode(1), Err(Errno::NOSPC));
    assert_eq!(buffer.flush_inode(1), Ok(()));
}

#[test]
fn a_sink_that_takes_nothing_is_an_error() {
    let sink = |_, _, _, _: &[u8]| Ok(0);
    let buffer = WriteBuffer::new(10, NEVER, sink).unwrap();
    buffer.write(1, 0, 0, b"x").unwrap();
    assert_eq!(buffer.flush_inode(1), Err(Errno::IO));
}

#[test]
fn a_panic_of_the_sink_is_an_error_and_blocks_nobody() {
    let sink = |_, _, _, _: &[u8]| -> Result<usize> { panic!("on purpose") };
    let buffer = WriteBuffer::new(10, NEVER, sink).unwrap();
    buffer.write(1, 0, 0, b"x").unwrap();
    let flush = std::panic::AssertUnwindSafe(|| buffer.flush_inode(1));
    assert!(std::panic::catch_unwind(flush).is_err());
    assert_eq!(buffer.flush_inode(1), Err(Errno::IO));
    assert_eq!(buffer.held_bytes(), 0);
}

#[test]
fn writes_and_reads_go_on_during_a_flush() {
    let files = Arc::new(Files::default());
    let inner = Arc::clone(&files);
    let (started, has_started) = channel();
    let (go, may_go) = channel::<()>();
    let gates = Mutex::new((started, may_go));
    let sink = move |ino, fh, offset, data: &[u8]| {
        let gates = gates.lock();
        gates.0.send(()).unwrap();
        gates.1.recv_timeout(DEADLINE).unwrap();
        inner.write(ino, fh, offset, data)
    };
    let buffer = WriteBuffer::new(1000, NEVER, sink).unwrap();
    buffer.write(1, 0, 0, b"old old").unwrap();
    std::thread::scope(|scope| {
        let flush = scope.spawn(|| buffer.flush_inode(1));
        has_started.recv_timeout(DEADLINE).unwrap();
        buffer.write(1, 0, 4, b"new!").unwrap();
        assert_eq!(content(&buffer, &files, 1), b"old new!");
        assert_eq!(buffer.dirty_end(1), Some(8));
        go.send(()).unwrap();
        flush.join().unwrap().unwrap();
        go.send(()).unwrap();
        buffer.flush_inode(1).unwrap();
    });
    assert_eq!(files.contents.lock()[&1], b"old new!");
}

/// Each thread writes its own stripe of two shared files, reads it back at once, and flushes now
/// and then, while a slow sink and a small limit keep everybody flushing.
#[test]
fn threads_never_lose_a_write() {
    const STRIPE: u64 = 64;
    let files = Arc::new(Files::default());
    let inner = Arc::clone(&files);
    let sink = move |ino, fh, offset, data: &[u8]| {
        std::thread::yield_now();
        let answer = inner.write(ino, fh, offset, data);
        std::thread::yield_now();
        answer
    };
    let buffer = WriteBuffer::new(200, Duration::from_millis(1), sink).unwrap();
    let models: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4u64)
            .map(|thread| {
                let (buffer, files) = (&buffer, &files);
                scope.spawn(move || {
                    let mut model = [[0u8; STRIPE as usize]; 2];
                    for round in 0..3000u64 {
                        let ino = round % 2;
                        let stripe = &mut model[ino as usize];
                        let at = (round * 31 + thread * 7) % STRIPE;
                        let len = (1 + round * 13 % 40).min(STRIPE - at);
                        let range = at as usize..(at + len) as usize;
                        stripe[range.clone()].fill(round as u8);
                        let base = thread * STRIPE;
                        buffer
                            .write(ino, thread, base + at, &stripe[range])
                            .unwrap();
                        assert!(buffer.held_bytes() <= 200);
                        let mut seen = [0; STRIPE as usize];
                        let read = |buf: &mut [u8]| Ok(files.read(ino, base, buf));
                        buffer.read(ino, base, &mut seen, read).unwrap();
                        assert_eq!(seen, *stripe, "thread {thread} round {round}");
                        if round % 50 == 0 {
                            buffer.flush_inode(ino).unwrap();
                            let mut stored = [0; STRIPE as usize];
                            files.read(ino, base, &mut stored);
                            assert_eq!(stored, *stripe, "flushed means stored");
                        }
                    }
                    model
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    buffer.flush_all().unwrap();
    assert_eq!(buffer.held_bytes(), 0);
    for (thread, model) in models.iter().enumerate() {
        for ino in 0..2 {
            let mut stored = [0; STRIPE as usize];
            files.read(ino, thread as u64 * STRIPE, &mut stored);
            assert_eq!(stored, model[ino as usize]);
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Write(Ino, u64, usize, u8),
    Truncate(Ino, u64),
    Flush(Ino),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..3u64, 0..300u64, 1..120usize, 1..=255u8)
            .prop_map(|(i, o, l, b)| Step::Write(i, o, l, b)),
        1 => (0..3u64, 0..300u64).prop_map(|(i, s)| Step::Truncate(i, s)),
        1 => (0..3u64).prop_map(Step::Flush),
    ]
}

proptest! {
    #[test]
    fn readers_see_a_plain_file(limit in 1..400usize, steps in prop::collection::vec(step(), 1..60)) {
        let files = Arc::new(Files::default());
        let buffer = buffer_over(&files, limit, NEVER);
        let mut model = vec![Vec::new(); 3];
        for step in steps {
            match step {
                Step::Write(ino, offset, len, byte) => {
                    buffer.write(ino, 0, offset, &vec![byte; len]).unwrap();
                    let file = &mut model[ino as usize];
                    let end = offset as usize + len;
                    file.resize(file.len().max(end), 0);
                    file[offset as usize..end].fill(byte);
                }
                Step::Truncate(ino, size) => {
                    buffer.discard(ino, size);
                    files.truncate(ino, size as usize);
                    model[ino as usize].resize(size as usize, 0);
                }
                Step::Flush(ino) => buffer.flush_inode(ino).unwrap(),
            }
            prop_assert!(buffer.held_bytes() <= limit);
            for ino in 0..3 {
                prop_assert_eq!(&content(&buffer, &files, ino), &model[ino as usize]);
            }
        }
        buffer.flush_all().unwrap();
        prop_assert_eq!(buffer.held_bytes(), 0);
        for ino in 0..3 {
            let stored = files.contents.lock().get(&ino).cloned().unwrap_or_default();
            prop_assert_eq!(&stored, &model[ino as usize]);
        }
    }
}
