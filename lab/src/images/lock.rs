//! The pinned packages of kernels, `vm-images/images.lock`.
//!
//! Debian's archive keeps the newest version of a package only. The lock says which one is meant,
//! so that two machines boot the same kernel; the root file systems have a date.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::declaration::{Kernel, Target};
use crate::paths::Paths;

const HEAD: &str =
    "# The packages that images are made of. Moved by `cargo xtask lab image update`.\n\n";

/// What images are made of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// When the root file systems were last to be made anew, in seconds since 1970: their
    /// `SOURCE_DATE_EPOCH`.
    pub epoch: u64,
    /// The packages of kernels.
    #[serde(default, rename = "package", skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<Locked>,
}

/// One package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// Suite of the archive.
    pub suite: String,
    /// The name in the declaration, with its `*`.
    pub wanted: String,
    /// The name in the archive.
    pub name: String,
    /// The version.
    pub version: String,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// Bytes of the file.
    pub size: u64,
}

impl Lock {
    /// Reads the lock of the checkout.
    ///
    /// # Errors
    ///
    /// When it cannot be read or has a field that does not exist.
    pub fn load(paths: &Paths) -> Result<Self> {
        let path = paths.images_lock();
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).with_context(|| path.display().to_string())
    }

    /// Writes it. Whoever reads sees the old lock or the new one.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn save(&self, paths: &Paths) -> Result<()> {
        self.write(&paths.images_lock())
    }

    fn write(&self, path: &Path) -> Result<()> {
        let text = format!("{HEAD}{}", toml::to_string(self)?);
        let part = path.with_extension("lock.part");
        fs::write(&part, text)
            .and_then(|()| fs::rename(&part, path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// The package for a name in a declaration.
    pub fn find(&self, suite: &str, wanted: &str) -> Option<&Locked> {
        self.packages
            .iter()
            .find(|package| package.suite == suite && package.wanted == wanted)
    }

    /// The packages of the target's kernel; none where it has no kernel of packages.
    ///
    /// # Errors
    ///
    /// When one is not in the lock.
    pub fn kernel_of(&self, target: &Target) -> Result<Vec<&Locked>> {
        let Some(Kernel::Packages { suite, packages }) =
            target.guest.as_ref().map(|guest| &guest.kernel)
        else {
            return Ok(Vec::new());
        };
        packages
            .iter()
            .map(|wanted| match self.find(suite, wanted) {
                Some(package) => Ok(package),
                None => bail!(
                    "vm-images/images.lock has no {wanted} of {suite}, which the target {0} needs; \
                     pin it with: cargo xtask lab image update --target {0}",
                    target.name
                ),
            })
            .collect()
    }

    /// Puts a package in the place of the one for the same name.
    pub fn put(&mut self, package: Locked) {
        self.packages
            .retain(|old| old.suite != package.suite || old.wanted != package.wanted);
        self.packages.push(package);
        self.packages
            .sort_by(|a, b| (&a.suite, &a.wanted).cmp(&(&b.suite, &b.wanted)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(version: &str) -> Locked {
        Locked {
            suite: "trixie".to_owned(),
            wanted: "linux-*".to_owned(),
            name: format!("linux-{version}"),
            version: version.to_owned(),
            sha256: "00".repeat(32),
            size: 1,
        }
    }

    #[test]
    fn a_written_lock_reads_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("images.lock");
        let mut lock = Lock {
            epoch: 7,
            packages: Vec::new(),
        };
        lock.put(package("1"));
        lock.put(package("2"));
        assert_eq!(lock.find("trixie", "linux-*").unwrap().version, "2");
        lock.write(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(toml::from_str::<Lock>(&text).unwrap(), lock);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_unknown_field_is_an_error() {
        let error = toml::from_str::<Lock>("epoch = 1\nsha = 2\n").unwrap_err();
        assert!(error.to_string().contains("unknown field `sha`"), "{error}");
    }
}
