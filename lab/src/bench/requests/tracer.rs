//! Counting requests in the kernel, through its tracepoint `fuse:fuse_request_send` in a buffer of
//! our own (`Documentation/trace/events.rst` and `ftrace.rst` of the kernel, "Instances").

use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use super::{Counts, conventional};

const EVENT: &str = "events/fuse/fuse_request_send";

/// Instances of the lab begin so.
const PREFIX: &str = "dynamicfs-lab-";

/// Buffer of all processors together, KiB: a request takes 40 bytes.
const BUFFERS_KIB: usize = 64 << 10;

/// Most for one processor, KiB: room for 200,000 requests.
const BUFFER_KIB: usize = 8 << 10;

/// Least for one processor, KiB.
const LEAST_KIB: usize = 512;

/// A trace buffer in the kernel; it goes when dropped.
#[derive(Debug)]
pub struct Tracer(Result<Instance, String>);

impl Tracer {
    /// Makes the buffer. Where the kernel lets nobody trace, or has no such tracepoint (before
    /// Linux 6.11), counting tells the reason.
    pub fn open() -> Self {
        Tracer(Instance::create().map_err(|error| format!("{error:#}")))
    }

    /// Counts the requests of the mount with this minor device number, until
    /// [`finish`](Count::finish).
    ///
    /// # Errors
    ///
    /// Where nothing can be traced.
    pub fn count(&mut self, connection: u32) -> Result<Count<'_>> {
        let instance = match &mut self.0 {
            Ok(instance) => instance,
            Err(reason) => bail!("requests cannot be counted: {reason}"),
        };
        instance.write(
            &format!("{EVENT}/filter"),
            &format!("connection == {connection}"),
        )?;
        instance.write("trace", "")?;
        let count = Count(instance);
        count.0.write(&format!("{EVENT}/enable"), "1")?;
        Ok(count)
    }
}

/// Counting in progress.
#[derive(Debug)]
pub struct Count<'a>(&'a mut Instance);

impl Count<'_> {
    /// Ends, and tells the counts.
    ///
    /// # Errors
    ///
    /// When there were more requests than the buffer holds, or it cannot be read.
    pub fn finish(self) -> Result<Counts> {
        self.0.write(&format!("{EVENT}/enable"), "0")?;
        self.0.check_overrun()?;
        count_lines(&fs::read_to_string(self.0.dir.join("trace"))?)
    }
}

impl Drop for Count<'_> {
    fn drop(&mut self) {
        let _ = self.0.write(&format!("{EVENT}/enable"), "0");
    }
}

#[derive(Debug)]
struct Instance {
    /// Where it is below `mount`.
    dir: PathBuf,
    /// A lock on it: the instance of a process that was killed has none.
    _lock: File,
    /// A tracefs that only this process sees and that goes with the descriptor.
    _mount: OwnedFd,
}

impl Instance {
    fn create() -> Result<Self> {
        let context = fsopen("tracefs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(&context)?;
        let flags = FsMountFlags::FSMOUNT_CLOEXEC;
        let mount =
            fsmount(&context, flags, MountAttrFlags::empty()).context("cannot mount a tracefs")?;
        let root = PathBuf::from(format!("/proc/self/fd/{}", mount.as_raw_fd()));
        if !root.join(EVENT).exists() {
            bail!("this kernel has no tracepoint fuse:fuse_request_send (Linux 6.11)");
        }
        let instances = root.join("instances");
        // Nobody takes an instance for left over between its making and its lock.
        let making = File::open(&instances)?;
        flock(&making, FlockOperation::LockExclusive)?;
        remove_left_over(&instances)?;
        let dir = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(&instances)?
            .keep();
        let lock = File::open(&dir)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        let instance = Instance {
            dir,
            _lock: lock,
            _mount: mount,
        };
        let processors = fs::read_dir(instance.dir.join("per_cpu"))?.count().max(1);
        let kib = (BUFFERS_KIB / processors).clamp(LEAST_KIB, BUFFER_KIB);
        instance.write("buffer_size_kb", &kib.to_string())?;
        Ok(instance)
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.dir.join(file);
        fs::write(&path, text).with_context(|| format!("cannot write {text:?} to tracefs {file}"))
    }

    fn check_overrun(&self) -> Result<()> {
        for processor in fs::read_dir(self.dir.join("per_cpu"))? {
            let stats = fs::read_to_string(processor?.path().join("stats"))?;
            let lost = lost(&stats);
            if lost > 0 {
                bail!("{lost} requests too many for the trace buffer");
            }
        }
        Ok(())
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // The files in it are the kernel's.
        let _ = fs::remove_dir(&self.dir);
    }
}

/// Removes the instances of processes that were killed.
fn remove_left_over(instances: &Path) -> Result<()> {
    for instance in fs::read_dir(instances)? {
        let instance = instance?;
        if !instance.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        // One that has just gone is not left over.
        let Ok(dir) = File::open(instance.path()) else {
            continue;
        };
        if flock(&dir, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = fs::remove_dir(instance.path());
        }
    }
    Ok(())
}

/// Events that did not find room, from the statistics of a processor's buffer.
fn lost(stats: &str) -> u64 {
    stats
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(name, _)| ["overrun", "commit overrun", "dropped events"].contains(name))
        .filter_map(|(_, count)| count.trim().parse::<u64>().ok())
        .sum()
}

/// Counts lines such as
/// `cat-87 [001] ..... 12.345: fuse_request_send: connection 45 req 2 opcode 3 (FUSE_GETATTR) len 56`.
fn count_lines(trace: &str) -> Result<Counts> {
    let mut counts = Counts::new();
    for line in trace.lines().filter(|line| !line.starts_with('#')) {
        let (_, event) = line
            .split_once("fuse_request_send:")
            .with_context(|| format!("unexpected line in a trace: {line}"))?;
        let name = opcode(event).with_context(|| format!("no opcode in a trace: {line}"))?;
        if let Some(name) = conventional(&name) {
            *counts.entry(name.to_owned()).or_default() += 1;
        }
    }
    Ok(counts)
}

/// The name of the opcode; its number where the kernel's tracepoint has no name for it.
fn opcode(event: &str) -> Option<String> {
    let mut words = event
        .split_whitespace()
        .skip_while(|&word| word != "opcode");
    let number = words.nth(1)?;
    let name = words.next()?.trim_matches(['(', ')']);
    Some(match name.strip_prefix("FUSE_") {
        Some(name) => name.to_owned(),
        None => format!("OPCODE_{number}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "\
# tracer: nop
#
           touch-812     [000] .....    65.000001: fuse_request_send: connection 45 req 2 opcode 1 (FUSE_LOOKUP) len 48 \n\
           touch-812     [000] .....    65.000002: fuse_request_send: connection 45 req 4 opcode 45 (FUSE_RENAME2) len 48 \n\
   kworker/u8:1-99      [001] d..1.    65.000003: fuse_request_send: connection 45 req 6 opcode 1 (FUSE_LOOKUP) len 48 \n\
 opcode fuse_1-99      [001] d..1.    65.000004: fuse_request_send: connection 45 req 8 opcode 42 (FUSE_BATCH_FORGET) len 48 \n\
           touch-812     [000] .....    65.000005: fuse_request_send: connection 45 req 9 opcode 99 (0x63) len 48 \n";

    #[test]
    fn counts_opcodes_by_their_conventional_names() {
        let expected = [("LOOKUP", 2), ("OPCODE_99", 1), ("RENAME", 1)];
        let expected: Counts = expected
            .map(|(name, count)| (name.to_owned(), count))
            .into();
        assert_eq!(count_lines(TRACE).unwrap(), expected);
        assert_eq!(count_lines("# tracer: nop\n").unwrap(), Counts::new());
    }

    #[test]
    fn a_line_that_is_no_request_is_an_error_and_not_a_wrong_count() {
        let error = count_lines("CPU:1 [LOST 5 EVENTS]\n")
            .unwrap_err()
            .to_string();
        assert!(error.contains("LOST 5 EVENTS"), "{error}");
    }

    #[test]
    fn sees_what_was_lost() {
        let stats = "entries: 10\noverrun: 3\ncommit overrun: 0\nbytes: 400\ndropped events: 2\n";
        assert_eq!(lost(stats), 5);
        assert_eq!(lost("entries: 10\noverrun: 0\n"), 0);
    }
}
