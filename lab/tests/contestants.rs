//! Contestants of the bench on real mounts.

mod support;

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use dynamicfs::config::Preset;
use dynamicfs_lab::bench::contestant::{Contestant, Mounted};
use dynamicfs_lab::bench::peers::{Peer, Ready};
use dynamicfs_lab::bench::requests::{RequestCounter, Requests, Tracer};
use dynamicfs_lab::meter::Meter;
use dynamicfs_lab::paths::Paths;
use dynamicfs_lab::target::Dynamicfs;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use self::support::{is_mounted, may_mount};

/// A directory to serve, and where.
struct Places {
    directory: TempDir,
    source: PathBuf,
    mountpoint: PathBuf,
}

impl Places {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let (source, mountpoint) = (root.join("source"), root.join("mnt"));
        fs::create_dir(&source).unwrap();
        Places {
            directory,
            source,
            mountpoint,
        }
    }

    fn mount(&self, contestant: &Contestant) -> anyhow::Result<Mounted> {
        contestant.mount(&self.source, &self.mountpoint)
    }

    /// Of what the test made there, all but source and mountpoint.
    fn left_beside(&self) -> Vec<PathBuf> {
        fs::read_dir(self.directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| !["source", "mnt"].iter().any(|name| path.ends_with(name)))
            .collect()
    }
}

/// A command of the user's own.
fn own(command: &str) -> Contestant {
    let peer: Peer = format!("own={command}").parse().unwrap();
    let ready = peer.find(&Paths::discover()).unwrap();
    Contestant::peer(&peer, ready)
}

/// Those that are here already: nothing is installed for a test.
fn peers_here() -> Vec<(Peer, Ready)> {
    let paths = Paths::discover();
    let mut here = Vec::new();
    for peer in Peer::all() {
        // Takes half a minute, when it was not done for a bench already.
        if peer.name() != "fuse-backend-rs" {
            let _ = peer.build(&paths);
        }
        match peer.find(&paths) {
            Ok(ready) => here.push((peer, ready)),
            Err(reason) => eprintln!("not run: {}: {reason:#}", peer.name()),
        }
    }
    let has = |name| here.iter().any(|(peer, _)| peer.name() == name);
    let expected = has("bindfs") && has("libfuse-passthrough-ll");
    assert!(
        expected || env::var_os("CI").is_none(),
        "cargo xtask test installs bindfs and libfuse3-dev"
    );
    here
}

fn create(path: &Path) {
    File::create_new(path).unwrap().write_all(b"text").unwrap();
}

/// Gone, or without memory and left for somebody to wait for it: of what went to the background,
/// that is the first process of the machine, not this one.
fn assert_ended(meter: &Meter) {
    let memory = meter.peak_memory();
    assert!(memory.is_err(), "{memory:?}");
}

#[test]
fn every_peer_serves_counts_and_goes() {
    if !may_mount() {
        return;
    }
    let mut tracer = Tracer::open();
    for (peer, ready) in peers_here() {
        eprintln!("{}: {}", peer.name(), ready.version);
        let places = Places::new();
        let mounted = places.mount(&Contestant::peer(&peer, ready)).unwrap();
        let meter = mounted.meter().clone();
        assert!(meter.peak_memory().unwrap() > Some(0));

        meter.wait_until_idle().unwrap();
        let counter = RequestCounter::start(&mounted, &mut tracer).unwrap();
        create(&mounted.dir().join("file"));
        meter.wait_until_idle().unwrap();
        let Requests::Counted(counts) = counter.finish().unwrap() else {
            panic!("not counted");
        };
        assert_eq!(fs::read(places.source.join("file")).unwrap(), b"text");
        assert_eq!(counts.get("CREATE"), Some(&1), "{} {counts:?}", peer.name());
        assert!(counts["LOOKUP"] >= 1, "{} {counts:?}", peer.name());
        assert!(!counts.contains_key("RENAME"), "{} {counts:?}", peer.name());

        mounted.unmount().unwrap();
        assert!(!is_mounted(&places.mountpoint));
        assert_ended(&meter);
        assert_eq!(places.left_beside(), Vec::<PathBuf>::new());
    }
}

#[test]
fn a_preset_counts_as_the_kernel_counts() {
    if !may_mount() {
        return;
    }
    let program = Paths::discover().debug("dynamicfs");
    if !program.is_file() {
        assert!(env::var_os("CI").is_none(), "no {}", program.display());
        eprintln!("not run: {} is not built", program.display());
        return;
    }
    let (places, runtime) = (Places::new(), tempfile::tempdir().unwrap());
    let command = Dynamicfs::new(&program, runtime.path());
    let contestant = Contestant::preset(Preset::Balanced, &command);
    let mounted = places.mount(&contestant).unwrap();
    let meter = mounted.meter();
    let (mut unused, mut tracer) = (Tracer::open(), Tracer::open());

    meter.wait_until_idle().unwrap();
    let own = RequestCounter::start(&mounted, &mut unused).unwrap();
    let kernel = tracer.count(mounted.connection().unwrap()).unwrap();
    let file = mounted.dir().join("file");
    create(&file);
    fs::rename(&file, mounted.dir().join("renamed")).unwrap();
    assert_eq!(fs::read_dir(mounted.dir()).unwrap().count(), 1);
    fs::remove_file(mounted.dir().join("renamed")).unwrap();
    meter.wait_until_idle().unwrap();
    let kernel = kernel.finish().unwrap();
    assert_eq!(own.finish().unwrap(), Requests::Counted(kernel.clone()));
    for name in ["CREATE", "RENAME", "UNLINK", "RELEASE"] {
        assert_eq!(kernel.get(name), Some(&1), "{name} in {kernel:?}");
    }

    let meter = meter.clone();
    mounted.unmount().unwrap();
    assert_ended(&meter);
}

/// A command may go to the background, and what it leaves there is the daemon.
#[test]
fn a_peer_in_the_background_is_found_and_ended() {
    if !may_mount() {
        return;
    }
    let places = Places::new();
    let mounted = places.mount(&own("bindfs {src} {mnt}")).unwrap();
    let first = mounted.meter().clone();
    assert!(first.cpu().is_ok());
    drop(mounted);
    assert_ended(&first);
    let mounted = places.mount(&own("bindfs {src} {mnt}")).unwrap();
    let second = mounted.meter().clone();
    create(&mounted.dir().join("file"));
    mounted.unmount().unwrap();
    assert_ended(&second);
    assert!(!is_mounted(&places.mountpoint) && places.source.join("file").exists());
}

#[test]
fn a_peer_that_hangs_is_ended_when_dropped() {
    if !may_mount() {
        return;
    }
    let foreground = "echo $$ > $0/pid; exec bindfs -f $0 $1";
    let background = "bindfs -f $0 $1 & echo $! > $0/pid";
    for script in [foreground, background] {
        let places = Places::new();
        let mounted = places
            .mount(&own(&format!("sh -c '{script}' {{src}} {{mnt}}")))
            .unwrap();
        let meter = mounted.meter().clone();
        let pid = fs::read_to_string(places.source.join("pid")).unwrap();
        let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        drop(mounted);
        assert!(!is_mounted(&places.mountpoint));
        assert_ended(&meter);
    }
}

#[test]
fn a_command_that_fails_is_quoted() {
    let places = Places::new();
    let failing = own("sh -c 'echo no such option >&2; exit 3' {src} {mnt}");
    let error = places.mount(&failing).unwrap_err().to_string();
    assert!(error.contains("exit status: 3"), "{error}");
    assert!(error.contains("no such option"), "{error}");
    assert_eq!(places.left_beside(), Vec::<PathBuf>::new());
}

#[test]
fn nothing_is_mounted_within_what_it_serves() {
    let places = Places::new();
    let within = places.source.join("mnt");
    let error = own("true {src} {mnt}").mount(&places.source, &within);
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("within the directory that it serves"),
        "{error}"
    );
}
