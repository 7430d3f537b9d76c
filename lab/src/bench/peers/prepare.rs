//! Getting peers ready: installing, compiling, finding.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{Origin, Peer, fuse_backend, libfuse};
use crate::paths::Paths;
use crate::tools;

/// A peer that can be mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Its program.
    pub program: PathBuf,
    /// Its version, and where it is from.
    pub version: String,
}

/// What came of getting peers ready, by name: peers, or the reason why they cannot be had.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared(BTreeMap<String, Result<Ready, String>>);

impl Prepared {
    /// Installs packages and compiles what the peers need, outside of the namespaces, which these
    /// must outlive. Leaves a note of it under the target directory, because what runs in the
    /// namespaces is another process: see [`Prepared::load`].
    ///
    /// # Errors
    ///
    /// When the note cannot be written. That a peer cannot be had is no error.
    pub fn make(paths: &Paths, peers: &[Peer]) -> Result<Self> {
        let prepared = Prepared(
            peers
                .iter()
                .map(|peer| {
                    let ready = peer
                        .install()
                        .and_then(|()| peer.build(paths))
                        .and_then(|()| peer.find(paths));
                    let ready = ready.map_err(|error| format!("{error:#}"));
                    (peer.name().to_owned(), ready)
                })
                .collect(),
        );
        fs::create_dir_all(paths.peers())?;
        let note = note(paths);
        fs::write(&note, serde_json::to_vec_pretty(&prepared)?)
            .with_context(|| format!("cannot write {}", note.display()))?;
        Ok(prepared)
    }

    /// What the last [`Prepared::make`] found.
    ///
    /// # Errors
    ///
    /// When there is no note of it.
    pub fn load(paths: &Paths) -> Result<Self> {
        let note = note(paths);
        let text = fs::read_to_string(&note)
            .with_context(|| format!("peers were not prepared: cannot read {}", note.display()))?;
        serde_json::from_str(&text).with_context(|| format!("cannot read {}", note.display()))
    }

    /// What is known about a peer.
    ///
    /// # Errors
    ///
    /// The reason why it cannot be mounted.
    pub fn of(&self, peer: &Peer) -> Result<Ready, String> {
        self.0
            .get(peer.name())
            .cloned()
            .unwrap_or_else(|| Err("it was not prepared".to_owned()))
    }
}

fn note(paths: &Paths) -> PathBuf {
    paths.peers().join("prepared.json")
}

impl Peer {
    /// Installs the Debian packages that it needs.
    fn install(&self) -> Result<()> {
        match self.origin {
            Origin::Libfuse(_) => tools::ensure_packages(tools::LIBFUSE_PACKAGES),
            Origin::Debian(package) => tools::ensure_packages(&[package]),
            Origin::FuseBackend | Origin::Own => Ok(()),
        }
    }

    /// Compiles it, if it is compiled here, from what is installed.
    ///
    /// # Errors
    ///
    /// When something is missing or does not compile.
    pub fn build(&self, paths: &Paths) -> Result<()> {
        match self.origin {
            Origin::Libfuse(example) => libfuse::compile(paths, example, self.command.program()),
            Origin::FuseBackend => fuse_backend::build(paths, self.command.program()),
            Origin::Debian(_) | Origin::Own => Ok(()),
        }
    }

    /// Its program, if it is there.
    ///
    /// # Errors
    ///
    /// When it is not.
    pub fn find(&self, paths: &Paths) -> Result<Ready> {
        let name = self.command.program();
        let built = |program: PathBuf| program.is_file().then_some(program);
        let (program, version) = match self.origin {
            Origin::Libfuse(_) => (built(libfuse::built(paths, name)), libfuse::version()?),
            Origin::FuseBackend => {
                let program = built(fuse_backend::built(paths, name));
                (program, fuse_backend::version(paths)?)
            }
            Origin::Debian((program, package)) => {
                let version = tools::package_version(package)?;
                let version = format!("{package} {version} (Debian package)");
                (tools::find_program(program), version)
            }
            Origin::Own => (tools::find_program(name), "the user's own".to_owned()),
        };
        let program = program.with_context(|| format!("there is no program {name}"))?;
        Ok(Ready { program, version })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_had_is_noted_with_the_reason() {
        let target = tempfile::tempdir().unwrap();
        let paths = Paths {
            target: target.path().to_owned(),
            ..Paths::discover()
        };
        let there: Peer = "there=true {src} {mnt}".parse().unwrap();
        let missing: Peer = "missing=/no/such/program {src} {mnt}".parse().unwrap();
        let made = Prepared::make(&paths, &[there.clone(), missing.clone()]).unwrap();
        assert_eq!(Prepared::load(&paths).unwrap(), made);
        assert!(made.of(&there).unwrap().program.ends_with("true"));
        let reason = made.of(&missing).unwrap_err();
        assert_eq!(reason, "there is no program /no/such/program");
        let other: Peer = "other=true {src} {mnt}".parse().unwrap();
        assert_eq!(made.of(&other).unwrap_err(), "it was not prepared");
    }
}
