//! rename(2) and renameat2(2).

use rustix::fs::{CWD, RenameFlags, link, rename, renameat_with, symlink};

use super::prelude::*;

pub(super) const CASES: &[Case] = &[
    case!("rename", matrix, "each kind over each kind"),
    case!("rename", noreplace, "RENAME_NOREPLACE"),
    case!(
        "rename",
        noreplace_race,
        "RENAME_NOREPLACE loses or wins against who makes the name below at once"
    ),
    case!("rename", exchange, "RENAME_EXCHANGE of every pair of kinds"),
    case!(
        "rename",
        whiteout,
        "RENAME_WHITEOUT and combinations of flags"
    ),
    case!("rename", into_itself, "a directory does not go into itself"),
    case!("rename", across_directories, "a tree moves, and .. follows"),
    case!(
        "rename",
        over_own_link,
        "rename over another link of the inode does nothing"
    ),
    case!(
        "rename",
        open_file,
        "an open file goes on under its new name"
    ),
    case!(
        "rename",
        over_open_file,
        "a replaced file lives on for its openers"
    ),
    case!("rename", open_directory, "an open directory goes on"),
    case!(
        "rename",
        working_directory,
        "the working directory may be renamed"
    ),
    case!(
        "rename",
        symlink_itself,
        "a symbolic link is renamed, not its target"
    ),
    case!("rename", errors, "missing names, dots, trailing slashes"),
    case!(
        "rename",
        atomic_replacement,
        "a reader always finds one version or the other"
    ),
    case!("rename", many_in_a_row, "names are right after 500 renames"),
    case!(
        "rename",
        negative_entries,
        "old names stop and new names start to resolve"
    ),
    case!(
        "rename",
        exchange_tree_with_file,
        "an exchanged tree is reachable at its new place"
    ),
];

const KINDS: [&str; 5] = ["file", "empty", "full", "link", "none"];

/// Makes `name` a file, an empty directory, a directory with a file in it, a link, or nothing.
fn make(name: &str, kind: &str) -> Result<(), Errno> {
    match kind {
        "file" => write_file(name, name),
        "empty" => mkdir(name),
        "full" => {
            mkdir(name)?;
            write_file(format!("{name}/inside"), name)
        }
        "link" => symlink("target", name),
        _ => Ok(()),
    }
}

fn kind(name: &str) -> String {
    match lstat(name) {
        Err(errno) => code::<()>(&Err(errno)),
        Ok(stat) => format!("{:o}", stat.st_mode >> 12),
    }
}

fn every_pair(cx: &Cx, flags: RenameFlags) -> Checked {
    for from in KINDS {
        for to in KINDS {
            let dir = format!("{from}-{to}");
            mkdir(&dir)?;
            let (a, b) = (format!("{dir}/a"), format!("{dir}/b"));
            make(&a, from)?;
            make(&b, to)?;
            let result = renameat_with(CWD, &a, CWD, &b, flags);
            let text = format!("{}, then {} and {}", code(&result), kind(&a), kind(&b));
            cx.observe(format!("{from} over {to}"), text);
        }
    }
    Ok(())
}

fn matrix(cx: &Cx) -> Checked {
    every_pair(cx, RenameFlags::empty())?;
    same!(read_all("file-file/b")?, b"file-file/a");
    Ok(())
}

fn noreplace(cx: &Cx) -> Checked {
    every_pair(cx, RenameFlags::NOREPLACE)?;
    same!(read_all("file-file/b")?, b"file-file/b");
    Ok(())
}

fn noreplace_race(cx: &Cx) -> Checked {
    let (from, to) = (|round| format!("a{round}"), |round| format!("b{round}"));
    for round in 0..500 {
        write_file(from(round), "")?;
    }
    let below = cx.backing();
    let results = race(
        500,
        |round| renameat_with(CWD, from(round), CWD, to(round), RenameFlags::NOREPLACE),
        |round| create(below.join(to(round))).map(drop),
    );
    for results in results {
        ensure!(one_made_it(results), "both or none made it: {results:?}");
    }
    Ok(())
}

fn exchange(cx: &Cx) -> Checked {
    every_pair(cx, RenameFlags::EXCHANGE)?;
    same!(read_all("file-file/a")?, b"file-file/b");
    same!(read_all("file-file/b")?, b"file-file/a");
    same!(read_all("file-full/a/inside")?, b"file-full/b");
    Ok(())
}

fn whiteout(cx: &Cx) -> Checked {
    write_file("a", "a")?;
    let result = renameat_with(CWD, "a", CWD, "b", RenameFlags::WHITEOUT);
    cx.observe_code("whiteout", &result);
    cx.observe_stat("a", "a");
    cx.observe_stat("b", "b");
    write_file("c", "c")?;
    let both = RenameFlags::EXCHANGE | RenameFlags::NOREPLACE;
    same!(code(&renameat_with(CWD, "c", CWD, "d", both)), "EINVAL");
    let unknown = RenameFlags::from_bits_retain(1 << 20);
    same!(code(&renameat_with(CWD, "c", CWD, "d", unknown)), "EINVAL");
    Ok(())
}

fn into_itself(_: &Cx) -> Checked {
    mkdir("d")?;
    mkdir("d/e")?;
    same!(code(&rename("d", "d/x")), "EINVAL");
    same!(code(&rename("d", "d/e/x")), "EINVAL");
    same!(code(&rename("d", "d")), "ok");
    same!(code(&rename("d/e", "d")), "ENOTEMPTY");
    let exchanged = renameat_with(CWD, "d/e", CWD, "d", RenameFlags::EXCHANGE);
    same!(code(&exchanged), "EINVAL");
    same!(names("d")?, ["e"]);
    Ok(())
}

fn across_directories(_: &Cx) -> Checked {
    for dir in ["a", "b", "a/tree", "a/tree/deep"] {
        mkdir(dir)?;
    }
    write_file("a/tree/deep/f", "x")?;
    write_file("b/sibling", "s")?;
    let (a, b) = (nlink_of("a")?, nlink_of("b")?);
    rename("a/tree", "b/tree")?;
    same!((nlink_of("a")?, nlink_of("b")?), (a - 1, b + 1));
    same!(read_all("b/tree/deep/f")?, b"x");
    same!(read_all("b/tree/../sibling")?, b"s");
    same!(code(&lstat("a/tree")), "ENOENT");
    Ok(())
}

fn over_own_link(_: &Cx) -> Checked {
    write_file("a", "x")?;
    link("a", "b")?;
    rename("a", "b")?;
    ensure!(exists("a") && exists("b"));
    same!(nlink_of("a")?, 2);
    rename("a", "a")?;
    Ok(())
}

fn open_file(_: &Cx) -> Checked {
    let fd = create("a")?;
    write_all(&fd, b"before ")?;
    mkdir("d")?;
    rename("a", "d/b")?;
    write_all(&fd, b"after")?;
    same!(read_all("d/b")?, b"before after");
    same!(rustix::fs::fstat(&fd)?.st_nlink, 1);
    Ok(())
}

fn over_open_file(_: &Cx) -> Checked {
    let bytes = pattern(1, 200_000);
    write_file("old", &bytes)?;
    let fd = read_write("old")?;
    write_file("new", "new")?;
    rename("new", "old")?;
    same!(rustix::fs::fstat(&fd)?.st_nlink, 0);
    same!(hash(&read_at(&fd, 300_000, 0)?), hash(&bytes));
    write_at(&fd, b"changed", 10)?;
    same!(read_at(&fd, 7, 10)?, b"changed");
    rustix::fs::fsync(&fd)?;
    same!(read_all("old")?, b"new");
    Ok(())
}

fn open_directory(_: &Cx) -> Checked {
    mkdir("d")?;
    write_file("d/f", "x")?;
    let dir = open("d", OFlags::RDONLY | OFlags::DIRECTORY)?;
    rename("d", "e")?;
    let fd = rustix::fs::openat(&dir, "f", OFlags::RDONLY, 0.into())?;
    same!(read_at(&fd, 9, 0)?, b"x");
    rustix::fs::mkdirat(&dir, "g", 0o755.into())?;
    same!(names("e")?, ["f", "g"]);
    Ok(())
}

fn working_directory(_: &Cx) -> Checked {
    mkdir("a")?;
    mkdir("a/d")?;
    mkdir("b")?;
    write_file("b/mark", "")?;
    in_child(|| {
        rustix::process::chdir("a/d")?;
        rename("../../a/d", "../../b/d")?;
        write_file("here", "x")?;
        same!(names("..")?, ["d", "mark"]);
        let cwd = rustix::process::getcwd(Vec::new())?;
        ensure!(cwd.as_bytes().ends_with(b"/b/d"));
        Ok(())
    })?;
    same!(names("b/d")?, ["here"]);
    Ok(())
}

fn symlink_itself(_: &Cx) -> Checked {
    write_file("f", "x")?;
    symlink("f", "l")?;
    rename("l", "m")?;
    same!(rustix::fs::readlink("m", Vec::new())?.as_bytes(), b"f");
    write_file("g", "y")?;
    rename("g", "m")?;
    same!(read_all("m")?, b"y");
    same!(read_all("f")?, b"x");
    Ok(())
}

fn errors(cx: &Cx) -> Checked {
    write_file("f", "")?;
    mkdir("d")?;
    same!(code(&rename("none", "x")), "ENOENT");
    same!(code(&rename("f", "none/x")), "ENOENT");
    same!(code(&rename("f", "f/x")), "ENOTDIR");
    let pairs = [
        ("d/.", "x"),
        ("d/..", "x"),
        ("d", "."),
        ("d", "x/"),
        ("f", "x/"),
        ("f/", "x"),
    ];
    for (from, to) in pairs {
        cx.observe_code(format!("{from} to {to}"), &rename(from, to));
    }
    cx.observe("names", names(".")?.join(" "));
    Ok(())
}

fn atomic_replacement(_: &Cx) -> Checked {
    write_file("f", "version 0")?;
    let writer = spawn(|| {
        for i in 0..300 {
            write_file("tmp", format!("version {i}"))?;
            rename("tmp", "f")?;
        }
        Ok(())
    })?;
    for _ in 0..300 {
        let bytes = read_all("f")?;
        ensure!(
            bytes.starts_with(b"version "),
            "found {:?}",
            String::from_utf8_lossy(&bytes)
        );
    }
    writer.join()?;
    same!(read_all("f")?, b"version 299");
    Ok(())
}

fn many_in_a_row(_: &Cx) -> Checked {
    mkdir("a")?;
    mkdir("b")?;
    write_file("a/0", "content")?;
    for i in 0..500 {
        let dirs = if i % 2 == 0 { ("a", "b") } else { ("b", "a") };
        rename(format!("{}/{i}", dirs.0), format!("{}/{}", dirs.1, i + 1))?;
        ensure!(!exists(format!("{}/{i}", dirs.0)));
    }
    same!((names("a")?, names("b")?), (vec!["500".to_owned()], vec![]));
    same!(read_all("a/500")?, b"content");
    Ok(())
}

fn negative_entries(_: &Cx) -> Checked {
    write_file("a", "x")?;
    for _ in 0..10 {
        same!(code(&lstat("b")), "ENOENT");
        rename("a", "b")?;
        same!(code(&lstat("a")), "ENOENT");
        lstat("b")?;
        rename("b", "a")?;
        lstat("a")?;
    }
    Ok(())
}

fn exchange_tree_with_file(_: &Cx) -> Checked {
    mkdir("p")?;
    mkdir("p/tree")?;
    write_file("p/tree/f", "inside")?;
    write_file("file", "outside")?;
    let fd = read_only("p/tree/f")?;
    renameat_with(CWD, "p/tree", CWD, "file", RenameFlags::EXCHANGE)?;
    same!(read_all("file/f")?, b"inside");
    same!(read_all("p/tree")?, b"outside");
    same!(read_at(&fd, 9, 0)?, b"inside");
    same!(lstat("file/..")?.st_ino, lstat(".")?.st_ino);
    Ok(())
}
