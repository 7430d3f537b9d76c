//! Extended attributes.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use rustix::fs::{XattrFlags, getxattr, listxattr, setxattr};
use rustix::io::Errno;

use super::places::nothing;
use super::{Caches, Group, Material, Room, Turn, Workload};

const FILES: usize = 100;
const NAME: &str = "user.lab";
const VALUE: &[u8] = b"a value of some length";

/// Files with one attribute, only read.
const ATTRIBUTED: Material = Material::Shared {
    name: "attributed",
    make: |dir, _| make(dir),
};

pub(super) fn workloads() -> Vec<Workload> {
    let hot = Workload {
        name: "getxattr-hot",
        group: Group::ExtendedAttributes,
        operation: "a getxattr of 22 bytes, round and round over 100 files",
        caches: Caches::Hot,
        quick: true,
        material: ATTRIBUTED,
        before: |room| each_once(room, get),
        run: |room, turn| again(room, turn, |path, _| get(path)),
    };
    vec![
        hot,
        Workload {
            name: "getxattr-absent",
            operation: "a getxattr of an attribute that a file does not have, round and round \
                        over 100 files",
            before: |room| each_once(room, get_absent),
            run: |room, turn| again(room, turn, |path, _| get_absent(path)),
            ..hot
        },
        Workload {
            name: "listxattr",
            operation: "a listxattr of one name, round and round over 100 files",
            quick: false,
            before: |room| each_once(room, list),
            run: |room, turn| again(room, turn, |path, _| list(path)),
            ..hot
        },
        Workload {
            name: "setxattr",
            operation: "a setxattr that changes a value of 8 bytes, round and round over 100 files",
            caches: Caches::New,
            quick: false,
            material: Material::Own {
                make: |dir, _| make(dir),
            },
            before: nothing,
            run: |room, turn| again(room, turn, set),
            ..hot
        },
    ]
}

fn make(dir: &Path) -> Result<()> {
    for index in 0..FILES {
        let path = dir.join(name(index));
        File::create(&path)?;
        attribute(&path)?;
    }
    Ok(())
}

/// Gives the file its attribute.
pub(super) fn attribute(path: &Path) -> Result<()> {
    Ok(setxattr(path, NAME, VALUE, XattrFlags::empty())?)
}

fn name(index: usize) -> String {
    format!("f{index}")
}

fn paths(room: &Room) -> Vec<PathBuf> {
    (0..FILES).map(|index| room.dir.join(name(index))).collect()
}

fn each_once(room: &Room, operation: fn(&Path) -> Result<()>) -> Result<()> {
    paths(room).iter().try_for_each(|path| operation(path))
}

fn again(room: &Room, turn: &mut Turn<'_>, operation: fn(&Path, u64) -> Result<()>) -> Result<()> {
    let paths = paths(room);
    turn.repeat(u64::MAX, |index| {
        operation(&paths[index as usize % FILES], index)
    })
}

pub(super) fn get(path: &Path) -> Result<()> {
    let length = getxattr(path, NAME, &mut [0; 64])?;
    ensure!(length == VALUE.len(), "the value has {length} bytes");
    Ok(())
}

fn get_absent(path: &Path) -> Result<()> {
    let result = getxattr(path, "user.absent", &mut [0; 64]);
    ensure!(
        result == Err(Errno::NODATA),
        "getxattr of an absent attribute: {result:?}"
    );
    Ok(())
}

fn list(path: &Path) -> Result<()> {
    let length = listxattr(path, &mut [0; 256])?;
    ensure!(length > NAME.len(), "{NAME} is not listed");
    Ok(())
}

fn set(path: &Path, number: u64) -> Result<()> {
    Ok(setxattr(
        path,
        NAME,
        &number.to_le_bytes(),
        XattrFlags::empty(),
    )?)
}
