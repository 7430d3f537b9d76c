//! Processors that stay awake while requests come fast.
//!
//! A request wakes a worker, and its answer the caller, each where the scheduler puts it. A processor
//! that idles has halted by then, and in a virtual machine waking it takes an exit to the host and a
//! way back: longer than all the rest of the request. Under a CPU latency limit of 0 µs idle processors
//! poll instead (`Documentation/power/pm_qos_interface.rst`), and the wake-up is a store to memory. The limit is the kernel's
//! for the whole machine, lasts as long as the device is open, and so ends with this process in any case.
//!
//! The kernel takes the limit in any case; what obeys it are the governors of cpuidle, where a driver knows idle states to
//! choose from (`Documentation/admin-guide/pm/cpuidle.rst`). Where none does, the limit is set all the same, because a driver
//! may be loaded later, and the report says that nothing obeys it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::filesystem::DynamicFS;
use crate::transport::Negotiated;

/// The kernel's device for the limit.
const DEVICE: &str = "/dev/cpu_dma_latency";
/// The driver whose idle states the limit chooses from, or "none".
const DRIVER: &str = "/sys/devices/system/cpu/cpuidle/current_driver";

/// No latency is accepted: poll.
const POLL: i32 = 0;
/// No limit (`PM_QOS_DEFAULT_VALUE` of the kernel).
const NONE: i32 = -1;

/// How often the rate of requests is looked at, while there are any.
const TICK: Duration = Duration::from_millis(4);
/// Requests in a tick that are fast: 5,000 a second. Two wake-ups of 20 µs are a fifth of the time then.
const FAST: u64 = 20;
/// How long after the last fast tick the processors may halt again: programs pause between bursts.
const LINGER: Duration = Duration::from_millis(50);

/// A limit on the time in which a processor must be awake.
struct Limit(File);

impl Limit {
    /// Opens the device; that sets no limit yet.
    fn open(path: &Path) -> io::Result<Limit> {
        let file = File::options().read(true).write(true).open(path);
        file.map(Limit).map_err(|error| named(path, &error))
    }

    /// Whether a limit that is set comes into force.
    fn obeys(&mut self) -> io::Result<()> {
        self.set(POLL)?;
        let in_force = self.in_force()?;
        self.set(NONE)?;
        match in_force {
            POLL => Ok(()),
            other => Err(io::Error::other(format!(
                "the limit is {other} µs after 0 µs was asked for"
            ))),
        }
    }

    fn set(&mut self, micros: i32) -> io::Result<()> {
        self.0.write_all(&micros.to_ne_bytes())
    }

    /// The strictest limit that anybody has set.
    fn in_force(&mut self) -> io::Result<i32> {
        let mut micros = [0; 4];
        self.0.read_exact(&mut micros)?;
        Ok(i32::from_ne_bytes(micros))
    }
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Why a limit would be of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum Obstacle {
    #[error("with one processor nobody is woken on another")]
    OneProcessor,
    #[error("the kernel has no cpuidle driver, so nothing obeys the limit")]
    NoDriver,
    #[error(transparent)]
    Device(#[from] io::Error),
}

impl Obstacle {
    /// What removes it.
    pub(super) fn remedy(&self) -> &'static str {
        match self {
            Obstacle::OneProcessor => "mount on a machine with several processors",
            Obstacle::NoDriver => {
                "start the kernel with a driver (in a guest of KVM: cpuidle_haltpoll.force=1)"
            }
            Obstacle::Device(_) => "mount as root",
        }
    }
}

/// The kernel's limit, where it can be of use.
fn useful() -> Result<Limit, Obstacle> {
    if std::thread::available_parallelism().is_ok_and(|processors| processors.get() == 1) {
        return Err(Obstacle::OneProcessor);
    }
    Ok(Limit::open(Path::new(DEVICE))?)
}

/// Nothing obeys a limit where no file names a driver; a kernel without cpuidle has no such file.
fn obeyed(driver: &Path) -> Result<(), Obstacle> {
    match fs::read_to_string(driver) {
        Ok(name) if name.trim() != "none" => Ok(()),
        _ => Err(Obstacle::NoDriver),
    }
}

/// Why no limit would be in force here; looks only.
pub(super) fn obstacle() -> Option<Obstacle> {
    useful().and_then(|_| obeyed(Path::new(DRIVER))).err()
}

/// The thread that sets the limit and takes it back. Ends when dropped.
#[derive(Debug)]
pub(super) struct AwakeProcessors {
    fs: Arc<DynamicFS>,
    thread: Option<JoinHandle<()>>,
}

/// What becomes of `cpu_latency_qos` for this mount.
pub(super) fn of(fs: &Arc<DynamicFS>) -> (Option<AwakeProcessors>, Option<Negotiated>) {
    if !fs.config().cpu_latency_qos {
        return (None, None);
    }
    let reported = |granted, effective: &str, why: String| Negotiated {
        effective: effective.to_owned(),
        ..Negotiated::limit("cpu_latency_qos", "0 us", granted).because(why)
    };
    let awake = match useful().and_then(|limit| AwakeProcessors::start(fs, limit)) {
        Ok(awake) => awake,
        Err(obstacle) => return (None, Some(reported("no", "no", obstacle.to_string()))),
    };
    let item = match obeyed(Path::new(DRIVER)) {
        Ok(()) => reported("0 us", "0 us", "while requests come fast".to_owned()),
        Err(obstacle) => reported("0 us", "no", obstacle.to_string()),
    };
    (Some(awake), Some(item))
}

impl AwakeProcessors {
    fn start(fs: &Arc<DynamicFS>, mut limit: Limit) -> Result<AwakeProcessors, Obstacle> {
        limit
            .obeys()
            .map_err(|error| named(Path::new(DEVICE), &error))?;
        let watched = fs.clone();
        let thread = std::thread::Builder::new()
            .name("dynamicfs-awake".into())
            .spawn(move || {
                if let Err(error) = keep_awake(&watched, limit) {
                    tracing::warn!(%error, "{DEVICE}: idle processors halt as usual from now on");
                }
            })?;
        Ok(AwakeProcessors {
            fs: fs.clone(),
            thread: Some(thread),
        })
    }
}

impl Drop for AwakeProcessors {
    fn drop(&mut self) {
        self.fs.statistics().activity().end();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that keeps processors awake panicked");
        }
    }
}

fn keep_awake(fs: &DynamicFS, mut limit: Limit) -> io::Result<()> {
    let statistics = fs.statistics();
    let mut rate = Rate::new(statistics.answered());
    let mut awake = false;
    loop {
        let go_on = match rate.is_quiet() && !awake {
            true => statistics.activity().wait(),
            false => statistics.activity().sleep(TICK),
        };
        if !go_on {
            return Ok(());
        }
        let fast = rate.is_fast(statistics.answered(), Instant::now());
        if fast != awake {
            limit.set(if fast { POLL } else { NONE })?;
            awake = fast;
        }
    }
}

/// How fast requests come.
struct Rate {
    answered: u64,
    in_tick: u64,
    last_fast: Option<Instant>,
}

impl Rate {
    fn new(answered: u64) -> Rate {
        Rate {
            answered,
            in_tick: 0,
            last_fast: None,
        }
    }

    /// A tick ends, at whose end so many requests had been answered. Whether they come fast, or did a moment ago.
    fn is_fast(&mut self, answered: u64, now: Instant) -> bool {
        self.in_tick = answered - self.answered;
        self.answered = answered;
        if self.in_tick >= FAST {
            self.last_fast = Some(now);
        }
        self.last_fast
            .is_some_and(|last| now.duration_since(last) < LINGER)
    }

    /// Nothing came in the last tick.
    fn is_quiet(&self) -> bool {
        self.in_tick == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_is_a_rate_and_a_moment_after_it() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut rate = Rate::new(1000);
        assert!(rate.is_quiet());
        assert!(!rate.is_fast(1000 + FAST - 1, after(10)));
        assert!(!rate.is_quiet());
        assert!(rate.is_fast(1000 + 2 * FAST, after(20)));
        assert!(rate.is_fast(1000 + 2 * FAST, after(60)));
        assert!(rate.is_quiet());
        assert!(!rate.is_fast(1001 + 2 * FAST, after(70)));
    }

    #[test]
    fn a_limit_is_obeyed_where_a_driver_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("current_driver");
        assert!(obeyed(&file).is_err(), "a kernel without cpuidle");
        fs::write(&file, "none\n").expect("a file");
        assert!(obeyed(&file).is_err());
        fs::write(&file, "haltpoll\n").expect("a file");
        assert!(obeyed(&file).is_ok());
    }

    #[test]
    fn a_device_that_does_not_obey_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let none = Limit::open(&dir.path().join("absent"));
        let none = none.err().expect("refused");
        assert_eq!(none.kind(), io::ErrorKind::NotFound);
        assert!(none.to_string().contains("absent"), "{none}");
        // A file keeps what is written and reads on behind it.
        let file = dir.path().join("file");
        std::fs::write(&file, [1; 8]).expect("a file");
        let mut limit = Limit::open(&file).expect("opened");
        let other = limit.obeys().expect_err("no such device");
        assert!(other.to_string().contains("16843009 µs"), "{other}");
    }
}
