//! The stressors of stress-ng(1) that work on files, one by one, with its own checks on.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::super::cx::{Cx, Seen};

/// One of them, and when it is done.
pub(super) struct Stressor {
    pub(super) name: &'static str,
    /// Rounds of its own measure: 0.1 to 0.5 s on ext4.
    rounds: u32,
    arguments: &'static [&'static str],
}

const fn stressor(name: &'static str, rounds: u32, arguments: &'static [&'static str]) -> Stressor {
    Stressor {
        name,
        rounds,
        arguments,
    }
}

/// Of the class `filesystem` of stress-ng 0.15 to 0.19 these are left out:
/// - `bind-mount`, `binderfs`, `procfs` and `ramfs` look at other file systems; `dup`, `eventfd` and
///   `epoll` at descriptors; `io` calls sync(2) for the whole machine; `ioprio` looks at the scheduler
///   of the block device;
/// - `inode-flags` does no round within its time on ext4, and `verity` needs a feature that the
///   images do not have: neither passes there.
pub(super) const STRESSORS: &[Stressor] = &[
    stressor("access", 200, &[]),
    stressor("chattr", 10, &[]),
    stressor("chdir", 1000, &["--chdir-dirs", "256"]),
    stressor("chmod", 100, &[]),
    stressor("chown", 500, &[]),
    stressor("copy-file", 100, &["--copy-file-bytes", "128M"]),
    stressor("dentry", 1000, &["--dentries", "256"]),
    stressor("dir", 300, &["--dir-dirs", "256"]),
    stressor("dirdeep", 100, &["--dirdeep-inodes", "500"]),
    stressor("dirmany", 300, &[]),
    stressor("dnotify", 20, &[]),
    stressor("fallocate", 5, &["--fallocate-bytes", "16M"]),
    stressor("fanotify", 500, &[]),
    stressor("fcntl", 1000, &[]),
    stressor("fiemap", 1000, &["--fiemap-bytes", "16M"]),
    stressor("file-ioctl", 1000, &[]),
    stressor("filename", 5, &[]),
    stressor("flock", 10_000, &[]),
    stressor("fpunch", 100, &[]),
    stressor("fsize", 10, &[]),
    stressor("fstat", 200, &[]),
    stressor("getdent", 1000, &[]),
    stressor("handle", 1000, &[]),
    stressor("hdd", 300, &["--hdd-bytes", "16M"]),
    stressor("inotify", 2, &[]),
    stressor("iomix", 300, &["--iomix-bytes", "16M"]),
    stressor("lease", 500, &[]),
    stressor("link", 1, &[]),
    stressor("locka", 10_000, &[]),
    stressor("lockf", 2000, &[]),
    stressor("lockofd", 10_000, &[]),
    stressor("mknod", 200, &[]),
    stressor("open", 500, &["--open-max", "500"]),
    stressor("rename", 300, &[]),
    stressor("symlink", 1, &[]),
    stressor("sync-file", 5, &["--sync-file-bytes", "4M"]),
    stressor("touch", 200, &[]),
    stressor("utime", 1000, &[]),
    stressor("xattr", 20, &[]),
];

/// Runs one until its rounds are done, or its time is over.
pub(super) fn run(cx: &Cx, stressor: &Stressor) -> Result<Seen> {
    cx.fresh()?;
    let seconds = if cx.quick { 2 } else { 10 } * cx.patience;
    let rounds = if cx.quick {
        stressor.rounds.div_ceil(4)
    } else {
        stressor.rounds
    };
    let metrics = cx.scratch.join("stress.yaml");
    let mut command = cx.command("stress-ng");
    command
        .args([&format!("--{}", stressor.name), "1"])
        .args([&format!("--{}-ops", stressor.name), &rounds.to_string()])
        .args(stressor.arguments)
        .args(["--timeout", &seconds.to_string()])
        .args(["--verify", "--seed", "7", "--metrics", "--temp-path"])
        .arg(&cx.dir)
        .arg("--yaml")
        .arg(&metrics);
    cx.run(&mut command)?;
    let done = rounds_done(&fs::read_to_string(&metrics)?)?;
    ensure!(
        done > 0,
        "stress-ng did no round of {} within {seconds} s",
        stressor.name
    );
    let left = fs::read_dir(&cx.dir)?.count();
    ensure!(left == 0, "stress-ng left {left} entries behind");
    Ok(Seen::new())
}

/// A stressor that skips itself says so on the terminal alone, and ends with status 0.
fn rounds_done(metrics: &str) -> Result<u64> {
    metrics
        .lines()
        .find_map(|line| line.trim().strip_prefix("bogo-ops:"))
        .context("stress-ng wrote no figures")?
        .trim()
        .parse()
        .context("stress-ng wrote figures of another form")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_how_much_was_done() {
        let metrics = "metrics:\n    - stressor: link\n      bogo-ops: 12\n\
                       \x20     bogo-ops-per-second-real-time: 3.5\n";
        assert_eq!(rounds_done(metrics).unwrap(), 12);
        assert!(rounds_done("metrics:\n...\n").is_err());
    }
}
