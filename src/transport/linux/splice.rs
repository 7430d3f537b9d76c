//! File data between a backing file and the device, through a pipe: splice(2) hands the pages themselves on, so the
//! kernel copies the data once, instead of twice through memory of this process.

use std::fs;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

use super::device::Device;
use super::wire::WRITE_HEAD;
use super::wire::abi::OutHeader;
use crate::storage::Result as StorageResult;

/// Bytes of a READ or WRITE from which data are spliced. For a READ it pays from here on: at 16 KiB it is even; at 64, 128
/// and 256 KiB a direct read takes 25, 40 and 61 µs, and 29, 45 and 86 with two copies (Linux 6.18, 2 cores).
pub(super) const FROM: usize = 64 << 10;

/// For how long a size that was refused is not asked for: each request of that size would pay for the question.
/// Not for ever, because the pipes of others that leave no room (`fs.pipe-user-pages-soft`) may go.
const PATIENCE: Duration = Duration::from_secs(1);

/// Bytes of the largest pipe without privileges (pipe(7)).
const MOST: &str = "/proc/sys/fs/pipe-max-size";

/// A message that was received by way of a pipe.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// So many bytes, and they are in the buffer.
    Whole(usize),
    /// So many bytes, of which [`WRITE_HEAD`] are in the buffer and the others still in the pipe: what may be a WRITE
    /// of at least [`FROM`] bytes.
    Begun(usize),
}

impl Received {
    /// Bytes of the message.
    pub(super) fn len(&self) -> usize {
        match *self {
            Received::Whole(len) | Received::Begun(len) => len,
        }
    }
}

/// A pipe that answers pass through, and requests where they are to. Made when it is first used; between a request
/// and the next it is empty.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    ends: Option<Ends>,
    /// The room that was refused last, and when.
    refused: Option<(usize, Instant)>,
}

#[derive(Debug)]
struct Ends {
    read: OwnedFd,
    write: OwnedFd,
    /// Bytes that fit.
    room: usize,
}

impl Pipe {
    /// Whether every worker can have a pipe that holds a request with so many bytes of data: one that acts for
    /// somebody else has no privileges.
    pub(super) fn holds(largest: usize) -> bool {
        let most = fs::read_to_string(MOST).ok();
        let most = most.and_then(|bytes| bytes.trim().parse().ok());
        fits(largest, most.unwrap_or(1 << 20)) && Pipe::default().with_room(largest).is_ok()
    }

    /// Puts the header of an answer into the pipe, and behind it `len` bytes of `file` from `offset`; fewer only
    /// where the file ends. Says how many. They are to be [sent](Self::send) or [taken back](Self::take_back).
    ///
    /// # Errors
    /// The file cannot be spliced from, or no pipe of this user holds so much (`fs.pipe-max-size`). The pipe
    /// is empty then.
    pub(super) fn fill(
        &mut self,
        header: &[IoSlice<'_>],
        file: BorrowedFd<'_>,
        offset: u64,
        len: usize,
    ) -> io::Result<usize> {
        let filled = self.with_room(len).and_then(|ends| {
            rustix::io::writev(&ends.write, header)?;
            Ok(ends.fill(file, offset, len)?)
        });
        self.or_empty(filled)
    }

    /// Sends what is in the pipe, `len` bytes with the header, to a device. `moves` leaves it to the kernel to take
    /// pages out of the page cache of the file, instead of copying them.
    pub(super) fn send(
        &mut self,
        device: BorrowedFd<'_>,
        len: usize,
        moves: bool,
    ) -> rustix::io::Result<()> {
        let Some(ends) = &self.ends else {
            return Err(Errno::INVAL);
        };
        let flags = match moves {
            true => SpliceFlags::MOVE,
            false => SpliceFlags::empty(),
        };
        // The device takes an answer whole.
        let sent = splice(&ends.read, None, device, None, len, flags);
        self.or_empty(sent.map(drop))
    }

    /// Takes as many data as `room` has out of the pipe, and the header.
    pub(super) fn take_back(&mut self, room: &mut [u8]) -> io::Result<()> {
        let Some(ends) = &self.ends else {
            return Err(Errno::INVAL.into());
        };
        let mut header = [0; size_of::<OutHeader>()];
        let taken = ends.take(&mut [IoSliceMut::new(&mut header), IoSliceMut::new(room)]);
        self.or_empty(taken)
    }

    /// Waits for a message, and puts what it begins with into `buffer`: all of it, or so much that its data could go
    /// elsewhere. `None` as [`Device::receive`] has it. No message needs more pages than `largest` bytes have, and one.
    ///
    /// # Errors
    /// No pipe of this user holds so much (`fs.pipe-max-size`), or what [`Device::receive`] says, too.
    pub(super) fn receive(
        &mut self,
        device: &Device,
        largest: usize,
        buffer: &mut [u8],
    ) -> io::Result<Option<Received>> {
        let ends = self.with_room(largest)?;
        let received = ends.receive(device, buffer);
        self.or_empty(received)
    }

    /// Takes the rest of a message, which is as long as `room`, out of the pipe.
    pub(super) fn take_rest(&mut self, room: &mut [u8]) -> io::Result<()> {
        let Some(ends) = &self.ends else {
            return Err(Errno::INVAL.into());
        };
        let taken = ends.take(&mut [IoSliceMut::new(room)]);
        self.or_empty(taken)
    }

    /// Has `write` take the rest of a message out of the pipe, and says what it says. Something is left afterwards
    /// only where it fails: the rest, which it has not touched.
    pub(super) fn pour(
        &mut self,
        write: impl FnOnce(BorrowedFd<'_>) -> StorageResult<usize>,
    ) -> StorageResult<usize> {
        // Back in its place only when it is known what is in it, which a panic leaves open.
        let ends = self.ends.take().ok_or(Errno::INVAL)?;
        let written = write(ends.read.as_fd());
        if written.is_err() || ends.are_empty() {
            self.ends = Some(ends);
        }
        written
    }

    /// After an error, whatever is left in the pipe is dropped with it.
    fn or_empty<T, E>(&mut self, outcome: Result<T, E>) -> Result<T, E> {
        if outcome.is_err() {
            self.ends = None;
        }
        outcome
    }

    /// With room for so many bytes of data.
    fn with_room(&mut self, bytes: usize) -> io::Result<&Ends> {
        let needed = room_for(bytes);
        if let Some((refused, when)) = self.refused
            && needed >= refused
            && when.elapsed() < PATIENCE
        {
            return Err(Errno::PERM.into());
        }
        let mut ends = match self.ends.take() {
            Some(ends) => ends,
            None => Ends::new()?,
        };
        if ends.room < needed {
            ends.room = fcntl_setpipe_size(&ends.write, needed)
                .inspect_err(|_| self.refused = Some((needed, Instant::now())))?;
        }
        Ok(self.ends.insert(ends))
    }
}

impl Ends {
    fn new() -> io::Result<Ends> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let room = 0;
        Ok(Ends { read, write, room })
    }

    fn receive(&self, device: &Device, buffer: &mut [u8]) -> io::Result<Option<Received>> {
        let Some(len) = device.receive_into(self.write.as_fd(), buffer.len())? else {
            return Ok(None);
        };
        let (received, first) = match len >= WRITE_HEAD + FROM {
            true => (Received::Begun(len), WRITE_HEAD),
            false => (Received::Whole(len), len),
        };
        self.take(&mut [IoSliceMut::new(&mut buffer[..first])])?;
        Ok(Some(received))
    }

    /// Reads as many bytes as `parts` have room for.
    fn take(&self, parts: &mut [IoSliceMut<'_>]) -> io::Result<()> {
        let all = parts.iter().map(|part| part.len()).sum::<usize>();
        match rustix::io::readv(&self.read, parts)? {
            n if n == all => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn are_empty(&self) -> bool {
        rustix::io::ioctl_fionread(&self.read).is_ok_and(|bytes| bytes == 0)
    }

    fn fill(&self, file: BorrowedFd<'_>, mut offset: u64, len: usize) -> rustix::io::Result<usize> {
        let mut done = 0;
        while done < len {
            let (rest, flags) = (len - done, SpliceFlags::NONBLOCK);
            match splice(file, Some(&mut offset), &self.write, None, rest, flags) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }
}

/// Bytes of a pipe for so many bytes of data. Each page takes a place of its own; the header takes one, and data that begin
/// within a page one more. A request has no more pages than its limit, wherever its data begin.
fn room_for(data: usize) -> usize {
    data.saturating_add(2 * rustix::param::page_size())
}

/// Whether a pipe of at most `most` bytes has that room; the kernel makes them of powers of two.
fn fits(data: usize, most: usize) -> bool {
    let room = room_for(data).checked_next_power_of_two();
    room.is_some_and(|room| room <= most)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const HEADER: [u8; size_of::<OutHeader>()] = [7; size_of::<OutHeader>()];

    fn file(len: usize) -> (std::fs::File, Vec<u8>) {
        let content: Vec<u8> = (0..len).map(|at| (at / 3) as u8).collect();
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&content).expect("written");
        (file, content)
    }

    #[test]
    fn data_from_anywhere_go_through_until_the_file_ends() {
        let (file, content) = file(300_000);
        let mut pipe = Pipe::default();
        for (offset, len) in [(0, FROM), (4095, 200_000), (250_001, 100_000), (300_000, 1)] {
            let n = pipe.fill(&[IoSlice::new(&HEADER)], file.as_fd(), offset, len);
            let n = n.expect("spliced");
            assert_eq!(n, len.min(content.len() - offset as usize));
            let mut room = vec![0; n];
            pipe.take_back(&mut room).expect("taken");
            assert!(room == content[offset as usize..][..n], "{offset} {len}");
        }
    }

    #[test]
    fn what_was_refused_is_asked_for_again_after_a_while() {
        let (file, _) = file(FROM);
        let header = &[IoSlice::new(&HEADER)];
        let refused = |when| Pipe {
            ends: None,
            refused: Some((FROM, when)),
        };
        let (now, long_ago) = (Instant::now(), Instant::now() - PATIENCE);
        refused(now)
            .fill(header, file.as_fd(), 0, FROM)
            .expect_err("just now");
        let n = refused(long_ago).fill(header, file.as_fd(), 0, FROM);
        assert_eq!(n.expect("spliced"), FROM);
    }

    /// A device whose other end is the pipe that is returned. It keeps no messages apart: one at a time is in it.
    fn device() -> (Device, OwnedFd) {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        fcntl_setpipe_size(&write, 1 << 20).expect("room");
        (Device::new(read), write)
    }

    fn message(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at / 5) as u8).collect()
    }

    /// Receives a message of `len` bytes into `buffer`.
    fn receive(pipe: &mut Pipe, len: usize, buffer: &mut [u8]) -> Received {
        let (device, kernel) = device();
        let sent = rustix::io::write(&kernel, &message(len));
        assert_eq!(sent, Ok(len));
        let received = pipe.receive(&device, buffer.len(), buffer);
        received.expect("received").expect("a message")
    }

    #[test]
    fn of_a_long_message_only_the_head_is_taken_out() {
        let (mut pipe, mut buffer) = (Pipe::default(), vec![0; 4 * FROM]);
        for len in [1, WRITE_HEAD, WRITE_HEAD + FROM - 1] {
            let received = receive(&mut pipe, len, &mut buffer);
            assert_eq!(received, Received::Whole(len));
            assert!(buffer[..len] == message(len), "{len}");
        }
        for len in [WRITE_HEAD + FROM, 3 * FROM] {
            let received = receive(&mut pipe, len, &mut buffer);
            assert_eq!(received, Received::Begun(len));
            let (head, rest) = buffer[..len].split_at_mut(WRITE_HEAD);
            assert!(head == &message(len)[..WRITE_HEAD]);
            pipe.take_rest(rest).expect("taken");
            assert!(buffer[..len] == message(len), "{len}");
        }
        let (device, kernel) = device();
        drop(kernel);
        let received = pipe.receive(&device, FROM, &mut buffer);
        assert_eq!(received.expect("no error"), None);
    }

    #[test]
    fn data_that_were_refused_are_still_there_and_others_never_come_back() {
        let (mut pipe, mut buffer) = (Pipe::default(), vec![0; 4 * FROM]);
        let len = WRITE_HEAD + 2 * FROM;
        let mut begin = |pipe: &mut Pipe| {
            assert_eq!(receive(pipe, len, &mut buffer), Received::Begun(len));
            assert!(buffer[..WRITE_HEAD] == message(len)[..WRITE_HEAD]);
        };
        begin(&mut pipe);
        assert_eq!(pipe.pour(|_| Err(Errno::NOSPC)), Err(Errno::NOSPC));
        let mut rest = vec![0; 2 * FROM];
        pipe.take_rest(&mut rest).expect("all of them");
        assert!(rest == message(len)[WRITE_HEAD..]);

        // It takes all; some; none, and tells a lie; none, and panics.
        begin(&mut pipe);
        let all = pipe.pour(|data| rustix::io::read(data, &mut rest));
        assert_eq!(all, Ok(2 * FROM));
        begin(&mut pipe);
        let some = pipe.pour(|data| rustix::io::read(data, &mut rest[..FROM]));
        assert_eq!(some, Ok(FROM));
        begin(&mut pipe);
        assert_eq!(pipe.pour(|_| Ok(2 * FROM)), Ok(2 * FROM));
        begin(&mut pipe);
        let panics = std::panic::AssertUnwindSafe(|| pipe.pour(|_| panic!("a storage with a bug")));
        std::panic::catch_unwind(panics).expect_err("a panic");
        begin(&mut pipe);
        pipe.take_rest(&mut rest).expect("all of them");
        assert!(rest == message(len)[WRITE_HEAD..]);
        pipe.take_rest(&mut rest).expect_err("nothing is left");
    }

    #[test]
    fn a_request_and_two_pages_have_to_fit() {
        let page = rustix::param::page_size();
        assert!(fits((1 << 20) - 2 * page, 1 << 20));
        assert!(!fits((1 << 20) - page, 1 << 20));
        assert!(!fits(1 << 20, (2 << 20) - page), "no power of two");
        assert!(fits(1 << 20, 2 << 20));
        assert!(!fits(usize::MAX, usize::MAX));
    }

    #[test]
    fn a_message_waits_where_no_pipe_is_large_enough() {
        let (device, kernel) = device();
        let sent = rustix::io::write(&kernel, &message(100));
        assert_eq!(sent, Ok(100));
        let mut buffer = [0; 100];
        let mut pipe = Pipe::default();
        pipe.receive(&device, usize::MAX / 2, &mut buffer)
            .expect_err("too large");
        assert_eq!(device.receive(&mut buffer).expect("read"), Some(100));
        assert!(buffer[..] == message(100));
    }

    #[test]
    fn after_an_error_nothing_is_left_in_it() {
        let (file, content) = file(10_000);
        let mut pipe = Pipe::default();
        let header = &[IoSlice::new(&HEADER)];
        let directory = std::fs::File::open("/").expect("a directory");
        pipe.fill(header, directory.as_fd(), 0, FROM)
            .expect_err("no file");
        pipe.fill(header, file.as_fd(), 0, usize::MAX / 2)
            .expect_err("too large");
        assert!(pipe.refused.is_some());
        pipe.fill(header, file.as_fd(), 0, usize::MAX)
            .expect_err("too large");
        let n = pipe.fill(header, file.as_fd(), 0, FROM).expect("spliced");
        pipe.send(directory.as_fd(), HEADER.len() + n, true)
            .expect_err("no device");
        let n = pipe.fill(header, file.as_fd(), 0, FROM).expect("spliced");
        let mut room = vec![0; n];
        pipe.take_back(&mut room).expect("taken");
        assert_eq!(room, content);
    }
}
