//! Readahead on a real mount. Needs root and `/dev/fuse`.

use std::fs::{self, File};
use std::io::Read;

use dynamicfs::readahead::bdi;
use dynamicfs::storage::MemoryStorage;
use dynamicfs::{DynamicFS, IoMode, OptimizedFUSEConfig, mount};

const BLOCK: usize = 64 * 1024;

fn config() -> OptimizedFUSEConfig {
    let mut config = OptimizedFUSEConfig::balanced();
    config.readahead_size = 256 * 1024;
    config
}

fn mounted(config: OptimizedFUSEConfig) -> (mount::MountHandle, tempfile::TempDir) {
    let options = config.to_mount_options();
    let fs = DynamicFS::new_with_config(Box::new(MemoryStorage::new()), config);
    let dir = tempfile::tempdir().expect("a directory");
    let handle = mount::spawn(fs, dir.path(), &options).expect("mounted");
    (handle, dir)
}

#[test]
fn the_window_of_the_kernel_is_raised() {
    let (handle, dir) = mounted(config());
    assert_eq!(bdi::current(dir.path()).expect("a window"), 256);
    let raised = bdi::raise(dir.path(), 1 << 20).expect("raised");
    assert_eq!((raised.before_kb, raised.after_kb), (256, 1024));
    let raised = bdi::raise(dir.path(), 4096).expect("nothing to do");
    assert_eq!((raised.before_kb, raised.after_kb), (1024, 1024));
    handle.unmount().expect("unmounted");
    let error = bdi::current(dir.path()).expect_err("no longer mounted");
    assert!(matches!(error, bdi::BdiError::NotFuse { .. }), "{error}");
}

#[test]
fn a_sequence_is_fetched_ahead_and_a_write_is_seen() {
    let mut config = config();
    config.io_mode = IoMode::Direct;
    let (handle, dir) = mounted(config);
    let path = dir.path().join("file");
    let mut data: Vec<u8> = (0..64 * BLOCK).map(|i| (i / 11 % 253) as u8).collect();
    fs::write(&path, &data).expect("written");

    let mut file = File::open(&path).expect("open");
    let mut seen = vec![0; data.len()];
    let half = data.len() / 2;
    for part in seen[..half].chunks_mut(BLOCK) {
        file.read_exact(part).expect("read");
    }
    // Lies in what has been fetched by now.
    let at = half + BLOCK / 2;
    data[at..at + 3].copy_from_slice(b"new");
    let writer = File::options().write(true).open(&path).expect("open");
    std::os::unix::fs::FileExt::write_all_at(&writer, b"new", at as u64).expect("written");
    for part in seen[half..].chunks_mut(BLOCK) {
        file.read_exact(part).expect("read");
    }
    assert!(seen == data);
    let figures = handle.statistics().readahead.expect("it is on");
    assert_eq!(figures.hits + figures.misses, 64);
    assert!(figures.hits >= 60, "{figures:?}");
    assert!(
        figures.triggered > 0 && figures.bytes_prefetched > 0,
        "{figures:?}"
    );
    drop((file, writer));
    handle.unmount().expect("unmounted");
}
