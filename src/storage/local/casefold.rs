//! Directories whose names are compared without regard to case.
//!
//! The kernel's FUSE client compares bytes: a name that it remembers, or remembers to be absent, says
//! nothing when another spelling of it comes or goes. So no name of such a directory may be cached.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::fs::{IFlags, OFlags};

use super::LocalStorage;
use super::descriptors::reopen;
use super::inodes::Node;
use crate::storage::types::{FileKind, Result};

/// `f_type` of file systems in which each directory says for itself (`FS_CASEFOLD_FL`, set by
/// `chattr +F`): ext4, F2FS, tmpfs, bcachefs.
const BY_DIRECTORY: [u64; 4] = [0xef53, 0xf2f5_2010, 0x0102_1994, 0xca45_1a4e];

/// `f_type` of file systems that always fold: FAT, exFAT, NTFS, HFS+, SMB (three generations).
const ALWAYS: [u64; 7] = [
    0x4d44,
    0x2011_bab0,
    0x7366_746e,
    0x482b,
    0x517b,
    0xff53_4d42,
    0xfe53_4d42,
];

/// `FS_CASEFOLD_FL` of the kernel's `fs.h`.
const CASEFOLD: IFlags = IFlags::from_bits_retain(0x4000_0000);

const UNKNOWN: u8 = 0;
const EXACT: u8 = 1;
const FOLDED: u8 = 2;

/// What is known of a directory. Asked once: the flag of a directory changes only while it is empty.
#[derive(Debug, Default)]
pub(super) struct Folding(AtomicU8);

impl Folding {
    /// The flags of the directory are about to change: ask again.
    pub(super) fn forget(&self) {
        self.0.store(UNKNOWN, Ordering::Relaxed);
    }
}

impl LocalStorage {
    /// Whether names of this directory are compared without regard to case. What cannot be asked is
    /// taken to compare bytes.
    pub(super) fn folds_case(&self, node: &Arc<Node>) -> bool {
        match node.folding.0.load(Ordering::Relaxed) {
            UNKNOWN => {
                let folds = self.ask_folding(node).unwrap_or(false);
                let known = if folds { FOLDED } else { EXACT };
                node.folding.0.store(known, Ordering::Relaxed);
                folds
            }
            known => known == FOLDED,
        }
    }

    fn ask_folding(&self, node: &Arc<Node>) -> Result<bool> {
        if node.kind != FileKind::Directory {
            return Ok(false);
        }
        let fd = self.descriptors.of(&self.inodes, node)?;
        let kind = rustix::fs::fstatfs(&fd)?.f_type as u64;
        if ALWAYS.contains(&kind) {
            return Ok(true);
        }
        if !BY_DIRECTORY.contains(&kind) {
            return Ok(false);
        }
        self.identity.daemon()?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let open = || reopen(fd.as_fd(), flags);
        let directory = self.descriptors.with_room(open)?;
        Ok(rustix::fs::ioctl_getflags(directory)?.contains(CASEFOLD))
    }
}
