//! What macFUSE asks for and what it offers, as pure functions.
//!
//! Sources: macFUSE's mount options (its wiki); setxattr(2), getxattr(2) and fcntl(2) of macOS.

use std::borrow::Cow;
use std::ffi::OsStr;

use crate::config::{MountOption, OptimizedFUSEConfig};
use crate::platform::NO_ATTRIBUTE;
use crate::storage::{Errno, Result};

/// The only attribute that is written in parts: a resource fork is as long as a file.
const RESOURCE_FORK: &str = "com.apple.ResourceFork";

/// Longest attribute that is put together: an offset beyond it would make a daemon hold gigabytes.
const LONGEST_FORK: usize = 64 << 20;

/// Largest `iosize` of macFUSE, in bytes.
const LARGEST_IO: u64 = 32 << 20;

/// Seconds after which macFUSE asks the user whether to eject a volume that does not answer: its
/// longest. A busy server is not a dead one.
const DAEMON_TIMEOUT: u32 = 600;

/// Options of Linux alone, by the word before `=`.
const LINUX_ONLY: [&str; 2] = ["max_read", "subtype"];

/// What is given to macFUSE: the options without those of Linux, and with
/// - `volname`: the name in Finder, that of the source unless given;
/// - `local`: Finder treats it as a disk, with Trash and without the delays of a network volume;
/// - `native_xattr`: attributes come as they are, not as AppleDouble files;
/// - `noappledouble`: no `._` and `.DS_Store` files beside them. (`noapplexattr`, which refuses all
///   `com.apple.*` attributes, is left to who wants it);
/// - `iosize`: the larger of the largest read and write, within macFUSE's 32 MiB, a power of two;
/// - `daemon_timeout`: 600 s.
///
/// An option that was given stays as it is.
pub fn mount_options(config: &OptimizedFUSEConfig, options: &[MountOption]) -> Vec<MountOption> {
    let mut kept: Vec<MountOption> = options
        .iter()
        .filter(|option| !LINUX_ONLY.contains(&word(option).as_str()))
        .cloned()
        .collect();
    let name = options.iter().find_map(|option| match option {
        MountOption::FSName(name) => Some(name.as_str()),
        _ => None,
    });
    let name = name.and_then(|name| name.rsplit('/').next());
    let name = name.filter(|name| !name.is_empty()).unwrap_or("dynamicfs");
    let wanted = [
        // A comma would end the option.
        format!("volname={}", name.replace(',', "_")),
        "local".to_owned(),
        "native_xattr".to_owned(),
        "noappledouble".to_owned(),
        format!("iosize={}", io_size(config)),
        format!("daemon_timeout={DAEMON_TIMEOUT}"),
    ];
    for option in wanted.map(MountOption::Custom) {
        if !kept.iter().any(|given| word(given) == word(&option)) {
            kept.push(option);
        }
    }
    kept
}

fn word(option: &MountOption) -> String {
    let text = option.to_string();
    text.split('=').next().unwrap_or_default().to_owned()
}

fn io_size(config: &OptimizedFUSEConfig) -> u64 {
    let largest = config.max_read_size.max(config.max_write_size) as u64;
    largest.clamp(4096, LARGEST_IO).next_power_of_two()
}

/// The value of an attribute after a write of `data` at `position`, which is other than zero for
/// resource forks only; `stored` is what is there now. A gap reads as zeros.
///
/// # Errors
/// `EINVAL` for a position in another attribute, `E2BIG` for a fork of more than 64 MiB, and those of
/// `stored`, except that what does not exist is empty.
pub fn xattr_written<'a>(
    name: &OsStr,
    position: u32,
    data: &'a [u8],
    stored: impl FnOnce() -> Result<Vec<u8>>,
) -> Result<Cow<'a, [u8]>> {
    if position == 0 {
        return Ok(Cow::Borrowed(data));
    }
    if name != RESOURCE_FORK {
        return Err(Errno::INVAL);
    }
    let start = position as usize;
    let end = start + data.len();
    if end > LONGEST_FORK {
        return Err(Errno::TOOBIG);
    }
    let mut value = match stored() {
        Ok(value) => value,
        Err(NO_ATTRIBUTE) => Vec::new(),
        Err(error) => return Err(error),
    };
    value.resize(value.len().max(end), 0);
    value[start..end].copy_from_slice(data);
    Ok(Cow::Owned(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(options: &[MountOption]) -> Vec<String> {
        let config = OptimizedFUSEConfig::high_performance();
        let options = mount_options(&config, options);
        options.iter().map(MountOption::to_string).collect()
    }

    #[test]
    fn a_mount_is_named_after_its_source_and_is_a_local_disk() {
        let texts = texts(&[
            MountOption::FSName("/srv/Fotos, alt".to_owned()),
            MountOption::Subtype("dynamicfs".to_owned()),
            MountOption::Custom("max_read=4096".to_owned()),
            MountOption::AllowOther,
        ]);
        assert_eq!(
            texts,
            [
                r"fsname=/srv/Fotos\, alt",
                "allow_other",
                "volname=Fotos_ alt",
                "local",
                "native_xattr",
                "noappledouble",
                "iosize=2097152",
                "daemon_timeout=600",
            ]
        );
    }

    #[test]
    fn what_was_given_stays() {
        let given = ["volname=Mine", "daemon_timeout=30", "iosize=65536"];
        let options = given.map(|text| MountOption::Custom(text.to_owned()));
        let texts = texts(&options);
        assert_eq!(texts[..3], given);
        assert_eq!(texts[3..], ["local", "native_xattr", "noappledouble"]);
    }

    #[test]
    fn a_resource_fork_is_written_in_parts() {
        let fork = OsStr::new(RESOURCE_FORK);
        let written = |position, data: &[u8], stored: Result<Vec<u8>>| {
            xattr_written(fork, position, data, || stored).map(Cow::into_owned)
        };
        let missing = || Err(NO_ATTRIBUTE);
        assert_eq!(
            written(0, b"new", Ok(b"longer".to_vec())),
            Ok(b"new".to_vec())
        );
        assert_eq!(
            written(2, b"XY", Ok(b"abcdef".to_vec())),
            Ok(b"abXYef".to_vec())
        );
        assert_eq!(
            written(6, b"gh", Ok(b"abcdef".to_vec())),
            Ok(b"abcdefgh".to_vec())
        );
        assert_eq!(written(2, b"x", missing()), Ok(b"\0\0x".to_vec()));
        assert_eq!(written(2, b"x", Err(Errno::IO)), Err(Errno::IO));
        assert_eq!(written(u32::MAX, b"x", missing()), Err(Errno::TOOBIG));
    }

    #[test]
    fn other_attributes_have_no_position() {
        let info = OsStr::new("com.apple.FinderInfo");
        let write = |position| xattr_written(info, position, b"x", || Ok(Vec::new()));
        assert_eq!(write(0).as_deref(), Ok(&b"x"[..]));
        assert_eq!(write(1), Err(Errno::INVAL));
    }
}
