//! The directory as a Mac sees it through Samba: smbd with `catia`, `fruit` and `streams_xattr`, driven by
//! smbtorture.
//!
//! Samba stores what a Mac writes in extended attributes, AppleDouble files and record locks of the file
//! system below. Many subtests fail on any of them, because they ask for more than Samba does; so only
//! what ends otherwise than on ext4 counts.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Place, empty_directory, fresh_directory};
use crate::outcome::{Case, Outcome, SuiteResult};
use crate::process::{self, Finished};
use crate::program;
use crate::service::{Service, free_port};
use crate::tools::Package;

/// What the suite runs.
pub const PACKAGES: &[Package] = &[
    ("smbd", "samba"),
    ("smbpasswd", "samba-common-bin"),
    ("smbtorture", "samba-testsuite"),
    (
        "/usr/lib/x86_64-linux-gnu/samba/vfs/fruit.so",
        "samba-vfs-modules",
    ),
];

/// The groups of subtests that touch what file systems differ in.
const GROUPS: [&str; 7] = [
    "vfs.fruit",
    "smb2.streams",
    "smb2.rename",
    "smb2.dir",
    "smb2.create",
    "smb2.lock",
    "smb2.timestamps",
];

/// Those of a quick run.
const QUICK: [&str; 3] = ["vfs.fruit", "smb2.streams", "smb2.rename"];

/// Subtests that are not run, and why.
const EXCLUDED: [(&str, &str); 2] = [
    (
        "smb2.create.bench-path-contention-shared",
        "measures, and never fails",
    ),
    (
        "smb2.lock.ctdb-delrec-deadlock",
        "needs a cluster of servers",
    ),
];

/// Limit of one subtest: `smb2.dir.large-files`, the slowest, takes 5 s on ext4 and 20 s on a mount, because
/// smbd lists the directory for each name that it does not find.
const LIMIT: Duration = Duration::from_secs(240);

/// Between two attempts to empty the share.
const PAUSE: Duration = Duration::from_millis(50);

/// Statuses from here on tell of a signal ([`Finished::code`]).
const BY_SIGNAL: i32 = 128;

/// Limit of what only answers.
const PROMPT: Duration = Duration::from_secs(30);

/// The password of this server's only user.
const PASSWORD: &str = "lab";

/// Runs every subtest, each on an empty share.
///
/// # Errors
///
/// When smbd does not start, or smbtorture lists nothing.
pub fn run(place: &Place<'_>) -> Result<SuiteResult> {
    let start = Instant::now();
    let share = place.root.join("smbtorture");
    fresh_directory(&share)?;
    let server = Server::start(place, &share)?;
    let mut cases: BTreeMap<String, Case> = BTreeMap::new();
    for name in subtests(place)? {
        empty(&share, PROMPT * place.patience)?;
        let outcome = server.torture(&name, place)?;
        cases.insert(name, outcome.into());
    }
    drop(server);
    if !cases.values().any(|case| case.outcome == Outcome::Passed) {
        bail!(
            "none of {} subtests of smbtorture passed: nothing was tested",
            cases.len()
        );
    }
    fs::remove_dir_all(&share).with_context(|| format!("cannot clean up {}", share.display()))?;
    Ok(SuiteResult {
        cases,
        elapsed: start.elapsed(),
    })
}

/// smbd on the share, with all that it writes in a directory of the suite's own.
struct Server {
    /// Ends before the directory goes.
    _smbd: Service,
    port: u16,
    configuration: PathBuf,
    share: PathBuf,
}

impl Server {
    fn start(place: &Place<'_>, share: &Path) -> Result<Self> {
        let home = place.scratch.join("samba");
        fresh_directory(&home)?;
        for directory in ["private", "lock", "state", "cache", "pid", "ncalrpc"] {
            fs::create_dir(home.join(directory))?;
        }
        let port = free_port()?;
        let configuration = home.join("smb.conf");
        fs::write(&configuration, settings(&home, share, port))?;
        // smbpasswd reads the password from its standard input; the shell hands it over.
        let script = "printf '%s\\n%s\\n' \"$2\" \"$2\" | smbpasswd -c \"$1\" -L -s -a root";
        program::run(
            Command::new("sh")
                .args(["-c", script, "sh"])
                .arg(&configuration)
                .arg(PASSWORD),
            PROMPT * place.patience,
        )?;
        let mut command = Command::new("smbd");
        command
            .args(["--foreground", "--no-process-group", "--configfile"])
            .arg(&configuration)
            .arg("--log-basename")
            .arg(&home);
        let log = home.join("smbd.out");
        Ok(Server {
            _smbd: Service::start(&mut command, port, &log, PROMPT * place.patience)?,
            port,
            configuration,
            share: share.to_owned(),
        })
    }

    fn torture(&self, name: &str, place: &Place<'_>) -> Result<Outcome> {
        let mut command = Command::new("smbtorture");
        command
            .arg("//127.0.0.1/share")
            .args(["-p", &self.port.to_string()])
            .arg(format!("--user=root%{PASSWORD}"))
            .args(["--target", "samba3", "--configfile"])
            .arg(&self.configuration)
            .arg(format!(
                "--option=torture:localdir={}",
                self.share.display()
            ))
            .arg(name)
            // It makes files in its working directory.
            .current_dir(place.scratch);
        let finished = process::run(&mut command, LIMIT * place.patience)?;
        verdict(&finished).with_context(|| name.to_owned())
    }
}

/// smb.conf(5), vfs_fruit(8). The loopback only.
fn settings(home: &Path, share: &Path, port: u16) -> String {
    let (home, share) = (home.display(), share.display());
    format!(
        "[global]
        server role = standalone server
        netbios name = lab
        workgroup = LAB
        interfaces = 127.0.0.1/8
        bind interfaces only = yes
        smb ports = {port}
        disable netbios = yes
        dns proxy = no
        load printers = no
        printcap name = /dev/null
        disable spoolss = yes
        private dir = {home}/private
        lock directory = {home}/lock
        state directory = {home}/state
        cache directory = {home}/cache
        pid directory = {home}/pid
        ncalrpc dir = {home}/ncalrpc
        passdb backend = tdbsam:{home}/private/passdb.tdb
        fruit:resource = file
        fruit:metadata = netatalk
        fruit:encoding = native
        [share]
        path = {share}
        read only = no
        vfs objects = catia fruit streams_xattr
        "
    )
}

/// The subtests to run, by name.
fn subtests(place: &Place<'_>) -> Result<Vec<String>> {
    let mut command = Command::new("smbtorture");
    command.arg("--list").current_dir(place.scratch);
    let listed = program::run(&mut command, PROMPT * place.patience)?;
    let groups: &[&str] = if place.quick { &QUICK } else { &GROUPS };
    let names = chosen(&listed, groups);
    for group in groups {
        if !names.iter().any(|name| is_of(name, group)) {
            bail!("smbtorture --list has no subtest of {group}");
        }
    }
    Ok(names)
}

fn is_of(name: &str, group: &str) -> bool {
    name.strip_prefix(group)
        .is_some_and(|rest| rest.starts_with('.'))
}

fn chosen(listed: &str, groups: &[&str]) -> Vec<String> {
    listed
        .lines()
        .map(|line| subtest(line.trim()))
        .filter(|name| groups.iter().any(|group| is_of(name, group)))
        .filter(|name| !EXCLUDED.iter().any(|(excluded, _)| excluded == name))
        .map(str::to_owned)
        .collect()
}

/// The list has `GROUP.CASE.TEST`, where most often both are the same; the name has it once.
fn subtest(listed: &str) -> &str {
    listed
        .match_indices('.')
        .map(|(dot, _)| (&listed[..dot], &listed[dot..]))
        .find(|(name, again)| name.ends_with(again))
        .map_or(listed, |(name, _)| name)
}

/// Takes away what a subtest left, for the next. smbd may still be at work for one that was killed.
fn empty(directory: &Path, limit: Duration) -> Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        match empty_directory(directory) {
            Err(_) if Instant::now() < deadline => thread::sleep(PAUSE),
            result => return result,
        }
    }
}

/// Reads `success: NAME`, `failure: NAME [`, `error: NAME [` or `skip: NAME [`; the detail follows in
/// lines up to `]`.
///
/// # Errors
///
/// When it ended by itself without any of these: it did not run.
fn verdict(finished: &Finished) -> Result<Outcome> {
    let Some(code) = finished.code else {
        return Ok(Outcome::TimedOut);
    };
    let mut lines = finished.stdout.lines();
    while let Some(line) = lines.next() {
        let Some((word, _)) = line.split_once(": ") else {
            continue;
        };
        let mut detail = || {
            let detail = lines.by_ref().take_while(|line| *line != "]");
            detail.collect::<Vec<_>>().join("\n")
        };
        match word {
            "success" => return Ok(Outcome::Passed),
            "failure" | "error" => return Ok(Outcome::Failed(detail())),
            "skip" => return Ok(Outcome::Skipped(detail())),
            _ => {}
        }
    }
    if code >= BY_SIGNAL {
        return Ok(Outcome::Failed(finished.ending()));
    }
    let last = finished.stderr.lines().last().unwrap_or_default();
    bail!("smbtorture gave no verdict, {}: {last}", finished.ending())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(code: Option<i32>, stdout: &str) -> Finished {
        Finished {
            code,
            stdout: stdout.to_owned(),
            stderr: "NT_STATUS_CONNECTION_REFUSED\n".to_owned(),
        }
    }

    #[test]
    fn names_are_listed_twice_and_taken_once() {
        let listed = "smb2.lock.async.async\n vfs.fruit.SMB2/CREATE context AAPL.SMB2/CREATE context AAPL\n\
                      smb2.lock.ctdb-delrec-deadlock.ctdb-delrec-deadlock\nsmb2.locking.a.a\nsmb2.dir.a.b\n";
        assert_eq!(
            chosen(listed, &["smb2.lock", "vfs.fruit", "smb2.dir"]),
            [
                "smb2.lock.async",
                "vfs.fruit.SMB2/CREATE context AAPL",
                "smb2.dir.a.b"
            ]
        );
    }

    #[test]
    fn a_verdict_keeps_its_detail() {
        let said = "smbtorture 4\ntest: x\ntime: 1\n";
        let verdict = |rest: &str| verdict(&finished(Some(0), &format!("{said}{rest}"))).unwrap();
        assert_eq!(verdict("success: x\n"), Outcome::Passed);
        assert_eq!(
            verdict("failure: x [\nwas 1\nexpected 2\n]\nmore\n"),
            Outcome::Failed("was 1\nexpected 2".to_owned())
        );
        assert_eq!(
            verdict("skip: x [\nno\n]\n"),
            Outcome::Skipped("no".to_owned())
        );
    }

    #[test]
    fn without_a_verdict_it_did_not_run() {
        let error = verdict(&finished(Some(1), "")).unwrap_err().to_string();
        assert!(error.ends_with("NT_STATUS_CONNECTION_REFUSED"), "{error}");
        let outcome = |code| verdict(&finished(code, "")).unwrap();
        let killed = Outcome::Failed("exit status 139".to_owned());
        assert_eq!(outcome(Some(139)), killed);
        assert_eq!(outcome(None), Outcome::TimedOut);
    }
}
