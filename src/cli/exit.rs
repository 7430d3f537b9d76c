//! Exit codes, and errors that carry one.

use std::fmt;

/// What the exit status of the command means. Scripts rely on the numbers: they never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done.
    Ok = 0,
    /// Something failed at run time.
    Failed = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// The source or the mountpoint cannot be used.
    Paths = 3,
    /// No FUSE on this machine, or no right to use it.
    NoFuse = 4,
    /// Nothing of ours is mounted there.
    NotMounted = 5,
    /// The mount is in use.
    Busy = 6,
}

/// What `--help` and the manual say of the exit codes.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  something failed at run time
  2  the command line or the configuration is wrong
  3  the source or the mountpoint cannot be used
  4  no FUSE on this machine, or no privilege to use it
  5  nothing is mounted there
  6  the mount is in use";

impl Exit {
    /// The code of that number; anything unknown is a failure at run time.
    pub(crate) fn from_code(code: u8) -> Exit {
        match code {
            0 => Exit::Ok,
            2 => Exit::Usage,
            3 => Exit::Paths,
            4 => Exit::NoFuse,
            5 => Exit::NotMounted,
            6 => Exit::Busy,
            _ => Exit::Failed,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        std::process::ExitCode::from(exit as u8)
    }
}

/// Why the command did not do what it was asked, for the user, and the exit code for scripts.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// One line for each thing that is wrong, with the way out.
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Failure {
        Failure {
            exit,
            message: message.to_string(),
        }
    }
}

/// Errors whose code is not decided where they arise are failures at run time.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Failure::new(Exit::Failed, format_args!("{error:#}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_lists_every_code() {
        for code in 0..=6 {
            assert_eq!(Exit::from_code(code) as u8, code);
            assert!(EXIT_CODES.contains(&format!("\n  {code}  ")));
        }
    }
}
