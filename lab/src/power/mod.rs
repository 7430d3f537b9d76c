//! Power cuts: what a file system said is durable must be there after the machine lost its power at any
//! moment.
//!
//! [`sequence`] decides from a seed what is written and how it is made durable. [`writer`] does it and
//! says what it begins and what was acknowledged. [`cut`] ends the machine at a moment drawn from the
//! seed and starts it again. [`verify`] repeats the sequence in memory ([`model`]) and compares: what was
//! acknowledged must be there to the byte, what was only begun may be there in part. [`shutdown`] is a
//! machine without a machine: ext4 itself stops writing.

pub mod cut;
pub mod model;
pub mod sequence;
pub mod shutdown;
pub mod verify;
pub mod writer;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// What the writer tells, in order. Transactions are numbered from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// The first system call of this transaction comes next.
    Begun(u64),
    /// All of it is said to be durable.
    Acknowledged(u64),
}

/// What is known of a writer when the power is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// The writer's seed.
    pub seed: u64,
    /// How many transactions were begun: as many as were acknowledged, or one more.
    pub begun: u64,
    /// How many were acknowledged.
    pub acknowledged: u64,
}

impl Log {
    /// Before anything was written.
    pub fn new(seed: u64) -> Self {
        Log {
            seed,
            begun: 0,
            acknowledged: 0,
        }
    }

    /// Takes the next event.
    ///
    /// # Errors
    ///
    /// When it is not the next: events were lost, and nothing could be said about the files.
    pub fn note(&mut self, event: Event) -> Result<()> {
        let next = if self.begun == self.acknowledged {
            self.begun += 1;
            Event::Begun(self.acknowledged)
        } else {
            self.acknowledged += 1;
            Event::Acknowledged(self.acknowledged - 1)
        };
        ensure!(
            event == next,
            "the writer told {event:?} where {next:?} comes: events were lost on the way"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_takes_events_in_order_only() {
        let mut log = Log::new(7);
        for event in [Event::Begun(0), Event::Acknowledged(0), Event::Begun(1)] {
            log.note(event).unwrap();
        }
        assert_eq!((log.begun, log.acknowledged), (2, 1));
        assert!(log.clone().note(Event::Begun(2)).is_err());
        assert!(log.clone().note(Event::Acknowledged(0)).is_err());
        assert!(Log::new(7).note(Event::Begun(1)).is_err());
    }
}
