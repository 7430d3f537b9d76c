//! Random reads by fio(1): several threads, two ways to ask the kernel, with and without the page
//! cache.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::data::{DATA, check_data_read_directly, data, drop_data, warm_data};
use super::turn::Account;
use super::{Caches, Group, Room, Turn, Workload};
use crate::process::{self, Finished};

/// Beyond the time that it is told to run; it needs a third of a second to begin.
const GRACE: Duration = Duration::from_secs(20);

/// Reads that one thread has under way with io_uring.
const DEPTH: u32 = 16;

const PSYNC: bool = false;
const URING: bool = true;
const CACHED: bool = false;
const DIRECT: bool = true;

pub(super) fn workloads() -> Vec<Workload> {
    let quick = |workload| Workload {
        quick: true,
        ..workload
    };
    vec![
        quick(row::<PSYNC, 1, CACHED>("rand-psync-1t-cached")),
        row::<PSYNC, 2, CACHED>("rand-psync-2t-cached"),
        row::<PSYNC, 8, CACHED>("rand-psync-8t-cached"),
        row::<PSYNC, 1, DIRECT>("rand-psync-1t-direct"),
        row::<PSYNC, 2, DIRECT>("rand-psync-2t-direct"),
        row::<PSYNC, 8, DIRECT>("rand-psync-8t-direct"),
        row::<URING, 1, CACHED>("rand-uring-1t-cached"),
        row::<URING, 2, CACHED>("rand-uring-2t-cached"),
        row::<URING, 8, CACHED>("rand-uring-8t-cached"),
        quick(row::<URING, 1, DIRECT>("rand-uring-1t-direct")),
        row::<URING, 2, DIRECT>("rand-uring-2t-direct"),
        row::<URING, 8, DIRECT>("rand-uring-8t-direct"),
    ]
}

fn row<const ENGINE: bool, const THREADS: u32, const MODE: bool>(name: &'static str) -> Workload {
    Workload {
        name,
        group: Group::RandomReads,
        operation: match (ENGINE, MODE) {
            (PSYNC, CACHED) => "a read of 4 KiB by pread",
            (PSYNC, DIRECT) => "a read of 4 KiB by pread, with O_DIRECT, in no page cache before",
            (URING, CACHED) => {
                "a read of 4 KiB by io_uring, 16 under way in each thread; CPU without the \
                 kernel's own workers"
            }
            (URING, DIRECT) => {
                "a read of 4 KiB by io_uring, 16 under way in each thread, with O_DIRECT, in no \
                 page cache before; CPU without the kernel's own workers"
            }
        },
        caches: if MODE == DIRECT {
            Caches::ColdData
        } else {
            Caches::Hot
        },
        quick: false,
        material: DATA,
        before: if MODE == DIRECT { drop_data } else { warm_data },
        run: read::<ENGINE, THREADS, MODE>,
    }
}

fn read<const ENGINE: bool, const THREADS: u32, const MODE: bool>(
    room: &Room,
    turn: &mut Turn<'_>,
) -> Result<()> {
    let time = turn.budget().time;
    let mut command = fio(&data(room), time);
    command
        .arg(format!("--numjobs={THREADS}"))
        .arg(format!("--direct={}", u8::from(MODE == DIRECT)));
    if ENGINE == URING {
        command
            .arg("--ioengine=io_uring")
            .arg(format!("--iodepth={DEPTH}"));
    } else {
        command.arg("--ioengine=psync");
    }
    turn.timed_by_itself(|| account(&process::run(&mut command, time + GRACE)?))?;
    if MODE == DIRECT {
        check_data_read_directly(room)?;
    }
    Ok(())
}

fn fio(file: &Path, time: Duration) -> Command {
    let mut filename = std::ffi::OsString::from("--filename=");
    filename.push(file);
    let mut command = Command::new("fio");
    command
        .arg("--name=read")
        .arg(filename)
        .args(["--readonly", "--rw=randread", "--bs=4k"])
        .args(["--thread", "--group_reporting", "--invalidate=0"])
        // Nobody asks for them here, and they cost a look at the clock each.
        .args(["--disable_lat=1", "--disable_clat=1", "--disable_slat=1"])
        // Which pages were read already is not worth the time to note.
        .args(["--norandommap", "--randrepeat=1"])
        .args(["--time_based", "--output-format=json"])
        .arg(format!("--runtime={}ms", time.as_millis().max(1)));
    command
}

#[derive(Deserialize)]
struct Report {
    jobs: Vec<Job>,
}

#[derive(Deserialize)]
struct Job {
    error: i32,
    read: Reads,
    /// Of all threads together, milliseconds: what the next two are percent of.
    job_runtime: u64,
    usr_cpu: f64,
    sys_cpu: f64,
}

/// What all threads did together.
#[derive(Deserialize)]
struct Reads {
    total_ios: u64,
    /// Milliseconds.
    runtime: u64,
}

/// What the threads did and cost, without the start-up of fio; or what fio said instead. The
/// kernel's own threads that work for io_uring are not among them.
fn account(finished: &Finished) -> Result<Account> {
    // Notes come before the report, and both on standard output.
    let start = finished.stdout.find('{').unwrap_or(finished.stdout.len());
    let (notes, report) = finished.stdout.split_at(start);
    if !finished.success() {
        let said = [notes.trim(), finished.stderr.trim()].join("\n");
        // The same for each read in flight follows.
        let first = said.trim().lines().next().unwrap_or("it said nothing");
        bail!("{}: {first}", finished.ending());
    }
    let report: Report = serde_json::Deserializer::from_str(report)
        .into_iter()
        .next()
        .context("fio printed no report")?
        .context("fio's report is not what fio 3 prints")?;
    let [job] = report.jobs.as_slice() else {
        bail!("fio reports {} jobs instead of one", report.jobs.len());
    };
    ensure!(job.error == 0, "fio: error {}: {}", job.error, notes.trim());
    ensure!(job.read.runtime > 0, "fio ran for less than a millisecond");
    let busy = (job.usr_cpu + job.sys_cpu) / 100.0;
    Ok(Account {
        operations: job.read.total_ios,
        time: Duration::from_millis(job.read.runtime),
        cpu: Duration::from_millis(job.job_runtime).mul_f64(busy),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(code: i32, stdout: &str, stderr: &str) -> Finished {
        Finished {
            code: Some(code),
            stdout: stdout.to_owned(),
            stderr: stderr.to_owned(),
        }
    }

    /// What fio 3.33 printed, shortened.
    const REPORT: &str = r#"note: both iodepth >= 1 and synchronous I/O engine are selected, queue depth will be capped at 1
{
  "fio version" : "fio-3.33",
  "jobs" : [
    {
      "jobname" : "read",
      "error" : 0,
      "read" : { "io_bytes" : 9666560, "iops" : 29135.802469, "runtime" : 81, "total_ios" : 2360 },
      "write" : { "runtime" : 0, "total_ios" : 0 },
      "job_runtime" : 80,
      "usr_cpu" : 12.500000,
      "sys_cpu" : 25.000000
    }
  ]
}
"#;

    #[test]
    fn reads_and_what_they_cost_are_in_the_report() {
        let expected = Account {
            operations: 2360,
            time: Duration::from_millis(81),
            cpu: Duration::from_millis(30),
        };
        assert_eq!(account(&finished(0, REPORT, "")).unwrap(), expected);
    }

    #[test]
    fn a_refusal_is_told_in_the_words_of_fio() {
        let refusal = "fio: looks like your file system does not support direct=1/buffered=0";
        let empty = r#"{ "jobs" : [ { "error" : 22, "read" : { "runtime" : 0, "total_ios" : 0 },
            "job_runtime" : 0, "usr_cpu" : 0.0, "sys_cpu" : 0.0 } ] }"#;
        let error = account(&finished(1, &format!("{refusal}\n{empty}"), "")).unwrap_err();
        assert_eq!(error.to_string(), format!("exit status 1: {refusal}"));
        let error = account(&finished(0, empty, "")).unwrap_err();
        assert!(error.to_string().starts_with("fio: error 22"), "{error}");
        assert!(account(&finished(0, "", "")).is_err());
    }
}
