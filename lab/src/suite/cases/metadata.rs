//! stat, owners, links, nodes.

use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, StatxFlags, link, linkat, mknodat, symlink};

use super::prelude::*;

pub(super) const CASES: &[Case] = &[
    case!("metadata", new_file, "stat of a new file of each kind"),
    case!(
        "metadata",
        umask,
        "the umask applies to files, directories and nodes"
    ),
    case!(
        "metadata",
        size_follows_writes,
        "stat by name and by descriptor agree after each write"
    ),
    case!("metadata", blocks_grow, "written data takes blocks"),
    case!("metadata", hard_links, "hard links share all but the name"),
    case!(
        "metadata",
        link_to_symlink,
        "link(2) links a symbolic link itself"
    ),
    case!(
        "metadata",
        link_to_directory,
        "directories have no hard links"
    ),
    case!(
        "metadata",
        link_existing,
        "link onto an existing name, or from a missing one"
    ),
    case!(
        "metadata",
        link_counts,
        "link counts follow link, unlink and rename"
    ),
    case!(
        "metadata",
        symlink_stat,
        "a symbolic link has its own size and mode"
    ),
    case!("metadata", chmod_symlink, "fchmodat without following"),
    case!(
        "metadata",
        inode_is_stable,
        "the inode number survives writes, renames and reopening"
    ),
    case!(
        "metadata",
        statx_fields,
        "statx tells what it can, and birth time where ext4 does"
    ),
    case!(
        "metadata",
        device_nodes,
        "device nodes keep their number",
        root
    ),
    case!(
        "metadata",
        mkfifo_and_socket_nodes,
        "mknod makes FIFOs, sockets and regular files"
    ),
    case!(
        "metadata",
        chown_minus_one,
        "-1 leaves an owner as it is",
        root
    ),
    case!("metadata", lchown, "chown of a symbolic link itself", root),
    case!(
        "metadata",
        statfs,
        "statfs is plausible and the same from anywhere inside"
    ),
    case!("metadata", inode_flags, "FS_IOC_GETFLAGS"),
    case!(
        "metadata",
        fstat_after_chmod_by_name,
        "a descriptor sees changes made by name"
    ),
];

fn new_file(cx: &Cx) -> Checked {
    write_file("file", "x")?;
    mkdir("dir")?;
    symlink("target", "link")?;
    mknodat(CWD, "fifo", FileType::Fifo, Mode::from_raw_mode(0o640), 0)?;
    for name in ["file", "dir", "link", "fifo"] {
        cx.observe_stat(name, name);
    }
    Ok(())
}

fn umask(cx: &Cx) -> Checked {
    for mask in [0, 0o022, 0o027, 0o077, 0o777] {
        rustix::process::umask(Mode::from_raw_mode(mask));
        let name = |kind: &str| format!("{kind}{mask:03o}");
        drop(open_mode(
            name("f"),
            OFlags::WRONLY | OFlags::CREATE,
            0o666,
        )?);
        mkdir_mode(name("d"), 0o7777)?;
        mknodat(
            CWD,
            name("p"),
            FileType::Fifo,
            Mode::from_raw_mode(0o666),
            0,
        )?;
        same!(mode_of(name("f"))?, 0o666 & !mask);
        same!(mode_of(name("p"))?, 0o666 & !mask);
        cx.observe(name("mkdir 7777 "), format!("{:o}", mode_of(name("d"))?));
        // So that an unprivileged runner can remove it.
        chmod(name("d"), 0o755)?;
    }
    rustix::process::umask(Mode::from_raw_mode(0));
    drop(open_mode(
        "special",
        OFlags::WRONLY | OFlags::CREATE,
        0o7777,
    )?);
    cx.observe("open 7777", format!("{:o}", mode_of("special")?));
    Ok(())
}

fn size_follows_writes(_: &Cx) -> Checked {
    let fd = create("f")?;
    let mut expected = 0;
    for len in [1, 4096, 777, 65_536, 3] {
        write_all(&fd, &pattern(1, len))?;
        expected += len as u64;
        same!(size_of("f")?, expected);
        same!(rustix::fs::fstat(&fd)?.st_size as u64, expected);
    }
    Ok(())
}

fn blocks_grow(_: &Cx) -> Checked {
    let fd = create("f")?;
    same!(lstat("f")?.st_blocks, 0);
    write_all(&fd, &pattern(1, 1 << 20))?;
    rustix::fs::fsync(&fd)?;
    ensure!(rustix::fs::fstat(&fd)?.st_blocks * 512 >= 1 << 20);
    ensure!(lstat("f")?.st_blksize > 0);
    Ok(())
}

fn hard_links(_: &Cx) -> Checked {
    write_file("a", "one")?;
    mkdir("d")?;
    link("a", "d/b")?;
    same!(lstat("a")?.st_ino, lstat("d/b")?.st_ino);
    same!((nlink_of("a")?, nlink_of("d/b")?), (2, 2));
    write_file("d/b", "two!")?;
    same!(read_all("a")?, b"two!");
    same!(size_of("a")?, 4);
    chmod("a", 0o600)?;
    same!(mode_of("d/b")?, 0o600);
    rustix::fs::unlink("a")?;
    same!(nlink_of("d/b")?, 1);
    same!(read_all("d/b")?, b"two!");
    Ok(())
}

fn link_to_symlink(_: &Cx) -> Checked {
    write_file("f", "x")?;
    symlink("f", "l")?;
    link("l", "m")?;
    same!(lstat("m")?.st_ino, lstat("l")?.st_ino);
    same!(nlink_of("m")?, 2);
    linkat(CWD, "l", CWD, "g", AtFlags::SYMLINK_FOLLOW)?;
    same!(lstat("g")?.st_ino, lstat("f")?.st_ino);
    Ok(())
}

fn link_to_directory(_: &Cx) -> Checked {
    mkdir("d")?;
    same!(code(&link("d", "e")), "EPERM");
    same!(code(&link(".", "e")), "EPERM");
    ensure!(!exists("e"));
    Ok(())
}

fn link_existing(cx: &Cx) -> Checked {
    write_file("f", "f")?;
    write_file("g", "g")?;
    symlink("nowhere", "l")?;
    same!(code(&link("f", "g")), "EEXIST");
    same!(code(&link("f", "f")), "EEXIST");
    same!(code(&link("f", "l")), "EEXIST");
    same!(code(&link("none", "h")), "ENOENT");
    same!(code(&link("f/x", "h")), "ENOTDIR");
    cx.observe_code("link f h/", &link("f", "h/"));
    same!(read_all("g")?, b"g");
    Ok(())
}

fn link_counts(_: &Cx) -> Checked {
    let fd = create("f")?;
    let count = || Ok::<_, Errno>(rustix::fs::fstat(&fd)?.st_nlink);
    for i in 0..20 {
        link("f", format!("l{i}"))?;
        same!(count()?, i + 2);
    }
    rustix::fs::rename("l0", "l1")?;
    same!(count()?, 21);
    write_file("other", "")?;
    rustix::fs::rename("other", "l2")?;
    same!(count()?, 20);
    for i in 3..20 {
        rustix::fs::unlink(format!("l{i}"))?;
    }
    same!((count()?, nlink_of("f")?), (3, 3));
    Ok(())
}

fn symlink_stat(cx: &Cx) -> Checked {
    symlink("a/rather/long/target", "l")?;
    cx.observe_stat("link", "l");
    same!(size_of("l")?, 20);
    same!(
        rustix::fs::readlink("l", Vec::new())?.as_bytes(),
        b"a/rather/long/target"
    );
    write_file("f", "")?;
    same!(code(&rustix::fs::readlink("f", Vec::new())), "EINVAL");
    same!(code(&rustix::fs::readlink(".", Vec::new())), "EINVAL");
    same!(code(&symlink("", "empty")), "ENOENT");
    Ok(())
}

fn chmod_symlink(cx: &Cx) -> Checked {
    write_file("f", "")?;
    symlink("f", "l")?;
    let mode = Mode::from_raw_mode(0o600);
    let result = rustix::fs::chmodat(CWD, "l", mode, AtFlags::SYMLINK_NOFOLLOW);
    cx.observe_code("fchmodat nofollow", &result);
    same!(mode_of("f")?, 0o644);
    chmod("l", 0o400)?;
    same!(mode_of("f")?, 0o400);
    Ok(())
}

fn inode_is_stable(_: &Cx) -> Checked {
    let fd = create("f")?;
    let ino = lstat("f")?.st_ino;
    write_all(&fd, b"x")?;
    mkdir("d")?;
    rustix::fs::rename("f", "d/g")?;
    same!(rustix::fs::fstat(&fd)?.st_ino, ino);
    drop(fd);
    same!(lstat("d/g")?.st_ino, ino);
    same!(rustix::fs::fstat(read_only("d/g")?)?.st_ino, ino);
    same!(lstat("d/g")?.st_dev, lstat(".")?.st_dev);
    Ok(())
}

fn statx_fields(cx: &Cx) -> Checked {
    write_file("f", "12345")?;
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    let statx = rustix::fs::statx(CWD, "f", AtFlags::empty(), wanted)?;
    let stat = lstat("f")?;
    same!(statx.stx_size, 5);
    same!(statx.stx_ino, stat.st_ino);
    same!(
        (statx.stx_mtime.tv_sec, u64::from(statx.stx_mtime.tv_nsec)),
        mtime(&stat)
    );
    let told = StatxFlags::from_bits_retain(statx.stx_mask);
    ensure!(told.contains(StatxFlags::BASIC_STATS));
    cx.observe("birth time", told.contains(StatxFlags::BTIME));
    for (name, sync) in [
        ("force", AtFlags::STATX_FORCE_SYNC),
        ("cached", AtFlags::STATX_DONT_SYNC),
    ] {
        let statx = rustix::fs::statx(CWD, "f", sync, StatxFlags::BASIC_STATS)?;
        cx.observe(name, statx.stx_size);
    }
    Ok(())
}

fn device_nodes(cx: &Cx) -> Checked {
    let mode = Mode::from_raw_mode(0o640);
    for (name, kind, major, minor) in [
        ("null", FileType::CharacterDevice, 1, 3),
        ("loop", FileType::BlockDevice, 7, 200),
        ("large", FileType::CharacterDevice, 400, 70_000),
    ] {
        let device = rustix::fs::makedev(major, minor);
        mknodat(CWD, name, kind, mode, device)?;
        same!(lstat(name)?.st_rdev, device);
        cx.observe_stat(name, name);
    }
    Ok(())
}

fn mkfifo_and_socket_nodes(cx: &Cx) -> Checked {
    let mode = Mode::from_raw_mode(0o600);
    let kinds = [
        ("p", FileType::Fifo),
        ("s", FileType::Socket),
        ("r", FileType::RegularFile),
    ];
    for (name, kind) in kinds {
        mknodat(CWD, name, kind, mode, 0)?;
        cx.observe_stat(name, name);
        same!(code(&mknodat(CWD, name, kind, mode, 0)), "EEXIST");
    }
    same!(code(&read_only("s")), "ENXIO");
    Ok(())
}

fn chown_minus_one(_: &Cx) -> Checked {
    write_file("f", "")?;
    chown("f", Some(7), Some(8))?;
    chown("f", None, Some(9))?;
    same!((lstat("f")?.st_uid, lstat("f")?.st_gid), (7, 9));
    chown("f", Some(10), None)?;
    same!((lstat("f")?.st_uid, lstat("f")?.st_gid), (10, 9));
    chown("f", None, None)?;
    same!((lstat("f")?.st_uid, lstat("f")?.st_gid), (10, 9));
    Ok(())
}

fn lchown(_: &Cx) -> Checked {
    use rustix::fs::{Gid, Uid};
    write_file("f", "")?;
    symlink("f", "l")?;
    let (uid, gid) = (Some(Uid::from_raw(7)), Some(Gid::from_raw(8)));
    rustix::fs::chownat(CWD, "l", uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
    same!((lstat("l")?.st_uid, lstat("f")?.st_uid), (7, 0));
    chown("l", Some(9), None)?;
    same!((lstat("l")?.st_uid, lstat("f")?.st_uid), (7, 9));
    Ok(())
}

fn statfs(cx: &Cx) -> Checked {
    mkdir("d")?;
    let fd = create("d/f")?;
    let (top, inner) = (rustix::fs::statvfs(".")?, rustix::fs::fstatvfs(&fd)?);
    same!(top.f_blocks, inner.f_blocks);
    ensure!(top.f_blocks > 0 && top.f_bfree <= top.f_blocks && top.f_bavail <= top.f_bfree);
    ensure!(top.f_ffree <= top.f_files);
    cx.observe("f_namemax", top.f_namemax);
    cx.observe("f_bsize", top.f_bsize);
    cx.observe("f_frsize", top.f_frsize);
    let inside = rustix::fs::statfs(cx.backing())?;
    same!(inside.f_blocks as u64, top.f_blocks);
    free_space_is_that_below(cx)
}

/// Others write at the same time: looks until nothing changed meanwhile.
fn free_space_is_that_below(cx: &Cx) -> Checked {
    let free = |path: &Path| {
        let figures = rustix::fs::statvfs(path)?;
        Ok::<_, Errno>((figures.f_bfree, figures.f_bavail, figures.f_ffree))
    };
    let (mut here, mut below) = ((0, 0, 0), (0, 0, 0));
    for _ in 0..1000 {
        below = free(cx.backing())?;
        here = free(Path::new("."))?;
        if here == below {
            return Ok(());
        }
    }
    same!(here, below);
    Ok(())
}

fn inode_flags(cx: &Cx) -> Checked {
    let fd = create("f")?;
    let flags = rustix::fs::ioctl_getflags(&fd);
    cx.observe_code("get", &flags);
    if let Ok(flags) = flags {
        let noatime = flags | rustix::fs::IFlags::NOATIME;
        let set = rustix::fs::ioctl_setflags(&fd, noatime);
        cx.observe_code("set", &set);
        if set.is_ok() {
            same!(rustix::fs::ioctl_getflags(&fd)?, noatime);
        }
    }
    Ok(())
}

fn fstat_after_chmod_by_name(_: &Cx) -> Checked {
    let fd = create("f")?;
    link("f", "g")?;
    chmod("g", 0o4750)?;
    same!(perm(&rustix::fs::fstat(&fd)?), 0o4750);
    rustix::fs::fchmod(&fd, Mode::from_raw_mode(0o600))?;
    same!((mode_of("f")?, mode_of("g")?), (0o600, 0o600));
    sys::truncate("g", 99)?;
    same!(rustix::fs::fstat(&fd)?.st_size, 99);
    same!(size_of("f")?, 99);
    Ok(())
}
