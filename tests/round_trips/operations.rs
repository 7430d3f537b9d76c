//! The operations, each in the smallest program that does it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{Access, Timespec, Timestamps, UTIME_NOW};
use rustix::io::Errno;

use crate::support::TestMount;

/// How often each is done. The first is not counted.
pub(crate) const TURNS: usize = 6;

/// Names in the directories that are listed.
const LISTED: usize = 10;

/// One row of the table. All is done in `dir`, and each turn has names of its own.
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    /// The fewest requests with which the kernel can do it, whatever a daemon answers.
    pub(crate) least: &'static str,
    /// Fills the backing directory before the mount.
    pub(crate) setup: fn(&Path),
    /// Makes the kernel know what the row says that it knows.
    pub(crate) warm: fn(&TestMount),
    /// Does it, for a turn. A file that is put into the last argument stays open to the end.
    pub(crate) act: fn(&TestMount, usize, &mut Option<File>),
}

fn name(kind: &str, turn: usize) -> String {
    format!("dir/{kind}{turn}")
}

fn empty_dir(root: &Path) {
    fs::create_dir(root.join("dir")).unwrap();
}

/// Small files `dir/f0`, `dir/f1` …
fn files(root: &Path) {
    empty_dir(root);
    for turn in 0..TURNS {
        fs::write(root.join(name("f", turn)), [7; 100]).unwrap();
    }
}

fn directories(root: &Path) {
    empty_dir(root);
    for turn in 0..TURNS {
        fs::create_dir(root.join(name("d", turn))).unwrap();
    }
}

fn full_directories(root: &Path) {
    directories(root);
    for turn in 0..TURNS {
        for file in 0..LISTED {
            fs::write(root.join(name("d", turn)).join(format!("f{file}")), "x").unwrap();
        }
    }
}

fn links(root: &Path) {
    empty_dir(root);
    for turn in 0..TURNS {
        symlink("target", root.join(name("l", turn))).unwrap();
    }
}

fn attributes(root: &Path) {
    files(root);
    for turn in 0..TURNS {
        let path = root.join(name("f", turn));
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(path, "user.here", b"value", flags).unwrap();
    }
}

/// The kernel knows `dir`.
fn know_dir(mount: &TestMount) {
    fs::metadata(mount.path("dir")).unwrap();
}

/// It knows the attributes of all that `setup` made, too.
fn know_all(mount: &TestMount) {
    for turn in 0..TURNS {
        for kind in ["f", "d", "l"] {
            let _ = fs::symlink_metadata(mount.path(name(kind, turn)));
        }
    }
    know_dir(mount);
}

fn read_all(mount: &TestMount) {
    for turn in 0..TURNS {
        read(mount, turn, &mut None);
    }
    know_all(mount);
}

fn read(mount: &TestMount, turn: usize, _: &mut Option<File>) {
    let mut file = File::open(mount.path(name("f", turn))).unwrap();
    assert_eq!(file.read(&mut [0; 4096]).unwrap(), 100);
}

fn stat(mount: &TestMount, turn: usize, _: &mut Option<File>) {
    assert_eq!(
        fs::metadata(mount.path(name("f", turn))).unwrap().len(),
        100
    );
}

/// A new file for writing.
fn create(mount: &TestMount, turn: usize) -> File {
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true);
    options.open(mount.path(name("n", turn))).unwrap()
}

fn write_new(mount: &TestMount, turn: usize, _: &mut Option<File>) {
    let mut file = create(mount, turn);
    file.write_all(&[1; 4096]).unwrap();
}

fn list_names(mount: &TestMount, turn: usize, _: &mut Option<File>) {
    let entries = fs::read_dir(mount.path(name("d", turn))).unwrap();
    assert_eq!(entries.map(Result::unwrap).count(), LISTED);
}

fn list_with_stat(mount: &TestMount, turn: usize, _: &mut Option<File>) {
    let entries = fs::read_dir(mount.path(name("d", turn))).unwrap();
    for entry in entries {
        assert_eq!(entry.unwrap().metadata().unwrap().len(), 1);
    }
}

fn list_all_with_stat(mount: &TestMount) {
    // The second time tells the kernel that attributes are wanted (READDIRPLUS_AUTO).
    for turn in (0..TURNS).chain(0..TURNS) {
        list_with_stat(mount, turn, &mut None);
    }
}

fn readlink_all(mount: &TestMount) {
    for turn in 0..TURNS {
        fs::read_link(mount.path(name("l", turn))).unwrap();
    }
}

/// Asks for an attribute, of which a mount that has any says what is `expected`.
fn getxattr(mount: &TestMount, turn: usize, attribute: &str, expected: Result<usize, Errno>) {
    let expected = match mount.handle().filesystem().config().xattrs {
        true => expected,
        false => Err(Errno::OPNOTSUPP),
    };
    let found = rustix::fs::getxattr(mount.path(name("f", turn)), attribute, &mut [0; 64]);
    assert_eq!(found, expected);
}

const NOTHING: fn(&TestMount) = |_| {};

/// All of them, in the order of presentation.
pub(crate) const ALL: &[Operation] = &[
    Operation {
        name: "stat, known",
        least: "none",
        setup: files,
        warm: know_all,
        act: stat,
    },
    Operation {
        name: "stat, unknown",
        least: "LOOKUP",
        setup: files,
        warm: know_dir,
        act: stat,
    },
    Operation {
        name: "stat of an absent name, known to be absent",
        least: "none",
        setup: files,
        warm: |mount| {
            for turn in 0..TURNS {
                assert!(!mount.path(name("absent", turn)).exists());
            }
        },
        act: |mount, turn, _| {
            assert!(!mount.path(name("absent", turn)).exists());
        },
    },
    Operation {
        name: "access(2), known",
        least: "none",
        setup: files,
        warm: know_all,
        act: |mount, turn, _| {
            rustix::fs::access(mount.path(name("f", turn)), Access::READ_OK).unwrap();
        },
    },
    Operation {
        name: "open, close",
        least: "none",
        setup: files,
        warm: know_all,
        act: |mount, turn, _| {
            File::open(mount.path(name("f", turn))).unwrap();
        },
    },
    Operation {
        name: "open, read, close of a small file, read before",
        least: "none",
        setup: files,
        warm: read_all,
        act: read,
    },
    Operation {
        name: "open, fstat, read, close of a small file, read before",
        least: "none",
        setup: files,
        warm: read_all,
        act: |mount, turn, _| {
            let mut file = File::open(mount.path(name("f", turn))).unwrap();
            assert_eq!(file.metadata().unwrap().len(), 100);
            assert_eq!(file.read(&mut [0; 4096]).unwrap(), 100);
        },
    },
    Operation {
        name: "create, close",
        least: "CREATE, LOOKUP",
        setup: empty_dir,
        warm: know_dir,
        act: |mount, turn, _| {
            create(mount, turn);
        },
    },
    Operation {
        name: "create for reading and writing, close",
        least: "CREATE, LOOKUP",
        setup: empty_dir,
        warm: know_dir,
        act: |mount, turn, _| {
            File::create_new(mount.path(name("n", turn))).unwrap();
        },
    },
    Operation {
        name: "create, write 4 KiB, close",
        least: "CREATE, LOOKUP",
        setup: empty_dir,
        warm: know_dir,
        act: write_new,
    },
    Operation {
        name: "stat after creation",
        least: "none",
        setup: empty_dir,
        warm: |mount| {
            for turn in 0..TURNS {
                create(mount, turn);
            }
            know_dir(mount);
        },
        act: |mount, turn, _| {
            fs::metadata(mount.path(name("n", turn))).unwrap();
        },
    },
    Operation {
        name: "stat after creation, write and close",
        least: "GETATTR",
        setup: empty_dir,
        warm: |mount| {
            for turn in 0..TURNS {
                write_new(mount, turn, &mut None);
            }
            know_dir(mount);
        },
        act: |mount, turn, _| {
            fs::metadata(mount.path(name("n", turn))).unwrap();
        },
    },
    Operation {
        name: "write 4 KiB to an open file",
        least: "none",
        setup: files,
        warm: know_all,
        act: |mount, _, open| {
            let file = open.get_or_insert_with(|| {
                let mut options = OpenOptions::new();
                options.write(true).open(mount.path("dir/f0")).unwrap()
            });
            file.write_all_at(&[1; 4096], 0).unwrap();
        },
    },
    Operation {
        name: "list a directory, unknown",
        least: "2 READDIR",
        setup: full_directories,
        warm: know_all,
        act: list_names,
    },
    Operation {
        name: "list a directory, known",
        least: "none",
        setup: full_directories,
        warm: list_all_with_stat,
        act: list_names,
    },
    Operation {
        name: "list a directory of 10 and stat each, unknown",
        least: "READDIR, READDIRPLUS",
        setup: full_directories,
        warm: know_all,
        act: list_with_stat,
    },
    Operation {
        name: "list a directory of 10 and stat each, known",
        least: "none",
        setup: full_directories,
        warm: list_all_with_stat,
        act: list_with_stat,
    },
    Operation {
        name: "readlink, read before",
        least: "none",
        setup: links,
        warm: readlink_all,
        act: |mount, turn, _| {
            fs::read_link(mount.path(name("l", turn))).unwrap();
        },
    },
    Operation {
        name: "mkdir",
        least: "LOOKUP, MKDIR",
        setup: empty_dir,
        warm: know_dir,
        act: |mount, turn, _| {
            fs::create_dir(mount.path(name("n", turn))).unwrap();
        },
    },
    Operation {
        name: "symlink",
        least: "LOOKUP, SYMLINK",
        setup: empty_dir,
        warm: know_dir,
        act: |mount, turn, _| {
            symlink("target", mount.path(name("n", turn))).unwrap();
        },
    },
    Operation {
        name: "link",
        least: "LINK, LOOKUP",
        setup: files,
        warm: know_all,
        act: |mount, turn, _| {
            fs::hard_link(mount.path(name("f", turn)), mount.path(name("n", turn))).unwrap();
        },
    },
    Operation {
        name: "rename to a new name",
        least: "LOOKUP, RENAME",
        setup: files,
        warm: know_all,
        act: |mount, turn, _| {
            fs::rename(mount.path(name("f", turn)), mount.path(name("n", turn))).unwrap();
        },
    },
    Operation {
        name: "unlink",
        least: "UNLINK",
        setup: files,
        warm: know_all,
        act: |mount, turn, _| {
            fs::remove_file(mount.path(name("f", turn))).unwrap();
        },
    },
    Operation {
        name: "rmdir",
        least: "RMDIR",
        setup: directories,
        warm: know_all,
        act: |mount, turn, _| {
            fs::remove_dir(mount.path(name("d", turn))).unwrap();
        },
    },
    Operation {
        name: "chmod",
        least: "SETATTR",
        setup: files,
        warm: know_all,
        act: |mount, turn, _| {
            let permissions = Permissions::from_mode(0o600);
            fs::set_permissions(mount.path(name("f", turn)), permissions).unwrap();
        },
    },
    Operation {
        name: "utimensat",
        least: "SETATTR",
        setup: files,
        warm: know_all,
        act: |mount, turn, _| {
            let now = Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_NOW,
            };
            let times = Timestamps {
                last_access: now,
                last_modification: now,
            };
            let flags = rustix::fs::AtFlags::empty();
            let path = mount.path(name("f", turn));
            rustix::fs::utimensat(rustix::fs::CWD, path, &times, flags).unwrap();
        },
    },
    Operation {
        name: "open with O_TRUNC, close",
        least: "SETATTR",
        setup: files,
        warm: know_all,
        act: |mount, turn, _| {
            File::create(mount.path(name("f", turn))).unwrap();
        },
    },
    Operation {
        name: "getxattr, present, asked before",
        least: "GETXATTR",
        setup: attributes,
        warm: know_all,
        act: |mount, turn, _| {
            getxattr(mount, turn, "user.here", Ok(5));
        },
    },
    Operation {
        name: "getxattr, absent",
        least: "GETXATTR",
        setup: files,
        warm: know_all,
        act: |mount, turn, _| {
            getxattr(mount, turn, "user.gone", Err(Errno::NODATA));
        },
    },
    Operation {
        name: "statfs",
        least: "STATFS",
        setup: empty_dir,
        warm: NOTHING,
        act: |mount, _, _| {
            rustix::fs::statfs(mount.root()).unwrap();
        },
    },
];
