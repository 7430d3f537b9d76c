//! open(2) and its flags.

use rustix::fs::IFlags;

use super::prelude::*;

pub(super) const CASES: &[Case] = &[
    case!(
        "open",
        access_matrix,
        "read and write permission of each access mode"
    ),
    case!(
        "open",
        error_matrix,
        "ENOENT, ENOTDIR, EISDIR, EEXIST where they belong"
    ),
    case!("open", exclusive, "O_EXCL refuses every existing name"),
    case!(
        "open",
        exclusive_race,
        "of two who make a name with O_EXCL at once, here and below, one succeeds"
    ),
    case!(
        "open",
        no_follow_and_directory,
        "O_NOFOLLOW and O_DIRECTORY"
    ),
    case!("open", path_descriptor, "O_PATH gives no access to data"),
    case!("open", unnamed_temporary, "O_TMPFILE"),
    case!(
        "open",
        truncating,
        "O_TRUNC empties the file, for every opener"
    ),
    case!("open", many_files, "500 files open at once"),
    case!(
        "open",
        create_through_dangling_link,
        "O_CREAT follows a dangling symbolic link"
    ),
    case!(
        "open",
        reopen_through_proc,
        "an open file can be opened again through /proc"
    ),
    case!(
        "open",
        no_atime,
        "O_NOATIME for the owner and for others",
        root
    ),
    case!(
        "open",
        same_file_many_modes,
        "mixed open modes of one file agree on its data"
    ),
    case!(
        "open",
        append_only,
        "a file with the append-only flag opens with O_APPEND alone, and setting it changes ctime",
        root
    ),
];

fn access_matrix(cx: &Cx) -> Checked {
    write_file("f", "data")?;
    let modes = [
        ("r", OFlags::RDONLY),
        ("w", OFlags::WRONLY),
        ("rw", OFlags::RDWR),
    ];
    for (name, flags) in modes {
        let fd = open("f", flags)?;
        cx.observe_code(
            format!("{name} read"),
            &rustix::io::read(&fd, &mut [0_u8; 2]),
        );
        cx.observe_code(format!("{name} write"), &rustix::io::write(&fd, b"x"));
        cx.observe_code(format!("{name} ftruncate"), &sys::ftruncate(&fd, 4));
        cx.observe_code(format!("{name} fsync"), &rustix::fs::fsync(&fd));
    }
    same!(code(&rustix::io::write(&read_only("f")?, b"x")), "EBADF");
    same!(
        code(&rustix::io::read(
            &open("f", OFlags::WRONLY)?,
            &mut [0_u8; 1]
        )),
        "EBADF"
    );
    Ok(())
}

fn error_matrix(cx: &Cx) -> Checked {
    write_file("f", "")?;
    mkdir("d")?;
    same!(code(&read_only("none")), "ENOENT");
    same!(code(&read_only("none/x")), "ENOENT");
    same!(code(&read_only("f/x")), "ENOTDIR");
    same!(code(&read_only("f/")), "ENOTDIR");
    same!(code(&read_write("d")), "EISDIR");
    same!(code(&open("d", OFlags::RDONLY | OFlags::CREATE)), "EISDIR");
    same!(code(&mkdir("f")), "EEXIST");
    same!(code(&mkdir("d")), "EEXIST");
    same!(code(&mkdir("none/d")), "ENOENT");
    same!(code(&mkdir("f/d")), "ENOTDIR");
    same!(code(&rustix::fs::rmdir("f")), "ENOTDIR");
    same!(code(&rustix::fs::rmdir("none")), "ENOENT");
    same!(code(&rustix::fs::unlink("d")), "EISDIR");
    same!(code(&rustix::fs::unlink("none")), "ENOENT");
    same!(code(&rustix::fs::symlink("x", "f")), "EEXIST");
    same!(code(&rustix::fs::link("none", "x")), "ENOENT");
    same!(code(&rustix::fs::link("f", "d")), "EEXIST");
    same!(code(&lstat("")), "ENOENT");
    let names = ["none/", "f/.", "d/.", "d/..", "d/../f", "f/..", "./f"];
    for name in names {
        cx.observe_code(format!("stat {name}"), &rustix::fs::stat(name));
    }
    cx.observe_code(
        "create none/",
        &open("none/", OFlags::WRONLY | OFlags::CREATE),
    );
    cx.observe_code("rmdir .", &rustix::fs::rmdir("d/."));
    cx.observe_code("rmdir ..", &rustix::fs::rmdir("d/.."));
    cx.observe_code("unlink f/", &rustix::fs::unlink("f/"));
    Ok(())
}

fn exclusive(_: &Cx) -> Checked {
    let exclusive = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    write_file("f", "")?;
    mkdir("d")?;
    rustix::fs::symlink("nowhere", "dangling")?;
    for name in ["f", "d", "dangling"] {
        same!(code(&open(name, exclusive)), "EEXIST");
    }
    ensure!(!exists("nowhere"));
    open("new", exclusive)?;
    same!(code(&open("new", exclusive)), "EEXIST");
    Ok(())
}

fn exclusive_race(cx: &Cx) -> Checked {
    let (name, below) = (|round| format!("f{round}"), cx.backing());
    let results = race(
        500,
        |round| create(name(round)).map(drop),
        |round| create(below.join(name(round))).map(drop),
    );
    for results in results {
        ensure!(one_made_it(results), "both or none made it: {results:?}");
    }
    Ok(())
}

fn no_follow_and_directory(cx: &Cx) -> Checked {
    write_file("f", "")?;
    mkdir("d")?;
    rustix::fs::symlink("f", "lf")?;
    rustix::fs::symlink("d", "ld")?;
    same!(
        code(&open("lf", OFlags::RDONLY | OFlags::NOFOLLOW)),
        "ELOOP"
    );
    same!(
        code(&open("f", OFlags::RDONLY | OFlags::DIRECTORY)),
        "ENOTDIR"
    );
    same!(
        code(&open("lf", OFlags::RDONLY | OFlags::DIRECTORY)),
        "ENOTDIR"
    );
    same!(code(&open("ld", OFlags::RDONLY | OFlags::DIRECTORY)), "ok");
    let both = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
    cx.observe_code("directory and nofollow on a link", &open("ld", both));
    same!(
        code(&open("ld/../f", OFlags::RDONLY | OFlags::NOFOLLOW)),
        "ok"
    );
    Ok(())
}

fn path_descriptor(cx: &Cx) -> Checked {
    write_file("f", "data")?;
    rustix::fs::symlink("f", "l")?;
    let fd = open("f", OFlags::PATH)?;
    same!(code(&rustix::io::read(&fd, &mut [0_u8; 1])), "EBADF");
    same!(code(&rustix::fs::fchmod(&fd, 0o600.into())), "EBADF");
    same!(rustix::fs::fstat(&fd)?.st_size, 4);
    let link = open("l", OFlags::PATH | OFlags::NOFOLLOW)?;
    same!(rustix::fs::fstat(&link)?.st_mode & 0o170_000, 0o120_000);
    same!(
        rustix::fs::readlinkat(&link, "", Vec::new())?.as_bytes(),
        b"f"
    );
    rustix::fs::rename("f", "g")?;
    let again = read_only(proc_path(&fd))?;
    same!(read_at(&again, 9, 0)?, b"data");
    cx.observe_code("fsync", &rustix::fs::fsync(&fd));
    Ok(())
}

fn proc_path(fd: &std::os::fd::OwnedFd) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

fn unnamed_temporary(cx: &Cx) -> Checked {
    let opened = open(".", OFlags::RDWR | OFlags::TMPFILE);
    cx.observe_code("open", &opened);
    let Ok(fd) = opened else { return Ok(()) };
    write_all(&fd, b"unnamed")?;
    same!(rustix::fs::fstat(&fd)?.st_nlink, 0);
    same!(names(".")?, Vec::<String>::new());
    let link = rustix::fs::linkat(
        rustix::fs::CWD,
        proc_path(&fd),
        rustix::fs::CWD,
        "named",
        rustix::fs::AtFlags::SYMLINK_FOLLOW,
    );
    cx.observe_code("link", &link);
    if link.is_ok() {
        same!(read_all("named")?, b"unnamed");
    }
    Ok(())
}

fn truncating(_: &Cx) -> Checked {
    write_file("f", pattern(1, 10_000))?;
    let old = read_write("f")?;
    let new = open("f", OFlags::WRONLY | OFlags::TRUNC)?;
    same!(rustix::fs::fstat(&old)?.st_size, 0);
    same!(read_at(&old, 10, 0)?, b"");
    write_all(&new, b"xy")?;
    same!(read_at(&old, 10, 0)?, b"xy");
    Ok(())
}

fn many_files(_: &Cx) -> Checked {
    let mut open_files = Vec::new();
    for i in 0..500_u64 {
        let fd = create(format!("f{i}"))?;
        write_all(&fd, &i.to_le_bytes())?;
        open_files.push(fd);
    }
    for (i, fd) in open_files.iter().enumerate() {
        same!(read_at(fd, 9, 0)?, (i as u64).to_le_bytes());
    }
    Ok(())
}

fn create_through_dangling_link(_: &Cx) -> Checked {
    mkdir("d")?;
    rustix::fs::symlink("d/target", "l")?;
    same!(code(&read_only("l")), "ENOENT");
    write_file("l", "through")?;
    same!(read_all("d/target")?, b"through");
    same!(lstat("l")?.st_mode & 0o170_000, 0o120_000);
    Ok(())
}

fn reopen_through_proc(cx: &Cx) -> Checked {
    write_file("f", "data")?;
    let fd = read_only("f")?;
    let again = read_write(proc_path(&fd))?;
    write_at(&again, b"DA", 0)?;
    same!(read_at(&fd, 9, 0)?, b"DAta");
    rustix::fs::unlink("f")?;
    let deleted = read_write(proc_path(&fd));
    cx.observe_code("reopen a deleted file", &deleted);
    if let Ok(deleted) = deleted {
        same!(read_at(&deleted, 9, 0)?, b"DAta");
    }
    Ok(())
}

fn no_atime(_: &Cx) -> Checked {
    write_file("f", "data")?;
    chmod("f", 0o666)?;
    let flags = OFlags::RDONLY | OFlags::NOATIME;
    same!(as_user(ALICE, || Ok(code(&open("f", flags))))?, "EPERM");
    chown("f", Some(ALICE.uid), None)?;
    same!(as_user(ALICE, || Ok(code(&open("f", flags))))?, "ok");
    Ok(())
}

fn same_file_many_modes(cx: &Cx) -> Checked {
    let bytes = pattern(1, 3 * 4096);
    write_file("f", &bytes)?;
    let reader = read_only("f")?;
    let writer = open("f", OFlags::WRONLY)?;
    let appender = open("f", OFlags::WRONLY | OFlags::APPEND)?;
    let sync = open("f", OFlags::RDWR | OFlags::SYNC)?;
    let direct = open("f", OFlags::RDWR | OFlags::DIRECT);
    cx.observe_code("direct beside the others", &direct);
    let map = sys::Map::shared(read_write("f")?, 4096)?;
    write_at(&writer, b"writer", 0)?;
    write_all(&appender, b"appender")?;
    write_at(&sync, b"sync", 4096)?;
    same!(map.read(0, 6), b"writer");
    map.write(100, b"map");
    same!(read_at(&reader, 3, 100)?, b"map");
    if let Ok(direct) = direct {
        let mut page = sys::Aligned::new(1);
        same!(rustix::io::pread(&direct, page.bytes_mut(), 4096)?, 4096);
        same!(page.bytes()[..4], *b"sync");
    }
    same!(read_at(&reader, 20, 3 * 4096)?, b"appender");
    cx.observe("content", hash(&read_all("f")?));
    Ok(())
}

fn append_only(cx: &Cx) -> Checked {
    write_file("f", b"first ")?;
    let before = ctime_then_tick("f")?;
    let fd = read_only("f")?;
    // Whoever sets one flag leaves the others: without EXTENTS, ext4 would change the layout of the file.
    let flags = rustix::fs::ioctl_getflags(&fd)?;
    let set = rustix::fs::ioctl_setflags(&fd, flags | IFlags::APPEND);
    cx.observe_code("set", &set);
    if set.is_err() {
        return Ok(());
    }
    let checked = check_append_only(cx, before);
    // In any case, or nobody can remove the file.
    rustix::fs::ioctl_setflags(&fd, flags)?;
    checked
}

fn check_append_only(cx: &Cx, before: (i64, u64)) -> Checked {
    cx.becomes_visible("the change time", || {
        lstat("f").is_ok_and(|stat| ctime(&stat) > before)
    })?;
    for mode in [OFlags::WRONLY, OFlags::RDWR] {
        same!(code(&open("f", mode)), "EPERM");
        let fd = open("f", mode | OFlags::APPEND)?;
        write_all(&fd, b"more ")?;
    }
    same!(read_all("f")?, b"first more more ");
    cx.observe_code("truncate", &sys::truncate("f", 0));
    cx.observe_code(
        "unlink",
        &std::fs::remove_file("f").map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO)),
    );
    Ok(())
}
