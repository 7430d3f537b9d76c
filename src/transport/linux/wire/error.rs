//! Why a message is no request.

use std::fmt;

use crate::storage::Errno;

use super::abi::{InHeader, Opcode};

/// A message that is no request, and how it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{defect}{}", Which(.header))]
pub(crate) struct DecodeError {
    /// The header, where the message has one.
    pub(crate) header: Option<InHeader>,
    /// What is wrong.
    pub(crate) defect: Defect,
}

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Defect {
    /// It ends before what its operation needs.
    #[error("a message that ends too early")]
    Short,
    /// It goes on after what its operation needs.
    #[error("a message that goes on too long")]
    Long,
    /// It was read to an address that is no multiple of 8.
    #[error("a message in the wrong place of memory")]
    Misaligned,
    /// Its header tells another length than it has.
    #[error("a message of {received} bytes that claims another length")]
    Length {
        /// Bytes that were read.
        received: usize,
    },
    /// A name that is empty, or has a slash.
    #[error("a message with an impossible name")]
    Name,
    /// Extensions that are longer or shorter than they say.
    #[error("a message with broken extensions")]
    Extensions,
    /// An operation that is not served, whatever its arguments.
    #[error("a message with an operation that is not known")]
    Operation,
}

/// Which request it was, where that is known.
struct Which<'a>(&'a Option<InHeader>);

impl fmt::Display for Which<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(InHeader { unique, opcode, .. }) => {
                write!(f, " (request {unique}, operation {opcode})")
            }
            None => Ok(()),
        }
    }
}

impl DecodeError {
    /// Number of the request to answer and the error to answer: `ENOSYS` for an operation that is not
    /// known, from which the kernel learns not to ask again, and `EIO` for all else.
    ///
    /// `None` when there is nobody to answer: the header is missing, or the kernel does not wait.
    pub(crate) fn answer(&self) -> Option<(u64, Errno)> {
        let header = self.header?;
        let waits = Opcode::from_number(header.opcode).is_none_or(Opcode::wants_answer);
        let errno = match self.defect {
            Defect::Operation => Errno::NOSYS,
            _ => Errno::IO,
        };
        waits.then_some((header.unique, errno))
    }
}
