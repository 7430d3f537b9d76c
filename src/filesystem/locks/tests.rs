use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

use proptest::prelude::*;

use super::table::Table;
use super::*;
use crate::storage::Errno;

const DEADLINE: Duration = Duration::from_secs(10);

fn request(ino: u64, owner: u64, kind: LockKind, start: u64, end: u64) -> LockRequest {
    LockRequest {
        ino,
        fh: owner + 100,
        owner,
        pid: owner as u32,
        lock_type: LockType::Posix,
        kind,
        range: LockRange::new(start, end).unwrap(),
    }
}

fn flock(owner: u64, kind: LockKind) -> LockRequest {
    LockRequest {
        lock_type: LockType::Flock,
        ..request(1, owner, kind, 0, 0)
    }
}

fn wait(manager: &LockManager, request: &LockRequest) -> (WaitId, Receiver<Result<(), Errno>>) {
    let (send, receive) = channel();
    let id = manager.set_waiting(
        request,
        Box::new(move |outcome| send.send(outcome).unwrap()),
    );
    (id, receive)
}

use LockKind::{Read, Write};

#[test]
fn readers_share_and_a_writer_excludes() {
    let manager = LockManager::new();
    assert_eq!(manager.set(&request(1, 1, Read, 0, 9)), Ok(()));
    assert_eq!(manager.set(&request(1, 2, Read, 5, 20)), Ok(()));
    assert_eq!(manager.set(&request(1, 3, Write, 9, 9)), Err(Errno::AGAIN));
    assert_eq!(
        manager.set(&request(2, 3, Write, 9, 9)),
        Ok(()),
        "another file"
    );
    let conflict = manager
        .test(&request(1, 3, Write, 10, LockRange::EOF))
        .unwrap();
    assert_eq!((conflict.kind, conflict.pid), (Read, Some(2)));
    assert_eq!((conflict.range.start(), conflict.range.end()), (5, 20));
    manager.release_posix(1, 1);
    manager.release_posix(1, 2);
    assert_eq!(manager.set(&request(1, 3, Write, 0, u64::MAX)), Ok(()));
    manager.release_handle(1, 103);
    manager.release_posix(2, 3);
    assert_eq!(manager.inode_count(), 0, "nothing is kept for free files");
}

#[test]
fn ranges_are_checked() {
    assert_eq!(LockRange::new(2, 1), Err(Errno::INVAL));
    assert_eq!(LockRange::new(1 << 63, u64::MAX), Err(Errno::INVAL));
    assert_eq!(LockRange::new(0, u64::MAX), Ok(LockRange::WHOLE));
}

#[test]
fn ofd_locks_conflict_with_posix_and_flock_with_neither() {
    let manager = LockManager::new();
    let ofd = LockRequest {
        lock_type: LockType::Ofd,
        ..request(1, 1, Write, 0, 9)
    };
    manager.set(&ofd).unwrap();
    // The same number as owner is another owner in the other family.
    assert_eq!(manager.set(&request(1, 1, Write, 0, 9)), Err(Errno::AGAIN));
    assert_eq!(manager.test(&request(1, 1, Read, 0, 9)).unwrap().pid, None);
    assert_eq!(manager.set(&flock(1, Write)), Ok(()));
    assert_eq!(manager.set(&flock(2, Read)), Err(Errno::AGAIN));
    manager.release_handle(1, ofd.fh);
    assert_eq!(manager.set(&flock(2, Write)), Ok(()), "the handle had both");
}

#[test]
fn a_failed_flock_conversion_loses_the_lock_and_lets_a_waiter_in() {
    let manager = LockManager::new();
    manager.set(&flock(1, Read)).unwrap();
    manager.set(&flock(2, Read)).unwrap();
    assert_eq!(manager.set(&flock(1, Write)), Err(Errno::AGAIN));
    assert_eq!(
        manager.set(&flock(2, Write)),
        Ok(()),
        "owner 1 holds nothing now"
    );
    let (_, reader) = wait(&manager, &flock(3, Read));
    assert_eq!(reader.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(manager.set(&flock(2, Read)), Ok(()), "exclusive to shared");
    assert_eq!(reader.try_recv(), Ok(Ok(())));
}

#[test]
fn waiters_are_granted_in_order_of_arrival() {
    let manager = LockManager::new();
    manager.set(&request(1, 1, Write, 0, 99)).unwrap();
    let waits: Vec<_> = (2..6)
        .map(|owner| wait(&manager, &request(1, owner, Write, 0, 99)).1)
        .collect();
    for (i, current) in waits.iter().enumerate() {
        assert_eq!(current.try_recv(), Err(TryRecvError::Empty));
        manager.release_posix(1, i as u64 + 1);
        assert_eq!(current.try_recv(), Ok(Ok(())));
    }
}

#[test]
fn a_callback_may_use_the_manager() {
    let manager = Arc::new(LockManager::new());
    manager.set(&request(1, 1, Write, 0, 9)).unwrap();
    let (send, receive) = channel();
    let inner = Arc::clone(&manager);
    manager.set_waiting(
        &request(1, 2, Write, 0, 9),
        Box::new(move |outcome| {
            inner.release_posix(1, 2);
            send.send((outcome, inner.waiting().len())).unwrap();
        }),
    );
    manager.release_posix(1, 1);
    assert_eq!(receive.try_recv(), Ok((Ok(()), 0)));
}

#[test]
fn cancelled_requests_end_with_eintr() {
    let manager = LockManager::new();
    manager.set(&request(33, 1, Write, 0, 9)).unwrap();
    let (first, outcome) = wait(&manager, &request(33, 2, Read, 0, 9));
    let (second, others) = wait(&manager, &request(33, 3, Read, 0, 9));
    assert_eq!(manager.waiting(), [(first, 2), (second, 3)]);
    assert!(manager.cancel(first));
    assert!(!manager.cancel(first));
    assert_eq!(outcome.try_recv(), Ok(Err(Errno::INTR)));
    assert_eq!(manager.cancel_all_of(33, 3), 1);
    assert_eq!(others.try_recv(), Ok(Err(Errno::INTR)));
    manager.release_posix(33, 1);
    assert_eq!(manager.set(&request(33, 4, Write, 0, 9)), Ok(()));
}

#[test]
fn a_circle_of_posix_waits_is_a_deadlock() {
    let manager = LockManager::new();
    for owner in 1..=3 {
        manager.set(&request(owner, owner, Write, 0, 9)).unwrap();
    }
    let (_, one) = wait(&manager, &request(2, 1, Write, 0, 9));
    let (_, two) = wait(&manager, &request(3, 2, Write, 0, 9));
    let (_, three) = wait(&manager, &request(1, 3, Read, 0, 9));
    assert_eq!(three.try_recv(), Ok(Err(Errno::DEADLK)));
    manager.release_posix(3, 3);
    assert_eq!(two.try_recv(), Ok(Ok(())));
    assert_eq!(one.try_recv(), Err(TryRecvError::Empty));
    // A waiter that was passed by another is known to wait for that one now.
    let (_, four) = wait(&manager, &request(2, 4, Write, 0, 9));
    manager.release_posix(2, 2);
    assert_eq!(one.try_recv(), Ok(Ok(())));
    manager.set(&request(7, 4, Write, 0, 9)).unwrap();
    let (_, circle) = wait(&manager, &request(7, 1, Write, 0, 9));
    assert_eq!(circle.try_recv(), Ok(Err(Errno::DEADLK)));
    assert_eq!(four.try_recv(), Err(TryRecvError::Empty));
}

#[test]
fn two_upgrades_are_a_deadlock_for_the_second() {
    let manager = LockManager::new();
    manager.set(&request(1, 1, Read, 0, 9)).unwrap();
    manager.set(&request(1, 2, Read, 0, 9)).unwrap();
    let (_, first) = wait(&manager, &request(1, 1, Write, 0, 9));
    let (_, second) = wait(&manager, &request(1, 2, Write, 0, 9));
    assert_eq!(second.try_recv(), Ok(Err(Errno::DEADLK)));
    manager.release_posix(1, 2);
    assert_eq!(first.try_recv(), Ok(Ok(())));
}

#[test]
fn a_circle_of_flocks_is_not_looked_for() {
    let manager = LockManager::new();
    let on = |ino, owner| LockRequest {
        ino,
        ..flock(owner, Write)
    };
    manager.set(&on(1, 1)).unwrap();
    manager.set(&on(2, 2)).unwrap();
    let (id, one) = wait(&manager, &on(2, 1));
    let (_, two) = wait(&manager, &on(1, 2));
    assert_eq!(two.try_recv(), Err(TryRecvError::Empty));
    manager.cancel(id);
    assert_eq!(one.try_recv(), Ok(Err(Errno::INTR)));
}

#[test]
fn threads_exclude_each_other() {
    let manager = Arc::new(LockManager::new());
    let inside = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let threads: Vec<_> = (0..4u64)
        .map(|owner| {
            let (manager, inside) = (Arc::clone(&manager), Arc::clone(&inside));
            std::thread::spawn(move || {
                for _ in 0..500 {
                    let (_, granted) = wait(&manager, &request(1, owner, Write, 0, 9));
                    granted.recv_timeout(DEADLINE).unwrap().unwrap();
                    use std::sync::atomic::Ordering::SeqCst;
                    assert_eq!(inside.fetch_add(1, SeqCst), 0);
                    inside.fetch_sub(1, SeqCst);
                    manager.release_posix(1, owner);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(manager.inode_count(), 0);
}

const BYTES: usize = 24;

#[derive(Debug, Clone)]
enum Step {
    Set(u64, LockKind, u64, u64),
    Unlock(u64, u64, u64),
}

fn step() -> impl Strategy<Value = Step> {
    let range = || (0..BYTES as u64, 0..BYTES as u64).prop_map(|(a, b)| (a.min(b), a.max(b)));
    let kind = prop_oneof![Just(Read), Just(Write)];
    prop_oneof![
        2 => (0..3u64, kind, range()).prop_map(|(o, k, (s, e))| Step::Set(o, k, s, e)),
        1 => (0..3u64, range()).prop_map(|(o, (s, e))| Step::Unlock(o, s, e)),
    ]
}

proptest! {
    /// The model: what each owner holds on each byte.
    #[test]
    fn ranges_follow_an_array_of_bytes(steps in prop::collection::vec(step(), 1..80)) {
        let mut table = Table::default();
        let mut model = [[None::<LockKind>; BYTES]; 3];
        for step in steps {
            match step {
                Step::Set(owner, kind, start, end) => {
                    let bytes = start as usize..=end as usize;
                    let free = (0..3).filter(|o| *o != owner as usize).all(|other| {
                        model[other][bytes.clone()].iter().all(|held| {
                            !matches!((held, kind), (Some(Write), _) | (Some(Read), Write))
                        })
                    });
                    let request = request(1, owner, kind, start, end);
                    prop_assert_eq!(table.first_conflict(&request).is_none(), free);
                    if free {
                        table.insert(&request);
                        model[owner as usize][bytes].fill(Some(kind));
                    }
                }
                Step::Unlock(owner, start, end) => {
                    table.remove(LockType::Posix, owner, LockRange::new(start, end).unwrap());
                    model[owner as usize][start as usize..=end as usize].fill(None);
                }
            }
            let mut seen = [[None; BYTES]; 3];
            for held in table.held() {
                for byte in held.range.start()..=held.range.end() {
                    let slot = &mut seen[held.owner as usize][byte as usize];
                    prop_assert!(slot.is_none(), "locks of an owner overlap");
                    *slot = Some(held.kind);
                }
            }
            prop_assert_eq!(seen, model);
            // As few locks as possible: neighbours of one kind are one lock.
            let runs: usize = model
                .iter()
                .map(|row| row.chunk_by(|a, b| a == b).filter(|run| run[0].is_some()).count())
                .sum();
            prop_assert_eq!(table.held().len(), runs);
        }
    }
}
