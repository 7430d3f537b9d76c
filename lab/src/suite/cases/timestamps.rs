//! Access, modification and change times.

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, utimensat};

use super::prelude::*;

pub(super) const CASES: &[Case] = &[
    case!(
        "timestamps",
        nanoseconds,
        "a set time is kept to the nanosecond"
    ),
    case!("timestamps", omit_and_now, "UTIME_OMIT and UTIME_NOW"),
    case!("timestamps", far_times, "times before 1970 and after 2038"),
    case!("timestamps", invalid, "impossible nanoseconds"),
    case!(
        "timestamps",
        on_symlink,
        "a symbolic link has times of its own"
    ),
    case!("timestamps", by_others, "who may set times", root),
    case!(
        "timestamps",
        ctime_of_changes,
        "each change of an inode moves its ctime"
    ),
    case!(
        "timestamps",
        directory_mtime,
        "create, unlink and rename touch their directories"
    ),
    case!(
        "timestamps",
        mtime_of_writes,
        "write and truncate move mtime, by name and descriptor"
    ),
    case!(
        "timestamps",
        atime_of_read,
        "reading moves atime as relatime says"
    ),
    case!(
        "timestamps",
        set_time_survives_close,
        "a time set on a written file is final"
    ),
];

/// A change of the filesystem.
type Change = fn() -> Result<(), Errno>;

fn set(path: &str, atime: Timespec, mtime: Timespec) -> Result<(), Errno> {
    set_times(path, atime, mtime)
}

fn at(tv_sec: i64, tv_nsec: i64) -> Timespec {
    Timespec { tv_sec, tv_nsec }
}

fn nanoseconds(_: &Cx) -> Checked {
    write_file("f", "")?;
    set(
        "f",
        at(1_234_567_890, 123_456_789),
        at(1_500_000_000, 999_999_999),
    )?;
    let stat = lstat("f")?;
    same!(
        (stat.st_atime, stat.st_atime_nsec),
        (1_234_567_890, 123_456_789)
    );
    same!(mtime(&stat), (1_500_000_000, 999_999_999));
    Ok(())
}

fn omit_and_now(_: &Cx) -> Checked {
    write_file("f", "")?;
    age("f")?;
    set("f", at(0, UTIME_OMIT), at(5, 6))?;
    same!((lstat("f")?.st_atime, lstat("f")?.st_mtime), (LONG_AGO, 5));
    set("f", at(0, UTIME_NOW), at(0, UTIME_OMIT))?;
    ensure!(lstat("f")?.st_atime > LONG_AGO);
    same!(lstat("f")?.st_mtime, 5);
    set("f", at(0, UTIME_NOW), at(0, UTIME_NOW))?;
    ensure!(lstat("f")?.st_mtime > LONG_AGO);
    Ok(())
}

fn far_times(cx: &Cx) -> Checked {
    write_file("f", "")?;
    for time in [
        -1,
        -86_400,
        i64::from(i32::MIN),
        1 << 31,
        1 << 32,
        (1 << 33) + 5,
        1 << 40,
    ] {
        cx.observe_code(format!("set {time}"), &set("f", at(time, 7), at(time, 7)));
        let stat = lstat("f")?;
        cx.observe(
            format!("got {time}"),
            format!("{} {:?}", stat.st_atime, mtime(&stat)),
        );
    }
    Ok(())
}

fn invalid(_: &Cx) -> Checked {
    write_file("f", "")?;
    same!(code(&set("f", at(1, 1_000_000_000), at(1, 0))), "EINVAL");
    same!(code(&set("f", at(1, -1), at(1, 0))), "EINVAL");
    same!(code(&set("none", at(1, 0), at(1, 0))), "ENOENT");
    Ok(())
}

fn on_symlink(_: &Cx) -> Checked {
    write_file("f", "")?;
    rustix::fs::symlink("f", "l")?;
    set("l", at(11, 0), at(12, 0))?;
    same!(lstat("l")?.st_mtime, 12);
    ensure!(lstat("f")?.st_mtime > LONG_AGO);
    let times = Timestamps {
        last_access: at(13, 0),
        last_modification: at(14, 0),
    };
    utimensat(CWD, "l", &times, AtFlags::empty())?;
    same!((lstat("l")?.st_mtime, lstat("f")?.st_mtime), (12, 14));
    Ok(())
}

fn by_others(_: &Cx) -> Checked {
    write_file("f", "")?;
    chmod("f", 0o666)?;
    let now = at(0, UTIME_NOW);
    same!(as_user(ALICE, || Ok(code(&set("f", now, now))))?, "ok");
    same!(
        as_user(ALICE, || Ok(code(&set("f", at(1, 0), at(1, 0)))))?,
        "EPERM"
    );
    same!(
        as_user(ALICE, || Ok(code(&set("f", now, at(0, UTIME_OMIT)))))?,
        "EPERM"
    );
    chmod("f", 0o644)?;
    same!(as_user(ALICE, || Ok(code(&set("f", now, now))))?, "EACCES");
    chown("f", Some(ALICE.uid), None)?;
    same!(
        as_user(ALICE, || Ok(code(&set("f", at(1, 0), at(1, 0)))))?,
        "ok"
    );
    Ok(())
}

fn ctime_of_changes(_: &Cx) -> Checked {
    write_file("f", "data")?;
    let changes: [(&str, Change); 7] = [
        ("chmod", || chmod("f", 0o600)),
        ("link", || rustix::fs::link("f", "g")),
        ("unlink", || rustix::fs::unlink("g")),
        ("rename", || {
            rustix::fs::rename("f", "h").and_then(|()| rustix::fs::rename("h", "f"))
        }),
        ("write", || write_file("f", "more")),
        ("truncate", || sys::truncate("f", 2)),
        ("utimens", || age("f")),
    ];
    for (name, change) in changes {
        let before = ctime_then_tick("f")?;
        change()?;
        ensure!(ctime(&lstat("f")?) > before, "{name} did not move ctime");
    }
    Ok(())
}

fn directory_mtime(_: &Cx) -> Checked {
    mkdir("a")?;
    mkdir("b")?;
    let changes: [(&str, Change, bool); 6] = [
        ("create", || write_file("a/f", ""), false),
        ("link", || rustix::fs::link("a/f", "a/g"), false),
        ("mkdir", || mkdir("a/d"), false),
        ("rename", || rustix::fs::rename("a/g", "b/g"), true),
        ("unlink", || rustix::fs::unlink("a/f"), false),
        ("rmdir", || rustix::fs::rmdir("a/d"), false),
    ];
    for (name, change, both) in changes {
        age("a")?;
        age("b")?;
        change()?;
        ensure!(
            lstat("a")?.st_mtime > LONG_AGO,
            "{name} did not move the mtime"
        );
        same!(lstat("b")?.st_mtime > LONG_AGO, both);
    }
    Ok(())
}

fn mtime_of_writes(cx: &Cx) -> Checked {
    let fd = create("f")?;
    for (name, action) in [
        ("write", 0),
        ("ftruncate", 1),
        ("same size", 2),
        ("truncate", 3),
    ] {
        age("f")?;
        match action {
            0 => write_at(&fd, b"12345", 0)?,
            1 => rustix::fs::ftruncate(&fd, 3)?,
            2 => rustix::fs::ftruncate(&fd, 3)?,
            _ => sys::truncate("f", 1)?,
        }
        let (named, open) = (lstat("f")?, rustix::fs::fstat(&fd)?);
        same!(mtime(&named), mtime(&open));
        cx.observe(name, named.st_mtime > LONG_AGO);
    }
    age("f")?;
    write_at(&fd, b"x", 0)?;
    ensure!(lstat("f")?.st_mtime > LONG_AGO);
    Ok(())
}

fn atime_of_read(cx: &Cx) -> Checked {
    write_file("f", "data")?;
    mkdir("d")?;
    age("f")?;
    age("d")?;
    read_all("f")?;
    cx.becomes_visible("atime", || {
        lstat("f").is_ok_and(|stat| stat.st_atime > LONG_AGO)
    })?;
    names("d")?;
    cx.observe("directory", lstat("d")?.st_atime > LONG_AGO);
    same!(lstat("f")?.st_mtime, LONG_AGO);
    Ok(())
}

fn set_time_survives_close(_: &Cx) -> Checked {
    let fd = create("f")?;
    write_all(&fd, &pattern(1, 100_000))?;
    age("f")?;
    rustix::fs::fsync(&fd)?;
    drop(fd);
    same!(lstat("f")?.st_mtime, LONG_AGO);
    same!(lstat("f")?.st_mtime, LONG_AGO);
    Ok(())
}
