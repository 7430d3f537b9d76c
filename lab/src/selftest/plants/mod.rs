//! The plants: a file per group of operations, each with its table.

mod attributes;
mod data;
mod directories;
mod names;
mod permissions;
mod xattrs;

use dynamicfs::config::Preset;
use dynamicfs::storage::Layer;

use crate::cell::Contestant;
use crate::suites::Suite;
use crate::target::Permissions;

/// A fault, where it is planted, and who must find it.
#[derive(Debug, Clone, Copy)]
pub struct Plant {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is wrong, in a line.
    pub what: &'static str,
    /// On whom. Passthrough keeps the data of files from the storage, so faults of data are planted on
    /// `baseline`.
    pub on: Contestant,
    /// The cases that must end otherwise than on ext4, each of them.
    pub caught_by: &'static [(Suite, &'static str)],
    pub(super) bug: fn() -> Box<dyn Layer>,
}

/// All plants in their fixed order.
pub fn all() -> impl Iterator<Item = &'static Plant> {
    let groups = [
        data::PLANTS,
        names::PLANTS,
        directories::PLANTS,
        attributes::PLANTS,
        xattrs::PLANTS,
        permissions::PLANTS,
    ];
    groups.into_iter().flatten()
}

/// The plant of that name.
pub fn find(name: &str) -> Option<&'static Plant> {
    all().find(|plant| plant.name == name)
}

const fn preset(preset: Preset, permissions: Permissions) -> Contestant {
    Contestant::Preset {
        preset,
        permissions,
    }
}

/// Every operation reaches the storage.
const BASELINE: Contestant = preset(Preset::Baseline, Permissions::Kernel);

/// Names and attributes cached for a second, data by passthrough.
const SAFE: Contestant = preset(Preset::Safe, Permissions::Kernel);

/// As the caller of each operation.
const CHECKED_BY_STORAGE: Contestant = preset(Preset::Safe, Permissions::Storage);

const fn suite(case: &'static str) -> (Suite, &'static str) {
    (Suite::Suite, case)
}

const fn pjdfstest(case: &'static str) -> (Suite, &'static str) {
    (Suite::Pjdfstest, case)
}

const fn fsx(case: &'static str) -> (Suite, &'static str) {
    (Suite::Fsx, case)
}

/// What every group uses.
mod prelude {
    pub(super) use std::collections::HashMap;
    pub(super) use std::ffi::OsStr;
    pub(super) use std::sync::{Mutex, MutexGuard, PoisonError};

    pub(super) use dynamicfs::storage::*;

    pub(super) use super::*;

    /// The storage that has the fault, without it.
    pub(super) type Inner<'a> = dyn FilesystemInterface + 'a;

    /// A lock that a panic elsewhere does not take away.
    pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_plant_has_a_name_of_its_own_and_somebody_to_find_it() {
        let names: BTreeSet<&str> = all().map(|plant| plant.name).collect();
        assert_eq!(names.len(), all().count());
        for plant in all() {
            assert!(!plant.caught_by.is_empty(), "{}", plant.name);
        }
    }

    #[test]
    fn the_cases_of_the_own_suite_exist() {
        let cases: BTreeSet<&str> = crate::suite::all().iter().map(|case| case.name).collect();
        for (suite, case) in all().flat_map(|plant| plant.caught_by) {
            assert!(*suite != Suite::Suite || cases.contains(case), "{case}");
        }
    }
}
