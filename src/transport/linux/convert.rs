//! Between the structures of the protocol and this project's types.

use std::sync::Arc;
use std::time::Duration;

use super::wire::abi::{
    self, AttrOut, EntryOut, FopenFlags, OpenOut, OpenRequestFlags, SetattrIn, SetattrValid,
    SetxattrFlags, WriteFlags,
};
use super::wire::{Operation, Request};
use crate::filesystem::{AttrAnswer, EntryAnswer, FileAccess, Opened};
use crate::storage::{Attr, Caller, SecurityLabel, SetAttr, SetTime, StatFs, Timestamp};

/// `STATX_BASIC_STATS` and `STATX_BTIME` of the kernel's `stat.h`.
const STATX_BASIC_STATS: u32 = 0x7ff;
const STATX_BTIME: u32 = 0x800;

pub(super) fn caller(request: &Request<'_>) -> Caller {
    let mut caller = Caller {
        uid: request.header.uid,
        gid: request.header.gid,
        pid: request.header.pid,
        keeps_set_ids: true,
        directory_group: request.extensions.groups().next(),
        label: label(request),
    };
    caller.keeps_set_ids = !takes_set_ids(&request.operation, !caller.is_unknown());
    caller
}

/// The kernel sends one at most.
fn label(request: &Request<'_>) -> Option<Arc<SecurityLabel>> {
    let context = request.extensions.security_contexts().next()?;
    Some(Arc::new(SecurityLabel {
        name: context.name.to_owned(),
        value: context.value.to_owned(),
    }))
}

/// Whether the kernel, which knows if the caller has `CAP_FSETID`, says that this change of data takes set-id
/// bits away.
fn takes_set_ids(operation: &Operation<'_>, knows_caller: bool) -> bool {
    match operation {
        Operation::Write { args, .. } => args.write_flags.contains(WriteFlags::KILL_SUIDGID),
        // With `O_TRUNC`.
        Operation::Open(args) => args.open_flags.contains(OpenRequestFlags::KILL_SUIDGID),
        Operation::Create { args, .. } | Operation::Tmpfile { args, .. } => {
            args.open_flags.contains(OpenRequestFlags::KILL_SUIDGID)
        }
        Operation::Setattr(args) if args.valid.contains(SetattrValid::SIZE) => {
            args.valid.contains(SetattrValid::KILL_SUIDGID)
        }
        // A change of owner, with which the same comes whoever asks, or a write by the kernel itself (`set_attr`): the
        // storage knows the rules, if it knows the caller.
        Operation::Setattr(_) => !knows_caller,
        // An ACL that changes the mode.
        Operation::Setxattr { args, .. } => {
            args.setxattr_flags.contains(SetxattrFlags::ACL_KILL_SGID)
        }
        _ => false,
    }
}

fn mode(attr: &Attr) -> u32 {
    attr.kind.mode_bits() | u32::from(attr.perm)
}

fn wire_attr(attr: &Attr) -> abi::Attr {
    abi::Attr {
        ino: attr.ino,
        size: attr.size,
        blocks: attr.blocks,
        atime: attr.atime.secs as u64,
        mtime: attr.mtime.secs as u64,
        ctime: attr.ctime.secs as u64,
        atimensec: attr.atime.nanos,
        mtimensec: attr.mtime.nanos,
        ctimensec: attr.ctime.nanos,
        mode: mode(attr),
        nlink: attr.nlink,
        uid: attr.uid,
        gid: attr.gid,
        rdev: attr.rdev,
        blksize: attr.blksize,
        flags: abi::AttrFlags::empty(),
    }
}

fn parts(ttl: Duration) -> (u64, u32) {
    (ttl.as_secs(), ttl.subsec_nanos())
}

pub(super) fn attr_out(answer: &AttrAnswer) -> AttrOut {
    let (attr_valid, attr_valid_nsec) = parts(answer.ttl);
    AttrOut {
        attr_valid,
        attr_valid_nsec,
        dummy: 0,
        attr: wire_attr(&answer.attr),
    }
}

pub(super) fn entry_out(answer: EntryAnswer) -> EntryOut {
    match answer {
        EntryAnswer::Found {
            attr,
            generation,
            attr_ttl,
            entry_ttl,
        } => {
            let (entry_valid, entry_valid_nsec) = parts(entry_ttl);
            let (attr_valid, attr_valid_nsec) = parts(attr_ttl);
            EntryOut {
                nodeid: attr.ino,
                generation,
                entry_valid,
                attr_valid,
                entry_valid_nsec,
                attr_valid_nsec,
                attr: wire_attr(&attr),
            }
        }
        EntryAnswer::Absent { entry_ttl } => {
            let (entry_valid, entry_valid_nsec) = parts(entry_ttl);
            EntryOut {
                entry_valid,
                entry_valid_nsec,
                ..EntryOut::default()
            }
        }
    }
}

fn sx_time(time: Timestamp) -> abi::SxTime {
    abi::SxTime {
        tv_sec: time.secs,
        tv_nsec: time.nanos,
        reserved: 0,
    }
}

pub(super) fn statx_out(answer: &AttrAnswer) -> abi::StatxOut {
    let (attr_valid, attr_valid_nsec) = parts(answer.ttl);
    let attr = &answer.attr;
    let birth = attr.btime.map_or(0, |_| STATX_BTIME);
    let stat = abi::Statx {
        mask: STATX_BASIC_STATS | birth,
        blksize: attr.blksize,
        nlink: attr.nlink,
        uid: attr.uid,
        gid: attr.gid,
        // Type and permission bits are the lower 16.
        mode: mode(attr) as u16,
        ino: attr.ino,
        size: attr.size,
        blocks: attr.blocks,
        atime: sx_time(attr.atime),
        btime: sx_time(attr.btime.unwrap_or_default()),
        ctime: sx_time(attr.ctime),
        mtime: sx_time(attr.mtime),
        // The reverse of the kernel's `new_encode_dev`.
        rdev_major: (attr.rdev >> 8) & 0xfff,
        rdev_minor: (attr.rdev & 0xff) | ((attr.rdev >> 12) & 0xf_ff00),
        ..abi::Statx::default()
    };
    abi::StatxOut {
        attr_valid,
        attr_valid_nsec,
        flags: 0,
        spare: [0; 2],
        stat,
    }
}

pub(super) fn statfs_out(figures: &StatFs) -> abi::StatfsOut {
    abi::StatfsOut {
        st: abi::Kstatfs {
            blocks: figures.blocks,
            bfree: figures.bfree,
            bavail: figures.bavail,
            files: figures.files,
            ffree: figures.ffree,
            bsize: figures.bsize,
            namelen: figures.namelen,
            frsize: figures.frsize,
            ..abi::Kstatfs::default()
        },
    }
}

/// The answer to an open of a file; `backing` is what was registered for it.
pub(super) fn open_out(opened: &Opened, backing: Option<u32>) -> OpenOut {
    let mut flags = match opened.access {
        FileAccess::Passthrough(_) if backing.is_some() => FopenFlags::PASSTHROUGH,
        FileAccess::Passthrough(_) | FileAccess::Cached { keep: false } => FopenFlags::empty(),
        FileAccess::Cached { keep: true } => FopenFlags::KEEP_CACHE,
        FileAccess::Direct => FopenFlags::DIRECT_IO | FopenFlags::PARALLEL_DIRECT_WRITES,
    };
    if opened.no_flush {
        flags |= FopenFlags::NOFLUSH;
    }
    OpenOut {
        fh: opened.fh,
        open_flags: flags,
        backing_id: backing.unwrap_or(0) as i32,
    }
}

/// The answer to an open of a directory: whether its listing may be kept.
pub(super) fn opendir_out(opened: &Opened) -> OpenOut {
    let open_flags = match opened.access {
        FileAccess::Cached { keep: true } => FopenFlags::CACHE_DIR | FopenFlags::KEEP_CACHE,
        FileAccess::Cached { keep: false } => FopenFlags::CACHE_DIR,
        _ => FopenFlags::empty(),
    };
    OpenOut {
        fh: opened.fh,
        open_flags,
        backing_id: 0,
    }
}

/// What a SETATTR changes.
///
/// One that names nothing at all is the kernel's way to say that a write of its own has to take set-id
/// bits away: it has sorted that wish out before it sends (`fuse_setattr`).
pub(super) fn set_attr(args: &SetattrIn) -> SetAttr {
    let has = |flag| args.valid.contains(flag);
    let time = |given: SetattrValid, now: SetattrValid, secs: u64, nanos: u32| {
        if has(now) {
            return Some(SetTime::Now);
        }
        has(given).then(|| SetTime::At(timestamp(secs, nanos)))
    };
    let changing = SetattrValid::MODE
        | SetattrValid::UID
        | SetattrValid::GID
        | SetattrValid::SIZE
        | SetattrValid::ATIME
        | SetattrValid::MTIME
        | SetattrValid::CTIME;
    SetAttr {
        mode: has(SetattrValid::MODE).then_some(args.mode & 0o7777),
        uid: has(SetattrValid::UID).then_some(args.uid),
        gid: has(SetattrValid::GID).then_some(args.gid),
        size: has(SetattrValid::SIZE).then_some(args.size),
        atime: time(
            SetattrValid::ATIME,
            SetattrValid::ATIME_NOW,
            args.atime,
            args.atimensec,
        ),
        mtime: time(
            SetattrValid::MTIME,
            SetattrValid::MTIME_NOW,
            args.mtime,
            args.mtimensec,
        ),
        ctime: has(SetattrValid::CTIME).then(|| timestamp(args.ctime, args.ctimensec)),
        fh: has(SetattrValid::FH).then_some(args.fh),
        kill_suidgid: has(SetattrValid::KILL_SUIDGID) || !args.valid.intersects(changing),
    }
}

/// The protocol has seconds as unsigned numbers, whose bits are those of a signed one.
fn timestamp(secs: u64, nanos: u32) -> Timestamp {
    Timestamp {
        secs: secs as i64,
        nanos,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::FileKind;

    fn attr() -> Attr {
        Attr {
            atime: Timestamp {
                secs: -2,
                nanos: 800_000_000,
            },
            perm: 0o4755,
            rdev: 0x1234_5678,
            ..Attr::new(7, FileKind::RegularFile)
        }
    }

    #[test]
    fn times_before_the_epoch_keep_their_sign() {
        let out = wire_attr(&attr());
        assert_eq!(timestamp(out.atime, out.atimensec), attr().atime);
        assert_eq!(out.mode, 0o104_755);
    }

    #[test]
    fn a_birth_is_told_only_where_it_is_known() {
        let ttl = Duration::from_millis(1500);
        let mut answer = AttrAnswer { attr: attr(), ttl };
        let out = statx_out(&answer);
        assert_eq!(out.stat.mask, STATX_BASIC_STATS);
        assert_eq!((out.attr_valid, out.attr_valid_nsec), (1, 500_000_000));
        assert_eq!((out.stat.rdev_major, out.stat.rdev_minor), (0x456, 0x12378));
        answer.attr.btime = Some(Timestamp { secs: 5, nanos: 6 });
        let out = statx_out(&answer);
        assert_eq!(out.stat.mask, STATX_BASIC_STATS | STATX_BTIME);
        assert_eq!((out.stat.btime.tv_sec, out.stat.btime.tv_nsec), (5, 6));
    }

    #[test]
    fn a_setattr_says_what_it_changes() {
        let mut args = SetattrIn {
            valid: SetattrValid::MODE | SetattrValid::ATIME | SetattrValid::ATIME_NOW,
            mode: 0o100_640,
            ..SetattrIn::default()
        };
        let changes = set_attr(&args);
        let expected = SetAttr {
            mode: Some(0o640),
            atime: Some(SetTime::Now),
            ..SetAttr::default()
        };
        assert_eq!(changes, expected);
        args.valid = SetattrValid::FH;
        assert!(set_attr(&args).kill_suidgid);
        args.valid = SetattrValid::SIZE | SetattrValid::KILL_SUIDGID;
        let changes = set_attr(&args);
        assert!(changes.kill_suidgid && changes.size == Some(0));
    }

    #[test]
    fn an_absent_name_has_node_zero_and_a_lifetime() {
        let entry_ttl = Duration::from_secs(3);
        let out = entry_out(EntryAnswer::Absent { entry_ttl });
        assert_eq!((out.nodeid, out.entry_valid), (0, 3));
    }

    #[test]
    fn passthrough_is_told_with_its_id_alone() {
        let file = std::fs::File::open("/dev/null").expect("it is everywhere");
        let opened = Opened {
            fh: 3,
            access: FileAccess::Passthrough(std::sync::Arc::new(file.into())),
            no_flush: true,
        };
        let with = open_out(&opened, Some(9));
        assert_eq!(
            with.open_flags,
            FopenFlags::PASSTHROUGH | FopenFlags::NOFLUSH
        );
        assert_eq!(with.backing_id, 9);
        let without = open_out(&opened, None);
        assert_eq!(without.open_flags, FopenFlags::NOFLUSH);
    }
}
