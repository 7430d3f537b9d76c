//! Who may do what.

use rustix::fs::{Access, AtFlags, CWD, accessat, rename, unlink};

use super::prelude::*;

pub(super) const CASES: &[Case] = &[
    case!(
        "permissions",
        owner_of_new_files,
        "what a user makes is the user's",
        root
    ),
    case!(
        "permissions",
        classes,
        "owner, group and other are told apart",
        root
    ),
    case!(
        "permissions",
        supplementary_group,
        "supplementary groups count",
        root
    ),
    case!(
        "permissions",
        directory_bits,
        "search, list and write of a directory",
        root
    ),
    case!(
        "permissions",
        sticky,
        "a sticky directory protects others' files",
        root
    ),
    case!(
        "permissions",
        sgid_directory,
        "a sgid directory hands its group down",
        root
    ),
    case!(
        "permissions",
        chgrp,
        "the owner may give a file to a group of the owner's",
        root
    ),
    case!(
        "permissions",
        chmod_and_chown,
        "only the owner chmods, only root chowns",
        root
    ),
    case!(
        "permissions",
        open_then_chmod,
        "an open file goes on after chmod 000",
        root
    ),
    case!(
        "permissions",
        access_real_ids,
        "access(2) uses the real ids",
        root
    ),
    case!(
        "permissions",
        root_executes,
        "root needs one execute bit",
        root
    ),
    case!(
        "permissions",
        protected_parent,
        "no permission on the way is EACCES",
        root
    ),
    case!(
        "permissions",
        rename_needs_both,
        "rename needs both directories",
        root
    ),
];

fn public(path: &str) -> Result<(), Errno> {
    mkdir(path)?;
    chmod(path, 0o777)
}

fn owner_of_new_files(cx: &Cx) -> Checked {
    public("d")?;
    as_user(ALICE_IN_TEAM, || {
        write_file("d/f", "x")?;
        mkdir("d/e")?;
        rustix::fs::symlink("x", "d/l")?;
        rustix::fs::mknodat(CWD, "d/p", rustix::fs::FileType::Fifo, 0o600.into(), 0)?;
        Ok(())
    })?;
    for name in ["d/f", "d/e", "d/l", "d/p"] {
        same!(
            (lstat(name)?.st_uid, lstat(name)?.st_gid),
            (ALICE.uid, ALICE.gid)
        );
        cx.observe_stat(name, name);
    }
    Ok(())
}

fn classes(cx: &Cx) -> Checked {
    write_file("f", "x")?;
    chown("f", Some(ALICE.uid), Some(TEAM))?;
    for mode in [0o700, 0o070, 0o007, 0o077, 0o440, 0o604] {
        chmod("f", mode)?;
        for (name, who) in [("owner", ALICE), ("group", BOB_IN_TEAM), ("other", BOB)] {
            let codes = as_user(who, || {
                Ok(format!(
                    "{} {}",
                    code(&read_only("f")),
                    code(&open("f", OFlags::WRONLY))
                ))
            })?;
            cx.observe(format!("{mode:o} {name}"), codes);
        }
    }
    chmod("f", 0o077)?;
    same!(as_user(ALICE, || Ok(code(&read_only("f"))))?, "EACCES");
    Ok(())
}

fn supplementary_group(_: &Cx) -> Checked {
    write_file("f", "x")?;
    chown("f", None, Some(TEAM))?;
    chmod("f", 0o060)?;
    same!(as_user(BOB, || Ok(code(&read_write("f"))))?, "EACCES");
    same!(as_user(BOB_IN_TEAM, || Ok(code(&read_write("f"))))?, "ok");
    mkdir("d")?;
    chown("d", None, Some(TEAM))?;
    chmod("d", 0o070)?;
    same!(as_user(BOB_IN_TEAM, || Ok(code(&create("d/f"))))?, "ok");
    same!(as_user(BOB, || Ok(code(&create("d/g"))))?, "EACCES");
    Ok(())
}

fn directory_bits(cx: &Cx) -> Checked {
    mkdir("d")?;
    write_file("d/f", "x")?;
    for mode in [0o777, 0o775, 0o774, 0o771, 0o773, 0o772, 0o770] {
        chmod("d", mode)?;
        write_file("d/old", "x")?;
        let codes = as_user(ALICE, || {
            let list = names("d").is_ok();
            let made = code(&create("d/new"));
            let _ = unlink("d/new");
            Ok(format!(
                "list {list} stat {} create {made} remove {}",
                code(&lstat("d/f")),
                code(&unlink("d/old"))
            ))
        })?;
        cx.observe(format!("{mode:o}"), codes);
    }
    Ok(())
}

fn sticky(_: &Cx) -> Checked {
    public("d")?;
    chmod("d", 0o1777)?;
    as_user(ALICE, || {
        write_file("d/alice", "x")?;
        Ok(chmod("d/alice", 0o666)?)
    })?;
    as_user(BOB, || {
        write_file("d/bob", "x")?;
        same!(code(&unlink("d/alice")), "EPERM");
        same!(code(&rename("d/alice", "d/x")), "EPERM");
        same!(code(&rename("d/bob", "d/alice")), "EPERM");
        same!(code(&unlink("d/bob")), "ok");
        Ok(())
    })?;
    same!(as_user(ALICE, || Ok(code(&unlink("d/alice"))))?, "ok");
    Ok(())
}

fn sgid_directory(cx: &Cx) -> Checked {
    mkdir("d")?;
    chown("d", None, Some(TEAM))?;
    chmod("d", 0o2777)?;
    as_user(ALICE, || {
        write_file("d/f", "x")?;
        mkdir("d/e")?;
        drop(open_mode("d/s", OFlags::WRONLY | OFlags::CREATE, 0o2775)?);
        Ok(())
    })?;
    same!((lstat("d/f")?.st_gid, lstat("d/e")?.st_gid), (TEAM, TEAM));
    same!(mode_of("d/e")? & 0o2000, 0o2000);
    cx.observe_stat("sgid file of a non-member", "d/s");
    Ok(())
}

fn chgrp(_: &Cx) -> Checked {
    write_file("f", "x")?;
    chown("f", Some(ALICE.uid), Some(ALICE.gid))?;
    same!(
        as_user(ALICE, || Ok(code(&chown("f", None, Some(TEAM)))))?,
        "EPERM"
    );
    same!(
        as_user(ALICE_IN_TEAM, || Ok(code(&chown("f", None, Some(TEAM)))))?,
        "ok"
    );
    same!(lstat("f")?.st_gid, TEAM);
    same!(
        as_user(BOB_IN_TEAM, || Ok(code(&chown("f", None, Some(TEAM)))))?,
        "EPERM"
    );
    Ok(())
}

fn chmod_and_chown(_: &Cx) -> Checked {
    write_file("f", "x")?;
    chown("f", Some(ALICE.uid), Some(ALICE.gid))?;
    same!(as_user(BOB, || Ok(code(&chmod("f", 0o777))))?, "EPERM");
    same!(as_user(ALICE, || Ok(code(&chmod("f", 0o777))))?, "ok");
    same!(
        as_user(ALICE, || Ok(code(&chown("f", Some(BOB.uid), None))))?,
        "EPERM"
    );
    same!(as_user(BOB, || Ok(code(&sys::truncate("f", 0))))?, "ok");
    chmod("f", 0o755)?;
    same!(as_user(BOB, || Ok(code(&sys::truncate("f", 0))))?, "EACCES");
    Ok(())
}

fn open_then_chmod(_: &Cx) -> Checked {
    write_file("f", "data")?;
    chown("f", Some(ALICE.uid), None)?;
    as_user(ALICE, || {
        let fd = read_write("f")?;
        chmod("f", 0)?;
        same!(code(&read_only("f")), "EACCES");
        same!(read_at(&fd, 9, 0)?, b"data");
        write_at(&fd, b"more", 4)?;
        rustix::fs::ftruncate(&fd, 6)?;
        same!(rustix::fs::fstat(&fd)?.st_size, 6);
        Ok(())
    })
}

fn access_real_ids(_: &Cx) -> Checked {
    write_file("f", "x")?;
    chmod("f", 0o600)?;
    in_child(|| {
        let (real, effective) = (rustix::fs::Uid::from_raw(ALICE.uid), rustix::fs::Uid::ROOT);
        rustix::thread::set_thread_res_uid(real, effective, effective)?;
        same!(
            code(&accessat(CWD, "f", Access::READ_OK, AtFlags::empty())),
            "EACCES"
        );
        same!(
            code(&accessat(CWD, "f", Access::READ_OK, AtFlags::EACCESS)),
            "ok"
        );
        same!(code(&read_only("f")), "ok");
        Ok(())
    })?;
    same!(
        code(&accessat(CWD, "none", Access::EXISTS, AtFlags::empty())),
        "ENOENT"
    );
    Ok(())
}

fn root_executes(_: &Cx) -> Checked {
    write_file("f", "x")?;
    chmod("f", 0o666)?;
    same!(
        code(&accessat(CWD, "f", Access::EXEC_OK, AtFlags::empty())),
        "EACCES"
    );
    chmod("f", 0o001)?;
    same!(
        code(&accessat(CWD, "f", Access::EXEC_OK, AtFlags::empty())),
        "ok"
    );
    same!(code(&read_write("f")), "ok");
    Ok(())
}

fn protected_parent(_: &Cx) -> Checked {
    public("a")?;
    public("a/b")?;
    write_file("a/b/f", "x")?;
    same!(as_user(ALICE, || Ok(code(&lstat("a/b/f"))))?, "ok");
    chmod("a", 0o700)?;
    as_user(ALICE, || {
        same!(code(&lstat("a/b/f")), "EACCES");
        same!(code(&lstat("a/b/none")), "EACCES");
        same!(code(&mkdir("a/b/c")), "EACCES");
        Ok(())
    })
}

fn rename_needs_both(_: &Cx) -> Checked {
    public("a")?;
    public("b")?;
    write_file("a/f", "x")?;
    chmod("b", 0o755)?;
    same!(
        as_user(ALICE, || Ok(code(&rename("a/f", "b/f"))))?,
        "EACCES"
    );
    chmod("b", 0o777)?;
    chmod("a", 0o755)?;
    same!(
        as_user(ALICE, || Ok(code(&rename("a/f", "b/f"))))?,
        "EACCES"
    );
    chmod("a", 0o777)?;
    same!(as_user(ALICE, || Ok(code(&rename("a/f", "b/f"))))?, "ok");
    Ok(())
}
