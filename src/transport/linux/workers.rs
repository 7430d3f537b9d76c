//! The threads that serve a connection.
//!
//! Each reads a request from its own device, serves it, answers it, and reads the next. A mount begins
//! with one. Whenever a request leaves nobody to read the next, another worker starts, up to the
//! configured number: so a request that takes long holds nobody up. Those that a lower load does not need
//! end again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::buffer::{Buffers, ReceiveBuffer};
use super::device::Device;
use super::serve::{self, Context};
use super::splice::{FROM, Received};
use super::wire::WRITE_HEAD;

/// Workers that wait beside the one which has a request: one, for the next caller. More than that are
/// too many, if it stays so.
const SPARE: usize = 1;

/// How long workers may be too many before one ends: a load that comes in waves shall find them.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Count {
    alive: usize,
    /// Those that are alive, and some that have ended.
    threads: Vec<JoinHandle<()>>,
    /// The first error that ended a worker.
    error: Option<io::Error>,
}

/// What the workers of a connection share.
pub(super) struct Workers {
    context: Arc<Context>,
    max_write: u32,
    most: usize,
    /// Workers that wait for a request. On the path of every request, so without a lock.
    waiting: AtomicUsize,
    /// `alive` again, to be looked at without a lock.
    alive: AtomicUsize,
    count: Mutex<Count>,
}

impl Workers {
    /// Serves with at most `most` threads, until the connection ends and they have too.
    ///
    /// # Errors
    /// The first error that ended a worker.
    pub(super) fn serve(context: Arc<Context>, max_write: u32, most: usize) -> io::Result<()> {
        let device = context.device.clone();
        let workers = Arc::new(Workers {
            context,
            max_write,
            most: most.max(1),
            waiting: AtomicUsize::new(0),
            alive: AtomicUsize::new(0),
            count: Mutex::default(),
        });
        workers.start(device)?;
        // Only a worker starts another, and is here until it has ended: none is missed.
        while let Some(thread) = workers.last_started() {
            if thread.join().is_err() {
                workers.failed(io::Error::other("a worker panicked"));
            }
        }
        let error = workers.count.lock().error.take();
        error.map_or(Ok(()), Err)
    }

    fn last_started(&self) -> Option<JoinHandle<()>> {
        self.count.lock().threads.pop()
    }

    /// Starts a worker, unless there are enough.
    fn start(self: &Arc<Workers>, device: Arc<Device>) -> io::Result<()> {
        let mut count = self.count.lock();
        if count.alive >= self.most {
            return Ok(());
        }
        let (workers, number) = (self.clone(), count.alive);
        let thread = std::thread::Builder::new()
            .name(format!("dynamicfs-{number}"))
            .spawn(move || {
                let outcome = Worker::new(&workers, device).and_then(|mut worker| worker.run());
                workers.end(outcome);
            })?;
        count.threads.retain(|thread| !thread.is_finished());
        count.threads.push(thread);
        count.alive += 1;
        self.alive.store(count.alive, Ordering::Relaxed);
        Ok(())
    }

    /// Nobody waits for the next request: another worker shall.
    fn reinforce(self: &Arc<Workers>, device: &Device) {
        if self.alive.load(Ordering::Relaxed) >= self.most {
            return;
        }
        let started = device.another().and_then(|own| self.start(Arc::new(own)));
        if let Err(error) = started {
            tracing::warn!(%error, "no further worker; those that there are go on");
        }
    }

    fn end(&self, outcome: io::Result<()>) {
        let mut count = self.count.lock();
        count.alive -= 1;
        self.alive.store(count.alive, Ordering::Relaxed);
        drop(count);
        if let Err(error) = outcome {
            self.failed(error);
        }
    }

    fn failed(&self, error: io::Error) {
        tracing::error!(%error, "a worker ended");
        self.count.lock().error.get_or_insert(error);
    }
}

/// One thread.
struct Worker<'a> {
    workers: &'a Arc<Workers>,
    device: Arc<Device>,
    received: ReceiveBuffer,
    buffers: Buffers,
    surplus: Surplus,
    by_pipe: ByPipe,
}

impl<'a> Worker<'a> {
    fn new(workers: &'a Arc<Workers>, device: Arc<Device>) -> io::Result<Worker<'a>> {
        Ok(Worker {
            received: ReceiveBuffer::new(workers.max_write)?,
            buffers: Buffers::new(),
            surplus: Surplus::default(),
            by_pipe: ByPipe::default(),
            workers,
            device,
        })
    }

    /// Until the connection ends, or this worker is one too many.
    fn run(&mut self) -> io::Result<()> {
        let waiting = &self.workers.waiting;
        loop {
            waiting.fetch_add(1, Ordering::Relaxed);
            let received = self.receive();
            let others = waiting.fetch_sub(1, Ordering::Relaxed) - 1;
            let Some(received) = received? else {
                return Ok(());
            };
            if others == 0 {
                self.workers.reinforce(&self.device);
            }
            let (context, device) = (&self.workers.context, &self.device);
            let (buffers, room) = (&mut self.buffers, self.received.room());
            match received {
                Received::Whole(len) => serve::message(context, device, buffers, &room[..len]),
                Received::Begun(len) => serve::begun(context, device, buffers, &mut room[..len]),
            }
            if self.surplus.lasts(others, Instant::now) {
                return Ok(());
            }
        }
    }

    /// Waits for a message; by way of the pipe, where requests are to take it.
    fn receive(&mut self) -> io::Result<Option<Received>> {
        let room = self.received.room();
        let largest = self.workers.context.largest_piped;
        if let Some(largest) = largest.filter(|_| self.by_pipe.pays()) {
            match self.buffers.pipe.receive(&self.device, largest, room) {
                Ok(received) => {
                    self.by_pipe
                        .came(received.as_ref().map_or(0, Received::len));
                    return Ok(received);
                }
                // Whatever is wrong, reading can do without a pipe, or says it too.
                Err(error) => tracing::debug!(%error, "requests are read, and do not pass a pipe"),
            }
        }
        let len = self.device.receive(room)?;
        self.by_pipe.came(len.unwrap_or(0));
        Ok(len.map(Received::Whole))
    }
}

/// Whether the next request should come by the pipe. Large writes come in runs, and others would take a system call
/// more.
#[derive(Default)]
struct ByPipe {
    /// Requests until one is read again.
    rest: u32,
}

impl ByPipe {
    /// Requests after a large one that still come by the pipe: a file that is copied has some between its data.
    const AFTER: u32 = 16;

    fn pays(&self) -> bool {
        self.rest > 0
    }

    /// A request of `len` bytes came.
    fn came(&mut self, len: usize) {
        self.rest = match len >= WRITE_HEAD + FROM {
            true => Self::AFTER,
            false => self.rest.saturating_sub(1),
        };
    }
}

/// Whether more workers wait than are needed, and how long they have.
#[derive(Default)]
struct Surplus {
    since: Option<Instant>,
}

impl Surplus {
    /// A request came while `others` waited. Whether it has been too many of them for long.
    fn lasts(&mut self, others: usize, now: impl FnOnce() -> Instant) -> bool {
        if others <= SPARE {
            self.since = None;
            return false;
        }
        let now = now();
        let since = *self.since.get_or_insert(now);
        now.duration_since(since) > PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_come_by_the_pipe_for_a_while_after_a_large_one() {
        let mut by_pipe = ByPipe::default();
        by_pipe.came(WRITE_HEAD + FROM - 1);
        assert!(!by_pipe.pays());
        for _ in 0..2 {
            by_pipe.came(WRITE_HEAD + FROM);
            for _ in 0..ByPipe::AFTER {
                assert!(by_pipe.pays());
                by_pipe.came(100);
            }
            assert!(!by_pipe.pays());
        }
    }

    #[test]
    fn a_worker_ends_when_too_many_have_waited_for_long() {
        let start = Instant::now();
        let after = |secs| move || start + Duration::from_secs(secs);
        let mut surplus = Surplus::default();
        assert!(!surplus.lasts(2, after(0)));
        assert!(!surplus.lasts(2, after(4)));
        // A wave of requests: for a moment all were needed.
        assert!(!surplus.lasts(1, after(4)));
        assert!(!surplus.lasts(3, after(5)));
        assert!(!surplus.lasts(2, after(10)));
        assert!(surplus.lasts(2, after(11)));
    }
}
