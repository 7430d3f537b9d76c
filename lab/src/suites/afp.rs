//! The directory as a Mac sees it through AFP: netatalk's afpd, driven by afp_spectest.
//!
//! afpd acts as the user that logged in, sets owners and modes as a Mac asks for them, and keeps what a
//! Mac adds to a file in extended attributes: a sharp instrument for ownership. Some tests fail on any
//! file system; so only what ends otherwise than on ext4 counts.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::mount::{UnmountFlags, mount_bind, unmount};

use super::{Place, empty_directory, fresh_directory};
use crate::outcome::{Case, Outcome, SuiteResult};
use crate::process::{self, Finished};
use crate::service::{Service, free_port};
use crate::tools::Package;

/// What the suite runs.
pub const PACKAGES: &[Package] = &[("afpd", "netatalk"), ("afp_spectest", "netatalk-tests")];

/// Testsets that are not run, and why. (netatalk 4.2.3)
const EXCLUDED: [(&str, &str); 3] = [
    ("FPAddIcon", ICONS),
    ("FPGetIcon", ICONS),
    ("FPGetIconInfo", ICONS),
];

const ICONS: &str = "waits for ever for an answer to FPAddIcon, on ext4 too";

/// Limit of one testset: the slowest takes 10 s, which it spends waiting.
const LIMIT: Duration = Duration::from_secs(60);

/// Limit of what only answers.
const PROMPT: Duration = Duration::from_secs(30);

/// Exit statuses up to here tell of tests that failed, were skipped or not tested.
const RAN_TO_ITS_END: i32 = 3;

/// The two users, by name and uid: Debian's base-passwd has them everywhere.
const USERS: [(&str, u32); 2] = [("games", 5), ("man", 6)];

/// The service of pam.conf(5) that afpd asks about a password.
const PAM_SERVICE: &str = "/etc/pam.d/netatalk";

/// Runs every testset, each on empty volumes.
///
/// # Errors
///
/// When afpd does not start, or no test passes.
pub fn run(place: &Place<'_>) -> Result<SuiteResult> {
    let start = Instant::now();
    let home = place.scratch.join("netatalk");
    fresh_directory(&home)?;
    let _pam = anybody_may_log_in(&home)?;
    let volumes = ["afp", "afp-second"].map(|name| place.root.join(name));
    let server = Server::start(&home, &volumes, place)?;
    let mut cases: BTreeMap<String, Case> = BTreeMap::new();
    for set in testsets(place)? {
        for volume in &volumes {
            fresh_volume(volume)?;
        }
        let finished = server.test(&set, place)?;
        read(&set, &finished, &mut cases)?;
    }
    drop(server);
    if !cases.values().any(|case| case.outcome == Outcome::Passed) {
        bail!(
            "none of {} tests of AFP passed: nothing was tested",
            cases.len()
        );
    }
    for volume in &volumes {
        fs::remove_dir_all(volume)
            .with_context(|| format!("cannot clean up {}", volume.display()))?;
    }
    Ok(SuiteResult {
        cases,
        elapsed: start.elapsed(),
    })
}

/// A file in the place of another, until dropped.
struct Bound(PathBuf);

impl Drop for Bound {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

/// System users have no password. The lab has mounts of its own, so nothing outside sees this.
fn anybody_may_log_in(home: &Path) -> Result<Bound> {
    let service = home.join("pam");
    let kinds = ["auth", "account", "session"];
    let rules = kinds.map(|kind| format!("{kind} required pam_permit.so\n"));
    fs::write(&service, rules.concat())?;
    mount_bind(&service, PAM_SERVICE).with_context(|| {
        format!("cannot mount a file at {PAM_SERVICE}, which the package netatalk has")
    })?;
    Ok(Bound(PAM_SERVICE.into()))
}

/// An empty directory of the first user, which everybody may write to.
fn fresh_volume(volume: &Path) -> Result<()> {
    // Not the directory itself: afpd has it open.
    fs::create_dir_all(volume)?;
    empty_directory(volume)?;
    let [(_, uid), _] = USERS;
    chown(volume, Some(uid), None)?;
    fs::set_permissions(volume, fs::Permissions::from_mode(0o777))?;
    Ok(())
}

/// afpd on the volumes, with its state in a directory of the suite's own, and the keeper of the
/// identifiers that AFP gives to files.
struct Server<'a> {
    _afpd: Service,
    _cnid: Service,
    port: u16,
    first: &'a Path,
}

impl<'a> Server<'a> {
    fn start(home: &Path, volumes: &'a [PathBuf; 2], place: &Place<'_>) -> Result<Self> {
        for volume in volumes {
            fresh_volume(volume)?;
        }
        fs::create_dir(home.join("state"))?;
        let (port, cnid) = (free_port()?, free_port()?);
        let configuration = home.join("afp.conf");
        fs::write(&configuration, settings(home, volumes, port, cnid))?;
        let start = |name: &str, port| {
            let mut command = Command::new(name);
            command.args(["-d", "-F"]).arg(&configuration);
            let log = home.join(format!("{name}.out"));
            Service::start(&mut command, port, &log, PROMPT * place.patience)
        };
        let keeper = start("cnid_metad", cnid)
            .context("cnid_metad lifts the limit of open files, which some containers forbid")?;
        Ok(Server {
            _afpd: start("afpd", port)?,
            _cnid: keeper,
            port,
            first: &volumes[0],
        })
    }

    fn test(&self, set: &str, place: &Place<'_>) -> Result<Finished> {
        let [(first, _), (second, _)] = USERS;
        let mut command = Command::new("afp_spectest");
        command
            .args(["-C", "-h", "127.0.0.1", "-p", &self.port.to_string()])
            .args(["-s", "first", "-S", "second", "-u", first, "-d", second])
            .args(["-w", "any", "-f", set, "-c"])
            .arg(self.first)
            .current_dir(place.scratch);
        process::run(&mut command, LIMIT * place.patience)
    }
}

/// afp.conf(5). The identifiers are kept by cnid_metad (`dbd`): kept in memory (`last`), afpd forgets that
/// of a directory whose change time moves on to the next second, and outcomes depend on speed.
fn settings(home: &Path, volumes: &[PathBuf; 2], port: u16, cnid: u16) -> String {
    let home = home.display();
    let [first, second] = volumes.each_ref().map(|volume| volume.display());
    format!(
        "[Global]
        afp port = {port}
        afp listen = 127.0.0.1
        cnid listen = 127.0.0.1:{cnid}
        cnid server = 127.0.0.1:{cnid}
        uam list = uams_clrtxt.so uams_dhx2.so
        valid shellcheck = no
        zeroconf = no
        spotlight = no
        vol dbpath = {home}/state
        log file = {home}/afpd.log
        signature = dynamicfs-lab-00
        [first]
        path = {first}
        volume name = first
        ea = sys
        [second]
        path = {second}
        volume name = second
        ea = sys
        "
    )
}

/// The testsets to run, by name.
fn testsets(place: &Place<'_>) -> Result<Vec<String>> {
    let mut command = Command::new("afp_spectest");
    command.arg("-l").current_dir(place.scratch);
    // Its exit status is that of a wrong option.
    let listed = process::run(&mut command, PROMPT * place.patience)?;
    let names: Vec<String> = listed
        .stdout
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.contains(' '))
        .filter(|name| !EXCLUDED.iter().any(|(excluded, _)| excluded == name))
        .map(str::to_owned)
        .collect();
    if names.is_empty() {
        bail!(
            "afp_spectest -l lists no testset, {}: {}",
            listed.ending(),
            listed.stderr.trim()
        );
    }
    Ok(names)
}

/// Reads `SET:TEST: what it does - PASSED` and the like, and how the testset itself ended: the client
/// is killed by SIGPIPE where afpd closes the connection.
fn read(set: &str, finished: &Finished, cases: &mut BTreeMap<String, Case>) -> Result<()> {
    for (test, outcome) in finished.stdout.lines().filter_map(test) {
        let name = format!("{set}::{test}");
        if cases.insert(name.clone(), outcome.into()).is_some() {
            bail!("afp_spectest reported {name} twice");
        }
    }
    let ending = match finished.code {
        None => Outcome::TimedOut,
        Some(code) if code <= RAN_TO_ITS_END => Outcome::Passed,
        Some(_) => Outcome::Failed(finished.ending()),
    };
    cases.insert(format!("{set}::ends"), ending.into());
    Ok(())
}

fn test(line: &str) -> Option<(&str, Outcome)> {
    let (test, word) = line.rsplit_once(" - ")?;
    let (_, test) = test.split_once(':')?;
    let (test, _) = test.split_once(':')?;
    let outcome = match word.split(" (").next()? {
        "PASSED" => Outcome::Passed,
        "FAILED" => Outcome::Failed(String::new()),
        "SKIPPED" | "NOT TESTED" => Outcome::Skipped(word.to_owned()),
        _ => return None,
    };
    Some((test, outcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "Executing testset: FPDelete_test\n\
        FPDelete:test13: delete - open file - PASSED\nFPDelete:test27: not empty - FAILED\n\
        FPDelete:test28: x - SKIPPED (AFP 3.0 only)\nFPDelete:test29: y - NOT TESTED\n  Passed:     1\n";

    fn finished(code: Option<i32>, stdout: &str) -> Finished {
        Finished {
            code,
            stdout: stdout.to_owned(),
            stderr: String::new(),
        }
    }

    #[test]
    fn reads_tests_and_the_end_of_their_set() {
        let mut cases = BTreeMap::new();
        read("T2FPDelete", &finished(Some(1), SAID), &mut cases).unwrap();
        let words: Vec<_> = cases
            .iter()
            .map(|(name, case)| (name.as_str(), case.outcome.word()))
            .collect();
        assert_eq!(
            words,
            [
                ("T2FPDelete::ends", "passed"),
                ("T2FPDelete::test13", "passed"),
                ("T2FPDelete::test27", "failed"),
                ("T2FPDelete::test28", "skipped"),
                ("T2FPDelete::test29", "skipped"),
            ]
        );
    }

    #[test]
    fn a_set_that_is_cut_off_does_not_end_well() {
        let mut cases = BTreeMap::new();
        read("A", &finished(Some(141), ""), &mut cases).unwrap();
        read("B", &finished(None, ""), &mut cases).unwrap();
        assert_eq!(cases["A::ends"].outcome.word(), "failed");
        assert_eq!(cases["B::ends"].outcome, Outcome::TimedOut);
    }

    #[test]
    fn a_test_reported_twice_is_an_error() {
        let twice = format!("{SAID}{SAID}");
        assert!(read("A", &finished(Some(0), &twice), &mut BTreeMap::new()).is_err());
    }
}
