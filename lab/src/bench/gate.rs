//! Lets one thread do something right before and right after the timed parts of a turn that runs on
//! another.

use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use crate::workload::Watcher;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Begin,
    End,
}

/// The side of the turn: it waits at each moment until the other side opens.
#[derive(Debug)]
pub(super) struct Gate {
    moments: Sender<Moment>,
    opened: Receiver<()>,
}

/// The other side.
#[derive(Debug)]
pub(super) struct Door {
    moments: Receiver<Moment>,
    opened: Sender<()>,
}

/// Both sides.
pub(super) fn gate() -> (Gate, Door) {
    let (moments, told) = mpsc::channel();
    let (opened, waits) = mpsc::channel();
    let gate = Gate {
        moments,
        opened: waits,
    };
    let door = Door {
        moments: told,
        opened,
    };
    (gate, door)
}

impl Watcher for Gate {
    fn begin(&mut self) -> Result<()> {
        self.pass(Moment::Begin)
    }

    fn end(&mut self) -> Result<()> {
        self.pass(Moment::End)
    }
}

impl Gate {
    fn pass(&self, moment: Moment) -> Result<()> {
        ensure!(self.moments.send(moment).is_ok(), "nobody watches the turn");
        if self.opened.recv().is_err() {
            bail!("the watcher of the turn went away");
        }
        Ok(())
    }
}

impl Door {
    /// Whether a timed part is about to begin; false when the turn is over, or nothing happens for
    /// that long.
    pub(super) fn wait_for_begin(&self, limit: Duration) -> bool {
        self.moments.recv_timeout(limit) == Ok(Moment::Begin)
    }

    /// Whether the timed part ended; false when it failed, or does not end for that long.
    pub(super) fn wait_for_end(&self, limit: Duration) -> bool {
        self.moments.recv_timeout(limit) == Ok(Moment::End)
    }

    /// Lets the turn go on.
    pub(super) fn open(&self) {
        // It may have ended meanwhile.
        let _ = self.opened.send(());
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn the_turn_waits_at_the_gate_and_its_end_is_seen() {
        let (mut gate, door) = gate();
        let turn = thread::spawn(move || {
            for _ in 0..2 {
                gate.begin().unwrap();
                gate.end().unwrap();
            }
        });
        let mut parts = 0;
        while door.wait_for_begin(LIMIT) {
            door.open();
            assert!(door.wait_for_end(LIMIT));
            parts += 1;
            door.open();
        }
        assert_eq!(parts, 2);
        turn.join().unwrap();
    }

    #[test]
    fn a_turn_that_nobody_watches_any_more_fails() {
        let (mut gate, door) = gate();
        drop(door);
        assert!(gate.begin().is_err());
    }
}
