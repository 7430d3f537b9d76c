//! A tree with many more inodes than descriptors. Alone in its process, because the limit is
//! the process's.

use std::fs;

use dynamicfs::storage::*;
use rustix::fs::OFlags;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[test]
fn many_inodes_few_descriptors() {
    let shared = "/dev/shm";
    let base = if fs::metadata(shared).is_ok() {
        shared
    } else {
        "/tmp"
    };
    let tree = tempfile::tempdir_in(base).unwrap();
    let (directories, files) = (60, 1000);
    for d in 0..directories {
        fs::create_dir(tree.path().join(format!("d{d}"))).unwrap();
        for f in 0..files {
            fs::File::create(tree.path().join(format!("d{d}/f{f}"))).unwrap();
        }
    }
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = Some(256);
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
    for handles in [true, false] {
        let builder = LocalStorage::builder(tree.path()).file_handles(handles);
        let s = builder.build().unwrap();
        let root = &Caller::ROOT;
        let mut inodes = Vec::new();
        for d in 0..directories {
            let dir = s.lookup(root, ROOT_INO, format!("d{d}").as_ref()).unwrap();
            inodes.push(dir.attr);
            for f in 0..files {
                let file = s.lookup(root, dir.attr.ino, format!("f{f}").as_ref());
                inodes.push(file.unwrap().attr);
            }
        }
        assert_eq!(s.statistics().inodes, inodes.len() + 1);
        for attr in &inodes {
            assert_eq!(s.getattr(attr.ino, None).as_ref(), Ok(attr));
        }
        assert!(s.statistics().descriptors <= 64);
        // Cached descriptors give way to open files.
        let file = inodes[1].ino;
        let mut open = Vec::new();
        let full = loop {
            match s.open(root, file, OFlags::RDONLY) {
                Ok(fh) => open.push(fh),
                Err(error) => break error,
            }
        };
        assert_eq!(full, Errno::MFILE);
        assert!(
            open.len() > 200,
            "only {} files could be opened",
            open.len()
        );
        for fh in open {
            s.release(file, fh).unwrap();
        }
        for attr in &inodes {
            s.forget(attr.ino, 1);
        }
        assert_eq!(s.statistics().inodes, 1);
        assert_eq!(s.statistics().descriptors, 0);
    }
}
