//! The cases: a file per group, each with its table.

mod acl;
mod casefold;
mod data;
mod directory;
mod finder;
mod limits;
mod lock;
mod metadata;
mod mmap;
mod model;
mod open;
mod outofband;
mod permissions;
mod privileges;
mod rename;
mod sparse;
mod special;
mod sync;
mod timestamps;
mod unlink_open;
mod xattr;

use super::Case;

/// Groups of [`Set::Finder`](super::Set::Finder).
pub(super) const FINDER: &[&[Case]] = &[finder::CASES];

/// Groups of [`Set::Casefold`](super::Set::Casefold).
pub(super) const CASEFOLD: &[&[Case]] = &[casefold::CASES];

/// Groups of [`Set::Suite`](super::Set::Suite) in the order in which they run.
pub(super) const GROUPS: &[&[Case]] = &[
    // The slowest first: they wait for the TTL while the others run.
    outofband::CASES,
    data::CASES,
    open::CASES,
    metadata::CASES,
    mmap::CASES,
    model::CASES,
    acl::CASES,
    xattr::CASES,
    lock::CASES,
    rename::CASES,
    unlink_open::CASES,
    sparse::CASES,
    permissions::CASES,
    privileges::CASES,
    timestamps::CASES,
    limits::CASES,
    directory::CASES,
    special::CASES,
    sync::CASES,
];

/// A row of a group's table: `case!("group", function, "what holds")`, with `root` or `cachestat` if
/// needed.
macro_rules! case {
    ($group:literal, $function:ident, $description:literal) => {
        case!($group, $function, $description, NONE)
    };
    ($group:literal, $function:ident, $description:literal, root) => {
        case!($group, $function, $description, ROOT)
    };
    ($group:literal, $function:ident, $description:literal, cachestat) => {
        case!($group, $function, $description, CACHESTAT)
    };
    ($group:literal, $function:ident, $description:literal, $needs:ident) => {
        $crate::suite::Case {
            group: $group,
            name: concat!($group, "::", stringify!($function)),
            description: $description,
            needs: $crate::suite::Needs::$needs,
            run: $function,
        }
    };
}

/// What every group uses.
mod prelude {
    pub(super) use std::time::Duration;

    pub(super) use rustix::fs::OFlags;
    pub(super) use rustix::io::Errno;

    pub(super) use crate::suite::errno::code;
    pub(super) use crate::suite::failure::{ensure, same};
    pub(super) use crate::suite::process::*;
    pub(super) use crate::suite::util::*;
    pub(super) use crate::suite::{Case, Cx, Failure, sys};

    pub(super) use super::case;

    /// How a case ends.
    pub(super) type Checked = Result<(), Failure>;
}

use case;
