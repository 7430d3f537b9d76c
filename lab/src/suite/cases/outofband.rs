//! Changes made below the mount become visible within the declared TTL and one second.
//!
//! Without a mount the "backing" directory is the directory itself; the change is then visible at
//! once, and the assertions are the same.

use super::prelude::*;

pub(super) const CASES: &[Case] = &[
    case!("outofband", content, "new content of the same size is read"),
    case!(
        "outofband",
        content_of_open_file,
        "an open file reads what was written below"
    ),
    case!(
        "outofband",
        growth,
        "a grown file shows its size and its end"
    ),
    case!(
        "outofband",
        shrinking,
        "a truncated file shows its size, and reads end there"
    ),
    case!("outofband", mode, "a changed mode is seen by stat"),
    case!(
        "outofband",
        mode_is_enforced,
        "a changed mode is enforced on open",
        root
    ),
    case!("outofband", owner, "a changed owner is seen by stat", root),
    case!(
        "outofband",
        times,
        "a changed modification time is seen by stat"
    ),
    case!(
        "outofband",
        new_name,
        "a new file appears although its absence was cached"
    ),
    case!(
        "outofband",
        new_name_in_listing,
        "a new file appears in a directory listed before"
    ),
    case!("outofband", removed_name, "a removed file disappears"),
    case!(
        "outofband",
        removed_from_listing,
        "a removed file disappears from a listing"
    ),
    case!(
        "outofband",
        removed_tree,
        "a removed directory and its content disappear"
    ),
    case!(
        "outofband",
        replaced_file,
        "a file replaced by rename shows the new one"
    ),
    case!(
        "outofband",
        replaced_kind,
        "a file replaced by a directory becomes one"
    ),
    case!(
        "outofband",
        renamed_directory,
        "a renamed directory answers to its new name"
    ),
    case!("outofband", xattr, "a changed extended attribute is seen"),
    case!(
        "outofband",
        symlink_target,
        "a symbolic link made anew leads to its new target"
    ),
    case!(
        "outofband",
        link_count,
        "a new hard link raises the link count"
    ),
    case!(
        "outofband",
        writes_reach_backing,
        "what is written here is readable below after close"
    ),
    case!(
        "outofband",
        open_file_survives_removal,
        "an open file keeps its data when removed below"
    ),
];

fn content(cx: &Cx) -> Checked {
    write_file("f", "old content")?;
    same!(read_all("f")?, b"old content");
    write_file(cx.backing().join("f"), "new content")?;
    cx.becomes_visible("new content", || {
        read_all("f").is_ok_and(|b| b == b"new content")
    })
}

fn content_of_open_file(cx: &Cx) -> Checked {
    write_file("f", pattern(1, 10_000))?;
    let fd = read_only("f")?;
    same!(read_at(&fd, 10_000, 0)?, pattern(1, 10_000));
    let below = read_write(cx.backing().join("f"))?;
    write_at(&below, &pattern(2, 10_000), 0)?;
    drop(below);
    cx.becomes_visible("content through the open file", || {
        // The attributes are what tells a filesystem that its pages are old.
        let _ = rustix::fs::fstat(&fd);
        read_at(&fd, 10_000, 0).is_ok_and(|bytes| bytes == pattern(2, 10_000))
    })
}

fn growth(cx: &Cx) -> Checked {
    write_file("f", pattern(1, 5000))?;
    same!(read_all("f")?.len(), 5000);
    write_file(cx.backing().join("f"), pattern(1, 9000))?;
    cx.becomes_visible("size", || size_of("f") == Ok(9000))?;
    cx.becomes_visible("end", || read_all("f").is_ok_and(|b| b == pattern(1, 9000)))
}

fn shrinking(cx: &Cx) -> Checked {
    write_file("f", pattern(1, 9000))?;
    let fd = read_only("f")?;
    same!(read_at(&fd, 9000, 0)?.len(), 9000);
    let below = read_write(cx.backing().join("f"))?;
    rustix::fs::ftruncate(&below, 100)?;
    cx.becomes_visible("size", || size_of("f") == Ok(100))?;
    cx.becomes_visible("end", || {
        read_at(&fd, 9000, 0).is_ok_and(|b| b == pattern(1, 100))
    })
}

fn mode(cx: &Cx) -> Checked {
    write_file("f", "")?;
    chmod("f", 0o644)?;
    same!(mode_of("f")?, 0o644);
    chmod(cx.backing().join("f"), 0o4711)?;
    cx.becomes_visible("mode", || mode_of("f") == Ok(0o4711))
}

fn mode_is_enforced(cx: &Cx) -> Checked {
    write_file("f", "secret")?;
    same!(as_user(ALICE, || Ok(code(&read_only("f"))))?, "ok");
    chmod(cx.backing().join("f"), 0o600)?;
    cx.becomes_visible("permission", || {
        as_user(ALICE, || Ok(code(&read_only("f")))).is_ok_and(|code| code == "EACCES")
    })
}

fn owner(cx: &Cx) -> Checked {
    write_file("f", "")?;
    same!(lstat("f")?.st_uid, 0);
    chown(cx.backing().join("f"), Some(6001), Some(6002))?;
    cx.becomes_visible("owner", || {
        lstat("f").is_ok_and(|stat| (stat.st_uid, stat.st_gid) == (6001, 6002))
    })
}

fn times(cx: &Cx) -> Checked {
    write_file("f", "x")?;
    ensure!(lstat("f")?.st_mtime > LONG_AGO);
    age(cx.backing().join("f"))?;
    cx.becomes_visible("modification time", || {
        lstat("f").is_ok_and(|s| s.st_mtime == LONG_AGO)
    })
}

fn new_name(cx: &Cx) -> Checked {
    // Twice, so that a negative entry is cached and used.
    same!(code(&lstat("f")), "ENOENT");
    same!(code(&lstat("f")), "ENOENT");
    write_file(cx.backing().join("f"), "here")?;
    cx.becomes_visible("new name", || exists("f"))?;
    same!(read_all("f")?, b"here");
    Ok(())
}

fn new_name_in_listing(cx: &Cx) -> Checked {
    mkdir("d")?;
    write_file("d/a", "")?;
    same!(names("d")?, ["a"]);
    write_file(cx.backing().join("d/b"), "")?;
    cx.becomes_visible("listing", || {
        names("d").is_ok_and(|names| names == ["a", "b"])
    })
}

fn removed_name(cx: &Cx) -> Checked {
    write_file("f", "")?;
    lstat("f")?;
    rustix::fs::unlink(cx.backing().join("f"))?;
    cx.becomes_visible("removal", || code(&lstat("f")) == "ENOENT")?;
    same!(code(&read_only("f")), "ENOENT");
    // The name is free again.
    create("f")?;
    Ok(())
}

fn removed_from_listing(cx: &Cx) -> Checked {
    mkdir("d")?;
    write_file("d/a", "")?;
    write_file("d/b", "")?;
    same!(names("d")?, ["a", "b"]);
    rustix::fs::unlink(cx.backing().join("d/a"))?;
    cx.becomes_visible("listing", || names("d").is_ok_and(|names| names == ["b"]))
}

fn removed_tree(cx: &Cx) -> Checked {
    mkdir("d")?;
    mkdir("d/e")?;
    write_file("d/e/f", "x")?;
    read_all("d/e/f")?;
    std::fs::remove_dir_all(cx.backing().join("d"))?;
    cx.becomes_visible("removal", || !exists("d") && !exists("d/e/f"))?;
    same!(names(".")?, Vec::<String>::new());
    Ok(())
}

fn replaced_file(cx: &Cx) -> Checked {
    write_file("f", "first")?;
    same!(read_all("f")?, b"first");
    let before = lstat("f")?.st_ino;
    write_file(cx.backing().join("new"), "second, longer")?;
    rustix::fs::rename(cx.backing().join("new"), cx.backing().join("f"))?;
    cx.becomes_visible("replacement", || {
        read_all("f").is_ok_and(|b| b == b"second, longer")
    })?;
    cx.becomes_visible("inode number", || {
        lstat("f").is_ok_and(|stat| stat.st_ino != before)
    })
}

fn replaced_kind(cx: &Cx) -> Checked {
    write_file("f", "file")?;
    read_all("f")?;
    rustix::fs::unlink(cx.backing().join("f"))?;
    mkdir(cx.backing().join("f"))?;
    write_file(cx.backing().join("f/inside"), "x")?;
    cx.becomes_visible("directory", || {
        names("f").is_ok_and(|names| names == ["inside"])
    })
}

fn renamed_directory(cx: &Cx) -> Checked {
    mkdir("d")?;
    write_file("d/f", "x")?;
    read_all("d/f")?;
    same!(code(&lstat("e")), "ENOENT");
    rustix::fs::rename(cx.backing().join("d"), cx.backing().join("e"))?;
    cx.becomes_visible("old name gone", || !exists("d"))?;
    cx.becomes_visible("new name", || {
        read_all("e/f").is_ok_and(|bytes| bytes == b"x")
    })
}

fn xattr(cx: &Cx) -> Checked {
    use rustix::fs::{XattrFlags, getxattr, setxattr};
    let value = || {
        let mut buffer = [0_u8; 64];
        getxattr("f", "user.k", &mut buffer[..]).map(|n| buffer[..n].to_vec())
    };
    write_file("f", "")?;
    same!(code(&value()), "ENODATA");
    setxattr(
        cx.backing().join("f"),
        "user.k",
        b"one",
        XattrFlags::empty(),
    )?;
    cx.becomes_visible("new attribute", || value() == Ok(b"one".to_vec()))?;
    setxattr(
        cx.backing().join("f"),
        "user.k",
        b"two",
        XattrFlags::empty(),
    )?;
    cx.becomes_visible("changed attribute", || value() == Ok(b"two".to_vec()))?;
    rustix::fs::removexattr(cx.backing().join("f"), "user.k")?;
    cx.becomes_visible("removed attribute", || value() == Err(Errno::NODATA))
}

fn symlink_target(cx: &Cx) -> Checked {
    write_file("a", "A")?;
    write_file("b", "B")?;
    rustix::fs::symlink("a", "l")?;
    same!(read_all("l")?, b"A");
    rustix::fs::unlink(cx.backing().join("l"))?;
    rustix::fs::symlink("b", cx.backing().join("l"))?;
    cx.becomes_visible("target", || read_all("l").is_ok_and(|bytes| bytes == b"B"))
}

fn link_count(cx: &Cx) -> Checked {
    write_file("f", "")?;
    same!(nlink_of("f")?, 1);
    rustix::fs::link(cx.backing().join("f"), cx.backing().join("g"))?;
    cx.becomes_visible("link count", || nlink_of("f") == Ok(2))
}

fn writes_reach_backing(cx: &Cx) -> Checked {
    let bytes = pattern(3, 300_001);
    write_file("f", &bytes)?;
    same!(hash(&read_all(cx.backing().join("f"))?), hash(&bytes));
    chmod("f", 0o640)?;
    same!(mode_of(cx.backing().join("f"))?, 0o640);
    rustix::fs::rename("f", "g")?;
    ensure!(!exists(cx.backing().join("f")) && exists(cx.backing().join("g")));
    Ok(())
}

fn open_file_survives_removal(cx: &Cx) -> Checked {
    let bytes = pattern(4, 70_000);
    write_file("f", &bytes)?;
    let fd = read_write("f")?;
    rustix::fs::unlink(cx.backing().join("f"))?;
    cx.becomes_visible("removal", || !exists("f"))?;
    same!(hash(&read_at(&fd, 80_000, 0)?), hash(&bytes));
    write_at(&fd, b"more", 70_000)?;
    same!(read_at(&fd, 10, 69_999)?.len(), 5);
    Ok(())
}
