//! File data from the page cache of a backing file into an answer: splice(2) hands the pages themselves to the
//! device, so the kernel copies the data once, instead of twice through memory of this process.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

use super::wire::abi::OutHeader;

/// Bytes of a READ from which splicing pays. At 16 KiB it is even; at 64, 128 and 256 KiB a direct read takes 25, 40
/// and 61 µs, and 29, 45 and 86 with two copies (Linux 6.18, 2 cores).
pub(super) const FROM: usize = 64 << 10;

/// For how long a size that was refused is not asked for: each request of that size would pay for the question.
/// Not for ever, because the pipes of others that leave no room (`fs.pipe-user-pages-soft`) may go.
const PATIENCE: Duration = Duration::from_secs(1);

/// A pipe that answers pass through. Made when it is first used; between answers it is empty.
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

    /// Sends what is in the pipe, `len` bytes with the header, to a device.
    pub(super) fn send(&mut self, device: BorrowedFd<'_>, len: usize) -> rustix::io::Result<()> {
        let Some(ends) = &self.ends else {
            return Err(Errno::INVAL);
        };
        // The device takes an answer whole. Moving pages instead of copying them would take them out
        // of the page cache of the backing file, and was slower than two copies.
        let sent = splice(&ends.read, None, device, None, len, SpliceFlags::empty());
        self.or_empty(sent.map(drop))
    }

    /// Takes as many data as `room` has out of the pipe, and the header.
    pub(super) fn take_back(&mut self, room: &mut [u8]) -> io::Result<()> {
        let Some(ends) = &self.ends else {
            return Err(Errno::INVAL.into());
        };
        let mut header = [0; size_of::<OutHeader>()];
        let all = header.len() + room.len();
        let parts = &mut [IoSliceMut::new(&mut header), IoSliceMut::new(room)];
        let taken = match rustix::io::readv(&ends.read, parts) {
            Ok(n) if n == all => Ok(()),
            Ok(_) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) => Err(error.into()),
        };
        self.or_empty(taken)
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
        // Each page takes a place of its own; the header takes one, and data that begin within a page one more.
        let needed = bytes.saturating_add(2 * rustix::param::page_size());
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;

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
        pipe.send(directory.as_fd(), HEADER.len() + n)
            .expect_err("no device");
        let n = pipe.fill(header, file.as_fd(), 0, FROM).expect("spliced");
        let mut room = vec![0; n];
        pipe.take_back(&mut room).expect("taken");
        assert_eq!(room, content);
    }
}
