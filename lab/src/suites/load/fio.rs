//! fio(1): what was written, block by block with a checksum, is read again and compared.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::json;

use super::super::cx::{Cx, Seen};

/// One way to write a file.
pub(super) struct Job {
    pub(super) name: &'static str,
    arguments: &'static [&'static str],
    /// Processes that write a part of the file each.
    writers: u64,
}

impl Job {
    const fn new(name: &'static str, arguments: &'static [&'static str]) -> Self {
        Job {
            name,
            arguments,
            writers: 1,
        }
    }
}

pub(super) const JOBS: &[Job] = &[
    Job::new("sequential", &["--rw=write", "--bs=64k"]),
    // Without fallocate(2) first, the file grows block by block, out of order.
    Job::new(
        "random_growing",
        &["--rw=randwrite", "--bsrange=4k-64k", "--fallocate=none"],
    ),
    // Of no alignment at all.
    Job::new(
        "unaligned",
        &["--rw=randwrite", "--bs=3001", "--bs_unaligned=1"],
    ),
    // What was written is verified while more is written.
    Job::new(
        "read_between_writes",
        &["--rw=randrw", "--bs=4k", "--verify_backlog=64"],
    ),
    Job::new("fsync", &["--rw=randwrite", "--bs=16k", "--fsync=8"]),
    Job::new("o_sync", &["--rw=randwrite", "--bs=16k", "--sync=1"]),
    Job::new("direct", &["--rw=write", "--bs=64k", "--direct=1"]),
    Job::new(
        "direct_queue",
        &[
            "--rw=randwrite",
            "--bs=4k",
            "--direct=1",
            "--ioengine=libaio",
            "--iodepth=16",
        ],
    ),
    Job::new("mmap", &["--rw=randwrite", "--bs=4k", "--ioengine=mmap"]),
    Job {
        name: "two_writers",
        arguments: &["--rw=randwrite", "--bs=4k", "--numjobs=2"],
        writers: 2,
    },
    Job {
        name: "two_direct_writers",
        arguments: &["--rw=randwrite", "--bs=4k", "--numjobs=2", "--direct=1"],
        writers: 2,
    },
];

/// What fio says at its end, as far as it is looked at.
#[derive(Deserialize)]
struct Report {
    jobs: Vec<Figures>,
}

#[derive(Deserialize)]
struct Figures {
    error: i32,
    read: Direction,
    write: Direction,
}

#[derive(Deserialize)]
struct Direction {
    io_bytes: u64,
}

/// Writes the file and verifies it.
pub(super) fn run(cx: &Cx, job: &Job) -> Result<Seen> {
    cx.fresh()?;
    let bytes: u64 = if cx.quick { 2 << 20 } else { 16 << 20 };
    let report = cx.scratch.join("fio.json");
    let mut command = cx.command("fio");
    command
        .args(["--name=job", "--filename=file", "--randseed=77"])
        .args(["--verify=crc32c", "--verify_fatal=1", "--do_verify=1"])
        // Files of its own that would lie on the mount.
        .arg("--verify_state_save=0")
        .arg(format!("--size={bytes}"))
        .arg(format!("--offset_increment={bytes}"))
        .args(job.arguments)
        .arg("--output-format=json")
        .arg("--output")
        .arg(&report);
    cx.run(&mut command)?;
    check(&fs::read_to_string(&report)?, job.writers, bytes)?;
    let length = fs::metadata(cx.dir.join("file"))?.len();
    Ok(Seen::from([("bytes".to_owned(), json!(length))]))
}

/// That each writer wrote, and read back what it wrote: exit status 0 alone does not tell that
/// anything was verified.
fn check(report: &str, writers: u64, bytes: u64) -> Result<()> {
    // Warnings may come before the object.
    let object = report.find('{').map_or("", |start| &report[start..]);
    let report: Report = serde_json::from_str(object)
        .with_context(|| format!("fio printed no report: {report:?}"))?;
    ensure!(
        report.jobs.len() as u64 == writers,
        "fio reports {} writers instead of {writers}",
        report.jobs.len()
    );
    for figures in &report.jobs {
        let (written, read) = (figures.write.io_bytes, figures.read.io_bytes);
        ensure!(figures.error == 0, "fio reports error {}", figures.error);
        ensure!(
            written > 0 && written + read >= bytes && read >= written,
            "fio wrote {written} and read {read} of {bytes} bytes"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(error: i32, read: u64, write: u64) -> String {
        let job = json!({"error": error, "read": {"io_bytes": read}, "write": {"io_bytes": write}});
        format!("note: x\n{}", json!({ "jobs": [job] }))
    }

    #[test]
    fn what_was_not_read_again_is_no_pass() {
        assert!(check(&report(0, 100, 100), 1, 100).is_ok());
        assert!(check(&report(0, 0, 100), 1, 100).is_err());
        assert!(check(&report(0, 50, 50), 1, 200).is_err());
        assert!(check(&report(84, 100, 100), 1, 100).is_err());
        assert!(check(&report(0, 100, 100), 2, 100).is_err());
        assert!(check("", 1, 100).is_err());
    }
}
