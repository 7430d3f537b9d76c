//! Every notification that the kernel understands, sent to one: what it does then. Needs root and `/dev/fuse`.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::mem::MaybeUninit;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use rustix::mount::MountFlags;
use tempfile::TempDir;

use super::buffer::{Buffers, ReceiveBuffer};
use super::device::Device;
use super::mount::Mount;
use super::options::Options;
use super::serve::{self, Context};
use super::session::LinuxSession;
use super::wire::abi::UNIQUE_RESEND;
use super::wire::{Notification, Operation, Request};
use crate::config::OptimizedFUSEConfig;
use crate::filesystem::DynamicFS;
use crate::platform;
use crate::storage::{Caller, FilesystemInterface, Ino, MemoryStorage, ROOT_INO};
use crate::transport::capability::Capability;
use crate::transport::{Negotiation, Session};

/// Long enough for a loaded machine.
const DEADLINE: Duration = Duration::from_secs(20);

fn can_mount(case: &str) -> bool {
    let possible = rustix::process::geteuid().is_root() && Path::new("/dev/fuse").exists();
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(possible || !ci, "{case} needs root and /dev/fuse");
    if !possible {
        eprintln!("SKIPPED {case}: needs root and /dev/fuse");
    }
    possible
}

/// A storage in memory, mounted for ever-lasting caches, and served by one thread of the test.
struct Served {
    storage: Arc<MemoryStorage>,
    context: Arc<Context>,
    /// Version of the protocol, minor number.
    minor: u32,
    /// Whether the handshake took `HAS_RESEND`.
    resends: bool,
    /// Whether it took `HAS_EXPIRE_ONLY`.
    expires: bool,
    mountpoint: PathBuf,
    /// The next request that waits for an answer is to be dropped.
    drops: Arc<AtomicBool>,
    /// Numbers of requests that were dropped, and of those that were asked for again.
    dropped: Receiver<u64>,
    /// Numbers and contents of what was retrieved.
    retrieved: Receiver<(u64, Vec<u8>)>,
    thread: Option<JoinHandle<()>>,
    _dir: TempDir,
}

fn in_force(negotiation: &Negotiation, capability: Capability) -> bool {
    let items = &negotiation.items;
    let item = items.iter().find(|item| item.name == capability.name());
    item.is_some_and(|item| item.effective == "yes")
}

impl Served {
    fn new() -> Served {
        let dir = tempfile::tempdir().expect("a directory");
        let storage = Arc::new(MemoryStorage::new());
        let config = OptimizedFUSEConfig::balanced();
        let options = Options::new(&config, &config.to_mount_options());
        let fs = DynamicFS::new_with_config(Box::new(storage.clone()), config);
        let (device, mount) = Mount::make(dir.path(), &options).expect("mounted");
        let session = LinuxSession::begin(Arc::new(fs), Device::new(device), None);
        let session = session.expect("a handshake");
        mount.keep();
        let context = session.context();
        let drops = Arc::new(AtomicBool::new(false));
        let (drop_told, dropped) = channel();
        let (tell, retrieved) = channel();
        let server = Server {
            context: context.clone(),
            drops: drops.clone(),
            dropped: drop_told,
            retrieved: tell,
        };
        Served {
            storage,
            minor: session.negotiation().kernel_abi.1,
            resends: in_force(session.negotiation(), Capability::HasResend),
            expires: in_force(session.negotiation(), Capability::HasExpireOnly),
            mountpoint: dir.path().to_owned(),
            drops,
            dropped,
            retrieved,
            thread: Some(std::thread::spawn(move || server.run())),
            context,
            _dir: dir,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.mountpoint.join(name)
    }

    fn send(&self, notification: &Notification<'_>) -> rustix::io::Result<()> {
        self.context.device.send(&notification.slices())
    }

    /// A file of `content`, which the kernel has looked up: open, with its number.
    fn file(&self, name: &str, content: &[u8]) -> (File, Ino) {
        fs::write(self.path(name), content).expect("written");
        let file = File::open(self.path(name)).expect("opened");
        let ino = file.metadata().expect("attributes").ino();
        (file, ino)
    }

    /// Removes a name behind the kernel, which still has it afterwards.
    fn remove_behind(&self, parent: Ino, name: &str) {
        let unlinked = self.storage.unlink(&Caller::ROOT, parent, OsStr::new(name));
        unlinked.expect("there");
    }

    fn exists(&self, name: &str) -> bool {
        fs::metadata(self.path(name)).is_ok()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let unmounted = platform::unmount(&self.mountpoint, true).is_ok();
        // A test that failed may have left a caller in the mount, whose connection then goes on.
        if unmounted
            && !std::thread::panicking()
            && let Some(thread) = self.thread.take()
        {
            thread.join().expect("served to the end");
        }
    }
}

struct Server {
    context: Arc<Context>,
    drops: Arc<AtomicBool>,
    dropped: Sender<u64>,
    retrieved: Sender<(u64, Vec<u8>)>,
}

impl Server {
    fn run(self) {
        let device = self.context.device.clone();
        let mut buffers = Buffers::new();
        let mut room = ReceiveBuffer::new(1 << 20).expect("memory");
        while let Some(len) = device.receive(room.room()).expect("a connection") {
            let message = &room.room()[..len];
            let request = Request::decode(message, self.context.dialect).expect("a request");
            let unique = request.header.unique;
            if let Operation::NotifyReply { data, .. } = request.operation {
                let _ = self.retrieved.send((unique, data.to_vec()));
                continue;
            }
            if request.wants_answer() && self.drops.swap(false, Ordering::Relaxed) {
                let _ = self.dropped.send(unique);
                continue;
            }
            if unique & UNIQUE_RESEND != 0 {
                let _ = self.dropped.send(unique);
            }
            serve::message(&self.context, &device, &mut buffers, message);
        }
    }
}

fn heard<T>(receiver: &Receiver<T>) -> T {
    receiver.recv_timeout(DEADLINE).expect("in time")
}

#[test]
fn what_is_stored_is_read_and_retrieved_until_it_is_invalidated() {
    if !can_mount("NOTIFY_STORE") {
        return;
    }
    let served = Served::new();
    let (file, ino) = served.file("f", &[b'a'; 8192]);
    let read = || {
        let mut seen = [0; 8192];
        file.read_exact_at(&mut seen, 0).expect("read");
        (seen[0], seen[8191])
    };
    assert_eq!(read(), (b'a', b'a'));
    let stored = served.send(&Notification::store(ino, 0, &[b'b'; 4096]));
    stored.expect("the inode is known");
    assert_eq!(read(), (b'b', b'a'), "the storage has nothing of it");

    let asked = served.send(&Notification::retrieve(77, ino, 2048, 4096));
    asked.expect("the inode is known");
    let (unique, data) = heard(&served.retrieved);
    assert_eq!(unique, 77);
    assert_eq!(data, [[b'b'; 2048], [b'a'; 2048]].concat());

    let dropped = served.send(&Notification::inval_inode(ino, 0, 0));
    dropped.expect("the inode is known");
    assert_eq!(read(), (b'a', b'a'));
    let unknown = served.send(&Notification::store(ino + 1000, 0, b"x"));
    assert_eq!(unknown, Err(Errno::NOENT));
}

#[test]
fn names_that_expire_or_are_invalid_are_looked_up_again() {
    if !can_mount("NOTIFY_INVAL_ENTRY") {
        return;
    }
    let served = Served::new();
    let every_name = served.minor >= 44;
    for name in ["expires", "invalid", "epoch"] {
        drop(served.file(name, b""));
        served.remove_behind(ROOT_INO, name);
        assert!(served.exists(name), "{name} is cached");
        let sent = served.send(&match name {
            "expires" => Notification::expire_entry(ROOT_INO, OsStr::new(name)),
            "invalid" => Notification::inval_entry(ROOT_INO, OsStr::new(name)),
            _ => Notification::inc_epoch(),
        });
        if name == "epoch" && !every_name {
            assert_eq!(sent, Err(Errno::INVAL), "since 7.44");
            continue;
        }
        sent.expect("taken");
        assert!(!served.exists(name), "{name}");
    }
}

#[test]
fn a_name_that_expires_keeps_what_is_mounted_on_it() {
    if !can_mount("EXPIRE_ONLY") {
        return;
    }
    let served = Served::new();
    let (name, at) = (OsStr::new("dir"), served.path("dir"));
    fs::create_dir(&at).expect("made");
    let mount = || rustix::mount::mount("none", &at, "tmpfs", MountFlags::empty(), None);
    let is_mounted = || !served.exists("dir/behind");
    fs::write(at.join("behind"), "").expect("written");
    mount().expect("mounted");
    assert!(is_mounted());
    served
        .send(&Notification::expire_entry(ROOT_INO, name))
        .expect("taken");
    assert!(is_mounted() || !served.expires, "since 7.38");
    if is_mounted() {
        platform::unmount(&at, false).expect("it was mounted");
    }
    // One that is invalid does not.
    mount().expect("mounted");
    served
        .send(&Notification::inval_entry(ROOT_INO, name))
        .expect("taken");
    assert!(!is_mounted());
}

#[test]
fn who_watches_a_file_is_told_of_its_deletion() {
    if !can_mount("NOTIFY_DELETE") {
        return;
    }
    let served = Served::new();
    for told in [false, true] {
        let (file, ino) = served.file("f", b"");
        drop(file);
        let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).expect("inotify");
        let path = served.path("f");
        inotify::add_watch(&watch, path, WatchFlags::DELETE_SELF).expect("watched");
        served.remove_behind(ROOT_INO, "f");
        let name = OsStr::new("f");
        let sent = served.send(&match told {
            true => Notification::delete(ROOT_INO, ino, name),
            false => Notification::inval_entry(ROOT_INO, name),
        });
        sent.expect("the name is known");
        assert!(!served.exists("f"));
        let mut room = [MaybeUninit::uninit(); 512];
        let event = Reader::new(&watch, &mut room).next().map(|e| e.events());
        let expected = match told {
            true => Ok(ReadFlags::DELETE_SELF),
            false => Err(Errno::AGAIN),
        };
        assert_eq!(event, expected);
    }
}

#[test]
fn what_was_read_and_not_answered_comes_again() {
    if !can_mount("NOTIFY_RESEND") {
        return;
    }
    let served = Served::new();
    assert_eq!(served.resends, served.minor >= 40);
    if !served.resends {
        let sent = served.send(&Notification::resend());
        assert_eq!(sent, Err(Errno::INVAL), "since 7.40");
        return;
    }
    served.drops.store(true, Ordering::Relaxed);
    let path = served.path("absent");
    let caller = std::thread::spawn(move || fs::metadata(path));
    let dropped = heard(&served.dropped);
    assert_eq!(dropped & UNIQUE_RESEND, 0);
    served.send(&Notification::resend()).expect("taken");
    assert_eq!(heard(&served.dropped), dropped | UNIQUE_RESEND);
    let error = caller.join().expect("no panic").expect_err("no such name");
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn inodes_that_nobody_uses_are_pruned() {
    if !can_mount("NOTIFY_PRUNE") {
        return;
    }
    let served = Served::new();
    let (file, ino) = served.file("f", b"");
    drop(file);
    let held = || served.context.fs.snapshot().inodes;
    let before = held();
    let sent = served.send(&Notification::prune(&[ino]));
    if served.minor < 45 {
        assert_eq!(sent, Err(Errno::INVAL), "since 7.45");
        return;
    }
    sent.expect("taken");
    let begin = Instant::now();
    while held() == before {
        assert!(begin.elapsed() < DEADLINE, "not forgotten");
        std::thread::sleep(Duration::from_millis(2));
    }
}
