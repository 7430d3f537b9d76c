//! Record locks, open file description locks, flock and leases.

use std::os::fd::OwnedFd;

use rustix::fs::{FlockOperation, flock};

use super::prelude::*;
use crate::suite::sys::{LockOp, READ, UNLOCK, WRITE, lock};

pub(super) const CASES: &[Case] = &[
    case!(
        "lock",
        conflict_between_processes,
        "read and write locks exclude as fcntl(2) says"
    ),
    case!(
        "lock",
        getlk_tells_the_holder,
        "F_GETLK reports kind, range and pid"
    ),
    case!(
        "lock",
        no_conflict_with_oneself,
        "a process never conflicts with itself"
    ),
    case!(
        "lock",
        blocking_is_granted,
        "F_SETLKW waits and is granted after the unlock"
    ),
    case!(
        "lock",
        released_on_close_of_any,
        "closing any descriptor drops the process's locks"
    ),
    case!("lock", released_on_exit, "locks end with the process"),
    case!("lock", not_inherited, "fork does not pass record locks on"),
    case!(
        "lock",
        split_and_merge,
        "unlocking the middle splits a range, relocking merges it"
    ),
    case!(
        "lock",
        to_end_of_file,
        "length 0 locks to the end, wherever it moves"
    ),
    case!("lock", deadlock, "a cycle of waiters is EDEADLK"),
    case!("lock", wait_interrupted, "a signal interrupts F_SETLKW"),
    case!(
        "lock",
        access_mode,
        "a lock needs the descriptor's access mode"
    ),
    case!("lock", bad_ranges, "impossible ranges and kinds"),
    case!(
        "lock",
        ofd_conflict,
        "OFD locks belong to the open file, also in one process"
    ),
    case!(
        "lock",
        ofd_against_record,
        "OFD and record locks exclude each other"
    ),
    case!(
        "lock",
        ofd_survives_other_close,
        "closing another descriptor keeps an OFD lock"
    ),
    case!(
        "lock",
        flock_modes,
        "flock: shared, exclusive, non-blocking"
    ),
    case!("lock", flock_conversion, "flock converts its lock"),
    case!(
        "lock",
        flock_inherited,
        "a forked child shares its parent's flock"
    ),
    case!(
        "lock",
        flock_blocking,
        "a blocking flock is granted after the unlock"
    ),
    case!(
        "lock",
        flock_beside_fcntl,
        "flock and fcntl locks do not see each other"
    ),
    case!(
        "lock",
        through_hard_link,
        "locks belong to the inode, not to its name"
    ),
    case!("lock", leases, "F_SETLEASE"),
];

/// How another process fares that tries to lock `[start, start + len)`.
fn other(kind: i32, start: i64, len: i64) -> Result<String, Failure> {
    in_child(|| Ok(code(&lock(read_write("f")?, LockOp::Set, kind, start, len))))
}

fn file() -> Result<OwnedFd, Failure> {
    write_file("f", pattern(1, 1000))?;
    Ok(read_write("f")?)
}

fn conflict_between_processes(_: &Cx) -> Checked {
    let fd = file()?;
    lock(&fd, LockOp::Set, READ, 0, 100)?;
    same!(
        (other(READ, 0, 10)?, other(WRITE, 0, 10)?),
        ("ok".into(), "EAGAIN".into())
    );
    lock(&fd, LockOp::Set, WRITE, 0, 100)?;
    same!(
        (other(READ, 99, 1)?, other(WRITE, 50, 1)?),
        ("EAGAIN".into(), "EAGAIN".into())
    );
    same!(other(WRITE, 100, 10)?, "ok");
    lock(&fd, LockOp::Set, UNLOCK, 0, 100)?;
    same!(other(WRITE, 0, 100)?, "ok");
    Ok(())
}

fn getlk_tells_the_holder(_: &Cx) -> Checked {
    let fd = file()?;
    lock(&fd, LockOp::Set, WRITE, 10, 20)?;
    let me = rustix::process::getpid().as_raw_nonzero().get();
    in_child(|| {
        let found = lock(read_write("f")?, LockOp::Get, READ, 0, 0)?;
        same!(
            found,
            sys::Record {
                kind: WRITE,
                start: 10,
                len: 20,
                pid: me
            }
        );
        same!(
            lock(read_write("f")?, LockOp::Get, READ, 30, 5)?.kind,
            UNLOCK
        );
        Ok(())
    })?;
    same!(lock(&fd, LockOp::Get, WRITE, 0, 0)?.kind, UNLOCK);
    Ok(())
}

fn no_conflict_with_oneself(_: &Cx) -> Checked {
    let (a, b) = (file()?, read_write("f")?);
    lock(&a, LockOp::Set, WRITE, 0, 0)?;
    lock(&b, LockOp::Set, WRITE, 0, 0)?;
    lock(&b, LockOp::Set, UNLOCK, 0, 10)?;
    same!(
        (other(WRITE, 0, 10)?, other(WRITE, 10, 1)?),
        ("ok".into(), "EAGAIN".into())
    );
    Ok(())
}

fn blocking_is_granted(cx: &Cx) -> Checked {
    let fd = file()?;
    let (before, granted) = (Gate::new()?, Gate::new()?);
    lock(&fd, LockOp::Set, WRITE, 0, 0)?;
    let waiter = spawn(|| {
        let fd = read_write("f")?;
        before.open()?;
        lock(&fd, LockOp::Wait, WRITE, 5, 5)?;
        granted.open()
    })?;
    before.wait()?;
    waiter.wait_asleep(cx.limit())?;
    ensure!(
        !granted.opens_within(Duration::from_millis(50))?,
        "granted in spite of the lock"
    );
    lock(&fd, LockOp::Set, UNLOCK, 0, 0)?;
    ensure!(
        granted.opens_within(cx.limit())?,
        "not granted after the unlock"
    );
    waiter.join()
}

fn released_on_close_of_any(_: &Cx) -> Checked {
    let fd = file()?;
    lock(&fd, LockOp::Set, WRITE, 0, 0)?;
    same!(other(WRITE, 0, 1)?, "EAGAIN");
    drop(read_only("f")?);
    same!(other(WRITE, 0, 1)?, "ok");
    Ok(())
}

fn released_on_exit(_: &Cx) -> Checked {
    let fd = file()?;
    let (locked, done) = (Gate::new()?, Gate::new()?);
    let holder = spawn(|| {
        lock(&fd, LockOp::Set, WRITE, 0, 0)?;
        locked.open()?;
        done.wait()
    })?;
    locked.wait()?;
    same!(code(&lock(&fd, LockOp::Set, WRITE, 0, 0)), "EAGAIN");
    rustix::process::kill_process(holder.pid(), rustix::process::Signal::KILL)?;
    same!(holder.join_signal()?, Some(libc::SIGKILL));
    lock(&fd, LockOp::Set, WRITE, 0, 0)?;
    Ok(())
}

fn not_inherited(_: &Cx) -> Checked {
    let fd = file()?;
    lock(&fd, LockOp::Set, WRITE, 0, 0)?;
    let child = in_child(|| Ok(code(&lock(&fd, LockOp::Set, WRITE, 0, 0))))?;
    same!(child, "EAGAIN");
    // The child's end closed its copy of the descriptor; the lock is the parent's and stays.
    same!(other(WRITE, 0, 0)?, "EAGAIN");
    Ok(())
}

fn split_and_merge(cx: &Cx) -> Checked {
    let fd = file()?;
    lock(&fd, LockOp::Set, WRITE, 0, 100)?;
    lock(&fd, LockOp::Set, UNLOCK, 40, 20)?;
    let at = |start, len| {
        in_child(move || {
            let found = lock(read_write("f")?, LockOp::Get, WRITE, start, len)?;
            Ok(format!("{} {} {}", found.kind, found.start, found.len))
        })
    };
    cx.observe("first half", at(0, 100)?);
    cx.observe("second half", at(40, 60)?);
    same!(other(WRITE, 40, 20)?, "ok");
    lock(&fd, LockOp::Set, WRITE, 40, 20)?;
    cx.observe("merged", at(50, 1)?);
    lock(&fd, LockOp::Set, READ, 10, 10)?;
    same!(
        (other(READ, 10, 10)?, other(READ, 20, 1)?),
        ("ok".into(), "EAGAIN".into())
    );
    Ok(())
}

fn to_end_of_file(_: &Cx) -> Checked {
    let fd = file()?;
    lock(&fd, LockOp::Set, WRITE, 500, 0)?;
    same!(
        (other(WRITE, 0, 500)?, other(WRITE, 500, 1)?),
        ("ok".into(), "EAGAIN".into())
    );
    same!(other(WRITE, 1 << 40, 1)?, "EAGAIN");
    lock(&fd, LockOp::Set, UNLOCK, 600, 0)?;
    same!(
        (other(WRITE, 600, 0)?, other(WRITE, 599, 1)?),
        ("ok".into(), "EAGAIN".into())
    );
    // A negative length locks what lies before.
    lock(&fd, LockOp::Set, UNLOCK, 0, 0)?;
    lock(&fd, LockOp::Set, WRITE, 100, -10)?;
    same!(
        (other(WRITE, 90, 1)?, other(WRITE, 100, 1)?),
        ("EAGAIN".into(), "ok".into())
    );
    Ok(())
}

fn deadlock(cx: &Cx) -> Checked {
    let fd = file()?;
    let ready = Gate::new()?;
    lock(&fd, LockOp::Set, WRITE, 0, 1)?;
    let child = spawn(|| {
        let fd = read_write("f")?;
        lock(&fd, LockOp::Set, WRITE, 1, 1)?;
        ready.open()?;
        lock(&fd, LockOp::Wait, WRITE, 0, 1)?;
        Ok(())
    })?;
    ready.wait()?;
    child.wait_asleep(cx.limit())?;
    same!(code(&lock(&fd, LockOp::Wait, WRITE, 1, 1)), "EDEADLK");
    lock(&fd, LockOp::Set, UNLOCK, 0, 1)?;
    child.join()
}

fn wait_interrupted(_: &Cx) -> Checked {
    let fd = file()?;
    lock(&fd, LockOp::Set, WRITE, 0, 0)?;
    let waited = in_child(|| {
        let fd = read_write("f")?;
        sys::alarm_every(20)?;
        Ok(code(&lock(&fd, LockOp::Wait, WRITE, 0, 0)))
    })?;
    same!(waited, "EINTR");
    // Nothing of the interrupted wait is left.
    lock(&fd, LockOp::Set, UNLOCK, 0, 0)?;
    same!(other(WRITE, 0, 0)?, "ok");
    Ok(())
}

fn access_mode(_: &Cx) -> Checked {
    drop(file()?);
    let (reader, writer) = (read_only("f")?, open("f", OFlags::WRONLY)?);
    same!(code(&lock(&reader, LockOp::Set, WRITE, 0, 0)), "EBADF");
    same!(code(&lock(&writer, LockOp::Set, READ, 0, 0)), "EBADF");
    same!(code(&lock(&reader, LockOp::Set, READ, 0, 0)), "ok");
    same!(
        code(&flock(&reader, FlockOperation::NonBlockingLockExclusive)),
        "ok"
    );
    Ok(())
}

fn bad_ranges(cx: &Cx) -> Checked {
    let fd = file()?;
    same!(code(&lock(&fd, LockOp::Set, WRITE, -1, 10)), "EINVAL");
    same!(code(&lock(&fd, LockOp::Set, WRITE, 5, -10)), "EINVAL");
    same!(code(&lock(&fd, LockOp::Set, 77, 0, 1)), "EINVAL");
    cx.observe_code(
        "to the very end",
        &lock(&fd, LockOp::Set, WRITE, i64::MAX - 1, 1),
    );
    cx.observe_code(
        "past the very end",
        &lock(&fd, LockOp::Set, WRITE, i64::MAX, 2),
    );
    cx.observe_code("the last byte", &lock(&fd, LockOp::Set, WRITE, i64::MAX, 1));
    Ok(())
}

fn ofd_conflict(_: &Cx) -> Checked {
    let (a, b) = (file()?, read_write("f")?);
    lock(&a, LockOp::OfdSet, WRITE, 0, 100)?;
    same!(code(&lock(&b, LockOp::OfdSet, WRITE, 50, 1)), "EAGAIN");
    same!(code(&lock(&b, LockOp::OfdSet, WRITE, 100, 1)), "ok");
    let found = lock(&b, LockOp::OfdGet, READ, 0, 10)?;
    same!(
        (found.kind, found.start, found.len, found.pid),
        (WRITE, 0, 100, -1)
    );
    drop(a);
    same!(code(&lock(&b, LockOp::OfdSet, WRITE, 50, 1)), "ok");
    Ok(())
}

fn ofd_against_record(_: &Cx) -> Checked {
    let (a, b) = (file()?, read_write("f")?);
    lock(&a, LockOp::OfdSet, WRITE, 0, 100)?;
    same!(code(&lock(&b, LockOp::Set, WRITE, 0, 1)), "EAGAIN");
    same!(other(READ, 0, 1)?, "EAGAIN");
    lock(&b, LockOp::Set, WRITE, 200, 1)?;
    same!(code(&lock(&a, LockOp::OfdSet, READ, 200, 1)), "EAGAIN");
    Ok(())
}

fn ofd_survives_other_close(_: &Cx) -> Checked {
    let fd = file()?;
    lock(&fd, LockOp::OfdSet, WRITE, 0, 0)?;
    drop(read_write("f")?);
    same!(other(WRITE, 0, 1)?, "EAGAIN");
    let copy = rustix::io::dup(&fd)?;
    drop(fd);
    same!(other(WRITE, 0, 1)?, "EAGAIN");
    drop(copy);
    same!(other(WRITE, 0, 1)?, "ok");
    Ok(())
}

const SHARED: FlockOperation = FlockOperation::NonBlockingLockShared;
const EXCLUSIVE: FlockOperation = FlockOperation::NonBlockingLockExclusive;

fn flock_modes(_: &Cx) -> Checked {
    let (a, b) = (file()?, read_write("f")?);
    flock(&a, SHARED)?;
    same!(
        (code(&flock(&b, SHARED)), code(&flock(&b, EXCLUSIVE))),
        ("ok".into(), "EAGAIN".into())
    );
    flock(&b, FlockOperation::Unlock)?;
    flock(&a, EXCLUSIVE)?;
    same!(code(&flock(&b, SHARED)), "EAGAIN");
    drop(a);
    same!(code(&flock(&b, EXCLUSIVE)), "ok");
    Ok(())
}

fn flock_conversion(_: &Cx) -> Checked {
    let (a, b) = (file()?, read_write("f")?);
    flock(&a, EXCLUSIVE)?;
    flock(&a, SHARED)?;
    same!(code(&flock(&b, SHARED)), "ok");
    same!(code(&flock(&a, EXCLUSIVE)), "EAGAIN");
    flock(&b, FlockOperation::Unlock)?;
    same!(code(&flock(&a, EXCLUSIVE)), "ok");
    Ok(())
}

fn flock_inherited(_: &Cx) -> Checked {
    let (a, b) = (file()?, read_write("f")?);
    flock(&a, EXCLUSIVE)?;
    in_child(|| {
        same!(code(&flock(&a, EXCLUSIVE)), "ok");
        same!(code(&flock(&b, SHARED)), "EAGAIN");
        Ok(())
    })?;
    // The child closed its copy by ending; the lock belongs to the open file.
    same!(code(&flock(&b, SHARED)), "EAGAIN");
    in_child(|| Ok(flock(&a, FlockOperation::Unlock)?))?;
    same!(code(&flock(&b, SHARED)), "ok");
    Ok(())
}

fn flock_blocking(cx: &Cx) -> Checked {
    let fd = file()?;
    let (before, granted) = (Gate::new()?, Gate::new()?);
    flock(&fd, EXCLUSIVE)?;
    let waiter = spawn(|| {
        let fd = read_write("f")?;
        before.open()?;
        flock(&fd, FlockOperation::LockExclusive)?;
        granted.open()
    })?;
    before.wait()?;
    waiter.wait_asleep(cx.limit())?;
    ensure!(
        !granted.opens_within(Duration::from_millis(50))?,
        "granted in spite of the lock"
    );
    flock(&fd, FlockOperation::Unlock)?;
    ensure!(
        granted.opens_within(cx.limit())?,
        "not granted after the unlock"
    );
    waiter.join()
}

fn flock_beside_fcntl(cx: &Cx) -> Checked {
    let fd = file()?;
    flock(&fd, EXCLUSIVE)?;
    cx.observe("record lock beside flock", other(WRITE, 0, 0)?);
    lock(&fd, LockOp::Set, WRITE, 0, 0)?;
    flock(&fd, FlockOperation::Unlock)?;
    cx.observe_code(
        "flock beside record lock",
        &flock(read_write("f")?, EXCLUSIVE),
    );
    Ok(())
}

fn through_hard_link(_: &Cx) -> Checked {
    let fd = file()?;
    rustix::fs::link("f", "g")?;
    lock(&fd, LockOp::Set, WRITE, 0, 10)?;
    rustix::fs::rename("f", "h")?;
    let through = |name: &'static str| {
        in_child(move || Ok(code(&lock(read_write(name)?, LockOp::Set, WRITE, 0, 1))))
    };
    same!(
        (through("g")?, through("h")?),
        ("EAGAIN".into(), "EAGAIN".into())
    );
    Ok(())
}

fn leases(cx: &Cx) -> Checked {
    drop(file()?);
    let reader = read_only("f")?;
    cx.observe_code("read lease", &sys::set_lease(&reader, libc::F_RDLCK));
    cx.observe_code("release", &sys::set_lease(&reader, libc::F_UNLCK));
    drop(reader);
    let writer = read_write("f")?;
    cx.observe_code("write lease", &sys::set_lease(&writer, libc::F_WRLCK));
    cx.observe_code("release write", &sys::set_lease(&writer, libc::F_UNLCK));
    Ok(())
}
