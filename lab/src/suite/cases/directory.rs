//! Listing and changing directories.

use std::collections::BTreeSet;
use std::mem::MaybeUninit;
use std::os::unix::fs::{DirEntryExt, FileTypeExt, MetadataExt};

use rustix::fs::{RawDir, SeekFrom, rmdir, seek, unlink};

use super::prelude::*;

pub(super) const CASES: &[Case] = &[
    case!(
        "directory",
        three_thousand,
        "a large directory is listed once and in full"
    ),
    case!(
        "directory",
        seek_to_cookies,
        "every position leads back to the same rest"
    ),
    case!("directory", rewind, "a rewound directory shows new names"),
    case!(
        "directory",
        delete_while_reading,
        "deleting while reading reaches every entry"
    ),
    case!(
        "directory",
        create_while_reading,
        "creating while reading loses no old entry"
    ),
    case!(
        "directory",
        types_and_inodes,
        "d_type and d_ino agree with stat"
    ),
    case!(
        "directory",
        link_count,
        "a directory's links count its subdirectories"
    ),
    case!(
        "directory",
        rmdir_refusals,
        "rmdir of what is not an empty directory"
    ),
    case!(
        "directory",
        removed_working_directory,
        "the removed working directory is dead"
    ),
    case!(
        "directory",
        concurrent_changes,
        "four threads create, rename and remove"
    ),
    case!(
        "directory",
        read_of_directory,
        "read(2) and write open of a directory"
    ),
    case!("directory", dots_are_listed, ". and .. are listed"),
];

/// Names and the position after each, from the descriptor's position on.
fn entries(fd: &std::os::fd::OwnedFd) -> Result<Vec<(Vec<u8>, u64)>, Errno> {
    let mut buffer = [MaybeUninit::uninit(); 2048];
    let mut dir = RawDir::new(fd, &mut buffer);
    let mut found = Vec::new();
    while let Some(entry) = dir.next() {
        let entry = entry?;
        found.push((
            entry.file_name().to_bytes().to_vec(),
            entry.next_entry_cookie(),
        ));
    }
    Ok(found)
}

fn directory(path: &str) -> Result<std::os::fd::OwnedFd, Errno> {
    open(path, OFlags::RDONLY | OFlags::DIRECTORY)
}

fn fill(path: &str, count: usize) -> Result<BTreeSet<String>, Errno> {
    mkdir(path)?;
    let name = |i| format!("{i}{}", "n".repeat(i % 40));
    (0..count)
        .map(|i| write_file(format!("{path}/{}", name(i)), "").map(|()| name(i)))
        .collect()
}

fn three_thousand(_: &Cx) -> Checked {
    let expected = fill("d", 3000)?;
    let found = names("d")?;
    same!(found.len(), 3000);
    same!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    Ok(())
}

fn seek_to_cookies(_: &Cx) -> Checked {
    fill("d", 200)?;
    let fd = directory("d")?;
    let all = entries(&fd)?;
    same!(all.len(), 202);
    for i in [0, 1, 5, 63, 150, 201] {
        seek(&fd, SeekFrom::Start(all[i].1))?;
        let rest: Vec<_> = entries(&fd)?.into_iter().map(|entry| entry.0).collect();
        let expected: Vec<_> = all[i + 1..].iter().map(|entry| entry.0.clone()).collect();
        ensure!(rest == expected, "after entry {i} there are other entries");
    }
    Ok(())
}

fn rewind(_: &Cx) -> Checked {
    fill("d", 5)?;
    let fd = directory("d")?;
    same!(entries(&fd)?.len(), 7);
    same!(entries(&fd)?.len(), 0);
    write_file("d/new", "")?;
    unlink("d/0")?;
    seek(&fd, SeekFrom::Start(0))?;
    let found: Vec<_> = entries(&fd)?.into_iter().map(|entry| entry.0).collect();
    ensure!(found.contains(&b"new".to_vec()) && !found.contains(&b"0".to_vec()));
    Ok(())
}

fn delete_while_reading(_: &Cx) -> Checked {
    fill("d", 1000)?;
    let mut removed = 0;
    for entry in std::fs::read_dir("d")? {
        std::fs::remove_file(entry?.path())?;
        removed += 1;
    }
    same!(removed, 1000);
    rmdir("d")?;
    Ok(())
}

fn create_while_reading(_: &Cx) -> Checked {
    let old = fill("d", 500)?;
    let mut found = BTreeSet::new();
    for (i, entry) in std::fs::read_dir("d")?.enumerate() {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if i < 500 {
            write_file(format!("d/new{i}"), "")?;
        }
        ensure!(found.insert(name.clone()), "{name} came twice");
    }
    ensure!(found.is_superset(&old));
    same!(names("d")?.len(), 1000);
    Ok(())
}

fn types_and_inodes(_: &Cx) -> Checked {
    use rustix::fs::{CWD, FileType, mknodat};
    write_file("file", "")?;
    mkdir("dir")?;
    rustix::fs::symlink("x", "link")?;
    mknodat(CWD, "fifo", FileType::Fifo, 0o600.into(), 0)?;
    mknodat(CWD, "socket", FileType::Socket, 0o600.into(), 0)?;
    for entry in std::fs::read_dir(".")? {
        let entry = entry?;
        same!(entry.ino(), entry.metadata()?.ino());
        let kind = entry.file_type()?;
        let right = match entry.file_name().to_str() {
            Some("file") => kind.is_file(),
            Some("dir") => kind.is_dir(),
            Some("link") => kind.is_symlink(),
            Some("fifo") => kind.is_fifo(),
            _ => kind.is_socket(),
        };
        ensure!(right, "{:?} is {kind:?}", entry.file_name());
    }
    Ok(())
}

fn link_count(cx: &Cx) -> Checked {
    mkdir("d")?;
    cx.observe("empty", nlink_of("d")?);
    for i in 0..10 {
        mkdir(format!("d/{i}"))?;
    }
    cx.observe("ten", nlink_of("d")?);
    write_file("d/f", "")?;
    rmdir("d/3")?;
    rustix::fs::rename("d/4", "e")?;
    cx.observe("eight", nlink_of("d")?);
    rustix::fs::rename("d/5", "d/6")?;
    cx.observe("seven", nlink_of("d")?);
    Ok(())
}

fn rmdir_refusals(cx: &Cx) -> Checked {
    mkdir("d")?;
    write_file("d/f", "")?;
    rustix::fs::symlink("d", "l")?;
    same!(code(&rmdir("d")), "ENOTEMPTY");
    same!(code(&rmdir("l")), "ENOTDIR");
    same!(code(&rmdir("d/.")), "EINVAL");
    cx.observe_code("through a link", &rmdir("l/"));
    unlink("d/f")?;
    same!(code(&rmdir("d/")), "ok");
    Ok(())
}

fn removed_working_directory(cx: &Cx) -> Checked {
    mkdir("d")?;
    let codes = in_child(|| {
        rustix::process::chdir("d")?;
        rmdir("../d")?;
        same!(code(&create("f")), "ENOENT");
        same!(code(&rustix::process::getcwd(Vec::new())), "ENOENT");
        Ok(format!(
            "stat . {} open . {}",
            code(&lstat(".")),
            code(&directory("."))
        ))
    })?;
    cx.observe("afterwards", codes);
    same!(names(".")?, Vec::<String>::new());
    Ok(())
}

fn concurrent_changes(_: &Cx) -> Checked {
    mkdir("d")?;
    let work = |thread: usize| -> Result<(), Errno> {
        for i in 0..150 {
            let path = |kind: &str| format!("d/{kind}{thread}-{i}");
            write_file(path("a"), [thread as u8])?;
            rustix::fs::rename(path("a"), path("b"))?;
            if i % 3 != 0 {
                unlink(path("b"))?;
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|t| scope.spawn(move || work(t))).collect();
        threads
            .into_iter()
            .try_for_each(|t| t.join().unwrap_or(Err(Errno::CANCELED)))
    })?;
    let found = names("d")?;
    same!(found.len(), 200);
    for thread in 0..4 {
        same!(read_all(format!("d/b{thread}-147"))?, [thread]);
        ensure!(!exists(format!("d/b{thread}-148")));
    }
    Ok(())
}

fn read_of_directory(_: &Cx) -> Checked {
    let fd = directory(".")?;
    same!(code(&rustix::io::read(&fd, &mut [0_u8; 10])), "EISDIR");
    same!(code(&open(".", OFlags::WRONLY)), "EISDIR");
    same!(code(&rustix::fs::fsync(&fd)), "ok");
    Ok(())
}

fn dots_are_listed(_: &Cx) -> Checked {
    mkdir("d")?;
    let mut found: Vec<_> = entries(&directory("d")?)?
        .into_iter()
        .map(|e| e.0)
        .collect();
    found.sort();
    same!(found, [b".".to_vec(), b"..".to_vec()]);
    Ok(())
}
