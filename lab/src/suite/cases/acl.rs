//! POSIX ACLs, set and read through their extended attributes (acl(5); the binary form is that of
//! `linux/posix_acl_xattr.h`: a version, then entries of tag, permissions and id).

use rustix::fs::{Mode, XattrFlags, getxattr, removexattr, setxattr};

use super::prelude::*;

pub(super) const CASES: &[Case] = &[
    case!(
        "acl",
        roundtrip,
        "an access ACL is read back as it was set",
        root
    ),
    case!(
        "acl",
        named_user_is_granted,
        "a named user gets what the ACL gives",
        root
    ),
    case!(
        "acl",
        named_user_is_denied,
        "a named user is denied what others may",
        root
    ),
    case!(
        "acl",
        named_group,
        "a named group counts through supplementary groups",
        root
    ),
    case!(
        "acl",
        mask_limits,
        "the mask limits named users and groups",
        root
    ),
    case!(
        "acl",
        chmod_changes_mask,
        "chmod changes the mask, and stat shows it",
        root
    ),
    case!(
        "acl",
        acl_changes_mode,
        "setting an ACL changes the mode bits",
        root
    ),
    case!(
        "acl",
        minimal_acl_is_mode,
        "an ACL of three entries is just a mode",
        root
    ),
    case!(
        "acl",
        default_overrides_umask,
        "a default ACL takes the umask's place",
        root
    ),
    case!(
        "acl",
        default_is_inherited,
        "a new directory inherits both ACLs",
        root
    ),
    case!(
        "acl",
        default_limits_mode,
        "the creation mode limits an inherited ACL",
        root
    ),
    case!(
        "acl",
        default_for_nodes,
        "FIFOs and O_TMPFILE inherit as files do",
        root
    ),
    case!("acl", removal, "a removed ACL no longer grants", root),
    case!("acl", invalid, "malformed ACLs are refused", root),
    case!("acl", only_owner_sets, "others may not set an ACL", root),
    case!("acl", default_on_file, "a file has no default ACL", root),
    case!("acl", symlink_has_none, "a symbolic link has no ACL", root),
    case!("acl", listed, "ACLs are listed among the attributes", root),
    case!(
        "acl",
        sgid_cleared,
        "setting an ACL as a non-member drops sgid",
        root
    ),
];

const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";

/// An entry of an ACL: tag, permissions, id.
type Entry = (u16, u16, u32);

const NO_ID: u32 = u32::MAX;
const fn owner(perm: u16) -> Entry {
    (0x01, perm, NO_ID)
}
const fn user(uid: u32, perm: u16) -> Entry {
    (0x02, perm, uid)
}
const fn owning_group(perm: u16) -> Entry {
    (0x04, perm, NO_ID)
}
const fn group(gid: u32, perm: u16) -> Entry {
    (0x08, perm, gid)
}
const fn mask(perm: u16) -> Entry {
    (0x10, perm, NO_ID)
}
const fn other(perm: u16) -> Entry {
    (0x20, perm, NO_ID)
}

fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, perm, id) in entries {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&perm.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    bytes
}

fn set(path: &str, name: &str, entries: &[Entry]) -> Result<(), Errno> {
    setxattr(path, name, &encode(entries), XattrFlags::empty())
}

fn get(path: &str, name: &str) -> Result<Vec<u8>, Errno> {
    let mut buffer = [0_u8; 1024];
    getxattr(path, name, &mut buffer[..]).map(|n| buffer[..n].to_vec())
}

/// An ACL or its absence as text, for observation.
fn show(path: &str, name: &str) -> String {
    match get(path, name) {
        Ok(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        Err(errno) => code::<()>(&Err(errno)),
    }
}

fn reads(who: User, path: &str) -> Result<String, Failure> {
    as_user(who, || Ok(code(&read_only(path))))
}

fn writes(who: User, path: &str) -> Result<String, Failure> {
    as_user(who, || Ok(code(&open(path, OFlags::WRONLY))))
}

fn file(mode: u32) -> Result<(), Errno> {
    write_file("f", "data")?;
    chmod("f", mode)
}

fn roundtrip(cx: &Cx) -> Checked {
    file(0o640)?;
    let acl = [
        owner(6),
        user(6001, 4),
        owning_group(4),
        group(TEAM, 6),
        mask(6),
        other(0),
    ];
    set("f", ACCESS, &acl)?;
    same!(get("f", ACCESS)?, encode(&acl));
    same!(code(&get("f", DEFAULT)), "ENODATA");
    cx.observe_stat("file", "f");
    Ok(())
}

fn named_user_is_granted(_: &Cx) -> Checked {
    file(0o600)?;
    same!(reads(ALICE, "f")?, "EACCES");
    set(
        "f",
        ACCESS,
        &[owner(6), user(6001, 6), owning_group(0), mask(6), other(0)],
    )?;
    same!(
        (reads(ALICE, "f")?, writes(ALICE, "f")?),
        ("ok".into(), "ok".into())
    );
    same!(reads(BOB, "f")?, "EACCES");
    Ok(())
}

fn named_user_is_denied(_: &Cx) -> Checked {
    file(0o644)?;
    same!(reads(ALICE, "f")?, "ok");
    set(
        "f",
        ACCESS,
        &[owner(6), user(6001, 0), owning_group(4), mask(4), other(4)],
    )?;
    same!(reads(ALICE, "f")?, "EACCES");
    same!(reads(BOB, "f")?, "ok");
    Ok(())
}

fn named_group(_: &Cx) -> Checked {
    file(0o600)?;
    set(
        "f",
        ACCESS,
        &[owner(6), owning_group(0), group(TEAM, 4), mask(4), other(0)],
    )?;
    same!(reads(ALICE, "f")?, "EACCES");
    same!(reads(ALICE_IN_TEAM, "f")?, "ok");
    same!(writes(ALICE_IN_TEAM, "f")?, "EACCES");
    Ok(())
}

fn mask_limits(_: &Cx) -> Checked {
    file(0o600)?;
    set(
        "f",
        ACCESS,
        &[owner(6), user(6001, 6), owning_group(6), mask(4), other(0)],
    )?;
    same!(reads(ALICE, "f")?, "ok");
    same!(writes(ALICE, "f")?, "EACCES");
    Ok(())
}

fn chmod_changes_mask(cx: &Cx) -> Checked {
    file(0o600)?;
    set(
        "f",
        ACCESS,
        &[owner(6), user(6001, 6), owning_group(0), mask(6), other(0)],
    )?;
    same!(mode_of("f")?, 0o660);
    // Not 0: with no group bit at all the kernel looks at `other` and not at the ACL.
    chmod("f", 0o610)?;
    same!(reads(ALICE, "f")?, "EACCES");
    let acl = [owner(6), user(6001, 6), owning_group(0), mask(1), other(0)];
    same!(get("f", ACCESS)?, encode(&acl));
    chmod("f", 0o640)?;
    same!(reads(ALICE, "f")?, "ok");
    cx.observe("acl", show("f", ACCESS));
    cx.observe_stat("file", "f");
    Ok(())
}

fn acl_changes_mode(_: &Cx) -> Checked {
    file(0o600)?;
    let changed = ctime_then_tick("f")?;
    set(
        "f",
        ACCESS,
        &[owner(7), user(6001, 1), owning_group(4), mask(5), other(2)],
    )?;
    same!(mode_of("f")?, 0o752);
    ensure!(
        ctime(&lstat("f")?) > changed,
        "setting an ACL changes ctime"
    );
    Ok(())
}

fn minimal_acl_is_mode(cx: &Cx) -> Checked {
    file(0o600)?;
    set("f", ACCESS, &[owner(6), owning_group(4), other(4)])?;
    same!(mode_of("f")?, 0o644);
    cx.observe("acl", show("f", ACCESS));
    same!(reads(ALICE, "f")?, "ok");
    Ok(())
}

fn default_acl() -> [Entry; 6] {
    [
        owner(7),
        user(6001, 6),
        owning_group(5),
        group(TEAM, 4),
        mask(7),
        other(0),
    ]
}

fn default_overrides_umask(cx: &Cx) -> Checked {
    mkdir("d")?;
    set("d", DEFAULT, &default_acl())?;
    rustix::process::umask(Mode::from_raw_mode(0o077));
    drop(open_mode("d/f", OFlags::WRONLY | OFlags::CREATE, 0o666)?);
    drop(open_mode("plain", OFlags::WRONLY | OFlags::CREATE, 0o666)?);
    same!(mode_of("d/f")?, 0o660);
    same!(mode_of("plain")?, 0o600);
    cx.observe("acl", show("d/f", ACCESS));
    cx.observe("default", show("d/f", DEFAULT));
    Ok(())
}

fn default_is_inherited(cx: &Cx) -> Checked {
    mkdir("d")?;
    set("d", DEFAULT, &default_acl())?;
    mkdir_mode("d/e", 0o777)?;
    same!(get("d/e", DEFAULT)?, encode(&default_acl()));
    cx.observe("access", show("d/e", ACCESS));
    cx.observe_stat("directory", "d/e");
    mkdir_mode("d/e/g", 0o700)?;
    cx.observe("access of 700", show("d/e/g", ACCESS));
    cx.observe_stat("directory of 700", "d/e/g");
    Ok(())
}

fn default_limits_mode(cx: &Cx) -> Checked {
    mkdir("d")?;
    set("d", DEFAULT, &default_acl())?;
    for mode in [0o600, 0o640, 0o666, 0o777, 0o444] {
        let name = format!("d/f{mode:o}");
        drop(open_mode(&name, OFlags::WRONLY | OFlags::CREATE, mode)?);
        cx.observe(format!("mode {mode:o}"), format!("{:o}", mode_of(&name)?));
        cx.observe(format!("acl {mode:o}"), show(&name, ACCESS));
    }
    Ok(())
}

fn default_for_nodes(cx: &Cx) -> Checked {
    use rustix::fs::{CWD, FileType};
    mkdir("d")?;
    set("d", DEFAULT, &default_acl())?;
    rustix::process::umask(Mode::from_raw_mode(0o077));
    rustix::fs::mknodat(CWD, "d/p", FileType::Fifo, Mode::from_raw_mode(0o666), 0)?;
    cx.observe("fifo", show("d/p", ACCESS));
    cx.observe_stat("fifo stat", "d/p");
    rustix::fs::symlink("x", "d/l")?;
    cx.observe_stat("symlink", "d/l");
    if let Ok(fd) = open_mode("d", OFlags::RDWR | OFlags::TMPFILE, 0o666) {
        cx.observe("tmpfile", format!("{:o}", perm(&rustix::fs::fstat(&fd)?)));
    }
    Ok(())
}

fn removal(_: &Cx) -> Checked {
    file(0o600)?;
    set(
        "f",
        ACCESS,
        &[owner(6), user(6001, 4), owning_group(0), mask(4), other(0)],
    )?;
    same!(reads(ALICE, "f")?, "ok");
    removexattr("f", ACCESS)?;
    same!(reads(ALICE, "f")?, "EACCES");
    same!(code(&get("f", ACCESS)), "ENODATA");
    mkdir("d")?;
    set("d", DEFAULT, &default_acl())?;
    removexattr("d", DEFAULT)?;
    write_file("d/f", "")?;
    same!(mode_of("d/f")?, 0o644);
    Ok(())
}

fn invalid(cx: &Cx) -> Checked {
    file(0o640)?;
    let no_mask = [owner(6), user(6001, 4), owning_group(4), other(0)];
    let twice = [owner(6), owner(6), owning_group(4), other(0)];
    let unordered = [other(0), owner(6), owning_group(4)];
    let no_owner = [owning_group(4), other(0)];
    for (name, acl) in [
        ("no mask", &no_mask[..]),
        ("twice", &twice),
        ("unordered", &unordered),
        ("no owner", &no_owner),
        ("permissions", &[owner(9), owning_group(4), other(0)]),
    ] {
        let result = set("f", ACCESS, acl);
        ensure!(result.is_err(), "{name} was accepted");
        cx.observe_code(name, &result);
    }
    cx.observe_code(
        "version",
        &setxattr("f", ACCESS, &[1, 0, 0, 0], XattrFlags::empty()),
    );
    cx.observe_code(
        "short",
        &setxattr("f", ACCESS, &[2, 0], XattrFlags::empty()),
    );
    same!(mode_of("f")?, 0o640);
    Ok(())
}

fn only_owner_sets(_: &Cx) -> Checked {
    file(0o666)?;
    let acl = [owner(6), owning_group(6), other(6)];
    same!(
        as_user(ALICE, || Ok(code(&set("f", ACCESS, &acl))))?,
        "EPERM"
    );
    chown("f", Some(ALICE.uid), None)?;
    same!(as_user(ALICE, || Ok(code(&set("f", ACCESS, &acl))))?, "ok");
    Ok(())
}

fn default_on_file(cx: &Cx) -> Checked {
    file(0o644)?;
    let result = set("f", DEFAULT, &default_acl());
    ensure!(result.is_err());
    cx.observe_code("set", &result);
    cx.observe_code("get", &get("f", DEFAULT));
    Ok(())
}

fn symlink_has_none(cx: &Cx) -> Checked {
    file(0o644)?;
    rustix::fs::symlink("f", "l")?;
    let mut buffer = [0_u8; 256];
    cx.observe_code("get", &rustix::fs::lgetxattr("l", ACCESS, &mut buffer[..]));
    let acl = encode(&[owner(6), owning_group(6), other(6)]);
    cx.observe_code(
        "set",
        &rustix::fs::lsetxattr("l", ACCESS, &acl, XattrFlags::empty()),
    );
    same!(mode_of("f")?, 0o644);
    Ok(())
}

fn listed(cx: &Cx) -> Checked {
    mkdir("d")?;
    set("d", ACCESS, &default_acl())?;
    set("d", DEFAULT, &default_acl())?;
    let mut buffer = [0_u8; 1024];
    let n = rustix::fs::listxattr("d", &mut buffer[..])?;
    let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
    let mut names: Vec<_> = text
        .split('\0')
        .filter(|name| name.starts_with("system"))
        .collect();
    names.sort_unstable();
    cx.observe("names", names.join(" "));
    Ok(())
}

fn sgid_cleared(cx: &Cx) -> Checked {
    file(0o2755)?;
    chown("f", Some(ALICE.uid), Some(TEAM))?;
    chmod("f", 0o2755)?;
    let acl = [owner(7), owning_group(5), other(5)];
    let not_member = as_user(ALICE, || Ok(code(&set("f", ACCESS, &acl))))?;
    cx.observe("not a member", not_member);
    cx.observe("mode then", format!("{:o}", mode_of("f")?));
    chmod("f", 0o2755)?;
    same!(
        as_user(ALICE_IN_TEAM, || Ok(code(&set("f", ACCESS, &acl))))?,
        "ok"
    );
    cx.observe("mode of a member", format!("{:o}", mode_of("f")?));
    Ok(())
}
