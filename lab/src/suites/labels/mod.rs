//! With `security_ctx`, what is created through a mount bears the label that SELinux has for it there; without, the one
//! that it has for the daemon in the directory behind.
//!
//! The kernel must have been started with SELinux. The policy is the suite's own, and stays: everything is allowed under it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, lgetxattr, linkat, mknodat, open,
    renameat_with,
};
use rustix::mount::{MountFlags, mount};

use super::{Mounted, Place, fresh_directory, outcome};
use crate::outcome::{Case, SuiteResult};
use crate::process;
use crate::target::{Mount, mount_options};

/// secilc(8) translates it in no time, also on an emulated processor.
const LIMIT: Duration = Duration::from_secs(60);

const POLICY: &str = include_str!("policy.cil");

/// Where the kernel takes a policy; there only if it was started with SELinux.
const SELINUXFS: &str = "/sys/fs/selinux";

/// What is made in a FUSE mount, and elsewhere, by the policy.
const BORN: &str = "u:object_r:born_t";
const PLAIN: &str = "u:object_r:plain_t";

const MODE: Mode = Mode::RWXU;

/// Makes an object of some kind.
type Make = fn(&Path) -> Result<()>;

const OBJECTS: [(&str, Make); 6] = [
    ("file", |path| Ok(fs::write(path, "content")?)),
    ("directory", |path| Ok(fs::create_dir(path)?)),
    ("symlink", |path| Ok(symlink("target", path)?)),
    ("fifo", |path| {
        Ok(mknodat(CWD, path, FileType::Fifo, MODE, 0)?)
    }),
    ("node", |path| {
        Ok(mknodat(CWD, path, FileType::RegularFile, MODE, 0)?)
    }),
    ("tmpfile", |path| {
        let directory = path.parent().context("a path in a directory")?;
        let file = open(directory, OFlags::TMPFILE | OFlags::WRONLY, MODE)?;
        Ok(linkat(file, c"", CWD, path, AtFlags::EMPTY_PATH)?)
    }),
];

/// Runs all cases, on mounts of its own.
///
/// # Errors
///
/// Without a mount or SELinux, or when the kernel does not take the policy.
pub fn run(place: &Place<'_>) -> Result<SuiteResult> {
    let start = Instant::now();
    let mounted = place
        .mounted
        .context("the suite labels needs a mount, and compares with the directory behind it")?;
    let (source, work) = (place.backing.join("labels"), place.scratch.join("labels"));
    fresh_directory(&work)?;
    load_policy(&work)?;
    let mut cases = BTreeMap::new();
    for (asked, label) in [(true, BORN), (false, PLAIN)] {
        fresh_directory(&source)?;
        let both = Both::new(mounted, &source, &work.join("mnt"), asked)?;
        let mut note = |case: &str, result: Result<()>| {
            let name = format!("security_ctx={asked}::{case}");
            cases.insert(name, Case::from(outcome(result)));
        };
        for (name, make) in OBJECTS {
            note(name, both.is_born_with(name, make, label));
        }
        note("existing", both.keeps_the_label_of_what_is_there());
        note("whiteout", both.leaves_a_plain_whiteout());
        both.mount.unmount()?;
    }
    for directory in [&source, &work] {
        fs::remove_dir_all(directory)
            .with_context(|| format!("cannot clean up {}", directory.display()))?;
    }
    Ok(SuiteResult {
        cases,
        elapsed: start.elapsed(),
    })
}

/// A mount and what is behind it.
struct Both {
    mount: Mount,
    source: PathBuf,
}

impl Both {
    fn new(mounted: Mounted<'_>, source: &Path, at: &Path, asked: bool) -> Result<Self> {
        // Only the native transport hears of labels, and a preset that asks the kernel for nothing refuses to.
        let options = format!(
            "{},transport=linux,kernel_features=all,security_ctx={asked}",
            mount_options(mounted.permissions)
        );
        let command = mounted.command;
        Ok(Both {
            mount: command.mount_with(source, at, mounted.preset, &options)?,
            source: source.to_owned(),
        })
    }

    fn is_born_with(&self, name: &str, make: Make, expected: &str) -> Result<()> {
        make(&self.mount.path().join(name)).with_context(|| format!("cannot make a {name}"))?;
        has_label(&self.source.join(name), expected)
    }

    /// What the daemon makes in a rename comes without a label, whatever its threads made before.
    fn leaves_a_plain_whiteout(&self) -> Result<()> {
        let through = |name| self.mount.path().join(name);
        fs::write(through("moves"), "content")?;
        renameat_with(
            CWD,
            through("moves"),
            CWD,
            through("moved"),
            RenameFlags::WHITEOUT,
        )?;
        has_label(&self.source.join("moves"), PLAIN)
    }

    /// The kernel knows that there is no such name, and asks to create it; by then it is there.
    fn keeps_the_label_of_what_is_there(&self) -> Result<()> {
        let (name, through) = ("existing", self.mount.path().join("existing"));
        ensure!(!through.exists(), "{name} is there already");
        let behind = self.source.join(name);
        fs::write(&behind, "content")?;
        fs::File::options()
            .append(true)
            .create(true)
            .open(&through)?;
        has_label(&behind, PLAIN)
    }
}

fn has_label(path: &Path, expected: &str) -> Result<()> {
    let mut room = [0; 256];
    let len = lgetxattr(path, "security.selinux", &mut room)
        .with_context(|| format!("cannot read the label of {}", path.display()))?;
    let label = String::from_utf8_lossy(&room[..len]);
    let label = label.trim_end_matches('\0');
    ensure!(
        label == expected,
        "{} has the label {label}, and should have {expected}",
        path.display()
    );
    Ok(())
}

/// Translates the policy, and has the kernel take it. It takes one again.
fn load_policy(work: &Path) -> Result<()> {
    ensure!(
        Path::new(SELINUXFS).is_dir(),
        "this kernel does not run SELinux: start it with security=selinux (the target selinux does)"
    );
    let load = Path::new(SELINUXFS).join("load");
    if !load.exists() {
        mount(
            "selinuxfs",
            SELINUXFS,
            "selinuxfs",
            MountFlags::empty(),
            None,
        )
        .with_context(|| format!("cannot mount {SELINUXFS}"))?;
    }
    // The newest form of a policy that this kernel knows.
    let version = fs::read_to_string(Path::new(SELINUXFS).join("policyvers"))?;
    let (source, binary) = (work.join("policy.cil"), work.join("policy"));
    fs::write(&source, POLICY)?;
    let mut secilc = Command::new("secilc");
    secilc.args(["--policyvers", version.trim(), "--filecontexts=/dev/null"]);
    let finished = process::run(secilc.arg("--output").arg(&binary).arg(&source), LIMIT)?;
    ensure!(
        finished.success(),
        "secilc: {}: {}",
        finished.ending(),
        finished.stderr.trim()
    );
    // In one write, as the kernel wants it.
    fs::write(&load, fs::read(&binary)?).context("the kernel does not take the policy")
}
