//! A world of its own for each test of the command: directories, environment, and what is left.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The user without rights.
pub(crate) const NOBODY: u32 = 65534;

/// What the command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// The standard output of a command that succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// One line with all of `fragments`, and this exit code.
    #[track_caller]
    pub(crate) fn refused(self, code: i32, fragments: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.err.lines().count(), 1, "one line: {self:?}");
        assert!(self.err.starts_with("dynamicfs: "), "{self:?}");
        assert_eq!(self.out, "", "{self:?}");
        for fragment in fragments {
            assert!(self.err.contains(fragment), "no {fragment:?} in {self:?}");
        }
    }
}

/// Directories `src` and `mnt`, and a runtime directory.
pub(crate) struct World {
    dir: tempfile::TempDir,
    environment: Vec<(String, String)>,
    uid: Option<u32>,
}

impl World {
    pub(crate) fn new() -> World {
        let dir = tempfile::Builder::new()
            .prefix("dynamicfs-cli-")
            .tempdir_in("/tmp")
            .expect("a directory");
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755))
            .expect("others may enter");
        let world = World {
            environment: Vec::new(),
            uid: None,
            dir,
        };
        for name in ["src", "mnt"] {
            std::fs::create_dir(world.path(name)).expect("a directory");
        }
        // The machine's own configuration is none of the tests' business.
        std::fs::write(world.path("empty.toml"), "").expect("a file");
        let config = world.text("empty.toml");
        let run = world.text("run");
        world
            .with("DYNAMICFS_CONFIG", &config)
            .with("DYNAMICFS_RUNTIME_DIR", &run)
            .with(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
    }

    /// With a variable; the environment of the test itself is not passed on.
    pub(crate) fn with(mut self, name: &str, value: &str) -> World {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The command runs as this user, who then owns everything here.
    #[allow(dead_code, reason = "not every test binary needs it")]
    pub(crate) fn for_user(mut self, uid: u32) -> World {
        self.uid = Some(uid);
        for path in [self.path(""), self.path("src"), self.path("mnt")] {
            std::os::unix::fs::chown(path, Some(uid), Some(uid)).expect("root may");
        }
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// The program with this environment. For another user it is copied to where he may read.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, program: &Path, args: &[S]) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .envs(self.environment.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null())
            .current_dir(self.dir.path());
        if let Some(uid) = self.uid {
            command.uid(uid).gid(uid);
        }
        command
    }

    /// The binary under test.
    pub(crate) fn binary(&self) -> PathBuf {
        let built = PathBuf::from(env!("CARGO_BIN_EXE_dynamicfs"));
        if self.uid.is_none() {
            return built;
        }
        let copy = self.path("dynamicfs");
        if !copy.exists() {
            copy_binary(&built, &copy);
        }
        copy
    }

    /// Runs `dynamicfs`. In an argument, `@` at the beginning stands for the directory of this
    /// world.
    pub(crate) fn run(&self, args: &[&str]) -> Said {
        self.run_program(&self.binary(), &self.expand(args))
    }

    pub(crate) fn run_program<S: AsRef<OsStr>>(&self, program: &Path, args: &[S]) -> Said {
        let output = self.command(program, args).output().expect("it starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said {
            code: output.status.code(),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    pub(crate) fn expand(&self, args: &[&str]) -> Vec<String> {
        let expand = |arg: &&str| match arg.strip_prefix('@') {
            Some(name) => self.text(name),
            None => (*arg).to_owned(),
        };
        args.iter().map(expand).collect()
    }

    /// Mountpoints below this world.
    pub(crate) fn mounts(&self) -> Vec<PathBuf> {
        let table = dynamicfs::mount::table::table().expect("/proc");
        table
            .into_iter()
            .map(|entry| entry.mountpoint)
            .filter(|point| point.starts_with(self.dir.path()))
            .collect()
    }

    /// Neither a mount nor a socket is left.
    #[track_caller]
    pub(crate) fn nothing_left(&self) {
        assert_eq!(self.mounts(), Vec::<PathBuf>::new());
        if let Ok(entries) = std::fs::read_dir(self.path("run")) {
            let left: Vec<_> = entries
                .map(|entry| entry.expect("an entry").path())
                .collect();
            assert!(left.is_empty(), "{left:?}");
        }
    }
}

/// Copies a program, in a process of its own: a descriptor that this one has open for writing could
/// be inherited by a test that starts something meanwhile, and then the copy is "busy".
pub(crate) fn copy_binary(from: &Path, to: &Path) {
    let copied = Command::new("cp").args([from, to]).status();
    assert!(copied.expect("cp").success());
}

/// Takes away what a test that failed left mounted.
impl Drop for World {
    fn drop(&mut self) {
        use rustix::mount::{UnmountFlags, unmount};
        for point in self.mounts().into_iter().rev() {
            let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
            if let Err(error) = unmount(&point, flags) {
                eprintln!("{} stays mounted: {error}", point.display());
            }
        }
    }
}

/// Whether this machine has what a test needs. In CI, where it must have it, the test fails
/// otherwise.
#[track_caller]
pub(crate) fn available(found: bool, what: &str) -> bool {
    if !found {
        assert!(
            std::env::var_os("CI").is_none(),
            "in CI, {what} must be there"
        );
        eprintln!("NOT RUN: needs {what}");
    }
    found
}

/// Root, who may mount.
#[track_caller]
pub(crate) fn root() -> bool {
    available(rustix::process::geteuid().is_root(), "root")
}
