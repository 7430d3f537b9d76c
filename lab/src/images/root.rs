//! Root file systems, `vm-images/roots/*.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::apt;
use super::declaration::toml_stems;
use super::tree::contained;
use crate::hash::hash_bytes;
use crate::paths::Paths;
use crate::program::run_as;

/// Raised when the same declaration is to give another tree.
const RECIPE: u32 = 1;

/// How deep declarations may extend one another; more is a circle.
const DEPTH: usize = 8;

/// A slow network and a slow disk included.
const LIMIT: Duration = Duration::from_secs(40 * 60);

/// Nobody reads these in a guest.
const LEFT_OUT: [&str; 5] = ["doc", "info", "locale", "man", "lintian"];

/// A root file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Root {
    /// Stem of the file that declares it.
    pub(super) name: String,
    suite: String,
    packages: BTreeSet<String>,
    /// Text of files, by absolute path.
    files: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    purpose: String,
    /// Another root that it has all of.
    extends: Option<String>,
    suite: Option<String>,
    #[serde(default)]
    packages: Vec<String>,
    #[serde(default)]
    files: BTreeMap<String, String>,
}

/// Names of all roots.
pub(super) fn names(paths: &Paths) -> Result<Vec<String>> {
    toml_stems(&paths.vm_images().join("roots"))
}

/// Reads a root with all that it extends.
pub(super) fn load(paths: &Paths, name: &str) -> Result<Root> {
    let directory = paths.vm_images().join("roots");
    let mut root = read(&directory, name, DEPTH)?;
    root.name = name.to_owned();
    Ok(root)
}

fn read(directory: &Path, name: &str, depth: usize) -> Result<Root> {
    let path = directory.join(format!("{name}.toml"));
    if !path.is_file() {
        bail!(
            "no root file system {name:?}: there are {}",
            toml_stems(directory)?.join(", ")
        );
    }
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let file = parse(&text).with_context(|| path.display().to_string())?;
    let mut root = match (&file.extends, file.suite) {
        (Some(_), _) if depth == 0 => bail!("{}: extends: goes in a circle", path.display()),
        (Some(other), None) => read(directory, other, depth - 1)?,
        (None, Some(suite)) => Root {
            name: name.to_owned(),
            suite,
            packages: BTreeSet::new(),
            files: BTreeMap::new(),
        },
        _ => bail!("{}: must have either suite or extends", path.display()),
    };
    root.packages.extend(file.packages);
    root.files.extend(file.files);
    Ok(root)
}

fn parse(text: &str) -> Result<File> {
    let file: File = toml::from_str(text)?;
    if file.purpose.trim().is_empty() {
        bail!("purpose: is empty; say in a sentence what the root is for");
    }
    if let Some(path) = file.files.keys().find(|path| !path.starts_with('/')) {
        bail!("files: {path:?} is no absolute path");
    }
    Ok(file)
}

/// What a tree is made as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// A directory, to run programs of.
    Directory,
    /// An archive, to make a disk of.
    Tar,
}

impl Root {
    /// Changes with all that the tree is made of; the versions of packages change with `epoch`.
    pub(super) fn hash(&self, epoch: u64) -> String {
        hash_bytes(format!("{RECIPE} {epoch} {self:?}").as_bytes())
    }

    /// Makes the tree at `to`, and the list of its packages at `manifest`. `work` is a directory
    /// for files on the way.
    pub(super) fn bootstrap(
        &self,
        epoch: u64,
        format: Format,
        to: &Path,
        manifest: &Path,
        work: &Path,
    ) -> Result<()> {
        let access = work.join("apt.conf");
        fs::write(&access, apt::access()?)?;
        let packages: Vec<&str> = self.packages.iter().map(String::as_str).collect();
        let mut command = contained("mmdebstrap");
        command
            .args([
                "--mode=root",
                "--variant=essential",
                "--architectures=amd64",
            ])
            .arg(match format {
                Format::Directory => "--format=directory",
                Format::Tar => "--format=tar",
            })
            .arg(format!("--include={}", packages.join(",")))
            .arg(format!("--aptopt={}", access.display()))
            .env("SOURCE_DATE_EPOCH", epoch.to_string())
            .env("TMPDIR", work);
        for name in LEFT_OUT {
            command.arg(format!("--dpkgopt=path-exclude=/usr/share/{name}/*"));
        }
        for (number, (path, text)) in self.files.iter().enumerate() {
            let file = work.join(format!("file-{number}"));
            fs::write(&file, text)?;
            let hook = shell_words::join(["upload", &file.to_string_lossy(), path]);
            command.arg(format!("--customize-hook={hook}"));
        }
        let list = "chroot \"$1\" dpkg-query --show --showformat='${Package} ${Version}\\n'";
        let manifest = shell_words::quote(&manifest.to_string_lossy()).into_owned();
        command
            .arg(format!("--customize-hook={list} > {manifest}"))
            .arg(&self.suite)
            .arg(to)
            .arg(apt::source(&apt::mirror()?, &self.suite));
        run_as("mmdebstrap", &mut command, LIMIT).map_err(apt::advise)?;
        Ok(())
    }
}

/// The packages in a manifest, with their versions.
pub(super) fn read_manifest(path: &Path) -> Result<Vec<(String, String)>> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, version)| (name.to_owned(), version.to_owned()))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(format!("{name}.toml")), text).unwrap();
        }
        dir
    }

    #[test]
    fn an_extension_has_all_of_its_base() {
        let dir = roots(&[
            (
                "base",
                "purpose = \"b\"\nsuite = \"trixie\"\npackages = [\"git\"]\n[files]\n\"/a\" = \"1\"\n",
            ),
            (
                "more",
                "purpose = \"m\"\nextends = \"base\"\npackages = [\"fio\"]\n",
            ),
        ]);
        let root = read(dir.path(), "more", DEPTH).unwrap();
        assert_eq!(root.suite, "trixie");
        assert_eq!(
            root.packages,
            BTreeSet::from(["fio".to_owned(), "git".to_owned()])
        );
        assert_eq!(root.files["/a"], "1");
        let base = read(dir.path(), "base", DEPTH).unwrap();
        assert_ne!(root.hash(1), base.hash(1));
        assert_ne!(base.hash(1), base.hash(2));
    }

    #[test]
    fn errors_name_the_file_and_the_field() {
        let dir = roots(&[
            ("circle", "purpose = \"c\"\nextends = \"circle\"\n"),
            (
                "extra",
                "purpose = \"c\"\nsuite = \"trixie\"\npackage = []\n",
            ),
            (
                "relative",
                "purpose = \"c\"\nsuite = \"trixie\"\n[files]\n\"a\" = \"1\"\n",
            ),
        ]);
        for (name, expected) in [
            ("circle", "circle.toml: extends: goes in a circle"),
            ("extra", "unknown field `package`"),
            ("relative", "files: \"a\" is no absolute path"),
            (
                "none",
                "no root file system \"none\": there are circle, extra, relative",
            ),
        ] {
            let error = format!("{:#}", read(dir.path(), name, DEPTH).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
    }
}
