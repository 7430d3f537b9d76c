//! Random operations on a memory storage and on a directory of the kernel (tmpfs where there is
//! one): each must give the same result, and both the same tree.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use dynamicfs::storage::*;
use proptest::prelude::*;
use rustix::fs::RenameFlags;

#[derive(Debug, Clone)]
enum Step {
    Create(String, bool),
    Write(String, u64, usize, u8),
    Truncate(String, u64),
    Rename(String, String),
    Link(String, String),
    Unlink(String),
    Mkdir(String),
    Rmdir(String),
    Symlink(String),
    List(String),
}

/// Few names and mostly short paths, so that operations meet each other.
fn path() -> impl Strategy<Value = String> {
    let names = |n| prop::collection::vec(prop::sample::select(vec!["a", "b"]), n);
    prop_oneof![4 => names(1), 3 => names(2), 1 => names(3)].prop_map(|names| names.join("/"))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (path(), any::<bool>()).prop_map(|(p, x)| Step::Create(p, x)),
        4 => (path(), 0..20_000u64, 1..9000usize, 1..=255u8)
            .prop_map(|(p, o, l, b)| Step::Write(p, o, l, b)),
        3 => (path(), 0..20_000u64).prop_map(|(p, s)| Step::Truncate(p, s)),
        4 => (path(), path()).prop_map(|(p, q)| Step::Rename(p, q)),
        2 => (path(), path()).prop_map(|(p, q)| Step::Link(p, q)),
        2 => path().prop_map(Step::Unlink),
        3 => path().prop_map(Step::Mkdir),
        2 => path().prop_map(Step::Rmdir),
        1 => path().prop_map(Step::Symlink),
        1 => path().prop_map(Step::List),
    ]
}

type Names = Vec<String>;

/// Where every symbolic link of the test leads; there is nothing there.
const DANGLING: &str = "nowhere";

fn on_kernel(root: &Path, step: &Step) -> Result<Names> {
    let at = |path: &str| root.join(path);
    let open = |path: &str| {
        let mut options = OpenOptions::new();
        options.write(true).custom_flags(libc::O_NOFOLLOW);
        options.open(at(path))
    };
    let done = match step {
        Step::Create(path, exclusive) => OpenOptions::new()
            .write(true)
            .create(true)
            .create_new(*exclusive)
            .mode(0o644)
            .custom_flags(libc::O_NOFOLLOW)
            .open(at(path))
            .map(drop),
        Step::Write(path, offset, len, byte) => {
            open(path).and_then(|file| file.write_all_at(&vec![*byte; *len], *offset))
        }
        Step::Truncate(path, size) => open(path).and_then(|file| file.set_len(*size)),
        Step::Rename(from, to) => fs::rename(at(from), at(to)),
        Step::Link(from, to) => fs::hard_link(at(from), at(to)),
        Step::Unlink(path) => fs::remove_file(at(path)),
        Step::Mkdir(path) => DirBuilder::new().mode(0o755).create(at(path)),
        Step::Rmdir(path) => fs::remove_dir(at(path)),
        Step::Symlink(path) => symlink(DANGLING, at(path)),
        Step::List(path) => return list_kernel(&at(path)).map_err(errno),
    };
    done.map(|()| Vec::new()).map_err(errno)
}

fn errno(error: io::Error) -> Errno {
    Errno::from_io_error(&error).expect("an error of the kernel")
}

fn list_kernel(path: &Path) -> io::Result<Names> {
    let mut names: Names = fs::read_dir(path)?
        .map(|entry| {
            Ok(entry?
                .file_name()
                .into_string()
                .expect("the test's own names"))
        })
        .collect::<io::Result<_>>()?;
    names.sort();
    Ok(names)
}

struct Memory {
    storage: MemoryStorage,
    caller: Caller,
}

impl Memory {
    fn lookup(&self, parent: Ino, name: &str) -> Result<Attr> {
        let attr = self
            .storage
            .lookup(&self.caller, parent, OsStr::new(name))?
            .attr;
        self.storage.forget(attr.ino, 1);
        Ok(attr)
    }

    /// The directory that holds the last name of `path`, and that name.
    fn parent<'p>(&self, path: &'p str) -> Result<(Ino, &'p OsStr)> {
        let (dirs, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut ino = ROOT_INO;
        for dir in dirs.split('/').filter(|dir| !dir.is_empty()) {
            ino = self.enter(self.lookup(ino, dir)?)?;
        }
        Ok((ino, OsStr::new(name)))
    }

    /// What the kernel does with an inode on the way: it follows links, which here lead nowhere.
    fn enter(&self, attr: Attr) -> Result<Ino> {
        match attr.kind {
            FileKind::Directory => Ok(attr.ino),
            FileKind::Symlink => Err(Errno::NOENT),
            _ => Err(Errno::NOTDIR),
        }
    }

    fn find(&self, path: &str) -> Result<Attr> {
        let (parent, name) = self.parent(path)?;
        self.lookup(parent, name.to_str().expect("the test's own names"))
    }

    fn with_open(&self, path: &str, act: impl FnOnce(Ino, Fh) -> Result<()>) -> Result<()> {
        let ino = self.find(path)?.ino;
        let fh = self.storage.open(&self.caller, ino, OpenFlags::WRONLY)?;
        let done = act(ino, fh);
        self.storage.release(ino, fh)?;
        done
    }

    fn forget(&self, entry: Entry) {
        self.storage.forget(entry.attr.ino, 1);
    }

    fn run(&self, step: &Step) -> Result<Names> {
        let (fs, caller) = (&self.storage, &self.caller);
        let mode = |mode| CreateMode { mode, umask: 0o022 };
        match step {
            Step::Create(path, exclusive) => {
                let (parent, name) = self.parent(path)?;
                let excl = if *exclusive {
                    OpenFlags::EXCL
                } else {
                    OpenFlags::empty()
                };
                let flags = OpenFlags::WRONLY | excl;
                let (entry, fh) = fs.create(caller, parent, name, mode(0o644), flags)?;
                fs.release(entry.attr.ino, fh)?;
                self.forget(entry);
            }
            Step::Write(path, offset, len, byte) => self.with_open(path, |ino, fh| {
                let data = vec![*byte; *len];
                let n = fs.write(caller, ino, fh, *offset, &data, WriteFlags::default())?;
                assert_eq!(n, *len);
                Ok(())
            })?,
            Step::Truncate(path, size) => self.with_open(path, |ino, fh| {
                let changes = SetAttr {
                    size: Some(*size),
                    fh: Some(fh),
                    ..SetAttr::default()
                };
                fs.setattr(caller, ino, &changes).map(drop)
            })?,
            Step::Rename(from, to) => {
                let ((p, n), (q, m)) = (self.parent(from)?, self.parent(to)?);
                fs.rename(caller, p, n, q, m, RenameFlags::empty())?;
            }
            Step::Link(from, to) => {
                let ino = self.find(from)?.ino;
                let (parent, name) = self.parent(to)?;
                self.forget(fs.link(caller, ino, parent, name)?);
            }
            Step::Unlink(path) => {
                let (parent, name) = self.parent(path)?;
                fs.unlink(caller, parent, name)?;
            }
            Step::Mkdir(path) => {
                let (parent, name) = self.parent(path)?;
                self.forget(fs.mkdir(caller, parent, name, mode(0o777))?);
            }
            Step::Rmdir(path) => {
                let (parent, name) = self.parent(path)?;
                fs.rmdir(caller, parent, name)?;
            }
            Step::Symlink(path) => {
                let (parent, name) = self.parent(path)?;
                self.forget(fs.symlink(caller, parent, name, Path::new(DANGLING))?);
            }
            Step::List(path) => return self.list(self.enter(self.find(path)?)?),
        }
        Ok(Vec::new())
    }

    fn list(&self, ino: Ino) -> Result<Names> {
        let mut names = Names::new();
        let fh = self.storage.opendir(&self.caller, ino)?;
        self.storage.readdir(ino, fh, 0, &mut |entry| {
            let name = entry.name.to_str().expect("the test's own names");
            if name != "." && name != ".." {
                names.push(name.to_owned());
            }
            DirSink::Taken
        })?;
        self.storage.releasedir(ino, fh)?;
        names.sort();
        Ok(names)
    }

    fn tree(&self, ino: Ino, path: &Path, into: &mut BTreeMap<PathBuf, Object>) {
        let fs = &self.storage;
        for name in self.list(ino).unwrap() {
            let attr = self.lookup(ino, &name).unwrap();
            let path = path.join(&name);
            let mut content = vec![0; attr.size as usize];
            match attr.kind {
                FileKind::Directory => {
                    self.tree(attr.ino, &path, into);
                    content.clear();
                }
                FileKind::Symlink => {
                    content = fs
                        .readlink(attr.ino)
                        .unwrap()
                        .into_os_string()
                        .into_encoded_bytes();
                }
                _ => assert_eq!(fs.read(attr.ino, 0, 0, &mut content), Ok(content.len())),
            }
            let mode = attr.kind.mode_bits() | u32::from(attr.perm);
            into.insert(path, (mode, attr.nlink, attr.uid, attr.gid, content));
        }
    }
}

/// Mode, links, owner, group, contents or target.
type Object = (u32, u32, u32, u32, Vec<u8>);

fn kernel_tree(dir: &Path, path: &Path, into: &mut BTreeMap<PathBuf, Object>) {
    for name in list_kernel(dir).unwrap() {
        let (real, path) = (dir.join(&name), path.join(&name));
        let meta = fs::symlink_metadata(&real).unwrap();
        let content = if meta.is_dir() {
            kernel_tree(&real, &path, into);
            Vec::new()
        } else if meta.is_symlink() {
            fs::read_link(&real)
                .unwrap()
                .into_os_string()
                .into_encoded_bytes()
        } else {
            fs::read(&real).unwrap()
        };
        let links = u32::try_from(meta.nlink()).unwrap();
        into.insert(path, (meta.mode(), links, meta.uid(), meta.gid(), content));
    }
}

/// A directory on tmpfs if there is one, and on the temporary directory's file system otherwise.
fn real_directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a temporary directory")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn memory_and_kernel_agree(steps in prop::collection::vec(step(), 40..120)) {
        let real = real_directory();
        let memory = Memory {
            storage: MemoryStorage::new(),
            caller: Caller {
                uid: rustix::process::geteuid().as_raw(),
                gid: rustix::process::getegid().as_raw(),
                pid: 0,
                keeps_set_ids: true,
                directory_group: None,
                label: None,
            },
        };
        for step in &steps {
            prop_assert_eq!(memory.run(step), on_kernel(real.path(), step), "{:?}", step);
        }
        let (mut ours, mut theirs) = (BTreeMap::new(), BTreeMap::new());
        memory.tree(ROOT_INO, Path::new(""), &mut ours);
        kernel_tree(real.path(), Path::new(""), &mut theirs);
        prop_assert_eq!(&ours, &theirs);
        // An inode with n links has n paths; the root has none. Nothing else is left.
        let mut paths_by_links = BTreeMap::new();
        for (mode, links, ..) in ours.values() {
            let is_dir = mode & libc::S_IFMT == libc::S_IFDIR;
            let links = if is_dir { 1 } else { u64::from(*links) };
            *paths_by_links.entry(links).or_insert(0) += 1;
        }
        let inodes: u64 = paths_by_links.iter().map(|(links, paths)| paths / links).sum();
        prop_assert_eq!(memory.storage.inode_count(), 1 + inodes);
    }
}
