//! Why a case failed, with the place in its source.

use std::fmt;
use std::panic::Location;

use serde::{Deserialize, Serialize};

/// Why a case failed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failure(String);

impl Failure {
    /// A failure at the place of the caller.
    #[track_caller]
    pub fn new(what: impl fmt::Display) -> Self {
        let at = Location::caller();
        let what = what.to_string();
        let file = at.file().rsplit('/').next().unwrap_or_default();
        // Long values say nothing more after their first hundreds of characters.
        Self(format!("{what:.400} ({file}:{})", at.line()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<rustix::io::Errno> for Failure {
    // `?` passes its own place on, so each failing call of a case is found by its line.
    #[track_caller]
    fn from(errno: rustix::io::Errno) -> Self {
        Self::new(format_args!("unexpected {}", super::errno::name(errno)))
    }
}

impl From<std::io::Error> for Failure {
    #[track_caller]
    fn from(error: std::io::Error) -> Self {
        Self::new(format_args!("unexpected error: {error}"))
    }
}

/// Fails the case unless the condition holds.
macro_rules! ensure {
    ($condition:expr $(,)?) => {
        if !$condition {
            return Err($crate::suite::Failure::new(concat!("not so: ", stringify!($condition))));
        }
    };
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::suite::Failure::new(format_args!($($message)+)));
        }
    };
}

/// Fails the case unless both sides are equal; shows both.
macro_rules! same {
    ($left:expr, $right:expr $(,)?) => {{
        // A match keeps temporaries of both sides alive until its end.
        match (&$left, &$right) {
            (left, right) => {
                if *left != *right {
                    return Err($crate::suite::Failure::new(format_args!(
                        "{} is {:?}, expected {:?}",
                        stringify!($left),
                        left,
                        right
                    )));
                }
            }
        }
    }};
}

pub(crate) use {ensure, same};
