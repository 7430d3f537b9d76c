//! Running programs that are not of this machine, and that leave nothing behind.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Binds directories of the machine into the tree, then becomes the program in it. The bindings
/// are in a mount namespace of the program's own.
const ENTER: &str = r#"set -e
tree=$1
shift
for directory in /dev /proc /sys; do
    mount --rbind "$directory" "$tree$directory"
done
while [ "$1" != -- ]; do
    mkdir -p "$tree$1"
    mount --rbind "$1" "$tree$1"
    shift
done
shift
exec chroot "$tree" "$@"
"#;

/// Where programs are in Debian, for root.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// A program that dies with this process, together with all that it starts and mounts: it is in a
/// PID namespace, whose first process gets SIGKILL when this one ends.
pub(super) fn contained(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--", "unshare"])
        .args(["--mount", "--propagation", "private"])
        .args(["--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        .arg(program)
        .env("PATH", PATH)
        .env("LC_ALL", "C.UTF-8");
    command
}

/// Programs of Debian stable in a directory of the lab's own: the machine's packages stay as they
/// are.
#[derive(Debug, Clone)]
pub struct ToolsTree {
    root: PathBuf,
}

impl ToolsTree {
    pub(super) fn new(root: PathBuf) -> Self {
        ToolsTree { root }
    }

    /// Its root directory.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// A program of the tree, by name, which finds `/dev`, `/proc`, `/sys` and the given
    /// directories (absolute paths) where they are outside. Needs root.
    ///
    /// The process that is started becomes the program: its id, descriptors and exit status are
    /// the program's. Its working directory is `/`. It gets SIGKILL when the thread that started it
    /// ends.
    pub fn command(&self, program: &str, directories: &[&Path]) -> Command {
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--", "unshare"])
            .args(["--mount", "--propagation", "private", "--"])
            .args(["sh", "-c", ENTER, "sh"])
            .arg(&self.root)
            .args(directories)
            .args(["--", program])
            .env("PATH", PATH)
            .env("LC_ALL", "C.UTF-8");
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::run;
    use std::fs;
    use std::io::{BufRead, BufReader};
    use std::os::unix::fs::symlink;
    use std::process::Stdio;
    use std::time::Duration;

    const LIMIT: Duration = Duration::from_secs(20);

    /// A tree with the programs of this machine.
    fn tree(dir: &Path) -> ToolsTree {
        for name in ["dev", "proc", "sys", "usr"] {
            fs::create_dir(dir.join(name)).unwrap();
        }
        for name in ["bin", "sbin", "lib", "lib64"] {
            symlink(format!("usr/{name}"), dir.join(name)).unwrap();
        }
        ToolsTree::new(dir.to_owned())
    }

    #[test]
    fn a_program_of_the_tree_sees_the_given_directories_and_nobody_sees_its_mounts() {
        if !super::super::is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let shared = tempfile::tempdir().unwrap();
        let tree = tree(dir.path());
        fs::write(shared.path().join("in"), "given").unwrap();
        let mut command = tree.command("sh", &[shared.path(), Path::new("/usr")]);
        command.args([
            "-c",
            "cat \"$1/in\" && test -c /dev/null && ls / && pwd && exit 7",
        ]);
        let finished = run(command.arg("sh").arg(shared.path()), LIMIT).unwrap();
        assert_eq!(finished.code, Some(7), "{}", finished.stderr);
        assert!(finished.stdout.starts_with("given"), "{}", finished.stdout);
        assert!(!finished.stdout.contains("root"), "{}", finished.stdout);
        assert!(!dir.path().join("dev/null").exists());
        assert!(!dir.path().join("usr/bin").exists());
    }

    #[test]
    fn what_is_contained_dies_with_all_that_it_started() {
        if !super::super::is_root() {
            return;
        }
        let mut child = contained("sh")
            .args(["-c", "sleep 60 & echo begun; wait"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(line, "begun\n");
        // The end of the pipe comes when the last process that holds it is gone.
        assert_eq!(output.read_line(&mut line).unwrap(), 0);
    }
}
