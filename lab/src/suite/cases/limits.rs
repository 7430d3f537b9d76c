//! Names, paths, offsets at their limits.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{SeekFrom, seek, symlink};

use super::prelude::*;

pub(super) const CASES: &[Case] = &[
    case!(
        "limits",
        name_length,
        "255 bytes are a name, 256 are ENAMETOOLONG"
    ),
    case!(
        "limits",
        odd_names,
        "any bytes but slash and NUL make a name"
    ),
    case!("limits", path_length, "a path of 4095 bytes, and one more"),
    case!("limits", symlink_loops, "loops and long chains are ELOOP"),
    case!("limits", symlink_length, "targets up to 4095 bytes"),
    case!(
        "limits",
        offsets,
        "offsets at the end of what a file can be"
    ),
    case!("limits", deep_tree, "a tree of 100 levels"),
    case!("limits", dot_dot, ".. and . at every place"),
];

fn name_length(_: &Cx) -> Checked {
    let longest = "n".repeat(255);
    write_file(&longest, "x")?;
    same!(names(".")?, std::slice::from_ref(&longest));
    let longer = "n".repeat(256);
    same!(code(&write_file(&longer, "x")), "ENAMETOOLONG");
    same!(code(&mkdir(&longer)), "ENAMETOOLONG");
    same!(code(&lstat(&longer)), "ENAMETOOLONG");
    same!(code(&symlink("x", &longer)), "ENAMETOOLONG");
    same!(code(&rustix::fs::rename(&longest, &longer)), "ENAMETOOLONG");
    same!(code(&rustix::fs::link(&longest, &longer)), "ENAMETOOLONG");
    Ok(())
}

fn odd_names(_: &Cx) -> Checked {
    let odd: [&[u8]; 9] = [
        b" ",
        b"a b",
        b"a\nb",
        b"\xff\xfe",
        b"-rf",
        b"...",
        b"*?",
        b"\x01\x7f",
        b"\\",
    ];
    for name in odd {
        let name = OsStr::from_bytes(name);
        write_file(name, name.as_bytes())?;
        same!(read_all(name)?, name.as_bytes());
    }
    let mut listed = std::fs::read_dir(".")?
        .map(|entry| Ok(entry?.file_name().as_bytes().to_vec()))
        .collect::<std::io::Result<Vec<_>>>()?;
    listed.sort();
    let mut expected = odd.map(<[u8]>::to_vec);
    expected.sort();
    same!(listed, expected);
    Ok(())
}

fn path_length(_: &Cx) -> Checked {
    write_file("f", "x")?;
    // PATH_MAX, 4096, counts the NUL at the end.
    let longest = format!("{}//f", "./".repeat(2046));
    same!(longest.len(), 4095);
    same!(code(&lstat(longest.trim_start_matches("./"))), "ENOENT");
    let path = format!("{}/f", "./".repeat(2046) + ".");
    same!(path.len(), 4095);
    same!(code(&lstat(&path)), "ok");
    same!(code(&lstat(format!("{path}f"))), "ENAMETOOLONG");
    Ok(())
}

fn symlink_loops(_: &Cx) -> Checked {
    symlink("self", "self")?;
    symlink("b", "a")?;
    symlink("a", "b")?;
    for name in ["self", "a", "a/x"] {
        same!(code(&read_only(name)), "ELOOP");
    }
    write_file("l0", "end")?;
    for i in 0..45 {
        symlink(format!("l{i}"), format!("l{}", i + 1))?;
    }
    same!(code(&read_only("l40")), "ok");
    same!(code(&read_only("l41")), "ELOOP");
    Ok(())
}

fn symlink_length(cx: &Cx) -> Checked {
    for len in [1, 59, 60, 255, 1023, 4094, 4095] {
        let target = "t".repeat(len);
        let name = format!("l{len}");
        let made = symlink(&target, &name);
        cx.observe_code(format!("{len}"), &made);
        if made.is_ok() {
            same!(
                rustix::fs::readlink(&name, Vec::new())?.as_bytes(),
                target.as_bytes()
            );
            same!(size_of(&name)?, len as u64);
        }
    }
    same!(code(&symlink("t".repeat(4096), "l4096")), "ENAMETOOLONG");
    Ok(())
}

fn offsets(cx: &Cx) -> Checked {
    let fd = create("f")?;
    same!(code(&sys::pwrite(&fd, b"x", -1)), "EINVAL");
    same!(code(&sys::ftruncate(&fd, -1)), "EINVAL");
    cx.observe_code("write at the maximum", &sys::pwrite(&fd, b"x", i64::MAX));
    cx.observe_code("write below it", &sys::pwrite(&fd, b"xy", i64::MAX - 1));
    cx.observe_code("ftruncate maximum", &sys::ftruncate(&fd, i64::MAX));
    cx.observe_code("seek maximum", &seek(&fd, SeekFrom::Start(i64::MAX as u64)));
    cx.observe_code("seek past", &seek(&fd, SeekFrom::Current(1)));
    cx.observe_code("read at the maximum", &read_at(&fd, 1, i64::MAX as u64));
    cx.observe_code("16 TiB", &sys::ftruncate(&fd, 1 << 44));
    cx.observe_code("just below 16 TiB", &sys::ftruncate(&fd, (1 << 44) - 4096));
    cx.observe("size", size_of("f")?);
    Ok(())
}

fn deep_tree(_: &Cx) -> Checked {
    let mut path = String::from(".");
    for level in 0..100 {
        path.push_str(&format!("/d{level}"));
        mkdir(&path)?;
    }
    write_file(format!("{path}/f"), "deep")?;
    same!(read_all(format!("{path}/f"))?, b"deep");
    same!(
        lstat(format!("{path}/{}", "../".repeat(100)))?.st_ino,
        lstat(".")?.st_ino
    );
    Ok(())
}

fn dot_dot(_: &Cx) -> Checked {
    mkdir("d")?;
    mkdir("d/e")?;
    same!(lstat("d/e/..")?.st_ino, lstat("d")?.st_ino);
    same!(lstat("d/e/../.././.")?.st_ino, lstat(".")?.st_ino);
    symlink("d/e", "l")?;
    same!(lstat("l/..")?.st_ino, lstat("d")?.st_ino);
    same!(code(&mkdir("..")), "EEXIST");
    Ok(())
}
