//! An open file lives on without a name.

use rustix::fs::{fstat, ftruncate, unlink};

use super::prelude::*;

pub(super) const CASES: &[Case] = &[
    case!(
        "unlink-open",
        read_and_write,
        "data stay readable and writable"
    ),
    case!(
        "unlink-open",
        attributes,
        "fstat shows no link; fchmod and ftruncate work"
    ),
    case!(
        "unlink-open",
        name_reused,
        "a new file of the name is another file"
    ),
    case!(
        "unlink-open",
        two_descriptors,
        "two descriptors still share the file"
    ),
    case!(
        "unlink-open",
        other_process,
        "another process keeps the file alive"
    ),
    case!(
        "unlink-open",
        one_of_two_links,
        "removing one of two links keeps the other"
    ),
    case!(
        "unlink-open",
        removed_directory,
        "an open removed directory is empty and dead"
    ),
    case!(
        "unlink-open",
        unlinked_before_written,
        "a temporary file used only after unlink"
    ),
];

fn read_and_write(_: &Cx) -> Checked {
    let bytes = pattern(1, 100_001);
    write_file("f", &bytes)?;
    let fd = read_write("f")?;
    unlink("f")?;
    same!(code(&lstat("f")), "ENOENT");
    same!(hash(&read_at(&fd, 200_000, 0)?), hash(&bytes));
    write_at(&fd, b"tail", 100_001)?;
    same!(read_at(&fd, 10, 100_000)?.len(), 5);
    rustix::fs::fsync(&fd)?;
    rustix::fs::fdatasync(&fd)?;
    Ok(())
}

fn attributes(_: &Cx) -> Checked {
    let fd = create("f")?;
    write_all(&fd, b"12345")?;
    unlink("f")?;
    same!((fstat(&fd)?.st_nlink, fstat(&fd)?.st_size), (0, 5));
    rustix::fs::fchmod(&fd, 0o600.into())?;
    same!(perm(&fstat(&fd)?), 0o600);
    ftruncate(&fd, 3)?;
    same!(read_at(&fd, 9, 0)?, b"123");
    let times = rustix::fs::Timestamps {
        last_access: seconds(LONG_AGO),
        last_modification: seconds(LONG_AGO),
    };
    rustix::fs::futimens(&fd, &times)?;
    same!(fstat(&fd)?.st_mtime, LONG_AGO);
    Ok(())
}

fn name_reused(_: &Cx) -> Checked {
    let old = create("f")?;
    write_all(&old, b"old")?;
    unlink("f")?;
    let new = create("f")?;
    write_all(&new, b"newer")?;
    ensure!(fstat(&old)?.st_ino != fstat(&new)?.st_ino);
    same!(
        (read_at(&old, 9, 0)?, read_at(&new, 9, 0)?),
        (b"old".to_vec(), b"newer".to_vec())
    );
    write_at(&old, b"OLD", 0)?;
    same!(read_all("f")?, b"newer");
    Ok(())
}

fn two_descriptors(_: &Cx) -> Checked {
    let a = create("f")?;
    let b = read_only("f")?;
    unlink("f")?;
    write_all(&a, b"shared")?;
    same!(read_at(&b, 9, 0)?, b"shared");
    drop(a);
    same!(read_at(&b, 9, 0)?, b"shared");
    Ok(())
}

fn other_process(_: &Cx) -> Checked {
    write_file("f", "data")?;
    let (opened, removed) = (Gate::new()?, Gate::new()?);
    let child = spawn(|| {
        let fd = read_only("f")?;
        opened.open()?;
        removed.wait()?;
        same!(fstat(&fd)?.st_nlink, 0);
        same!(read_at(&fd, 9, 0)?, b"data");
        Ok(())
    })?;
    opened.wait()?;
    unlink("f")?;
    removed.open()?;
    child.join()
}

fn one_of_two_links(_: &Cx) -> Checked {
    let fd = create("f")?;
    rustix::fs::link("f", "g")?;
    unlink("f")?;
    same!(fstat(&fd)?.st_nlink, 1);
    write_all(&fd, b"x")?;
    same!(read_all("g")?, b"x");
    unlink("g")?;
    same!(fstat(&fd)?.st_nlink, 0);
    Ok(())
}

fn removed_directory(cx: &Cx) -> Checked {
    mkdir("d")?;
    let dir = open("d", OFlags::RDONLY | OFlags::DIRECTORY)?;
    rustix::fs::rmdir("d")?;
    cx.observe("nlink", fstat(&dir)?.st_nlink);
    let made = rustix::fs::openat(&dir, "f", OFlags::WRONLY | OFlags::CREATE, 0o644.into());
    same!(code(&made), "ENOENT");
    same!(
        code(&rustix::fs::mkdirat(&dir, "e", 0o755.into())),
        "ENOENT"
    );
    let mut buffer = [std::mem::MaybeUninit::uninit(); 1024];
    let mut entries = rustix::fs::RawDir::new(&dir, &mut buffer);
    let first = entries.next();
    cx.observe("getdents", first.map_or("end".into(), |entry| code(&entry)));
    Ok(())
}

fn unlinked_before_written(_: &Cx) -> Checked {
    let fd = create("f")?;
    unlink("f")?;
    let bytes = pattern(2, 500_000);
    write_all(&fd, &bytes)?;
    same!(hash(&read_at(&fd, 600_000, 0)?), hash(&bytes));
    Ok(())
}
