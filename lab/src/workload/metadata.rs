//! Names, attributes and small files. What is not timed happens behind the mount where that is
//! equivalent: it is many times faster than through the slowest contestant.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use anyhow::Result;
use rustix::fs::{XattrFlags, getxattr, setxattr};

use super::{Room, Workload};

const FILES: usize = 2_000;
const ENTRIES: usize = 5_000;
const OPENS: usize = 5;
const HOT_FILES: usize = 200;
const STATS: usize = 2;
const LISTINGS: usize = 5;
const GETXATTRS: usize = 4_000;
const XATTR: &str = "user.lab";
const CONTENT: [u8; 4096] = [7; 4096];

const NEW: &str = "files do not exist before";
const HOT: &str = "all used once before, within the attribute lifetime";
const LISTED: &str = "directory listed once before";

pub(super) fn workloads() -> Vec<Workload> {
    vec![
        Workload {
            name: "create 4 KiB files",
            caches: NEW,
            prepare: nothing,
            before: remove_files,
            run: create_files,
        },
        Workload {
            name: "stat files",
            caches: HOT,
            prepare: |room| create_files(&room.backing),
            before: warm_stat,
            run: stat_files,
        },
        Workload {
            name: "unlink files",
            caches: HOT,
            prepare: nothing,
            before: recreate_files,
            run: unlink_files,
        },
        Workload {
            name: "open, read, close 4 KiB",
            caches: HOT,
            prepare: |room| create_files(&room.backing),
            before: warm_open,
            run: open_files,
        },
        Workload {
            name: "readdir of 5,000",
            caches: LISTED,
            prepare: |room| fill_directory(&room.backing),
            before: warm_list,
            run: list,
        },
        Workload {
            name: "getxattr",
            caches: HOT,
            prepare: |room| create_xattr(&room.dir),
            before: warm_xattr,
            run: get_xattrs,
        },
    ]
}

#[allow(
    clippy::unnecessary_wraps,
    reason = "the signature of every preparation"
)]
fn nothing(_: &Room) -> Result<()> {
    Ok(())
}

fn create_files(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir.join("files"))?;
    for index in 0..FILES {
        fs::write(dir.join(format!("files/f{index}")), CONTENT)?;
    }
    Ok(())
}

fn stat_files(dir: &Path) -> Result<()> {
    for _ in 0..STATS {
        stat_each(dir)?;
    }
    Ok(())
}

fn stat_each(dir: &Path) -> Result<()> {
    for index in 0..FILES {
        fs::symlink_metadata(dir.join(format!("files/f{index}")))?;
    }
    Ok(())
}

fn unlink_files(dir: &Path) -> Result<()> {
    for index in 0..FILES {
        fs::remove_file(dir.join(format!("files/f{index}")))?;
    }
    Ok(())
}

fn open_files(dir: &Path) -> Result<()> {
    for _ in 0..OPENS {
        open_each(dir)?;
    }
    Ok(())
}

fn open_each(dir: &Path) -> Result<()> {
    let mut content = Vec::with_capacity(2 * CONTENT.len());
    for index in 0..HOT_FILES {
        content.clear();
        File::open(dir.join(format!("files/f{index}")))?.read_to_end(&mut content)?;
    }
    Ok(())
}

fn fill_directory(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir.join("many"))?;
    for index in 0..ENTRIES {
        File::create(dir.join(format!("many/entry-{index}")))?;
    }
    Ok(())
}

fn list(dir: &Path) -> Result<()> {
    for _ in 0..LISTINGS {
        list_once(dir)?;
    }
    Ok(())
}

fn list_once(dir: &Path) -> Result<()> {
    let found = fs::read_dir(dir.join("many"))?.count();
    anyhow::ensure!(found == ENTRIES, "{found} entries instead of {ENTRIES}");
    Ok(())
}

fn create_xattr(dir: &Path) -> Result<()> {
    let path = dir.join("attributed");
    File::create(&path)?;
    Ok(setxattr(
        &path,
        XATTR,
        b"a value of some length",
        XattrFlags::empty(),
    )?)
}

fn get_xattrs(dir: &Path) -> Result<()> {
    let path = dir.join("attributed");
    let mut value = [0_u8; 64];
    for _ in 0..GETXATTRS {
        getxattr(&path, XATTR, &mut value)?;
    }
    Ok(())
}

fn remove_files(room: &Room) -> Result<()> {
    let files = room.dir.join("files");
    if files.exists() {
        fs::remove_dir_all(files)?;
    }
    room.settle()
}

/// All files anew, and known to the kernel.
fn recreate_files(room: &Room) -> Result<()> {
    create_files(&room.backing)?;
    room.settle()?;
    stat_each(&room.dir)
}

fn warm_stat(room: &Room) -> Result<()> {
    stat_each(&room.dir)
}

fn warm_open(room: &Room) -> Result<()> {
    open_each(&room.dir)
}

fn warm_list(room: &Room) -> Result<()> {
    list_once(&room.dir)
}

fn warm_xattr(room: &Room) -> Result<()> {
    getxattr(room.dir.join("attributed"), XATTR, &mut [0_u8; 64])?;
    Ok(())
}
