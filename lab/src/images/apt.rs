//! Debian's archive, from the mirror that this machine uses.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use wildmatch::WildMatch;

use super::lock::Locked;
use super::tree::contained;
use crate::process;
use crate::program::{run, run_as};

/// Signs the archive of every suite.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Names a mirror where the machine's own configuration has none.
const MIRROR: &str = "LAB_DEBIAN_MIRROR";

/// For what asks no network.
const LOCAL: Duration = Duration::from_secs(60);

/// For what fetches: a kernel has 40 MB.
pub(super) const FETCH: Duration = Duration::from_secs(20 * 60);

/// Adds what to do to an error of apt's when it could not fetch.
pub(super) fn advise(error: anyhow::Error) -> anyhow::Error {
    // "Failed to fetch", "Unable to fetch".
    if format!("{error:#}").contains("to fetch") {
        error.context(
            "Debian's archive cannot be reached: check the network and run the same command again; \
             what is complete stays",
        )
    } else {
        error
    }
}

/// The address of Debian's archive.
pub(super) fn mirror() -> Result<String> {
    if let Ok(mirror) = env::var(MIRROR) {
        return Ok(mirror);
    }
    if let Some(mirror) = configured_mirror()? {
        return Ok(mirror);
    }
    // A fresh container has no package lists, and so does not know whose archive it uses.
    run_as("apt-get update", contained("apt-get").arg("update"), FETCH).map_err(advise)?;
    configured_mirror()?.with_context(|| {
        format!(
            "apt knows no mirror of Debian here; name one: {MIRROR}=http://… with the same command"
        )
    })
}

fn configured_mirror() -> Result<Option<String>> {
    let mut command = Command::new("apt-get");
    command
        .args(["indextargets", "--format", "$(CODENAME) $(REPO_URI)"])
        .args(["Origin: Debian", "Created-By: Packages"]);
    Ok(archive_of(&run(&mut command, LOCAL)?))
}

/// The archive of releases: security updates have one of their own.
fn archive_of(targets: &str) -> Option<String> {
    targets
        .lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(codename, _)| !codename.ends_with("-security"))
        .map(|(_, uri)| uri.trim().to_owned())
}

/// A line of sources.list(5) for a suite.
pub(super) fn source(mirror: &str, suite: &str) -> String {
    format!("deb [arch=amd64 signed-by={KEYRING} target=Packages lang=none] {mirror} {suite} main")
}

/// How this machine reaches archives (proxies, certificates), in the form of apt.conf(5).
pub(super) fn access() -> Result<String> {
    run(
        Command::new("apt-config")
            .args(["dump", "--no-empty", "--format", "%f \"%v\";%n"])
            .args(["Acquire::http", "Acquire::https", "Acquire::Retries"]),
        LOCAL,
    )
}

/// One suite of the archive, with package lists and caches of its own.
#[derive(Debug)]
pub(super) struct Archive {
    directory: PathBuf,
    suite: String,
}

/// A version that the archive has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Available {
    pub(super) version: String,
    pub(super) sha256: String,
    pub(super) size: u64,
}

impl Archive {
    /// With its state in `directory`, which stays; the package lists there may be old.
    pub(super) fn open(directory: &Path, suite: &str) -> Result<Self> {
        for name in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(directory.join(name))?;
        }
        fs::write(directory.join("state/status"), "")?;
        let line = source(&mirror()?, suite);
        fs::write(directory.join("sources.list"), format!("{line}\n"))?;
        Ok(Archive {
            directory: directory.to_owned(),
            suite: suite.to_owned(),
        })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = contained(program);
        for (option, path) in [
            ("Dir::State", "state"),
            ("Dir::State::lists", "state/lists"),
            ("Dir::State::status", "state/status"),
            ("Dir::Cache", "cache"),
            ("Dir::Etc::SourceList", "sources.list"),
        ] {
            let value = self.directory.join(path);
            command.args(["-o", &format!("{option}={}", value.display())]);
        }
        for option in [
            "Dir::Etc::SourceParts=/dev/null",
            "Dir::Etc::Preferences=/dev/null",
            "Dir::Etc::PreferencesParts=/dev/null",
            "APT::Sandbox::User=root",
            // Without it, apt-get takes a mirror that it cannot reach for an old one.
            "APT::Update::Error-Mode=any",
        ] {
            command.args(["-o", option]);
        }
        command
    }

    /// Fetches the package lists.
    pub(super) fn refresh(&self) -> Result<()> {
        let mut update = self.command("apt-get");
        update.args(["-q", "update"]);
        let name = format!("apt-get update, {}", self.suite);
        run_as(&name, &mut update, FETCH).map_err(advise)?;
        Ok(())
    }

    /// The versions of a package, by name.
    fn versions(&self, name: &str) -> Result<Vec<Available>> {
        let finished = process::run(self.command("apt-cache").args(["show", name]), LOCAL)?;
        // An unknown package is an error of apt-cache, and no version here.
        stanzas(&finished.stdout)
            .iter()
            .filter(|stanza| stanza.get("Package") == Some(&name))
            .map(available)
            .collect()
    }

    /// The newest package whose name matches `wanted`, which may have a `*`.
    pub(super) fn newest(&self, wanted: &str) -> Result<Locked> {
        let prefix = wanted.split('*').next().unwrap_or_default();
        let mut list = self.command("apt-cache");
        list.args(["pkgnames", prefix]);
        let names = run_as("apt-cache pkgnames", &mut list, LOCAL)?;
        let pattern = WildMatch::new(wanted);
        let mut newest: Option<(String, Available)> = None;
        for name in names.lines().filter(|name| pattern.matches(name)) {
            for candidate in self.versions(name)? {
                let newer = match &newest {
                    None => true,
                    Some((_, best)) => {
                        compare(&candidate.version, &best.version)? == Ordering::Greater
                    }
                };
                if newer {
                    newest = Some((name.to_owned(), candidate));
                }
            }
        }
        let (name, available) = newest.with_context(|| {
            format!(
                "{} has no package {wanted}; correct the declaration",
                self.suite
            )
        })?;
        Ok(Locked {
            suite: self.suite.clone(),
            wanted: wanted.to_owned(),
            name,
            version: available.version,
            sha256: available.sha256,
            size: available.size,
        })
    }

    /// Fetches a package into `directory`, with old package lists if need be with new ones.
    pub(super) fn download(&self, package: &Locked, directory: &Path) -> Result<()> {
        if !self.has(package)? {
            self.refresh()?;
            if !self.has(package)? {
                bail!(
                    "{} no longer has {} {}: it keeps the newest version only; move on with\n    \
                     cargo xtask lab image update",
                    self.suite,
                    package.name,
                    package.version
                );
            }
        }
        let what = format!("{}={}", package.name, package.version);
        let mut fetch = self.command("apt-get");
        fetch.args(["-q", "download", &what]).current_dir(directory);
        run_as(&format!("apt-get download {what}"), &mut fetch, FETCH).map_err(advise)?;
        Ok(())
    }

    fn has(&self, package: &Locked) -> Result<bool> {
        let versions = self.versions(&package.name)?;
        Ok(versions
            .iter()
            .any(|available| available.version == package.version))
    }
}

/// Which version is newer, by Debian's rules (deb-version(7)).
fn compare(left: &str, right: &str) -> Result<Ordering> {
    for (word, ordering) in [("eq", Ordering::Equal), ("gt", Ordering::Greater)] {
        let mut command = Command::new("dpkg");
        command.args(["--compare-versions", left, word, right]);
        if process::run(&mut command, LOCAL)?.success() {
            return Ok(ordering);
        }
    }
    Ok(Ordering::Less)
}

fn available(stanza: &BTreeMap<&str, &str>) -> Result<Available> {
    let field = |name: &str| {
        stanza
            .get(name)
            .with_context(|| format!("the archive tells no {name} of a package: {stanza:?}"))
    };
    Ok(Available {
        version: (*field("Version")?).to_owned(),
        sha256: (*field("SHA256")?).to_owned(),
        size: field("Size")?
            .parse()
            .context("the archive's Size is no number")?,
    })
}

/// The stanzas of deb822(5), without continued lines.
fn stanzas(text: &str) -> Vec<BTreeMap<&str, &str>> {
    text.split("\n\n")
        .map(|stanza| {
            stanza
                .lines()
                .filter(|line| !line.starts_with(' '))
                .filter_map(|line| line.split_once(": "))
                .collect::<BTreeMap<_, _>>()
        })
        .filter(|stanza| !stanza.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_of_releases_is_told_from_that_of_security() {
        let targets = "trixie-security http://a/debian-security/\ntrixie http://a/debian/\n";
        assert_eq!(archive_of(targets).as_deref(), Some("http://a/debian/"));
        assert_eq!(archive_of(""), None);
    }

    #[test]
    fn reads_what_the_archive_says_of_a_package() {
        let text = "Package: linux\nVersion: 6.12-1\nSize: 7\nDescription: a\n kernel: it\nSHA256: ab\n\n\
                    Package: linux\nVersion: 6.11-1\nSize: 6\nSHA256: cd\n\n";
        let stanzas = stanzas(text);
        let found: Vec<Available> = stanzas.iter().map(|one| available(one).unwrap()).collect();
        assert_eq!(found.len(), 2);
        assert_eq!(
            found[0],
            Available {
                version: "6.12-1".to_owned(),
                sha256: "ab".to_owned(),
                size: 7
            }
        );
    }

    #[test]
    fn versions_are_ordered_as_debian_does() {
        assert_eq!(
            compare("7.3.4-1~bpo13+1", "7.3.4-1").unwrap(),
            Ordering::Less
        );
        assert_eq!(compare("6.1.176-1", "6.1.99-1").unwrap(), Ordering::Greater);
        assert_eq!(compare("1", "1").unwrap(), Ordering::Equal);
    }
}
