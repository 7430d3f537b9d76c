//! The file systems that a user would pick instead.

mod command;
mod fuse_backend;
mod libfuse;
mod mount;
mod prepare;

use std::str::FromStr;

use anyhow::{Result, bail, ensure};
use dynamicfs::config::{Preset, nearest};

pub use self::command::Template;
pub(super) use self::mount::PeerMount;
pub use self::prepare::{Prepared, Ready};
use super::result::{Contestant, Kind};
use crate::tools::Package;

/// A file system to compare with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    name: String,
    command: Template,
    origin: Origin,
}

/// Where its program is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// An example of libfuse, by the stem of its source file.
    Libfuse(&'static str),
    /// A Debian package, with its program.
    Debian(Package),
    /// `lab/peers/fuse-backend-rs`.
    FuseBackend,
    /// The user's own.
    Own,
}

/// Those that are known by name, with the options that their users would have: the defaults, except
/// where a default takes a feature away that others have. All stay in the foreground.
const KNOWN: &[(&str, &str, Origin)] = &[
    (
        "libfuse-passthrough",
        // By itself it shows the whole tree of the machine: longer paths than the others have.
        "libfuse-passthrough -f -o modules=subdir,subdir={src} {mnt}",
        Origin::Libfuse("passthrough"),
    ),
    (
        "libfuse-passthrough-fh",
        "libfuse-passthrough-fh -f -o modules=subdir,subdir={src} {mnt}",
        Origin::Libfuse("passthrough_fh"),
    ),
    (
        // Without `xattr` it would answer ENOSYS to them, and look fast where it does nothing.
        // flock(2) stays with the kernel, as it does by default everywhere.
        "libfuse-passthrough-ll",
        "libfuse-passthrough-ll -f -o source={src},xattr {mnt}",
        Origin::Libfuse("passthrough_ll"),
    ),
    (
        "bindfs",
        "bindfs -f {src} {mnt}",
        Origin::Debian(("bindfs", "bindfs")),
    ),
    (
        // Without `minfreespace=0` it creates nothing with less than 4 GiB free. Extended
        // attributes pass through by default.
        "mergerfs",
        "mergerfs -f -o minfreespace=0 {src} {mnt}",
        Origin::Debian(("mergerfs", "mergerfs")),
    ),
    (
        "fuse-overlayfs",
        "fuse-overlayfs -f -o lowerdir={empty},upperdir={src},workdir={work} {mnt}",
        Origin::Debian(("fuse-overlayfs", "fuse-overlayfs")),
    ),
    (
        "fuse-backend-rs",
        "dynamicfs-peer-fuse-backend-rs {src} {mnt}",
        Origin::FuseBackend,
    ),
];

impl Peer {
    /// All that are known by name, in the order of presentation.
    pub fn all() -> Vec<Peer> {
        KNOWN
            .iter()
            .map(|&(name, command, origin)| Peer {
                name: name.to_owned(),
                command: Template::parse(command).expect("a test parses them all"),
                origin,
            })
            .collect()
    }

    /// The known names.
    pub fn names() -> impl Iterator<Item = &'static str> {
        KNOWN.iter().map(|(name, ..)| *name)
    }

    /// Its name in reports.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it is mounted, with placeholders.
    pub fn command(&self) -> &Template {
        &self.command
    }

    /// How a report lists it when it cannot take part.
    pub fn absent(&self, reason: &str) -> Contestant {
        Contestant {
            not_run: Some(reason.to_owned()),
            ..self.describe("unknown")
        }
    }

    /// How a report lists it.
    pub(super) fn describe(&self, version: &str) -> Contestant {
        Contestant {
            name: self.name.clone(),
            kind: Kind::Peer,
            version: version.to_owned(),
            command: self.command.to_string(),
            not_run: None,
        }
    }

    /// `NAME=COMMAND`.
    fn own(name: &str, command: &str) -> Result<Peer> {
        let of_letters = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        ensure!(
            name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(of_letters),
            "{name:?} is no name for a peer: letters, digits, and - _ . after the first"
        );
        let taken = Peer::names().chain(Preset::NAMES.iter().copied());
        ensure!(
            !taken.chain(["ext4"]).any(|other| other == name),
            "there is a contestant {name} already; give {name}=COMMAND another name"
        );
        let command = Template::parse(command)?;
        for placeholder in [command::SOURCE, command::MOUNTPOINT] {
            ensure!(
                command.mentions(placeholder),
                "the command of {name} lacks {placeholder}: it is told the directory to serve as \
                 {} and where to mount it as {}",
                command::SOURCE,
                command::MOUNTPOINT
            );
        }
        Ok(Peer {
            name: name.to_owned(),
            command,
            origin: Origin::Own,
        })
    }
}

/// A known name, or `NAME=COMMAND` for any other file system. The words of the command are split as a
/// shell splits them; `{src}` stands for the directory to serve and `{mnt}` for the mountpoint (and
/// `{empty}` and `{work}` for empty directories on the file system of the former). It may stay in
/// the foreground or not.
impl FromStr for Peer {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Peer> {
        if let Some((name, command)) = text.split_once('=') {
            return Peer::own(name, command);
        }
        if let Some(peer) = Peer::all().into_iter().find(|peer| peer.name == text) {
            return Ok(peer);
        }
        let meant = match nearest(text, Peer::names().map(|name| (name, name))) {
            Some(name) => format!("did you mean {name}?"),
            None => format!("known are {}", Peer::names().collect::<Vec<_>>().join(", ")),
        };
        bail!("no peer is called {text:?}; {meant} Any other: NAME='COMMAND {{src}} {{mnt}}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        text.parse::<Peer>().unwrap_err().to_string()
    }

    #[test]
    fn known_peers_are_found_by_name() {
        for peer in Peer::all() {
            assert_eq!(peer.name().parse::<Peer>().unwrap(), peer);
            assert!(peer.command.mentions(command::MOUNTPOINT));
            assert!(peer.command.mentions(command::SOURCE), "{}", peer.name);
        }
        assert_eq!(Peer::all().len(), 7);
    }

    #[test]
    fn a_slip_of_the_hand_is_answered_with_what_was_meant() {
        let answer = error("mergefs");
        assert!(answer.contains("did you mean mergerfs?"), "{answer}");
        let answer = error("zfs");
        assert!(
            answer.contains("known are libfuse-passthrough, "),
            "{answer}"
        );
    }

    #[test]
    fn a_peer_of_ones_own_has_a_name_and_a_whole_command() {
        let peer: Peer = "hp=passthrough_hp '-o a b' {src} {mnt}".parse().unwrap();
        let described = peer.describe("1");
        assert_eq!(described.name, "hp");
        assert_eq!(described.command, "passthrough_hp '-o a b' {src} {mnt}");
        assert!(error("hp=program {src}").contains("lacks {mnt}"));
        assert!(error("hp=program {mnt}").contains("lacks {src}"));
        assert!(error("=program {src} {mnt}").contains("is no name"));
        assert!(error("../x=program {src} {mnt}").contains("is no name"));
        assert!(error("safe=program {src} {mnt}").contains("a contestant safe already"));
        assert!(error("bindfs=bindfs {src} {mnt}").contains("another name"));
        assert!(error("hp=program 'x {src} {mnt}").contains("quote"));
        assert!(error("hp=").contains("empty"));
    }

    #[test]
    fn an_absent_peer_is_listed_with_the_reason() {
        let absent = Peer::all()[0].absent("no compiler");
        assert_eq!(absent.not_run.as_deref(), Some("no compiler"));
        assert_eq!(absent.kind, Kind::Peer);
    }
}
