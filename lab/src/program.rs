//! Programs as anybody has them: without the settings of the user who runs the lab.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};

use crate::process::{self, Finished};

/// How many lines of a failed program's standard error are kept.
const TAIL: usize = 12;

/// A home and a place for temporary files, off the mount.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    home: PathBuf,
    tmp: PathBuf,
}

impl Settings {
    /// In `scratch`, where they are made unless they are there.
    pub(crate) fn in_directory(scratch: &Path) -> Result<Self> {
        let settings = Settings {
            home: scratch.join("home"),
            tmp: scratch.join("tmp"),
        };
        fs::create_dir_all(&settings.home)?;
        fs::create_dir_all(&settings.tmp)?;
        Ok(settings)
    }

    /// A program that works in `directory`.
    pub(crate) fn command(&self, name: impl AsRef<OsStr>, directory: &Path) -> Command {
        let mut command = Command::new(name);
        command
            .current_dir(directory)
            .env_clear()
            .env(
                "PATH",
                env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()),
            )
            .env("HOME", &self.home)
            .env("XDG_CONFIG_HOME", &self.home)
            .env("TMPDIR", &self.tmp)
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC");
        command
    }

    /// git with no configuration but its defaults.
    pub(crate) fn git(&self, directory: &Path) -> Command {
        let mut command = self.command("git", directory);
        command
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0");
        command
    }

    /// Makes the bare repository `origin` from the file `history` ([`crate::material::history`]).
    pub(crate) fn import_history(
        &self,
        origin: &Path,
        history: &Path,
        limit: Duration,
    ) -> Result<()> {
        fs::create_dir(origin)?;
        run(
            self.git(origin)
                .args(["init", "-q", "--bare", "-b", "main"]),
            limit,
        )?;
        // git-fast-import reads standard input alone; the shell hands it the file.
        run(
            self.git(origin)
                .args([
                    "-c",
                    "alias.import=!git fast-import --quiet --done <\"$HISTORY\"",
                    "import",
                ])
                .env("HISTORY", history),
            limit,
        )?;
        Ok(())
    }

    /// `cargo build`, with the cargo that the lab was started with. rustup's proxies need to find
    /// the toolchains of the user.
    pub(crate) fn cargo_build(&self, directory: &Path) -> Command {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = self.command(cargo, directory);
        command
            .args(["build", "--offline", "--quiet"])
            .env("CARGO_HOME", self.home.join("cargo"))
            .env("CARGO_INCREMENTAL", "1");
        let rustup = env::var_os("RUSTUP_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".rustup")));
        if let Some(rustup) = rustup.filter(|directory| directory.is_dir()) {
            command.env("RUSTUP_HOME", rustup);
        }
        for name in ["RUSTUP_TOOLCHAIN", "RUSTUP_AUTO_INSTALL"] {
            if let Some(value) = env::var_os(name) {
                command.env(name, value);
            }
        }
        command
    }
}

/// A program did not end in time.
#[derive(Debug)]
pub(crate) struct Late;

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a program did not end in time")
    }
}

/// Runs it and returns what it printed; a failure carries the end of its standard error.
///
/// # Errors
///
/// When it fails, or with [`Late`].
pub(crate) fn run(command: &mut Command, limit: Duration) -> Result<String> {
    run_as(&words(command), command, limit)
}

/// [`run`] for a command whose words would hide what it said: errors call it `name`.
///
/// # Errors
///
/// Those of [`run`].
pub(crate) fn run_as(name: &str, command: &mut Command, limit: Duration) -> Result<String> {
    let finished = process::run(command, limit)?;
    if finished.code.is_none() {
        return Err(anyhow!(Late).context(name.to_owned()));
    }
    if !finished.success() {
        bail!("{}", failure(name, &finished));
    }
    Ok(finished.stdout)
}

/// [`run`] for a program that must print nothing.
///
/// # Errors
///
/// Those of [`run`], or when it printed something.
pub(crate) fn run_silent(command: &mut Command, limit: Duration) -> Result<()> {
    let printed = run(command, limit)?;
    if !printed.is_empty() {
        bail!("{} printed: {}", words(command), tail(&printed));
    }
    Ok(())
}

/// The command as a person would type it, without its environment.
fn words(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(command.get_args().map(OsStr::to_string_lossy));
    words.join(" ")
}

fn failure(name: &str, finished: &Finished) -> String {
    let said = if finished.stderr.trim().is_empty() {
        &finished.stdout
    } else {
        &finished.stderr
    };
    format!("{name}: {}: {}", finished.ending(), tail(said))
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[test]
    fn a_failure_names_the_program_and_the_end_of_what_it_said() {
        let script = "seq 100 >&2; exit 3";
        let error = run(Command::new("sh").args(["-c", script]), LIMIT).unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("sh -c seq 100 >&2; exit 3: exit status 3: 89\n"),
            "{text}"
        );
        assert!(text.ends_with("\n100"), "{text}");
    }

    #[test]
    fn late_is_told_from_failed() {
        let sleep = |time, limit| run(Command::new("sleep").arg(time), limit).unwrap_err();
        let error = sleep("60", Duration::from_millis(50));
        assert!(error.is::<Late>(), "{error:#}");
        let error = sleep("never", LIMIT);
        assert!(!error.is::<Late>(), "{error:#}");
    }

    #[test]
    fn the_user_settings_do_not_reach_a_program() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings::in_directory(dir.path()).unwrap();
        let mut command = settings.command("sh", dir.path());
        command.args(["-c", "echo $HOME; env | grep -c CARGO || true"]);
        let expected = format!("{}\n0\n", dir.path().join("home").display());
        assert_eq!(run(&mut command, LIMIT).unwrap(), expected);
    }
}
