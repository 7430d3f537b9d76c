//! Who takes part, and how each is mounted.

use std::path::Path;

use anyhow::Result;
use dynamicfs::config::Preset;

pub use super::mounted::Mounted;
use super::peers::{Peer, Ready};
use super::result::{self, Kind};
use crate::target::Dynamicfs;

/// What presets are mounted with: set-user-id bits and devices count as on ext4, and nobody but the user who mounts
/// enters, as with the peers. For others, the kernel would ask for a directory's attributes after each change in it.
const OPTIONS: &str = "suid,dev,allow_other=false";

fn options(change: Option<&str>) -> String {
    change.map_or(OPTIONS.to_owned(), |change| format!("{OPTIONS},{change}"))
}

/// One who takes part.
#[derive(Debug, Clone)]
pub struct Contestant(Server);

#[derive(Debug, Clone)]
enum Server {
    Ext4,
    Preset {
        preset: Preset,
        /// What a variant of it changes.
        change: Option<String>,
        command: Dynamicfs,
    },
    Peer(Peer, Ready),
}

impl Contestant {
    /// The reference: the directory itself.
    pub fn ext4() -> Self {
        Contestant(Server::Ext4)
    }

    /// A preset, mounted by that command.
    pub fn preset(preset: Preset, command: &Dynamicfs) -> Self {
        Self::changed(preset, None, command)
    }

    /// A preset with other mount options, by which it is called: `open=stateless`.
    pub fn variant(preset: Preset, change: &str, command: &Dynamicfs) -> Self {
        Self::changed(preset, Some(change), command)
    }

    fn changed(preset: Preset, change: Option<&str>, command: &Dynamicfs) -> Self {
        Contestant(Server::Preset {
            preset,
            change: change.map(str::to_owned),
            command: command.clone(),
        })
    }

    /// Another file system.
    pub fn peer(peer: &Peer, ready: Ready) -> Self {
        Contestant(Server::Peer(peer.clone(), ready))
    }

    /// Its name in rows.
    pub fn name(&self) -> &str {
        match &self.0 {
            Server::Ext4 => "ext4",
            Server::Preset { preset, change, .. } => change.as_deref().unwrap_or(preset.name()),
            Server::Peer(peer, _) => peer.name(),
        }
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        match &self.0 {
            Server::Ext4 => Kind::Ext4,
            Server::Preset {
                preset: Preset::Baseline,
                ..
            } => Kind::Baseline,
            Server::Preset { .. } => Kind::Preset,
            Server::Peer(..) => Kind::Peer,
        }
    }

    /// How a report lists it.
    pub fn describe(&self) -> result::Contestant {
        let (version, command) = match &self.0 {
            Server::Ext4 => (
                format!(
                    "Linux {}",
                    rustix::system::uname().release().to_string_lossy()
                ),
                "the directory itself".to_owned(),
            ),
            Server::Preset { preset, change, .. } => (
                // The packages of the workspace have one version.
                format!("dynamicfs {}", env!("CARGO_PKG_VERSION")),
                format!(
                    "dynamicfs mount {{src}} {{mnt}} --preset {} -o {}",
                    preset.name(),
                    options(change.as_deref())
                ),
            ),
            Server::Peer(peer, ready) => return peer.describe(&ready.version),
        };
        result::Contestant {
            name: self.name().to_owned(),
            kind: self.kind(),
            version,
            command,
            not_run: None,
        }
    }

    /// Serves `source` at `mountpoint`, which is created; the reference has no mount.
    ///
    /// # Errors
    ///
    /// When there is no mount that answers within seconds, with what its command printed.
    pub fn mount(&self, source: &Path, mountpoint: &Path) -> Result<Mounted> {
        match &self.0 {
            Server::Ext4 => Ok(Mounted::native(source)),
            Server::Preset {
                preset,
                change,
                command,
            } => {
                let options = options(change.as_deref());
                Mounted::preset(|| command.mount_with(source, mountpoint, *preset, &options))
            }
            Server::Peer(peer, ready) => Mounted::peer(peer, ready, source, mountpoint),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contestants_are_what_they_are_called() {
        let command = Dynamicfs::new(Path::new("dynamicfs"), Path::new("/run"));
        let baseline = Contestant::preset(Preset::Baseline, &command);
        assert_eq!(baseline.kind(), Kind::Baseline);
        let safe = Contestant::preset(Preset::Safe, &command).describe();
        assert_eq!((safe.name.as_str(), safe.kind), ("safe", Kind::Preset));
        assert!(safe.command.contains("--preset safe -o suid,dev"));
        let variant = Contestant::variant(Preset::Safe, "open=stateless", &command);
        assert_eq!(
            (variant.name(), variant.kind()),
            ("open=stateless", Kind::Preset)
        );
        assert!(variant.describe().command.ends_with(",open=stateless"));
        let ready = Ready {
            program: "/usr/bin/bindfs".into(),
            version: "bindfs 1.14".to_owned(),
        };
        let peer = Contestant::peer(&"bindfs".parse().unwrap(), ready).describe();
        assert_eq!((peer.name.as_str(), peer.kind), ("bindfs", Kind::Peer));
        assert_eq!(peer.command, "bindfs -f {src} {mnt}");
        assert_eq!(peer.version, "bindfs 1.14");
    }

    #[test]
    fn ext4_is_the_directory_itself() {
        let mounted = Contestant::ext4().mount(Path::new("/etc"), Path::new("/no"));
        let mounted = mounted.unwrap();
        assert_eq!(mounted.dir(), Path::new("/etc"));
        assert_eq!(mounted.connection(), None);
        mounted.unmount().unwrap();
    }
}
