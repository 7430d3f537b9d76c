//! dbench(1): two clients that do what a file server did for an office program.

use anyhow::{Result, bail, ensure};

use super::super::cx::{Cx, Seen};

/// Client programs at once.
const CLIENTS: &str = "2";

/// One way to work through the recorded load.
pub(super) struct Load {
    pub(super) name: &'static str,
    arguments: &'static [&'static str],
}

pub(super) const LOADS: &[Load] = &[
    Load {
        name: "office",
        arguments: &[],
    },
    // Each write and each change of a directory waits for the disk.
    Load {
        name: "office_synchronous",
        arguments: &["-s", "-S"],
    },
    // With the extended attributes that Samba keeps.
    Load {
        name: "office_xattrs",
        arguments: &["-x"],
    },
];

/// The load that comes with the package.
const LOAD_FILE: &str = "/usr/share/dbench/client.txt";

/// Runs for a few seconds; a call that fails where it succeeded when it was recorded ends it.
pub(super) fn run(cx: &Cx, load: &Load) -> Result<Seen> {
    cx.fresh()?;
    let seconds = if cx.quick { 1 } else { 3 } * cx.patience;
    let mut command = cx.command("dbench");
    command.arg("-c").arg(LOAD_FILE).arg("-D").arg(&cx.dir);
    command.args(["-t", &seconds.to_string()]);
    let printed = cx.run(command.args(load.arguments).arg(CLIENTS))?;
    check(&printed)?;
    Ok(Seen::new())
}

/// The summary comes at the end and only then; calls that failed are told line by line before it.
fn check(printed: &str) -> Result<()> {
    ensure!(
        printed.lines().any(|line| line.starts_with("Throughput ")),
        "dbench ended without a summary: {printed}"
    );
    let failed = printed
        .lines()
        .find(|line| line.starts_with('[') || line.contains(" failed for "));
    if let Some(line) = failed {
        bail!("dbench: {line}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_its_summary_or_with_a_failed_call_is_no_pass() {
        let summary = "   2  cleanup   2 sec\nThroughput 157.1 MB/sec  2 clients\n";
        assert!(check(summary).is_ok());
        assert!(check("   2  cleanup   2 sec\n").is_err());
        assert!(check(&format!("[7] read failed for handle 9\n{summary}")).is_err());
    }
}
