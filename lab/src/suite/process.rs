//! Child processes of a case: locks, credentials and signals belong to processes.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::process::{Gid, Pid, Uid, WaitOptions, waitpid};
use serde::{Serialize, de::DeserializeOwned};

use super::{Failure, sys};

/// A running child, and the result that it will hand over.
pub(crate) struct Child<T> {
    pid: Pid,
    result: OwnedFd,
    kind: std::marker::PhantomData<T>,
}

impl<T: Serialize + DeserializeOwned> Child<T> {
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits for the child's end and returns its result.
    pub(crate) fn join(self) -> Result<T, Failure> {
        let mut text = Vec::new();
        std::fs::File::from(self.result).read_to_end(&mut text)?;
        waitpid(Some(self.pid), WaitOptions::empty())?;
        serde_json::from_slice::<Result<T, Failure>>(&text)
            .map_err(|_| Failure::new("the child process ended without a result"))?
    }

    /// Waits for the child's end and returns the signal that ended it.
    pub(crate) fn join_signal(self) -> Result<Option<i32>, Failure> {
        let status = waitpid(Some(self.pid), WaitOptions::empty())?;
        Ok(status.and_then(|(_, status)| status.terminating_signal()))
    }

    /// Waits until the child sleeps in a system call, at most for `limit`. Called after the child
    /// announced that the call that blocks comes next.
    pub(crate) fn wait_asleep(&self, limit: Duration) -> Result<(), Failure> {
        let path = format!("/proc/{}", self.pid.as_raw_nonzero());
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            let state = crate::process::task_state(path.as_ref());
            if matches!(state, Some('S' | 'D')) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(Failure::new("the child never slept"))
    }
}

/// Runs `work` in a child process, concurrently.
pub(crate) fn spawn<T, F>(work: F) -> Result<Child<T>, Failure>
where
    T: Serialize + DeserializeOwned,
    F: FnOnce() -> Result<T, Failure>,
{
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let Some(pid) = sys::fork()? else {
        drop(read);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
            .unwrap_or_else(|_| Err(Failure::new("the child process panicked")));
        let text = serde_json::to_vec(&result).unwrap_or_default();
        let written = std::fs::File::from(write).write_all(&text);
        sys::exit_now(i32::from(written.is_err()));
    };
    Ok(Child {
        pid,
        result: read,
        kind: std::marker::PhantomData,
    })
}

/// Runs `work` in a child process and waits for it.
pub(crate) fn in_child<T, F>(work: F) -> Result<T, Failure>
where
    T: Serialize + DeserializeOwned,
    F: FnOnce() -> Result<T, Failure>,
{
    spawn(work)?.join()
}

/// Credentials of a child.
#[derive(Clone, Copy)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: &'static [u32],
}

/// Some users without privileges. The numbers need no entry in the password file.
pub(crate) const ALICE: User = User {
    uid: 6001,
    gid: 6001,
    groups: &[6001],
};
pub(crate) const BOB: User = User {
    uid: 6002,
    gid: 6002,
    groups: &[6002],
};
/// Like Alice, and a member of [`TEAM`].
pub(crate) const ALICE_IN_TEAM: User = User {
    uid: 6001,
    gid: 6001,
    groups: &[6001, TEAM],
};
/// Like Bob, and a member of [`TEAM`].
pub(crate) const BOB_IN_TEAM: User = User {
    uid: 6002,
    gid: 6002,
    groups: &[TEAM, 6002],
};
/// A supplementary group.
pub(crate) const TEAM: u32 = 6100;

/// Runs `work` in a child process with the credentials of `user`: real, effective, saved and
/// filesystem ids, and so without capabilities.
pub(crate) fn as_user<T, F>(user: User, work: F) -> Result<T, Failure>
where
    T: Serialize + DeserializeOwned,
    F: FnOnce() -> Result<T, Failure>,
{
    in_child(move || {
        become_user(user)?;
        work()
    })
}

/// Takes the credentials of `user` for good.
pub(crate) fn become_user(user: User) -> Result<(), Failure> {
    let groups: Vec<Gid> = user.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    rustix::thread::set_thread_groups(&groups)?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    Ok(())
}

/// A signal between two processes, made before the fork: one passes it, the other waits for it.
pub(crate) struct Gate {
    read: OwnedFd,
    write: OwnedFd,
}

impl Gate {
    pub(crate) fn new() -> Result<Self, Failure> {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        Ok(Self { read, write })
    }

    pub(crate) fn open(&self) -> Result<(), Failure> {
        rustix::io::write(&self.write, b"x")?;
        Ok(())
    }

    /// Waits until the other side opens. The timeout of the case bounds the wait.
    pub(crate) fn wait(&self) -> Result<(), Failure> {
        rustix::io::read(&self.read, &mut [0_u8; 1])?;
        Ok(())
    }

    /// Whether it is open within `limit`.
    pub(crate) fn opens_within(&self, limit: Duration) -> Result<bool, Failure> {
        super::util::readable_within(&self.read, limit)
    }
}
