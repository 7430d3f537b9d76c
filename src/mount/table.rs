//! The mount table that the calling thread sees, as far as it concerns FUSE.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use crate::config::MountOption;

/// The type under which our mounts stand in the table.
pub const FS_TYPE: &str = "fuse.dynamicfs";

/// One line of `/proc/thread-self/mountinfo` (proc_pid_mountinfo(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableEntry {
    /// Where it is mounted.
    pub mountpoint: PathBuf,
    /// The type, such as `fuse.dynamicfs`.
    pub fs_type: String,
    /// The first column of `/proc/mounts`.
    pub source: OsString,
    /// Major and minor number of the device that stat(2) shows in it.
    pub device: (u32, u32),
    /// The options of the file system itself, separated by commas.
    pub options: String,
}

impl TableEntry {
    /// Whether it is a mount of this library, by its type.
    pub fn is_ours(&self) -> bool {
        self.fs_type == FS_TYPE
    }

    /// Whether the file system has this option.
    pub fn has(&self, option: &MountOption) -> bool {
        let option = option.to_string();
        self.options.split(',').any(|word| word == option)
    }

    /// Whether the daemon behind a FUSE mount is gone: every access then says `ENOTCONN`.
    pub fn is_stale(&self) -> bool {
        is_stale(&self.mountpoint)
    }
}

/// How long a mount may take to answer before it counts as slow rather than dead.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether the daemon behind the mount at `path` is gone. One that is stuck is not gone; it is waited
/// for two seconds and no longer.
pub fn is_stale(path: &Path) -> bool {
    let path = path.to_owned();
    let (sender, receiver) = sync_channel(1);
    // A thread, because statfs(2) on a mount whose daemon is stuck does not return.
    let asked = std::thread::Builder::new().spawn(move || {
        let stale = matches!(rustix::fs::statfs(&path), Err(rustix::io::Errno::NOTCONN));
        // Nobody waits any more after the time is up.
        let _ = sender.send(stale);
    });
    asked.is_ok() && receiver.recv_timeout(PATIENCE).unwrap_or(false)
}

/// All mounts, in the order of mounting.
///
/// # Errors
/// `/proc` is not mounted.
pub fn table() -> io::Result<Vec<TableEntry>> {
    let text = std::fs::read("/proc/thread-self/mountinfo")?;
    Ok(text
        .split(|&byte| byte == b'\n')
        .filter_map(entry)
        .collect())
}

/// The topmost mount at exactly this path.
///
/// # Errors
/// `/proc` is not mounted.
pub fn mounted_at(path: &Path) -> io::Result<Option<TableEntry>> {
    Ok(table()?
        .into_iter()
        .rev()
        .find(|entry| entry.mountpoint == path))
}

/// `path` as the table has it: absolute and without symbolic links. The last component may be a
/// mount that cannot be entered (stale, or another user's).
///
/// # Errors
/// The directory above does not exist or may not be searched.
pub fn resolve_mountpoint(path: &Path) -> io::Result<PathBuf> {
    let error = match path.canonicalize() {
        Ok(path) => return Ok(path),
        Err(error) => error,
    };
    let unenterable = [libc::ENOTCONN, libc::EACCES];
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name))
            if error
                .raw_os_error()
                .is_some_and(|e| unenterable.contains(&e)) =>
        {
            let parent = if parent.as_os_str().is_empty() {
                Path::new(".")
            } else {
                parent
            };
            Ok(parent.canonicalize()?.join(name))
        }
        _ => Err(error),
    }
}

fn entry(line: &[u8]) -> Option<TableEntry> {
    let mut fields = line.split(|&byte| byte == b' ');
    let device = fields.nth(2).map(String::from_utf8_lossy)?;
    let (major, minor) = device.split_once(':')?;
    let mountpoint = fields.nth(1)?;
    // Optional fields end with a lone dash.
    fields.find(|field| *field == b"-")?;
    let fs_type = fields.next()?;
    let source = fields.next()?;
    let options = fields.next()?;
    Some(TableEntry {
        device: (major.parse().ok()?, minor.parse().ok()?),
        options: String::from_utf8_lossy(&unescape(options)).into_owned(),
        mountpoint: OsString::from_vec(unescape(mountpoint)).into(),
        fs_type: String::from_utf8_lossy(&unescape(fs_type)).into_owned(),
        source: OsString::from_vec(unescape(source)),
    })
}

/// Blank, tab, line feed and backslash stand as three octal digits after a backslash.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let octal = after.first_chunk::<3>().filter(|_| byte == b'\\');
        let value = octal.and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        match value {
            Some(value) => {
                plain.push(value);
                rest = &after[3..];
            }
            None => {
                plain.push(byte);
                rest = after;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_blanks_and_optional_fields() {
        let line = br"36 35 98:0 / /mnt/a\040b\134 rw,noatime shared:1 master:2 - fuse.dynamicfs /s\011t rw";
        let found = entry(line).expect("an entry");
        assert_eq!(found.mountpoint, Path::new("/mnt/a b\\"));
        assert_eq!(found.source, "/s\tt");
        assert!(found.is_ours());
        assert_eq!(found.device, (98, 0));
        assert!(found.has(&MountOption::Rw) && !found.has(&MountOption::Ro));
        assert_eq!(entry(b""), None);
    }

    #[test]
    fn the_root_is_mounted_and_a_plain_directory_is_not() {
        let root = mounted_at(Path::new("/")).expect("a table");
        assert!(root.is_some_and(|root| !root.is_ours()));
        let dir = tempfile::tempdir().expect("a directory");
        let path = resolve_mountpoint(dir.path()).expect("a path");
        assert_eq!(mounted_at(&path).expect("a table"), None);
        assert!(!is_stale(&path));
        assert!(resolve_mountpoint(&path.join("missing")).is_err());
    }
}
