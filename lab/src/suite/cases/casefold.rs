//! A directory that folds case (`chattr +F` on ext4), as a Mac's volumes do by default.
//!
//! What is looked up under one spelling is remembered by kernels: these cases look before they change
//! something under another.

use rustix::fs::{
    CWD, IFlags, RenameFlags, ioctl_getflags, ioctl_setflags, link, rename, renameat_with, rmdir,
    symlink, unlink,
};

use super::finder::{COMPOSED, DECOMPOSED};
use super::prelude::*;

pub(super) const CASES: &[Case] = &[
    case!(
        "casefold",
        other_spellings,
        "every spelling finds the one file"
    ),
    case!(
        "casefold",
        listing,
        "a listing shows the case that was stored"
    ),
    case!(
        "casefold",
        creation_over_another_case,
        "O_EXCL refuses, without it the file is opened"
    ),
    case!(
        "casefold",
        absence_is_not_remembered,
        "a name seen absent is there when another spelling is made"
    ),
    case!(
        "casefold",
        presence_is_not_remembered,
        "a name seen is gone when another spelling is removed"
    ),
    case!("casefold", case_only_rename, "letters change case only"),
    case!(
        "casefold",
        rename_over_another_case,
        "the target is found in any case"
    ),
    case!(
        "casefold",
        exchange,
        "names exchanged under other spellings"
    ),
    case!(
        "casefold",
        links_and_removals,
        "link, symlink, mkdir, rmdir under another spelling"
    ),
    case!(
        "casefold",
        normal_forms_are_one,
        "composed and decomposed names are one name"
    ),
    case!(
        "casefold",
        invalid_unicode,
        "names that are no UTF-8 are compared byte by byte"
    ),
    case!(
        "casefold",
        paths,
        "a path under several spellings, and directories moved meanwhile"
    ),
    case!(
        "casefold",
        flag,
        "inherited, and changed on an empty directory only"
    ),
    case!(
        "casefold",
        flag_after_a_look,
        "set on a directory that was searched already"
    ),
    case!(
        "casefold",
        changed_behind,
        "changes under another spelling behind the mount"
    ),
    case!(
        "casefold",
        open_file,
        "an open file survives removal under another spelling"
    ),
    case!(
        "casefold",
        double_files,
        "AppleDouble files follow in any case"
    ),
];

/// `FS_CASEFOLD_FL` of the kernel's `fs.h`.
const CASEFOLD: IFlags = IFlags::from_bits_retain(0x4000_0000);

fn flags_of(dir: &str) -> Result<IFlags, Errno> {
    ioctl_getflags(open(dir, OFlags::RDONLY | OFlags::DIRECTORY)?)
}

fn fold(dir: &str) -> Result<(), Errno> {
    let fd = open(dir, OFlags::RDONLY | OFlags::DIRECTORY)?;
    ioctl_setflags(&fd, ioctl_getflags(&fd)? | CASEFOLD)
}

/// Makes the directory and goes there.
fn in_folded_directory() -> Checked {
    mkdir("d")?;
    fold("d").map_err(|errno| {
        Failure::new(format_args!(
            "no directory that folds case: {}; the disk needs mkfs.ext4 -O casefold and a kernel \
             with CONFIG_UNICODE",
            code::<()>(&Err(errno))
        ))
    })?;
    rustix::process::chdir("d")?;
    Ok(())
}

fn other_spellings(_: &Cx) -> Checked {
    in_folded_directory()?;
    write_file("Report.txt", "one")?;
    let inode = lstat("Report.txt")?.st_ino;
    for name in ["report.txt", "REPORT.TXT", "rEPORT.tXT", "Report.txt"] {
        same!(lstat(name)?.st_ino, inode);
        same!(read_all(name)?, b"one");
        write_file(name, "one")?;
    }
    same!(code(&lstat("report.tx")), "ENOENT");
    same!(nlink_of("REPORT.TXT")?, 1);
    Ok(())
}

fn listing(cx: &Cx) -> Checked {
    in_folded_directory()?;
    for name in ["Makefile", "README", "src", "\u{dc}bung"] {
        ensure!(!exists(name.to_lowercase()));
        write_file(name, "x")?;
        ensure!(exists(name.to_lowercase()) && exists(name.to_uppercase()));
    }
    cx.observe("names", names(".")?.join(" "));
    unlink("MAKEFILE")?;
    write_file("makefile", "y")?;
    cx.observe("made again", names(".")?.join(" "));
    Ok(())
}

fn creation_over_another_case(cx: &Cx) -> Checked {
    in_folded_directory()?;
    write_file("File", "old")?;
    cx.observe_code("exclusive", &create("FILE"));
    let fd = open("FILE", OFlags::RDWR | OFlags::CREATE)?;
    same!(read_at(&fd, 9, 0)?, b"old");
    write_file("fILE", "new")?;
    same!(read_all("File")?, b"new");
    same!(names(".")?, ["File"]);
    Ok(())
}

/// Looks for the name in another case; whatever kernels remember of its absence is fresh.
fn absent_in_other_cases() -> Checked {
    for name in ["name", "NAME", "Name"] {
        same!(code(&lstat(name)), "ENOENT");
    }
    Ok(())
}

fn absence_is_not_remembered(_: &Cx) -> Checked {
    in_folded_directory()?;
    write_file("source", "s")?;
    type Make = fn() -> Result<(), Errno>;
    let ways: [(&str, Make); 6] = [
        ("create", || create("nAME").map(drop)),
        ("mkdir", || mkdir("nAME")),
        ("symlink", || symlink("target", "nAME")),
        ("link", || link("source", "nAME")),
        ("rename", || {
            write_file("other", "o")?;
            rename("other", "nAME")
        }),
        ("mknod", || {
            let kind = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(CWD, "nAME", kind, 0o600.into(), 0)
        }),
    ];
    for (way, make) in ways {
        absent_in_other_cases()?;
        make()?;
        for name in ["name", "NAME", "Name", "nAME"] {
            ensure!(exists(name), "{name} is absent after {way} of nAME");
        }
        if way == "mkdir" {
            rmdir("NAMe")?;
        } else {
            unlink("NAMe")?;
        }
    }
    absent_in_other_cases()
}

fn presence_is_not_remembered(_: &Cx) -> Checked {
    in_folded_directory()?;
    let look = || ["name", "NAME", "Name"].map(|name| code(&lstat(name)));
    for round in 0..3 {
        write_file("name", "x")?;
        same!(look(), ["ok", "ok", "ok"]);
        match round {
            0 => unlink("NAME")?,
            1 => rename("Name", "elsewhere")?,
            _ => rename("elsewhere", "NAME").and_then(|()| unlink("name"))?,
        }
        same!(look(), ["ENOENT", "ENOENT", "ENOENT"]);
    }
    mkdir("name")?;
    same!(look(), ["ok", "ok", "ok"]);
    rmdir("NAME")?;
    same!(look(), ["ENOENT", "ENOENT", "ENOENT"]);
    Ok(())
}

fn case_only_rename(cx: &Cx) -> Checked {
    in_folded_directory()?;
    write_file("file", "x")?;
    mkdir("dir")?;
    write_file("dir/inside", "y")?;
    for (from, to) in [("file", "FILE"), ("dir", "DIR"), ("File", "fILE")] {
        cx.observe_code(format!("{from} to {to}"), &rename(from, to));
        cx.observe(format!("after {from} to {to}"), names(".")?.join(" "));
        ensure!(exists(from) && exists(to));
    }
    // As Samba and Android do where the above changes nothing.
    rename("file", "file.tmp")?;
    rename("file.tmp", "FILE")?;
    cx.observe("in two steps", names(".")?.join(" "));
    same!(read_all("file")?, b"x");
    same!(read_all("Dir/INSIDE")?, b"y");
    let refused = renameat_with(CWD, "FILE", CWD, "file", RenameFlags::NOREPLACE);
    cx.observe_code("NOREPLACE", &refused);
    Ok(())
}

fn rename_over_another_case(cx: &Cx) -> Checked {
    in_folded_directory()?;
    write_file("Target", "old")?;
    write_file("source", "new")?;
    let open = read_only("target")?;
    ensure!(exists("TARGET"));
    rename("SOURCE", "TARGET")?;
    cx.observe("names", names(".")?.join(" "));
    same!(read_all("Target")?, b"new");
    same!(read_at(&open, 9, 0)?, b"old");
    same!(code(&lstat("source")), "ENOENT");
    same!(code(&lstat("SOURCE")), "ENOENT");
    Ok(())
}

fn exchange(cx: &Cx) -> Checked {
    in_folded_directory()?;
    write_file("One", "1")?;
    write_file("Two", "2")?;
    ensure!(exists("one") && exists("two"));
    renameat_with(CWD, "ONE", CWD, "TWO", RenameFlags::EXCHANGE)?;
    for (name, content) in [("one", b"2"), ("One", b"2"), ("two", b"1"), ("Two", b"1")] {
        same!(read_all(name)?, content);
    }
    cx.observe("names", names(".")?.join(" "));
    let itself = renameat_with(CWD, "one", CWD, "ONE", RenameFlags::EXCHANGE);
    cx.observe_code("with itself", &itself);
    Ok(())
}

fn links_and_removals(cx: &Cx) -> Checked {
    in_folded_directory()?;
    write_file("File", "x")?;
    mkdir("Dir")?;
    cx.observe_code("link to itself", &link("FILE", "file"));
    cx.observe_code("symlink", &symlink("anything", "FILE"));
    cx.observe_code("mkdir", &mkdir("DIR"));
    cx.observe_code("unlink of a directory", &unlink("dir"));
    cx.observe_code("rmdir of a file", &rmdir("file"));
    link("file", "Second")?;
    same!(nlink_of("SECOND")?, 2);
    unlink("SECOND")?;
    same!(nlink_of("FILE")?, 1);
    rmdir("DIR")?;
    same!(names(".")?, ["File"]);
    Ok(())
}

fn normal_forms_are_one(cx: &Cx) -> Checked {
    in_folded_directory()?;
    same!(code(&lstat(DECOMPOSED)), "ENOENT");
    create(COMPOSED)?;
    write_file(DECOMPOSED, "one file")?;
    same!(read_all(COMPOSED.to_lowercase())?, b"one file");
    cx.observe_code("exclusive", &create(DECOMPOSED));
    same!(names(".")?, [COMPOSED]);
    unlink(DECOMPOSED)?;
    same!(code(&lstat(COMPOSED)), "ENOENT");
    // The sharp s and its two letters.
    write_file("stra\u{df}e", "x")?;
    cx.observe_code("two letters", &lstat("STRASSE"));
    Ok(())
}

fn invalid_unicode(cx: &Cx) -> Checked {
    use std::os::unix::ffi::OsStrExt;
    in_folded_directory()?;
    let path = |bytes: &'static [u8]| std::path::Path::new(std::ffi::OsStr::from_bytes(bytes));
    let (lower, upper) = (path(b"na\xffme"), path(b"NA\xffME"));
    cx.observe_code("lower", &create(lower));
    cx.observe_code("upper", &create(upper));
    cx.observe("names", names(".")?.len());
    Ok(())
}

fn paths(cx: &Cx) -> Checked {
    in_folded_directory()?;
    mkdir("Tree")?;
    mkdir("Tree/Deep")?;
    write_file("Tree/Deep/File", "x")?;
    for path in ["tree/deep/file", "TREE/Deep/FILE", "Tree/DEEP/File"] {
        same!(read_all(path)?, b"x");
    }
    let inside = open("TREE/deep", OFlags::RDONLY | OFlags::DIRECTORY)?;
    rename("tREE", "Moved")?;
    for path in ["tree/deep/file", "TREE/DEEP", "Tree"] {
        same!(code(&lstat(path)), "ENOENT");
    }
    same!(read_all("MOVED/DEEP/FILE")?, b"x");
    let file = rustix::fs::openat(&inside, "fILE", OFlags::RDONLY, 0.into())?;
    same!(read_at(&file, 9, 0)?, b"x");
    rename("moved/Deep", "DEEP")?;
    same!(read_all("deep/file")?, b"x");
    cx.observe("names", names(".")?.join(" "));
    cx.observe_code("into itself", &rename("DEEP", "deep/deeper"));
    Ok(())
}

fn flag(cx: &Cx) -> Checked {
    in_folded_directory()?;
    ensure!(flags_of(".")?.contains(CASEFOLD));
    mkdir("sub")?;
    cx.observe("inherited", flags_of("SUB")?.contains(CASEFOLD));
    write_file("sub/File", "x")?;
    ensure!(exists("SUB/FILE"));
    let take_away = |dir: &str| -> Result<(), Errno> {
        let fd = open(dir, OFlags::RDONLY | OFlags::DIRECTORY)?;
        ioctl_setflags(&fd, ioctl_getflags(&fd)? - CASEFOLD)
    };
    cx.observe_code("taken from a full directory", &take_away("sub"));
    unlink("sub/file")?;
    cx.observe_code("taken from an empty directory", &take_away("sub"));
    write_file("sub/File", "x")?;
    cx.observe("folds still", exists("sub/FILE"));
    cx.observe_code("given to a full directory", &fold("sub"));
    Ok(())
}

fn flag_after_a_look(_: &Cx) -> Checked {
    mkdir("d")?;
    write_file("d/File", "x")?;
    same!(code(&lstat("d/fILE")), "ENOENT");
    unlink("d/File")?;
    fold("d")?;
    same!(code(&lstat("d/other")), "ENOENT");
    write_file("d/Other", "x")?;
    ensure!(exists("d/other"));
    unlink("d/OTHER")?;
    same!(code(&lstat("d/Other")), "ENOENT");
    Ok(())
}

fn changed_behind(cx: &Cx) -> Checked {
    in_folded_directory()?;
    let behind = cx.backing().join("d");
    write_file("Kept", "x")?;
    same!(code(&lstat("new")), "ENOENT");
    ensure!(exists("KEPT"));
    write_file(behind.join("NEW"), "n")?;
    ensure!(exists("new"), "a name that folds is not cached");
    unlink(behind.join("kept"))?;
    same!(code(&lstat("KEPT")), "ENOENT");
    rename(behind.join("new"), behind.join("Moved"))?;
    same!(code(&lstat("New")), "ENOENT");
    same!(read_all("MOVED")?, b"n");
    Ok(())
}

fn open_file(cx: &Cx) -> Checked {
    in_folded_directory()?;
    write_file("File", "old")?;
    let fd = read_write("fILE")?;
    unlink("FILE")?;
    same!(code(&lstat("File")), "ENOENT");
    same!(rustix::fs::fstat(&fd)?.st_nlink, 0);
    write_at(&fd, b"new", 0)?;
    write_file("file", "another")?;
    same!(read_at(&fd, 9, 0)?, b"new");
    cx.observe("names", names(".")?.join(" "));
    Ok(())
}

fn double_files(_: &Cx) -> Checked {
    in_folded_directory()?;
    write_file("Picture", "data")?;
    ensure!(!exists("._picture"));
    write_file("._Picture", "fork")?;
    ensure!(exists("._PICTURE"));
    rename("picture", "image")?;
    rename("._picture", "._image")?;
    same!(code(&lstat("._Picture")), "ENOENT");
    same!(names(".")?, ["._image", "image"]);
    unlink("IMAGE")?;
    unlink("._IMAGE")?;
    ensure!(names(".")?.is_empty());
    Ok(())
}
