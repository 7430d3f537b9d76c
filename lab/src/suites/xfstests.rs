//! xfstests, from a tree that somebody built: it is in no registry.
//!
//! It mounts itself, again and again, so it gets places to mount instead of a mount: on ext4 two loop
//! devices, on a preset two directories behind the mount, which it mounts by mount(8) as
//! `fuse.dynamicfs`, through the command as mount helper. Many of its tests want a block device and do
//! not run on FUSE at all: those are skipped cases with its reason.
//!
//! What it needs of the machine (users, a mount helper) is put over the files of the machine by bind
//! mounts, which only the namespace of the run sees.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use roxmltree::{Document, Node};
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use serde::{Deserialize, Serialize};

use super::{Mounted, Place, Programs, fresh_directory};
use crate::outcome::{Case, Outcome, SuiteResult};
use crate::process::{self, Finished};
use crate::program;
use crate::target::mount_options;
use crate::tools::{find_program, path_with, script};

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Xfstests {
    /// The built tree.
    pub tree: PathBuf,
    /// One of its groups: `generic/quick` says most for its time, `generic/auto` takes hours.
    pub group: String,
}

/// Limit of a run: half an hour to an hour on the machine itself.
pub(crate) const LIMIT: Duration = Duration::from_secs(3 * 3600);

/// How much of a difference between outputs is kept.
const DIFFERENCE_LINES: usize = 14;

/// Limit of what prepares it.
const STEP_LIMIT: Duration = Duration::from_secs(60);

/// Size of a device: xfstests wants 10 GiB for a few tests, and skips them.
const DEVICE_BYTES: u64 = 5 << 29;

/// The two file systems that xfstests works on, and its names for what each is and where it is
/// mounted.
const PLACES: [(&str, &str, &str); 2] = [
    ("xfstests-test", "TEST_DEV", "TEST_DIR"),
    ("xfstests-scratch", "SCRATCH_DEV", "SCRATCH_MNT"),
];

/// Users that its tests act as, with numbers that no user of the machine has.
const USERS: [(&str, u32); 3] = [
    ("fsgqa", 61_001),
    ("fsgqa2", 61_002),
    ("123456-fsgqa", 61_003),
];

impl Xfstests {
    /// A group of a tree, if that can be run.
    ///
    /// # Errors
    ///
    /// When it is no xfstests, or is not built.
    pub fn new(tree: &Path, group: &str) -> Result<Self> {
        check_tree(tree)?;
        Ok(Xfstests {
            tree: tree.canonicalize()?,
            group: group.to_owned(),
        })
    }
}

fn check_tree(tree: &Path) -> Result<()> {
    for file in ["check", "ltp/fsstress", "tests/generic/group.list"] {
        ensure!(
            tree.join(file).is_file(),
            "{} has no {file}: --xfstests wants a checkout of xfstests in which make has run",
            tree.display()
        );
    }
    Ok(())
}

/// Runs the group.
///
/// # Errors
///
/// When there is no tree, or it does not run to its end.
pub fn run(place: &Place<'_>, programs: &Programs) -> Result<SuiteResult> {
    let start = Instant::now();
    let Some(Xfstests { tree, group }) = &programs.xfstests else {
        bail!("no tree of xfstests was given (--xfstests DIR)");
    };
    check_tree(tree)?;
    let scratch = place.scratch.join("xfstests");
    fresh_directory(&scratch)?;
    let results = scratch.join("results");
    fs::create_dir(&results)?;
    let mut command = Command::new("./check");
    command
        .current_dir(tree)
        .args(["-R", "xunit", "-g", group])
        .env("RESULT_BASE", &results)
        // A configuration of whoever built the tree is not meant.
        .env("HOST_OPTIONS", "/dev/null");
    let mut overlaid = add_users(&scratch)?;
    let devices = match place.mounted {
        None => use_devices(place, &mut command)?,
        Some(mounted) => {
            overlaid.push(use_mounts(place, &mounted, &scratch, &mut command)?);
            Vec::new()
        }
    };
    // After the devices, so that it is unmounted before they go.
    for (name, _, mountpoint) in PLACES {
        let path = scratch.join(name);
        fs::create_dir(&path)?;
        command.env(mountpoint, &path);
        overlaid.push(Mountpoint(path));
    }
    let limit = LIMIT * place.patience;
    let finished = process::run(&mut command, limit)?;
    drop((overlaid, devices));
    let cases = read_report(&results.join("result.xml"), &finished)
        .with_context(|| format!("xfstests: {} (limit {limit:?})", finished.ending()))?;
    fs::remove_dir_all(&scratch)
        .with_context(|| format!("cannot clean up {}", scratch.display()))?;
    for (name, _, _) in PLACES {
        remove(&place.backing.join(name))?;
    }
    Ok(SuiteResult {
        cases,
        elapsed: start.elapsed(),
    })
}

fn remove(path: &Path) -> Result<()> {
    if path.is_dir() {
        fs::remove_dir_all(path)?;
    }
    Ok(())
}

/// Something is, or may be, mounted there until this is dropped.
struct Mountpoint(PathBuf);

impl Mountpoint {
    /// Shows `file` in the place of `target`.
    fn overlay(file: &Path, target: &Path) -> Result<Self> {
        mount_bind(file, target)
            .with_context(|| format!("cannot mount {} on {}", file.display(), target.display()))?;
        Ok(Mountpoint(target.to_owned()))
    }
}

impl Drop for Mountpoint {
    fn drop(&mut self) {
        // Fails when xfstests has unmounted it itself; detached, when it left a process in it.
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

/// Adds [`USERS`] and a group for each, in this namespace.
fn add_users(scratch: &Path) -> Result<Vec<Mountpoint>> {
    let line = |database: &str, name: &str, id: u32| match database {
        "passwd" => format!("{name}:x:{id}:{id}::/tmp:/bin/bash\n"),
        _ => format!("{name}:x:{id}:\n"),
    };
    let mut overlaid = Vec::new();
    for database in ["passwd", "group"] {
        let original = Path::new("/etc").join(database);
        let mut text = fs::read_to_string(&original)?;
        for (name, id) in USERS {
            text.push_str(&line(database, name, id));
        }
        let copy = scratch.join(database);
        fs::write(&copy, text)?;
        overlaid.push(Mountpoint::overlay(&copy, &original)?);
    }
    Ok(overlaid)
}

/// Two loop devices, whose files lie on the file system under test.
fn use_devices(place: &Place<'_>, command: &mut Command) -> Result<Vec<LoopDevice>> {
    command.env("FSTYP", "ext4");
    let mut devices = Vec::new();
    for (name, variable, _) in PLACES {
        let device = LoopDevice::create(&place.root.join(name))?;
        program::run(
            Command::new("mkfs.ext4")
                .args(["-q", "-F"])
                .arg(&device.path),
            STEP_LIMIT * place.patience,
        )?;
        command.env(variable, &device.path);
        devices.push(device);
    }
    Ok(devices)
}

/// A loop device that clears itself when this, and what is mounted from it, are gone.
struct LoopDevice {
    path: PathBuf,
    _open: File,
}

impl LoopDevice {
    /// On a new sparse file, which has no name when this returns.
    fn create(file: &Path) -> Result<Self> {
        File::create(file)?.set_len(DEVICE_BYTES)?;
        let losetup = |arguments: &[&str], path: &Path| {
            program::run(
                Command::new("losetup").args(arguments).arg(path),
                STEP_LIMIT,
            )
        };
        let printed = losetup(&["--find", "--show"], file)?;
        let path = PathBuf::from(printed.trim());
        let open = File::open(&path);
        // While it is open, this only sets LO_FLAGS_AUTOCLEAR.
        losetup(&["--detach"], &path)?;
        fs::remove_file(file)?;
        Ok(LoopDevice { path, _open: open? })
    }
}

/// Two directories behind the mount. Returns what must stay until the end.
fn use_mounts(
    place: &Place<'_>,
    mounted: &Mounted<'_>,
    scratch: &Path,
    command: &mut Command,
) -> Result<Mountpoint> {
    let options = format!(
        "-o preset={},{}",
        mounted.preset.name(),
        mount_options(mounted.permissions)
    );
    command
        .env("FSTYP", "fuse")
        .env("FUSE_SUBTYP", ".dynamicfs")
        .env("MOUNT_OPTIONS", &options)
        .env("TEST_FS_MOUNT_OPTS", &options);
    for (name, variable, _) in PLACES {
        fresh_directory(&place.backing.join(name))?;
        command.env(variable, name);
    }
    let bin = scratch.join("bin");
    fs::create_dir(&bin)?;
    script(&bin.join("df"), DF)?;
    command.env("PATH", path_with(&bin));
    let (program, runtime_dir) = mounted.command.program();
    let quote = |path: &Path| shell_words::quote(&path.to_string_lossy()).into_owned();
    // xfstests names a file system by one word, by which umount(8) has to find it too; the helper puts
    // the directory in its place.
    let helper = format!(
        "#!/bin/bash\nunset ${{!DYNAMICFS_@}}\nexport DYNAMICFS_RUNTIME_DIR={}\nname=$1\nshift\n\
         exec -a mount.fuse.dynamicfs {} {}/\"$name\" \"$@\" -o fsname=\"$name\"\n",
        quote(runtime_dir),
        quote(program),
        quote(place.backing)
    );
    let file = scratch.join("mount.fuse");
    script(&file, &helper)?;
    let original = find_program("mount.fuse3").context("no mount.fuse3 (package fuse3)")?;
    Mountpoint::overlay(&file, &original)
}

/// xfstests compares the type that df(1) prints with FSTYP, and forgets FUSE_SUBTYP there.
const DF: &str = "#!/bin/bash\nset -o pipefail\n\
                  PATH=${PATH#*:} df \"$@\" | sed 's/ fuse\\.dynamicfs / fuse /'\n";

/// Reads the results, and checks that they are all.
fn read_report(report: &Path, finished: &Finished) -> Result<BTreeMap<String, Case>> {
    match fs::read_to_string(report) {
        Ok(text) if finished.code.is_some() => parse(&text),
        _ => {
            let said = [finished.stdout.trim(), finished.stderr.trim()].join("\n");
            let lines: Vec<&str> = said.lines().rev().take(12).collect();
            let last: Vec<&str> = lines.into_iter().rev().collect();
            bail!(
                "it did not get to its report; the end of what it said:\n{}",
                last.join("\n")
            )
        }
    }
}

fn parse(xml: &str) -> Result<BTreeMap<String, Case>> {
    let document = Document::parse(xml).context("the report is not XML")?;
    let suite = document.root_element();
    let mut cases = BTreeMap::new();
    for node in suite.children().filter(|n| n.has_tag_name("testcase")) {
        let name = node.attribute("name").context("a test has no name")?;
        if cases
            .insert(name.to_owned(), outcome(node).into())
            .is_some()
        {
            bail!("{name} was reported twice");
        }
    }
    let result = SuiteResult {
        cases,
        elapsed: Duration::ZERO,
    };
    let counts = result.counts();
    for (attribute, counted) in [
        ("tests", result.cases.len()),
        ("failures", counts.failed),
        ("skipped", counts.skipped),
    ] {
        let said = suite
            .attribute(attribute)
            .and_then(|said| said.parse().ok());
        ensure!(
            said == Some(counted) && !result.cases.is_empty(),
            "the report has {counted} {attribute} and says {said:?}"
        );
    }
    Ok(result.cases)
}

fn outcome(test: Node<'_, '_>) -> Outcome {
    let child = |name| test.children().find(|child| child.has_tag_name(name));
    let message = |node: Node<'_, '_>| {
        node.attribute("message")
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    if let Some(failure) = child("failure") {
        // How the output differs from what is expected.
        let difference = child("system-err")
            .and_then(|node| node.text())
            .unwrap_or_default();
        let lines = difference
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty());
        let lines: Vec<&str> = lines.take(DIFFERENCE_LINES).collect();
        return Outcome::Failed(
            [message(failure), lines.join("\n")]
                .join("\n")
                .trim()
                .to_owned(),
        );
    }
    child("skipped").map_or(Outcome::Passed, |node| Outcome::Skipped(message(node)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuite
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 failures="1" skipped="1" tests="3" time="9">
	<properties><property name="FSTYP" value="fuse"/></properties>
	<testcase classname="xfstests.global" name="generic/001" time="4">
	</testcase>
	<testcase classname="xfstests.global" name="generic/003" time="9">
		<failure message="- output mismatch (see &lt;file&gt;)" type="TestFail" />
		<system-err><![CDATA[--- expected
+++ found
@@ -1 +1 @@
-a
+b]]></system-err>
	</testcase>
	<testcase classname="xfstests.global" name="generic/004" time="0">
		<skipped message="O_TMPFILE is not supported" />
	</testcase>
</testsuite>
"#;

    #[test]
    fn reads_a_case_a_test() {
        let cases = parse(REPORT).unwrap();
        assert_eq!(cases["generic/001"].outcome, Outcome::Passed);
        let failed = Outcome::Failed(
            "- output mismatch (see <file>)\n--- expected\n+++ found\n@@ -1 +1 @@\n-a\n+b"
                .to_owned(),
        );
        assert_eq!(cases["generic/003"].outcome, failed);
        let skipped = Outcome::Skipped("O_TMPFILE is not supported".to_owned());
        assert_eq!(cases["generic/004"].outcome, skipped);
    }

    #[test]
    fn a_report_that_disagrees_with_itself_or_is_cut_off_is_an_error() {
        assert!(parse(&REPORT.replace("tests=\"3\"", "tests=\"4\"")).is_err());
        assert!(parse(&REPORT.replace("failures=\"1\"", "failures=\"0\"")).is_err());
        assert!(parse(&REPORT.replace("generic/004", "generic/001")).is_err());
        assert!(parse(&REPORT[..REPORT.len() - 20]).is_err());
        assert!(parse("<testsuite tests=\"0\" failures=\"0\" skipped=\"0\"/>").is_err());
    }

    #[test]
    fn a_tree_that_was_not_built_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("check"), "").unwrap();
        let error = check_tree(dir.path()).unwrap_err().to_string();
        assert!(error.contains("no ltp/fsstress"), "{error}");
    }
}
