//! suid, sgid and file capabilities are dropped where a file changes.

use rustix::fs::{FallocateFlags, XattrFlags, getxattr, setxattr};

use super::prelude::*;

pub(super) const CASES: &[Case] = &[
    case!(
        "privileges",
        by_other_user,
        "every kind of change by a user",
        root
    ),
    case!("privileges", by_root, "every kind of change by root", root),
    case!(
        "privileges",
        on_chown,
        "chown drops suid, and sgid of an executable",
        root
    ),
    case!(
        "privileges",
        capabilities_on_change,
        "security.capability is dropped",
        root
    ),
    case!(
        "privileges",
        second_write,
        "bits set between two writes are dropped again",
        root
    ),
    case!(
        "privileges",
        chmod_by_non_member,
        "chmod by a non-member drops sgid",
        root
    ),
];

const CAPABILITY: &str = "security.capability";

/// cap_net_raw, permitted and effective (`struct vfs_cap_data`, revision 2).
const NET_RAW: [u8; 20] = [
    1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

type Change = fn() -> Result<(), Errno>;

const CHANGES: [(&str, Change); 8] = [
    ("write", || write_all(open("f", OFlags::WRONLY)?, b"x")),
    ("append", || {
        write_all(open("f", OFlags::WRONLY | OFlags::APPEND)?, b"x")
    }),
    ("truncate", || sys::truncate("f", 10)),
    ("ftruncate", || rustix::fs::ftruncate(read_write("f")?, 20)),
    ("o_trunc", || {
        open("f", OFlags::WRONLY | OFlags::TRUNC).map(drop)
    }),
    ("fallocate", || {
        rustix::fs::fallocate(read_write("f")?, FallocateFlags::empty(), 0, 9000)
    }),
    ("punch", || {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(read_write("f")?, flags, 0, 4096)
    }),
    ("copy", || {
        let (from, to) = (read_only("source")?, open("f", OFlags::WRONLY)?);
        rustix::fs::copy_file_range(&from, None, &to, None, 100).map(drop)
    }),
];

fn prepare(mode: u32) -> Result<(), Errno> {
    write_file("f", pattern(1, 8192))?;
    write_file("source", pattern(2, 8192))?;
    chmod("f", mode)
}

fn observe_changes(cx: &Cx, user: Option<User>) -> Checked {
    for mode in [0o6777, 0o6767, 0o4666, 0o2666, 0o2676] {
        for (name, change) in CHANGES {
            prepare(mode)?;
            match user {
                Some(user) => as_user(user, || Ok(change()?))?,
                None => change()?,
            }
            cx.observe(format!("{mode:o} {name}"), format!("{:o}", mode_of("f")?));
        }
    }
    Ok(())
}

fn by_other_user(cx: &Cx) -> Checked {
    observe_changes(cx, Some(ALICE))?;
    prepare(0o6777)?;
    as_user(ALICE, || Ok(write_all(open("f", OFlags::WRONLY)?, b"x")?))?;
    same!(mode_of("f")?, 0o777);
    Ok(())
}

fn by_root(cx: &Cx) -> Checked {
    observe_changes(cx, None)?;
    prepare(0o6777)?;
    write_all(open("f", OFlags::WRONLY)?, b"x")?;
    same!(mode_of("f")?, 0o6777);
    Ok(())
}

fn on_chown(cx: &Cx) -> Checked {
    for mode in [0o6777, 0o6767, 0o4644, 0o2644] {
        prepare(mode)?;
        chown("f", Some(7), Some(8))?;
        cx.observe(format!("root {mode:o}"), format!("{:o}", mode_of("f")?));
        chown("f", Some(ALICE.uid), Some(ALICE.gid))?;
        chmod("f", mode)?;
        as_user(ALICE_IN_TEAM, || Ok(chown("f", None, Some(TEAM))?))?;
        cx.observe(format!("owner {mode:o}"), format!("{:o}", mode_of("f")?));
        rustix::fs::unlink("f")?;
    }
    mkdir("d")?;
    chmod("d", 0o6755)?;
    chown("d", Some(7), Some(8))?;
    cx.observe("directory", format!("{:o}", mode_of("d")?));
    Ok(())
}

fn has_capability() -> String {
    let mut buffer = [0_u8; 64];
    code(&getxattr("f", CAPABILITY, &mut buffer[..]))
}

fn capabilities_on_change(cx: &Cx) -> Checked {
    for (name, change) in CHANGES {
        prepare(0o777)?;
        setxattr("f", CAPABILITY, &NET_RAW, XattrFlags::empty())?;
        same!(has_capability(), "ok");
        change()?;
        cx.observe(format!("after {name}"), has_capability());
    }
    prepare(0o777)?;
    setxattr("f", CAPABILITY, &NET_RAW, XattrFlags::empty())?;
    chown("f", Some(7), None)?;
    same!(has_capability(), "ENODATA");
    setxattr("f", CAPABILITY, &NET_RAW, XattrFlags::empty())?;
    write_all(open("f", OFlags::WRONLY)?, b"x")?;
    same!(has_capability(), "ENODATA");
    Ok(())
}

fn second_write(_: &Cx) -> Checked {
    prepare(0o777)?;
    chown("f", Some(ALICE.uid), None)?;
    as_user(ALICE, || {
        let fd = read_write("f")?;
        for _ in 0..5 {
            write_all(&fd, b"x")?;
            chmod("f", 0o4777)?;
            write_all(&fd, b"x")?;
            same!(mode_of("f")?, 0o777);
        }
        Ok(())
    })
}

fn chmod_by_non_member(_: &Cx) -> Checked {
    prepare(0o755)?;
    chown("f", Some(ALICE.uid), Some(TEAM))?;
    as_user(ALICE, || Ok(chmod("f", 0o2755)?))?;
    same!(mode_of("f")?, 0o755);
    as_user(ALICE_IN_TEAM, || Ok(chmod("f", 0o2755)?))?;
    same!(mode_of("f")?, 0o2755);
    Ok(())
}
