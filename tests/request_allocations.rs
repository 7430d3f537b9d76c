//! What a request of the native transport allocates, from its bytes to those of its answer, on a local directory.
//!
//! Memory of a request comes from the heap for what outlives it (an inode, an open file, a cached descriptor)
//! and for nothing else. A count that rises is to be undone; one that falls is to be entered here.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::CString;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dynamicfs::storage::{LocalStorage, ROOT_INO};
use dynamicfs::transport::Wire;
use dynamicfs::{DynamicFS, OptimizedFUSEConfig, TransportChoice};

/// Files, and so requests of a kind: tables that double are then few among many.
const FILES: usize = 1000;

static ALLOCATED: AtomicU64 = AtomicU64::new(0);

/// The system's allocator, counted.
struct Counted;

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATED.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counted = Counted;

/// Operation codes of `fuse.h`.
mod op {
    pub(super) const LOOKUP: u32 = 1;
    pub(super) const GETATTR: u32 = 3;
    pub(super) const UNLINK: u32 = 10;
    pub(super) const RENAME: u32 = 12;
    pub(super) const OPEN: u32 = 14;
    pub(super) const RELEASE: u32 = 18;
    pub(super) const GETXATTR: u32 = 22;
    pub(super) const CREATE: u32 = 35;
}

/// A session on a directory.
struct Session {
    wire: Wire,
    names: Vec<CString>,
    renamed: Vec<CString>,
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_ne_bytes(bytes[..8].try_into().expect("8 bytes"))
}

fn numbers<const N: usize>(numbers: [u32; N]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_ne_bytes()).collect()
}

impl Session {
    fn on(directory: &Path) -> Session {
        let storage = LocalStorage::open(directory).expect("it opens");
        let config = OptimizedFUSEConfig::high_performance();
        let fs = Arc::new(DynamicFS::new_with_config(Box::new(storage), config));
        let named = |prefix| {
            let name = |n| CString::new(format!("{prefix}{n}")).expect("no NUL");
            (0..FILES).map(name).collect()
        };
        Session {
            wire: Wire::to(TransportChoice::Linux, fs).expect("a session"),
            names: named("file"),
            renamed: named("other"),
        }
    }

    /// Asks once for each file; returns the allocations of one, rounded down, and what `kept` takes of each
    /// answer.
    fn each<const N: usize>(
        &mut self,
        operation: u32,
        request: impl Fn(usize, &Session) -> (u64, Vec<u8>),
        kept: impl Fn(&[u8]) -> [u64; N],
    ) -> (u64, Vec<[u64; N]>) {
        let requests: Vec<_> = (0..FILES).map(|n| request(n, self)).collect();
        let mut taken = Vec::with_capacity(FILES);
        // The way of a request that is asked first has tables and threads still to make.
        let before = ALLOCATED.load(Ordering::Relaxed);
        for (node, body) in &requests {
            let answer = self.wire.ask(operation, *node, &[body]);
            match answer {
                Ok(answer) => taken.push(kept(answer)),
                Err(error) if error.raw_os_error() == Some(libc::ENODATA) => {}
                Err(error) => panic!("{operation}: {error}"),
            }
        }
        let all = ALLOCATED.load(Ordering::Relaxed) - before;
        (all / FILES as u64, taken)
    }
}

#[test]
fn a_request_allocates_what_outlives_it() {
    // Without root inodes are known by their names, which are memory too.
    if !rustix::process::geteuid().is_root() {
        assert!(
            std::env::var_os("CI").is_none(),
            "in CI, there must be root"
        );
        eprintln!("SKIPPED: needs root");
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let session = &mut Session::on(directory.path());
    let nothing = |_: &[u8]| [0; 0];
    let mut counted = Vec::new();

    // `fuse_create_in` and a name; `fuse_entry_out` and `fuse_open_out`.
    let flags = numbers([libc::O_RDWR as u32, libc::S_IFREG | 0o644, 0, 0]);
    let create =
        |n: usize, s: &Session| (ROOT_INO, [&*flags, s.names[n].to_bytes_with_nul()].concat());
    let (count, made) = session.each(op::CREATE, create, |answer| {
        [number(answer), number(&answer[128..])]
    });
    counted.push(("CREATE", count));
    let close = |n: usize, _: &Session| {
        let [node, handle] = made[n];
        let rest = numbers([libc::O_RDWR as u32, 0, 0, 0]);
        (node, [&handle.to_ne_bytes()[..], &rest].concat())
    };
    counted.push(("RELEASE", session.each(op::RELEASE, close, nothing).0));
    let name = |n: usize, s: &Session| (ROOT_INO, s.names[n].to_bytes_with_nul().to_vec());
    counted.push(("LOOKUP", session.each(op::LOOKUP, name, nothing).0));
    let of_node = |n: usize, _: &Session| (made[n][0], vec![0; 16]);
    counted.push(("GETATTR", session.each(op::GETATTR, of_node, nothing).0));
    let absent = |n: usize, _: &Session| {
        let name = b"security.capability\0";
        (made[n][0], [&numbers([32, 0])[..], name].concat())
    };
    counted.push((
        "GETXATTR, absent",
        session.each(op::GETXATTR, absent, nothing).0,
    ));
    let to_read = |n: usize, _: &Session| (made[n][0], numbers([libc::O_RDONLY as u32, 0]));
    counted.push(("OPEN", session.each(op::OPEN, to_read, nothing).0));
    let rename = |n: usize, s: &Session| {
        let names = [
            s.names[n].to_bytes_with_nul(),
            s.renamed[n].to_bytes_with_nul(),
        ];
        (
            ROOT_INO,
            [&ROOT_INO.to_ne_bytes()[..], &names.concat()].concat(),
        )
    };
    counted.push(("RENAME", session.each(op::RENAME, rename, nothing).0));
    let remove = |n: usize, s: &Session| (ROOT_INO, s.renamed[n].to_bytes_with_nul().to_vec());
    counted.push(("UNLINK", session.each(op::UNLINK, remove, nothing).0));

    // An inode, its open file and the descriptor of that; a descriptor and its place among those that are
    // kept; a value, be it that there is none; what keeps a removed inode within reach.
    let expected = [
        ("CREATE", 4),
        ("RELEASE", 0),
        ("LOOKUP", 0),
        ("GETATTR", 2),
        ("GETXATTR, absent", 1),
        ("OPEN", 2),
        ("RENAME", 0),
        ("UNLINK", 1),
    ];
    assert_eq!(counted, expected);
}
