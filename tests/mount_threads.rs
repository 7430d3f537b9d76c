//! Many threads at once on one mount: nothing is lost, mixed up or forgotten.

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use dynamicfs::storage::MemoryStorage;
use support::{DEADLINE, Lcg, TestMount, can_mount, wait_for};

const THREADS: u64 = 8;
const STEPS: usize = 150;

/// Works in a directory of its own and keeps book of what must be in it.
fn work_alone(root: &Path, seed: u64) -> BTreeMap<String, Vec<u8>> {
    let dir = root.join(format!("own-{seed}"));
    fs::create_dir(&dir).unwrap();
    let mut numbers = Lcg(seed + 100);
    let mut book = BTreeMap::new();
    for _ in 0..STEPS {
        let name = format!("f{}", numbers.below(20));
        let path = dir.join(&name);
        match numbers.below(6) {
            0 | 1 => {
                let len = numbers.below(20_000) as usize;
                let data = numbers.bytes(len);
                fs::write(&path, &data).unwrap();
                book.insert(name, data);
            }
            2 => match (fs::remove_file(&path), book.remove(&name)) {
                (Ok(()), Some(_)) => {}
                (Err(error), None) => assert_eq!(error.kind(), ErrorKind::NotFound),
                (done, known) => panic!("{name}: {done:?}, but known: {}", known.is_some()),
            },
            3 => {
                let other = format!("f{}", numbers.below(20));
                if let (Some(data), true) = (book.get(&name).cloned(), other != name) {
                    fs::rename(&path, dir.join(&other)).unwrap();
                    book.remove(&name);
                    book.insert(other, data);
                }
            }
            4 => {
                if let Some(data) = book.get_mut(&name) {
                    let file = File::options().write(true).open(&path).unwrap();
                    file.set_len(100).unwrap();
                    data.resize(100, 0);
                    file.write_all_at(b"end", 100).unwrap();
                    data.extend(b"end");
                }
            }
            _ => {
                let found = fs::read(&path).ok();
                assert!(found == book.get(&name).cloned(), "{name} differs");
            }
        }
    }
    book
}

/// Fights with the others over few names in one directory.
fn work_together(root: &Path, seed: u64) {
    let dir = root.join("common");
    let mut numbers = Lcg(seed + 200);
    for _ in 0..STEPS {
        let path = dir.join(format!("n{}", numbers.below(5)));
        let other = dir.join(format!("n{}", numbers.below(5)));
        let outcome = match numbers.below(8) {
            0 => fs::create_dir(&path),
            1 => fs::remove_dir(&path),
            2 => fs::remove_file(&path),
            3 => fs::rename(&path, &other),
            4 => fs::hard_link(&path, &other),
            5 => std::os::unix::fs::symlink("target", &path),
            6 => fs::read_dir(&dir).map(|entries| {
                entries.for_each(|entry| drop(entry.unwrap()));
            }),
            _ => File::create(&path).and_then(|mut file| file.write_all(b"x")),
        };
        if let Err(error) = outcome {
            let number = error.raw_os_error().expect("an error of the kernel");
            let usual = [
                libc::ENOENT,
                libc::EEXIST,
                libc::EISDIR,
                libc::ENOTDIR,
                libc::ENOTEMPTY,
                libc::EPERM,
                // A file that another thread removes between lookup and use.
                libc::ESTALE,
                // A symbolic link to a name that is itself.
                libc::ELOOP,
            ];
            assert!(usual.contains(&number), "{path:?}: {error}");
        }
    }
}

fn hammer(mount: &TestMount, case: &str) {
    let held = mount.handle().statistics().inodes;
    fs::create_dir(mount.path("common")).unwrap();
    let books: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|seed| {
                scope.spawn(move || {
                    let book = work_alone(mount.root(), seed);
                    work_together(mount.root(), seed);
                    book
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    for (seed, book) in books.iter().enumerate() {
        let dir = mount.path(format!("own-{seed}"));
        let listed = fs::read_dir(&dir).unwrap();
        let mut names: Vec<_> = listed
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert!(names.iter().eq(book.keys()), "{case}: names of {seed}");
        for (name, data) in book {
            assert!(
                fs::read(dir.join(name)).unwrap() == *data,
                "{case}: {seed}/{name}"
            );
        }
    }
    for entry in fs::read_dir(mount.root()).unwrap() {
        fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    wait_for("everything is released and forgotten", DEADLINE, || {
        let now = mount.handle().statistics();
        now.open_files == 0 && now.inodes <= held
    });
}

#[test]
fn eight_threads_over_a_directory_under_every_preset() {
    if !can_mount("threads over a directory") {
        return;
    }
    for (name, config) in support::presets() {
        let mount = TestMount::local(config);
        hammer(&mount, &name);
        assert_eq!(
            fs::read_dir(mount.backing("")).unwrap().count(),
            0,
            "{name}"
        );
    }
}

#[test]
fn eight_threads_over_memory_under_every_preset() {
    if !can_mount("threads over memory") {
        return;
    }
    for (name, config) in support::presets() {
        let mount = TestMount::of(Box::new(MemoryStorage::new()), config);
        hammer(&mount, &name);
    }
}
