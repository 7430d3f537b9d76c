//! Memory that begins at a page boundary.

use std::io;

use zerocopy::FromZeros;

use super::splice::Pipe;
use super::wire::WRITE_HEAD;
use super::wire::abi::MIN_READ_BUFFER;

/// Bytes of the smallest page of all architectures. Direct I/O needs no larger alignment.
const PAGE: usize = 4096;

/// Pages, untouched until they are used: a buffer costs only the memory that requests have needed. That is
/// why the allocator is not asked for the alignment: it would then fill the zeros in by hand.
#[derive(Default)]
struct Pages {
    memory: Box<[u8]>,
    /// The first page boundary in it.
    start: usize,
    len: usize,
}

impl Pages {
    fn new(bytes: usize) -> io::Result<Pages> {
        let none = || io::Error::from(io::ErrorKind::OutOfMemory);
        let len = bytes.checked_next_multiple_of(PAGE).ok_or_else(none)?;
        let all = len.checked_add(PAGE).ok_or_else(none)?;
        let memory = <[u8]>::new_box_zeroed_with_elems(all).map_err(|_| none())?;
        let start = memory.as_ptr().addr().next_multiple_of(PAGE) - memory.as_ptr().addr();
        Ok(Pages { memory, start, len })
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..][..self.len]
    }
}

/// Where requests are read to. The data of a WRITE begin at a page boundary (see [`super::wire`]).
pub(super) struct ReceiveBuffer(Pages);

impl ReceiveBuffer {
    /// For requests with at most `max_write` bytes of data. The kernel refuses to read into less than
    /// it has announced.
    pub(super) fn new(max_write: u32) -> io::Result<ReceiveBuffer> {
        let data = (max_write as usize).max(MIN_READ_BUFFER);
        Pages::new(PAGE + data).map(ReceiveBuffer)
    }

    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.0.bytes()[PAGE - WRITE_HEAD..]
    }
}

/// Where the data of answers are gathered: grows to the largest answer that was asked for.
pub(super) struct AnswerBuffer(Pages);

impl AnswerBuffer {
    pub(super) fn new() -> AnswerBuffer {
        AnswerBuffer(Pages::default())
    }

    /// Room for `bytes`; what is in it is left from earlier answers.
    ///
    /// # Errors
    /// There is not so much memory.
    pub(super) fn room(&mut self, bytes: usize) -> io::Result<&mut [u8]> {
        if self.0.len < bytes {
            self.0 = Pages::new(bytes)?;
        }
        Ok(&mut self.0.bytes()[..bytes])
    }
}

/// What a worker gathers answers in.
pub(super) struct Buffers {
    pub(super) answer: AnswerBuffer,
    pub(super) pipe: Pipe,
}

impl Buffers {
    pub(super) fn new() -> Buffers {
        Buffers {
            answer: AnswerBuffer::new(),
            pipe: Pipe::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_of_a_write_begin_at_a_page_boundary() {
        let mut buffer = ReceiveBuffer::new(1 << 20).expect("memory");
        let room = buffer.room();
        assert_eq!(room.len(), WRITE_HEAD + (1 << 20));
        assert_eq!((room.as_ptr().addr() + WRITE_HEAD) % PAGE, 0);
        assert_eq!(room.as_ptr().addr() % 8, 0);
    }

    #[test]
    fn the_kernel_reads_into_no_less_than_its_minimum() {
        let mut buffer = ReceiveBuffer::new(4096).expect("memory");
        assert!(buffer.room().len() >= MIN_READ_BUFFER);
    }

    #[test]
    fn an_answer_has_the_room_it_asks_for() {
        let mut buffer = AnswerBuffer::new();
        for bytes in [1, PAGE + 1, 10, 0] {
            let room = buffer.room(bytes).expect("memory");
            assert_eq!(room.len(), bytes);
            assert_eq!(room.as_ptr().addr() % PAGE, 0);
        }
        let empty = AnswerBuffer::new().room(0).map(|room| room.len());
        assert_eq!(empty.expect("nothing"), 0);
    }
}
