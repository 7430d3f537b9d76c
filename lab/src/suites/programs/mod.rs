//! Real programs at work: git, ripgrep, tar, sqlite, rsync, cp.

mod archive;
mod database;
mod files;
mod git;
mod search;

use std::collections::BTreeMap;

use anyhow::Result;

use super::cx::{Cx, Seen};
use super::{Place, tree};
use crate::outcome::SuiteResult;

/// A case: its name, the directory it works in, and what it does.
struct Program {
    name: &'static str,
    dir: &'static str,
    run: fn(&Cx) -> Result<Seen>,
}

const PROGRAMS: &[Program] = &[
    Program {
        name: "git::clone",
        dir: "git",
        run: git::clone,
    },
    Program {
        name: "git::status",
        dir: "git",
        run: git::status,
    },
    Program {
        name: "git::clone_with_hard_links",
        dir: "git",
        run: git::clone_with_hard_links,
    },
    Program {
        name: "git::gc_and_fsck",
        dir: "git",
        run: git::gc_and_fsck,
    },
    Program {
        name: "tar::extract",
        dir: "tar",
        run: archive::extract,
    },
    Program {
        name: "tar::archive_again",
        dir: "tar",
        run: archive::archive_again,
    },
    Program {
        name: "rg::counts",
        dir: "tar",
        run: search::counts,
    },
    Program {
        name: "cp::copy_and_diff",
        dir: "cp",
        run: files::copy_and_diff,
    },
    Program {
        name: "rsync::archive_twice",
        dir: "rsync",
        run: archive::rsync_twice,
    },
    Program {
        name: "sqlite::wal",
        dir: "sqlite",
        run: database::wal,
    },
    Program {
        name: "sqlite::wal_two_processes",
        dir: "sqlite",
        run: database::wal_two_processes,
    },
    Program {
        name: "sqlite::rollback_journal",
        dir: "sqlite",
        run: database::rollback_journal,
    },
    Program {
        name: "cp::large_file",
        dir: "large",
        run: files::large_file,
    },
    Program {
        name: "rm::everything",
        dir: "",
        run: files::remove_everything,
    },
];

/// Runs all cases, in order: some use what an earlier one left.
///
/// # Errors
///
/// When a case hangs, or the material cannot be made.
pub fn run(place: &Place<'_>) -> Result<SuiteResult> {
    let cx = Cx::new(place, "programs")?;
    let mut cases = BTreeMap::new();
    for program in PROGRAMS {
        let case = cx.case(program.name, program.dir, program.run)?;
        cases.insert(program.name.to_owned(), case);
    }
    cx.finish(cases)
}
