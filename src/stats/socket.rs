//! The statistics socket: one unix socket per mount, one question and one answer per connection.
//!
//! Question and answer are a line of JSON each. The server answers one client after the other and
//! gives each a second, so clients can neither pile up nor hold it.

use std::fs::Permissions;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How long a client may take to ask, and again to take the answer.
const CLIENT_TIME: Duration = Duration::from_secs(1);
/// How long a daemon may take to answer.
const SERVER_TIME: Duration = Duration::from_secs(10);
/// A longer question is nonsense.
const LONGEST_REQUEST: u64 = 4096;

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// What is mounted where, with which settings.
    Status,
    /// The figures: a [`Snapshot`](super::Snapshot).
    Stats,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Reply {
    Answer(Value),
    Error(String),
}

/// Computes the answer to a request.
pub type Answerer = Box<dyn Fn(Request) -> Result<Value, String> + Send>;

/// Why a daemon could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens: the daemon is gone and its socket was left behind, or was removed.
    #[error("no daemon listens on {0}")]
    Dead(PathBuf),
    /// The connection failed, or the daemon took too long.
    #[error("asking the daemon on {path}: {source}")]
    Io {
        /// The socket.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The daemon answered with an error, or not in the protocol.
    #[error("the daemon on {path} answered: {answer}")]
    Answer {
        /// The socket.
        path: PathBuf,
        /// What it said.
        answer: String,
    },
}

/// Answers on a socket until dropped; then the thread has ended and the socket is removed.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    // The file that was made: another daemon may have put its own in the same place since.
    file: (u64, u64),
    // Closing this end wakes the thread.
    stop: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on `path`, readable and writable by the owner alone, and answers from a thread of
    /// its own. A socket that nobody listens on any more is replaced.
    ///
    /// # Errors
    /// `AddrInUse` when another daemon listens there; else those of bind(2) and of starting a thread.
    pub fn start(path: &Path, answer: Answerer) -> io::Result<Server> {
        let (listener, file) = bind(path)?;
        listener.set_nonblocking(true)?;
        let (stopped, stop) = crate::platform::pipe()?;
        let thread = std::thread::Builder::new()
            .name("dynamicfs-stats".to_owned())
            .spawn(move || serve(&listener, &stopped, &answer))?;
        Ok(Server {
            path: path.to_owned(),
            file,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The socket.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported by the panic hook already.
            let _ = thread.join();
        }
        // Gone already when somebody cleaned the runtime directory.
        if identity(&self.path).is_ok_and(|file| file == self.file) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Removes the socket of a daemon that was found dead. A living one may have taken its place since, so it is
/// moved aside, looked at once more, and put back if it lives.
pub(crate) fn remove_dead(path: &Path) {
    let aside = path.with_extension("dead");
    if std::fs::rename(path, &aside).is_err() {
        // Somebody else cleans up at the same time.
        return;
    }
    if UnixStream::connect(&aside).is_ok() {
        let _ = std::fs::rename(&aside, path);
    } else {
        let _ = std::fs::remove_file(&aside);
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = std::fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

/// Listens on a name of its own and takes the place of `path` then: between bind(2) and listen(2), whoever
/// looks for dead sockets would take it for one.
fn bind(path: &Path) -> io::Result<(UnixListener, (u64, u64))> {
    if UnixStream::connect(path).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    let own = path.with_extension("new");
    // Of a daemon that was killed here.
    let _ = std::fs::remove_file(&own);
    let listener = UnixListener::bind(&own)?;
    let placed = std::fs::set_permissions(&own, Permissions::from_mode(0o600))
        .and_then(|()| identity(&own))
        .and_then(|file| std::fs::rename(&own, path).map(|()| file));
    match placed {
        Ok(file) => Ok((listener, file)),
        Err(error) => {
            let _ = std::fs::remove_file(&own);
            Err(error)
        }
    }
}

fn serve(listener: &UnixListener, stopped: &OwnedFd, answer: &Answerer) {
    loop {
        let mut wanted = [
            PollFd::new(listener, PollFlags::IN),
            PollFd::new(stopped, PollFlags::IN),
        ];
        match poll(&mut wanted, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                tracing::error!(%error, "statistics socket: poll failed, no more answers");
                return;
            }
        }
        if !wanted[1].revents().is_empty() {
            return;
        }
        match listener.accept() {
            Ok((client, _)) => {
                if let Err(error) = answer_one(&client, answer) {
                    tracing::debug!(%error, "statistics socket: a client went away");
                }
            }
            Err(error) if would_block(&error) => {}
            Err(error) => {
                // Out of descriptors, most likely: the client stays queued, so do not spin.
                tracing::warn!(%error, "statistics socket: cannot accept");
                let mut only_stop = [PollFd::new(stopped, PollFlags::IN)];
                let pause = rustix::time::Timespec {
                    tv_sec: 0,
                    tv_nsec: 100_000_000,
                };
                let _ = poll(&mut only_stop, Some(&pause));
            }
        }
    }
}

fn answer_one(client: &UnixStream, answer: &Answerer) -> io::Result<()> {
    client.set_nonblocking(false)?;
    let reply = match serde_json::from_str(&read_line(client, CLIENT_TIME, LONGEST_REQUEST)?) {
        Ok(request) => match answer(request) {
            Ok(value) => Reply::Answer(value),
            Err(error) => Reply::Error(error),
        },
        Err(error) => Reply::Error(format!("not a request: {error}")),
    };
    write_line(client, &reply, CLIENT_TIME)
}

/// Asks the daemon that listens on `path`.
///
/// # Errors
/// [`AskError::Dead`] when there is none, see [`AskError`] for the rest.
pub fn ask<T: DeserializeOwned>(path: &Path, request: Request) -> Result<T, AskError> {
    let failed = |source| AskError::Io {
        path: path.to_owned(),
        source,
    };
    let odd = |answer| AskError::Answer {
        path: path.to_owned(),
        answer,
    };
    let stream = UnixStream::connect(path).map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
            AskError::Dead(path.to_owned())
        }
        _ => failed(error),
    })?;
    write_line(&stream, &request, SERVER_TIME).map_err(failed)?;
    let line = read_line(&stream, SERVER_TIME, u64::MAX).map_err(failed)?;
    match serde_json::from_str(&line).map_err(|error| odd(error.to_string()))? {
        Reply::Answer(value) => {
            serde_json::from_value(value).map_err(|error| odd(error.to_string()))
        }
        Reply::Error(error) => Err(odd(error)),
    }
}

/// Reads up to a line feed, in `time` altogether and not for each byte.
fn read_line(stream: &UnixStream, time: Duration, longest: u64) -> io::Result<String> {
    let deadline = Instant::now() + time;
    let mut reader = BufReader::new(Deadline { stream, deadline }).take(longest);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    if line.ends_with('\n') {
        Ok(line)
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

fn write_line(mut stream: &UnixStream, message: &impl Serialize, time: Duration) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.set_write_timeout(Some(time))?;
    stream.write_all(&line)
}

/// A stream whose reads all end at one moment.
struct Deadline<'a> {
    stream: &'a UnixStream,
    deadline: Instant,
}

impl Read for Deadline<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut stream = self.stream;
        match stream.read(buf) {
            Err(error) if would_block(&error) => Err(io::ErrorKind::TimedOut.into()),
            other => other,
        }
    }
}

fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(path: &Path) -> io::Result<Server> {
        Server::start(
            path,
            Box::new(|request| match request {
                Request::Status => Ok(serde_json::json!({"pid": 7})),
                Request::Stats => Err("none yet".to_owned()),
            }),
        )
    }

    #[test]
    fn a_question_gets_its_answer_and_the_socket_goes_with_the_server() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("s");
        let server = start(&path).expect("a server");
        assert_eq!(
            std::fs::metadata(&path)
                .expect("the socket")
                .permissions()
                .mode()
                & 0o777,
            0o600
        );
        let answer: Value = ask(&path, Request::Status).expect("an answer");
        assert_eq!(answer["pid"], 7);
        let error = ask::<Value>(&path, Request::Stats).expect_err("an error");
        assert!(error.to_string().ends_with("answered: none yet"), "{error}");
        drop(server);
        assert!(!path.exists());
        assert!(matches!(
            ask::<Value>(&path, Request::Status),
            Err(AskError::Dead(_))
        ));
    }

    #[test]
    fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("s");
        drop(UnixListener::bind(&path).expect("a socket"));
        assert!(matches!(
            ask::<Value>(&path, Request::Status),
            Err(AskError::Dead(_))
        ));
        let server = start(&path).expect("a server in place of the dead one");
        let second = start(&path).expect_err("no second server");
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
        let answer: Value = ask(server.path(), Request::Status).expect("the first still answers");
        assert_eq!(answer["pid"], 7);
    }

    #[test]
    fn a_server_leaves_the_socket_of_its_successor_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("s");
        let old = start(&path).expect("a server");
        std::fs::remove_file(&path).expect("removed");
        let new = start(&path).expect("its successor");
        drop(old);
        let answer: Value = ask(new.path(), Request::Status).expect("an answer");
        assert_eq!(answer["pid"], 7);
    }

    #[test]
    fn silent_and_nonsensical_clients_do_not_hold_the_server() {
        let dir = tempfile::tempdir().expect("a directory");
        let server = start(&dir.path().join("s")).expect("a server");
        let silent = UnixStream::connect(server.path()).expect("a connection");
        let nonsense = UnixStream::connect(server.path()).expect("a connection");
        (&nonsense).write_all(b"GET / HTTP/1.0\n").expect("sent");
        let answer: Value =
            ask(server.path(), Request::Status).expect("an answer in spite of them");
        assert_eq!(answer["pid"], 7);
        let reply = read_line(&nonsense, SERVER_TIME, u64::MAX).expect("a reply");
        assert!(reply.contains("not a request"), "{reply}");
        drop(silent);
    }

    #[test]
    fn dropping_the_server_does_not_wait_for_clients() {
        let dir = tempfile::tempdir().expect("a directory");
        let server = start(&dir.path().join("s")).expect("a server");
        let _silent = UnixStream::connect(server.path()).expect("a connection");
        let before = Instant::now();
        drop(server);
        assert!(before.elapsed() < SERVER_TIME, "{:?}", before.elapsed());
    }
}
