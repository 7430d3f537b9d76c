//! Moving the lock to what the archive has now.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};

use super::apt::Archive;
use super::cache::Cache;
use super::declaration::{Kernel, Target};
use super::lock::{Lock, Locked};
use crate::paths::Paths;
use crate::progress::Progress;
use crate::tools::{IMAGE_PACKAGES, ensure_packages};

/// A package of the lock that is another now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Name and version before; `None` where it is new.
    pub from: Option<String>,
    /// Name and version now.
    pub to: String,
}

/// Moves the packages of the targets' kernels to the newest ones that match their declarations.
/// With `roots`, the root file systems are made anew from what the archive has then, and packages
/// that no target wants leave the lock: then `targets` must be all there are.
///
/// # Errors
///
/// When the archive cannot be reached, has no such package, or parts of one kernel in different
/// versions. The lock then stays as it was.
pub fn update(
    paths: &Paths,
    targets: &[Target],
    roots: bool,
    progress: &Progress,
) -> Result<Vec<Moved>> {
    ensure_packages(IMAGE_PACKAGES)?;
    let old = if paths.images_lock().exists() {
        Lock::load(paths)?
    } else {
        Lock::default()
    };
    let mut lock = old.clone();
    if roots {
        lock.packages.clear();
        lock.epoch = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    }
    let cache = Cache::open(&paths.images())?;
    let _maker = cache.maker(progress)?;
    let mut archives = BTreeMap::new();
    for suite in suites(targets) {
        progress.step(&format!("{suite}: package lists"));
        let archive = Archive::open(&cache.directory().join(format!("apt-{suite}")), suite)?;
        archive.refresh()?;
        archives.insert(suite, archive);
    }
    for target in targets {
        let Some((suite, packages)) = wanted(target) else {
            continue;
        };
        let newest: Vec<Locked> = packages
            .iter()
            .map(|name| archives[suite].newest(name))
            .collect::<Result<_>>()?;
        same_version(&newest)?;
        newest.into_iter().for_each(|package| lock.put(package));
    }
    lock.save(paths)?;
    Ok(moves(&old, &lock))
}

fn wanted(target: &Target) -> Option<(&str, &[String])> {
    match &target.guest.as_ref()?.kernel {
        Kernel::Packages { suite, packages } => Some((suite, packages)),
        Kernel::Files { .. } => None,
    }
}

fn suites(targets: &[Target]) -> BTreeSet<&str> {
    targets
        .iter()
        .filter_map(wanted)
        .map(|(suite, _)| suite)
        .collect()
}

/// The parts of a kernel reach the archive one after the other.
fn same_version(packages: &[Locked]) -> Result<()> {
    let versions: BTreeSet<&str> = packages.iter().map(|one| one.version.as_str()).collect();
    if versions.len() > 1 {
        let names: Vec<String> = packages.iter().map(full_name).collect();
        bail!(
            "the archive has parts of a kernel in different versions ({}): a new one is on its \
             way; try again in some hours",
            names.join(", ")
        );
    }
    Ok(())
}

fn moves(old: &Lock, new: &Lock) -> Vec<Moved> {
    new.packages
        .iter()
        .map(|package| Moved {
            from: old.find(&package.suite, &package.wanted).map(full_name),
            to: full_name(package),
        })
        .filter(|moved| moved.from.as_ref() != Some(&moved.to))
        .collect()
}

fn full_name(package: &Locked) -> String {
    format!("{} {}", package.name, package.version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(wanted: &str, version: &str) -> Locked {
        Locked {
            suite: "trixie".to_owned(),
            wanted: wanted.to_owned(),
            name: wanted.replace('*', version),
            version: version.to_owned(),
            sha256: String::new(),
            size: 0,
        }
    }

    #[test]
    fn tells_what_moved() {
        let (mut old, mut new) = (Lock::default(), Lock::default());
        old.put(package("a-*", "1"));
        old.put(package("b", "1"));
        new.put(package("a-*", "2"));
        new.put(package("b", "1"));
        let moved = moves(&old, &new);
        assert_eq!(moved.len(), 1);
        assert_eq!(moved[0].from.as_deref(), Some("a-1 1"));
        assert_eq!(moved[0].to, "a-2 2");
    }

    #[test]
    fn the_parts_of_a_kernel_are_of_one_version() {
        same_version(&[package("a", "1"), package("b", "1")]).unwrap();
        let error = same_version(&[package("a", "1"), package("b", "2")]).unwrap_err();
        assert!(error.to_string().contains("(a 1, b 2)"), "{error}");
    }
}
