//! What a Mac's Finder and its frameworks do to a directory of a foreign file system.
//!
//! The attributes have the prefix `user.`, as Samba and netatalk store them on Linux.

use rustix::fs::{
    CWD, IFlags, RenameFlags, XattrFlags, getxattr, ioctl_getflags, ioctl_setflags, listxattr,
    removexattr, rename, renameat_with, rmdir, setxattr, unlink,
};

use super::prelude::*;

pub(super) const CASES: &[Case] = &[
    case!(
        "finder",
        info,
        "FinderInfo of 32 bytes on files and directories"
    ),
    case!(
        "finder",
        resource_fork_attribute,
        "resource forks as attributes, up to and over the limit"
    ),
    case!(
        "finder",
        resource_fork_file,
        "a resource fork of MiBs in an AppleDouble file"
    ),
    case!(
        "finder",
        double_follows_its_file,
        "an AppleDouble file is renamed and removed with its file"
    ),
    case!(
        "finder",
        double_is_left_over,
        "a directory with a forgotten AppleDouble file is not empty"
    ),
    case!(
        "finder",
        double_name_length,
        "no room for the prefix before the longest name"
    ),
    case!(
        "finder",
        ds_store_by_rename,
        ".DS_Store replaced by a new file, old readers keep the old"
    ),
    case!(
        "finder",
        ds_store_by_exchange,
        ".DS_Store exchanged with a new file"
    ),
    case!(
        "finder",
        ds_store_in_place,
        ".DS_Store rewritten in place, growing and shrinking"
    ),
    case!(
        "finder",
        window_of_attributes,
        "thousands of getxattr and listxattr in one directory"
    ),
    case!("finder", copy, "a file with everything that Finder copies"),
    case!(
        "finder",
        safe_save,
        "a document saved through a temporary directory"
    ),
    case!(
        "finder",
        normal_forms_are_distinct,
        "composed and decomposed names are two names"
    ),
    case!(
        "finder",
        normal_form_rename,
        "from one normal form to the other"
    ),
    case!("finder", case_only_rename, "letters change case only"),
    case!(
        "finder",
        volume_furniture,
        "the hidden directories of a volume"
    ),
    case!(
        "finder",
        locked,
        "a locked file refuses what it should",
        root
    ),
];

pub(super) const INFO: &str = "user.com.apple.FinderInfo";
const FORK: &str = "user.com.apple.ResourceFork";
const TAGS: &str = "user.com.apple.metadata:_kMDItemUserTags";

/// The letter A with a ring, then `.txt`: one code point, and a letter with a combining mark.
pub(super) const COMPOSED: &str = "\u{c5}.txt";
pub(super) const DECOMPOSED: &str = "A\u{30a}.txt";

/// Type and creator, flags, place in the window.
fn info_bytes(seed: u8) -> [u8; 32] {
    let mut bytes = [seed; 32];
    bytes[..8].copy_from_slice(b"TEXTttxt");
    bytes
}

fn set(path: &str, name: &str, value: &[u8]) -> Result<(), Errno> {
    setxattr(path, name, value, XattrFlags::empty())
}

fn get(path: &str, name: &str) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0_u8; 65_536];
    let n = getxattr(path, name, &mut buffer[..])?;
    buffer.truncate(n);
    Ok(buffer)
}

fn list(path: &str) -> Result<Vec<String>, Errno> {
    let mut buffer = vec![0_u8; 65_536];
    let n = listxattr(path, &mut buffer[..])?;
    let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
    let mut names: Vec<String> = text.split_terminator('\0').map(str::to_owned).collect();
    names.sort();
    Ok(names)
}

fn info(cx: &Cx) -> Checked {
    write_file("file", "x")?;
    mkdir("dir")?;
    for path in ["file", "dir"] {
        same!(code(&get(path, INFO)), "ENODATA");
        for seed in 0..8 {
            set(path, INFO, &info_bytes(seed))?;
            same!(get(path, INFO)?, info_bytes(seed));
        }
        same!(sys::getxattr_size(path, INFO)?, 32);
        same!(list(path)?, [INFO]);
        let again = setxattr(path, INFO, &info_bytes(9), XattrFlags::CREATE);
        cx.observe_code(format!("{path} created again"), &again);
        removexattr(path, INFO)?;
        same!(code(&get(path, INFO)), "ENODATA");
        ensure!(list(path)?.is_empty());
        cx.observe_code(format!("{path} removed again"), &removexattr(path, INFO));
    }
    Ok(())
}

fn resource_fork_attribute(cx: &Cx) -> Checked {
    write_file("file", "data fork")?;
    set("file", INFO, &info_bytes(1))?;
    for kib in [0, 1, 2, 3, 4, 16, 63, 64] {
        let fork = pattern(kib, kib as usize * 1024 + 286);
        let result = set("file", FORK, &fork);
        cx.observe_code(format!("{kib} KiB"), &result);
        let kept = get("file", FORK).unwrap_or_default();
        cx.observe(format!("{kib} KiB kept"), kept.len());
        same!(kept == fork, result.is_ok());
    }
    same!(get("file", INFO)?, info_bytes(1));
    same!(read_all("file")?, b"data fork");
    Ok(())
}

/// Header, one entry for FinderInfo, one for the resource fork; then the fork.
fn apple_double(fork: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::from([0x00, 0x05, 0x16, 0x07, 0x00, 0x02, 0x00, 0x00]);
    bytes.extend_from_slice(b"Mac OS X        ");
    bytes.extend_from_slice(&2_u16.to_be_bytes());
    for (id, offset, len) in [(9_u32, 50_u32, 32), (2, 82, fork.len() as u32)] {
        for field in [id, offset, len] {
            bytes.extend_from_slice(&field.to_be_bytes());
        }
    }
    bytes.extend_from_slice(&info_bytes(0));
    bytes.extend_from_slice(fork);
    bytes
}

fn resource_fork_file(_: &Cx) -> Checked {
    let fork = pattern(5, 3 << 20);
    let whole = apple_double(&fork);
    write_file("picture", "data")?;
    let fd = create("._picture")?;
    // The header comes last, as it does when a fork grows.
    for (i, piece) in whole.chunks(70_000).enumerate().skip(1) {
        write_at(&fd, piece, i as u64 * 70_000)?;
    }
    write_at(&fd, &whole[..70_000], 0)?;
    rustix::fs::fsync(&fd)?;
    same!(hash(&read_all("._picture")?), hash(&whole));
    let shorter = apple_double(&fork[..1000]);
    write_at(&fd, &shorter[..82], 0)?;
    sys::ftruncate(&fd, shorter.len() as i64)?;
    same!(hash(&read_all("._picture")?), hash(&shorter));
    same!(read_all("picture")?, b"data");
    Ok(())
}

fn double_follows_its_file(_: &Cx) -> Checked {
    mkdir("to")?;
    write_file("a", "a")?;
    write_file("._a", apple_double(b"fork of a"))?;
    // The file first, its double after it.
    rename("a", "b")?;
    same!(names(".")?, ["._a", "b", "to"]);
    rename("._a", "._b")?;
    same!(names(".")?, ["._b", "b", "to"]);
    // Over another pair, in another directory.
    write_file("to/b", "old")?;
    write_file("to/._b", apple_double(b"old fork"))?;
    rename("b", "to/b")?;
    rename("._b", "to/._b")?;
    same!(names("to")?, ["._b", "b"]);
    same!(read_all("to/b")?, b"a");
    same!(read_all("to/._b")?, apple_double(b"fork of a"));
    // Removal in either order; the double is open meanwhile.
    let open = read_only("to/._b")?;
    unlink("to/b")?;
    same!(code(&lstat("to/b")), "ENOENT");
    unlink("to/._b")?;
    ensure!(names("to")?.is_empty());
    same!(read_at(&open, 4, 0)?, [0, 5, 22, 7]);
    rmdir("to")?;
    Ok(())
}

fn double_is_left_over(cx: &Cx) -> Checked {
    mkdir("d")?;
    write_file("d/f", "f")?;
    write_file("d/._f", apple_double(b""))?;
    unlink("d/f")?;
    same!(code(&rmdir("d")), "ENOTEMPTY");
    cx.observe("left", names("d")?.join(" "));
    unlink("d/._f")?;
    rmdir("d")?;
    Ok(())
}

fn double_name_length(cx: &Cx) -> Checked {
    for len in [253, 254, 255] {
        let name = "n".repeat(len);
        write_file(&name, "x")?;
        cx.observe_code(format!("{len}"), &write_file(format!("._{name}"), "y"));
    }
    cx.observe("files", names(".")?.len());
    Ok(())
}

fn ds_store_by_rename(_: &Cx) -> Checked {
    write_file(".DS_Store", pattern(0, 6148))?;
    for round in 1..=40 {
        let before = read_only(".DS_Store")?;
        write_file(".DS_Store.tmp", pattern(round, 6148 + round as usize))?;
        rename(".DS_Store.tmp", ".DS_Store")?;
        same!(read_at(&before, 16, 0)?, pattern(round - 1, 16));
        same!(rustix::fs::fstat(&before)?.st_nlink, 0);
        let now = read_all(".DS_Store")?;
        same!(hash(&now), hash(&pattern(round, 6148 + round as usize)));
    }
    same!(names(".")?, [".DS_Store"]);
    Ok(())
}

fn ds_store_by_exchange(_: &Cx) -> Checked {
    write_file(".DS_Store", pattern(0, 6148))?;
    for round in 1..=40 {
        write_file(".DS_Store.new", pattern(round, 100 * round as usize))?;
        let flags = RenameFlags::EXCHANGE;
        renameat_with(CWD, ".DS_Store.new", CWD, ".DS_Store", flags)?;
        same!(size_of(".DS_Store")?, 100 * round);
        same!(
            read_at(read_only(".DS_Store.new")?, 16, 0)?,
            pattern(round - 1, 16)
        );
        unlink(".DS_Store.new")?;
    }
    same!(names(".")?, [".DS_Store"]);
    Ok(())
}

fn ds_store_in_place(_: &Cx) -> Checked {
    let fd = create(".DS_Store")?;
    let other = read_only(".DS_Store")?;
    for round in 1..=40_u64 {
        let bytes = pattern(round, (round as usize * 7919) % 30_000 + 1);
        sys::ftruncate(&fd, 0)?;
        write_at(&fd, &bytes, 0)?;
        same!(hash(&read_at(&other, 40_000, 0)?), hash(&bytes));
        same!(size_of(".DS_Store")?, bytes.len() as u64);
    }
    Ok(())
}

fn window_of_attributes(cx: &Cx) -> Checked {
    const FILES: usize = 150;
    let name = |i: usize| format!("item {i:03}.jpg");
    for i in 0..FILES {
        write_file(name(i), "x")?;
        if i % 3 == 0 {
            set(&name(i), INFO, &info_bytes(i as u8))?;
        }
    }
    let mut answers = std::collections::BTreeMap::<String, u32>::new();
    for round in 0..6 {
        for i in 0..FILES {
            for attribute in [INFO, FORK, TAGS] {
                let result = get(&name(i), attribute);
                *answers.entry(code(&result)).or_default() += 1;
            }
            let expected = usize::from(i % 3 == 0) + usize::from(i % 5 < round);
            same!(list(&name(i))?.len(), expected);
            if i % 5 == round {
                set(&name(i), TAGS, &pattern(i as u64, 40))?;
                same!(get(&name(i), TAGS)?, pattern(i as u64, 40));
            }
        }
    }
    cx.observe("answers", format!("{answers:?}"));
    Ok(())
}

fn copy(cx: &Cx) -> Checked {
    mkdir("to")?;
    let fd = create("to/copy")?;
    write_all(&fd, &pattern(3, 300_000))?;
    for (name, value) in [
        (INFO, &info_bytes(3)[..]),
        (TAGS, b"bplist00"),
        ("user.com.apple.quarantine", b"0081;0;Finder;"),
        ("user.com.apple.lastuseddate#PS", &[7; 16]),
    ] {
        rustix::fs::fsetxattr(&fd, name, value, XattrFlags::empty())?;
    }
    rustix::fs::fchmod(&fd, rustix::fs::Mode::from_raw_mode(0o640))?;
    let times = rustix::fs::Timestamps {
        last_access: seconds(LONG_AGO),
        last_modification: seconds(LONG_AGO + 1),
    };
    rustix::fs::futimens(&fd, &times)?;
    drop(fd);
    cx.observe_stat("copy", "to/copy");
    same!(mtime(&lstat("to/copy")?), (LONG_AGO + 1, 0));
    cx.observe("attributes", list("to/copy")?.join(" "));
    same!(hash(&read_all("to/copy")?), hash(&pattern(3, 300_000)));
    Ok(())
}

fn safe_save(cx: &Cx) -> Checked {
    write_file("doc", "first")?;
    set("doc", TAGS, b"red")?;
    let dir = "doc.sb-1a2b3c4d-Xy";
    mkdir_mode(dir, 0o700)?;
    let saved = format!("{dir}/doc");
    write_file(&saved, "second")?;
    set(&saved, TAGS, &get("doc", TAGS)?)?;
    renameat_with(CWD, &saved, CWD, "doc", RenameFlags::EXCHANGE)?;
    same!(read_all("doc")?, b"second");
    same!(read_all(&saved)?, b"first");
    same!(get("doc", TAGS)?, b"red");
    unlink(&saved)?;
    rmdir(dir)?;
    cx.observe_stat("doc", "doc");
    same!(names(".")?, ["doc"]);
    Ok(())
}

fn normal_forms_are_distinct(_: &Cx) -> Checked {
    same!(code(&lstat(DECOMPOSED)), "ENOENT");
    create(COMPOSED)?;
    same!(code(&lstat(DECOMPOSED)), "ENOENT");
    create(DECOMPOSED)?;
    write_file(COMPOSED, "composed")?;
    write_file(DECOMPOSED, "decomposed")?;
    same!(read_all(COMPOSED)?, b"composed");
    same!(read_all(DECOMPOSED)?, b"decomposed");
    same!(names(".")?, [DECOMPOSED, COMPOSED]);
    unlink(COMPOSED)?;
    same!(names(".")?, [DECOMPOSED]);
    Ok(())
}

fn normal_form_rename(_: &Cx) -> Checked {
    write_file(COMPOSED, "x")?;
    rename(COMPOSED, DECOMPOSED)?;
    same!(names(".")?, [DECOMPOSED]);
    same!(code(&lstat(COMPOSED)), "ENOENT");
    rename(DECOMPOSED, COMPOSED)?;
    same!(names(".")?, [COMPOSED]);
    same!(code(&lstat(DECOMPOSED)), "ENOENT");
    same!(read_all(COMPOSED)?, b"x");
    Ok(())
}

fn case_only_rename(_: &Cx) -> Checked {
    write_file("readme", "x")?;
    mkdir("folder")?;
    write_file("folder/inside", "y")?;
    for (from, to) in [("readme", "README"), ("folder", "Folder")] {
        // Finder looks first.
        same!(code(&lstat(to)), "ENOENT");
        rename(from, to)?;
        same!(code(&lstat(from)), "ENOENT");
        ensure!(exists(to));
    }
    same!(names(".")?, ["Folder", "README"]);
    same!(read_all("Folder/inside")?, b"y");
    write_file("readme", "another")?;
    same!(read_all("README")?, b"x");
    Ok(())
}

fn volume_furniture(cx: &Cx) -> Checked {
    for (dir, mode) in [
        (".Trashes", 0o1333),
        (".TemporaryItems", 0o1777),
        (".Spotlight-V100", 0o700),
        (".fseventsd", 0o700),
        (".DocumentRevisions-V100", 0o1111),
    ] {
        mkdir(dir)?;
        chmod(dir, mode)?;
        cx.observe_stat(dir, dir);
    }
    mkdir_mode(".Trashes/501", 0o700)?;
    write_file(".fseventsd/no_log", "")?;
    write_file("thrown away", "x")?;
    rename("thrown away", ".Trashes/501/thrown away")?;
    same!(names(".Trashes/501")?, ["thrown away"]);
    same!(size_of(".fseventsd/no_log")?, 0);
    Ok(())
}

fn locked(cx: &Cx) -> Checked {
    write_file("file", "kept")?;
    let fd = read_only("file")?;
    let flags = ioctl_getflags(&fd)?;
    ioctl_setflags(&fd, flags | IFlags::IMMUTABLE)?;
    cx.observe_code("open for writing", &read_write("file"));
    cx.observe_code("rename", &rename("file", "other"));
    cx.observe_code("unlink", &unlink("file"));
    cx.observe_code("chmod", &chmod("file", 0o600));
    cx.observe_code("setxattr", &set("file", INFO, &info_bytes(1)));
    let unlocked = ioctl_setflags(&fd, flags);
    same!(read_all("file")?, b"kept");
    unlocked?;
    unlink("file")?;
    Ok(())
}
