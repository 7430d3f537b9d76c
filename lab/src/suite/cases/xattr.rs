//! Extended attributes.

use rustix::fs::{
    XattrFlags, fgetxattr, getxattr, lgetxattr, listxattr, lsetxattr, removexattr, setxattr,
};

use super::prelude::*;

pub(super) const CASES: &[Case] = &[
    case!(
        "xattr",
        create_and_replace,
        "XATTR_CREATE and XATTR_REPLACE"
    ),
    case!("xattr", missing, "ENODATA for what is not there"),
    case!(
        "xattr",
        size_probe,
        "a probe with size 0 tells the size, a short buffer is ERANGE"
    ),
    case!("xattr", empty_value, "an empty value is not an absent one"),
    case!("xattr", list, "the list has every name, once"),
    case!(
        "xattr",
        value_sizes,
        "values up to the limit of the filesystem"
    ),
    case!(
        "xattr",
        name_limits,
        "names of 255 bytes, longer, without namespace"
    ),
    case!("xattr", on_symlink, "user attributes of a symbolic link"),
    case!(
        "xattr",
        on_directory_and_fifo,
        "attributes of other kinds of file"
    ),
    case!(
        "xattr",
        privileged_namespaces,
        "trusted and security attributes",
        root
    ),
    case!(
        "xattr",
        permissions,
        "who may read and write attributes",
        root
    ),
    case!(
        "xattr",
        gone_with_the_file,
        "a new file of the same name has none"
    ),
    case!(
        "xattr",
        move_with_rename,
        "attributes follow the inode through rename and link"
    ),
    case!(
        "xattr",
        through_descriptor,
        "a descriptor sees changes made by name, also unlinked"
    ),
    case!(
        "xattr",
        change_time,
        "setting an attribute changes ctime, not mtime"
    ),
    case!(
        "xattr",
        overwritten_often,
        "the last of many values is read"
    ),
];

fn get(path: &str, name: &str) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0_u8; 65_536];
    let n = getxattr(path, name, &mut buffer[..])?;
    buffer.truncate(n);
    Ok(buffer)
}

fn set(path: &str, name: &str, value: &[u8]) -> Result<(), Errno> {
    setxattr(path, name, value, XattrFlags::empty())
}

fn create_and_replace(_: &Cx) -> Checked {
    write_file("f", "")?;
    same!(
        code(&setxattr("f", "user.a", b"1", XattrFlags::REPLACE)),
        "ENODATA"
    );
    setxattr("f", "user.a", b"1", XattrFlags::CREATE)?;
    same!(
        code(&setxattr("f", "user.a", b"2", XattrFlags::CREATE)),
        "EEXIST"
    );
    same!(get("f", "user.a")?, b"1");
    setxattr("f", "user.a", b"22", XattrFlags::REPLACE)?;
    same!(get("f", "user.a")?, b"22");
    set("f", "user.a", b"")?;
    removexattr("f", "user.a")?;
    same!(
        code(&setxattr("f", "user.a", b"3", XattrFlags::REPLACE)),
        "ENODATA"
    );
    Ok(())
}

fn missing(cx: &Cx) -> Checked {
    write_file("f", "")?;
    same!(code(&get("f", "user.a")), "ENODATA");
    same!(code(&removexattr("f", "user.a")), "ENODATA");
    same!(code(&get("none", "user.a")), "ENOENT");
    cx.observe_code("unknown namespace", &get("f", "unknown.a"));
    cx.observe_code("set in unknown namespace", &set("f", "unknown.a", b"x"));
    Ok(())
}

fn size_probe(_: &Cx) -> Checked {
    write_file("f", "")?;
    set("f", "user.a", b"12345")?;
    same!(sys::getxattr_size("f", "user.a")?, 5);
    ensure!(sys::listxattr_size("f")? >= 7);
    let mut short = [0_u8; 4];
    same!(code(&getxattr("f", "user.a", &mut short[..])), "ERANGE");
    same!(code(&listxattr("f", &mut short[..])), "ERANGE");
    let mut exact = [0_u8; 5];
    same!(getxattr("f", "user.a", &mut exact[..])?, 5);
    Ok(())
}

fn empty_value(_: &Cx) -> Checked {
    write_file("f", "")?;
    set("f", "user.a", b"")?;
    same!(get("f", "user.a")?, b"");
    same!(
        code(&setxattr("f", "user.a", b"", XattrFlags::CREATE)),
        "EEXIST"
    );
    same!(sys::getxattr_size("f", "user.a")?, 0);
    Ok(())
}

/// Names of user attributes, sorted.
fn listed(path: &str) -> Result<Vec<String>, Errno> {
    let mut buffer = vec![0_u8; 65_536];
    let n = listxattr(path, &mut buffer[..])?;
    let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
    let mut names: Vec<_> = text
        .split('\0')
        .filter(|name| name.starts_with("user."))
        .map(str::to_owned)
        .collect();
    names.sort();
    Ok(names)
}

fn list(_: &Cx) -> Checked {
    write_file("f", "")?;
    same!(listed("f")?, Vec::<String>::new());
    let mut expected = Vec::new();
    for i in 0..40 {
        let name = format!("user.n{i:03}");
        set("f", &name, &pattern(i, 8))?;
        expected.push(name);
    }
    same!(listed("f")?, expected);
    for name in expected.drain(10..30) {
        removexattr("f", &*name)?;
    }
    same!(listed("f")?, expected);
    same!(get("f", "user.n035")?, pattern(35, 8));
    Ok(())
}

fn value_sizes(cx: &Cx) -> Checked {
    for size in [1, 100, 1000, 3000, 4000, 4096, 8192, 65_536, 65_537] {
        let name = format!("f{size}");
        write_file(&name, "")?;
        let value = pattern(size as u64, size);
        let result = set(&name, "user.a", &value);
        cx.observe_code(format!("{size}"), &result);
        if result.is_ok() {
            same!(hash(&get(&name, "user.a")?), hash(&value));
        }
    }
    Ok(())
}

fn name_limits(cx: &Cx) -> Checked {
    write_file("f", "")?;
    let longest = format!("user.{}", "n".repeat(250));
    set("f", &longest, b"x")?;
    same!(listed("f")?, std::slice::from_ref(&longest));
    cx.observe_code("256", &set("f", &format!("{longest}n"), b"x"));
    cx.observe_code("user.", &set("f", "user.", b"x"));
    cx.observe_code("no namespace", &set("f", "name", b"x"));
    cx.observe_code("empty", &set("f", "", b"x"));
    Ok(())
}

fn on_symlink(cx: &Cx) -> Checked {
    write_file("f", "")?;
    rustix::fs::symlink("f", "l")?;
    cx.observe_code("user", &lsetxattr("l", "user.a", b"x", XattrFlags::empty()));
    let mut buffer = [0_u8; 8];
    cx.observe_code("get user", &lgetxattr("l", "user.a", &mut buffer[..]));
    set("l", "user.a", b"through")?;
    same!(get("f", "user.a")?, b"through");
    cx.observe_code(
        "trusted",
        &lsetxattr("l", "trusted.a", b"x", XattrFlags::empty()),
    );
    Ok(())
}

fn on_directory_and_fifo(cx: &Cx) -> Checked {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mkdir("d")?;
    set("d", "user.a", b"dir")?;
    same!(get("d", "user.a")?, b"dir");
    mknodat(CWD, "p", FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
    cx.observe_code("user on a fifo", &set("p", "user.a", b"x"));
    cx.observe_code("get on a fifo", &get("p", "user.a"));
    Ok(())
}

fn privileged_namespaces(cx: &Cx) -> Checked {
    write_file("f", "")?;
    chmod("f", 0o666)?;
    for name in ["trusted.a", "security.test"] {
        let result = set("f", name, b"value");
        cx.observe_code(format!("set {name}"), &result);
        cx.observe_code(format!("get {name}"), &get("f", name));
        let other = as_user(ALICE, || {
            Ok((code(&set("f", name, b"x")), code(&get("f", name))))
        })?;
        cx.observe(
            format!("{name} as a user"),
            format!("{} {}", other.0, other.1),
        );
    }
    Ok(())
}

fn permissions(_: &Cx) -> Checked {
    write_file("f", "")?;
    chmod("f", 0o644)?;
    set("f", "user.a", b"x")?;
    same!(as_user(ALICE, || Ok(code(&get("f", "user.a"))))?, "ok");
    same!(
        as_user(ALICE, || Ok(code(&set("f", "user.a", b"y"))))?,
        "EACCES"
    );
    same!(
        as_user(ALICE, || Ok(code(&removexattr("f", "user.a"))))?,
        "EACCES"
    );
    chmod("f", 0o600)?;
    same!(as_user(ALICE, || Ok(code(&get("f", "user.a"))))?, "EACCES");
    mkdir("d")?;
    chmod("d", 0o1777)?;
    same!(
        as_user(ALICE, || Ok(code(&set("d", "user.a", b"y"))))?,
        "EPERM"
    );
    Ok(())
}

fn gone_with_the_file(_: &Cx) -> Checked {
    for _ in 0..20 {
        write_file("f", "")?;
        same!(code(&get("f", "user.a")), "ENODATA");
        set("f", "user.a", b"x")?;
        same!(get("f", "user.a")?, b"x");
        rustix::fs::unlink("f")?;
        same!(code(&get("f", "user.a")), "ENOENT");
    }
    Ok(())
}

fn move_with_rename(_: &Cx) -> Checked {
    write_file("a", "")?;
    write_file("b", "")?;
    set("a", "user.a", b"of a")?;
    set("b", "user.a", b"of b")?;
    same!(get("b", "user.a")?, b"of b");
    rustix::fs::rename("a", "b")?;
    same!(get("b", "user.a")?, b"of a");
    rustix::fs::link("b", "c")?;
    set("c", "user.a", b"changed")?;
    same!(get("b", "user.a")?, b"changed");
    Ok(())
}

fn through_descriptor(_: &Cx) -> Checked {
    let fd = create("f")?;
    set("f", "user.a", b"named")?;
    let mut buffer = [0_u8; 16];
    same!(fgetxattr(&fd, "user.a", &mut buffer[..])?, 5);
    rustix::fs::unlink("f")?;
    same!(fgetxattr(&fd, "user.a", &mut buffer[..])?, 5);
    rustix::fs::fsetxattr(&fd, "user.b", b"unlinked", XattrFlags::empty())?;
    same!(fgetxattr(&fd, "user.b", &mut buffer[..])?, 8);
    Ok(())
}

fn change_time(_: &Cx) -> Checked {
    write_file("f", "")?;
    age("f")?;
    let before = ctime_then_tick("f")?;
    set("f", "user.a", b"x")?;
    let stat = lstat("f")?;
    ensure!(ctime(&stat) > before, "set");
    same!(stat.st_mtime, LONG_AGO);
    let before = ctime_then_tick("f")?;
    removexattr("f", "user.a")?;
    ensure!(ctime(&lstat("f")?) > before, "remove");
    Ok(())
}

fn overwritten_often(_: &Cx) -> Checked {
    write_file("f", "")?;
    for i in 0..200_u64 {
        let value = pattern(i, (i as usize * 7) % 500);
        set("f", "user.a", &value)?;
        same!(get("f", "user.a")?, value);
    }
    Ok(())
}
