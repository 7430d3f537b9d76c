//! The ways in which a daemon ends.

use std::time::Instant;

use anyhow::{Result, ensure};
use rustix::process::Signal;

use super::call::Call;
use super::caller::Caller;
use super::scene::{Scene, Setting};
use super::{Outcomes, outcome};
use crate::cgroup::{MemoryCgroup, Unavailable};
use crate::outcome::Outcome;
use crate::process::poll_until;

type Scenario = fn(&Setting<'_>) -> Result<Outcomes>;

/// All of them, by name.
pub(super) const ALL: [(&str, Scenario); 5] = [
    ("kill", kill),
    ("kill_busy", kill_busy),
    ("abort", abort),
    ("out_of_memory", out_of_memory),
    ("terminate", terminate),
];

/// What a starved process may add to what it has: less than the kernel charges at a time for each
/// processor (64 pages).
const STARVED: u64 = 128 << 10;

/// More than is appended before the daemon is starved.
const LOG_RESERVE: u64 = 16 << 20;

/// A daemon that is starved has to allocate first, and the kernel to look for something else to free.
const STARVING: u32 = 6;

/// SIGKILL, while a request of every kind waits for an answer.
fn kill(setting: &Setting<'_>) -> Result<Outcomes> {
    let scene = Scene::new(setting, "kill")?;
    let callers = Callers::blocked(&scene)?;
    let ended = Instant::now();
    scene.signal(Signal::KILL)?;
    callers.get_errors(scene, ended)
}

/// SIGKILL, amid requests that are answered.
fn kill_busy(setting: &Setting<'_>) -> Result<Outcomes> {
    let scene = Scene::new(setting, "kill_busy")?;
    let callers = Callers::busy(&scene)?;
    let ended = Instant::now();
    scene.signal(Signal::KILL)?;
    callers.get_errors(scene, ended)
}

/// The connection is aborted, while a request of every kind waits for a daemon that stands still.
fn abort(setting: &Setting<'_>) -> Result<Outcomes> {
    let scene = Scene::new(setting, "abort")?;
    let mut callers = Callers::blocked(&scene)?;
    let ended = Instant::now();
    scene.abort()?;
    let outcomes = callers.errors(&scene, ended)?;
    // It notices when it goes on, and ends by itself.
    scene.signal(Signal::CONT)?;
    callers.with_aftermath(scene, outcomes)
}

/// The kernel kills the daemon because its memory cgroup is full.
fn out_of_memory(setting: &Setting<'_>) -> Result<Outcomes> {
    let cgroup = match MemoryCgroup::new(&setting.work.join("cgroup"), STARVED)? {
        Ok(cgroup) => cgroup,
        Err(Unavailable(reason)) => {
            let skipped = ["grow", "append", "aftermath"]
                .map(|case| (case.to_owned(), Outcome::Skipped(reason.clone())));
            return Ok(skipped.into());
        }
    };
    let scene = Scene::new(setting, "out_of_memory")?;
    scene.reserve(LOG_RESERVE)?;
    let mut callers = Callers::new(&scene, &[Call::Grow])?;
    cgroup.add(scene.daemon)?;
    callers.go()?;
    let deadline = Instant::now() + setting.limit * STARVING;
    let starved = poll_until(deadline, || scene.is_gone())?;
    ensure!(
        starved && cgroup.kills()? > 0,
        "the daemon was not killed for want of memory (gone: {starved}, {} killed)",
        cgroup.kills()?
    );
    // Errors that came before the end count as well: it may have been told that there is no memory.
    callers.get_errors(scene, Instant::now())
}

/// SIGTERM: refused while the mount is in use; the second one detaches it, and who uses it goes on. The
/// daemon ends with its last user.
fn terminate(setting: &Setting<'_>) -> Result<Outcomes> {
    let scene = Scene::new(setting, "terminate")?;
    let mut callers = Callers::busy(&scene)?;
    scene.signal(Signal::TERM)?;
    let in_use = callers.go_on(&scene).and_then(|()| {
        ensure!(scene.is_mounted()?, "it was unmounted while it was in use");
        Ok(())
    });
    let detached = scene.until("the second SIGTERM detaches it", || {
        // The first may not have been handled yet, and the two be one.
        scene.signal(Signal::TERM)?;
        Ok(!scene.is_mounted()?)
    });
    let detached = detached.and_then(|()| callers.go_on(&scene));
    let mut outcomes = Outcomes::from([
        ("in_use".to_owned(), outcome(in_use)),
        ("detached".to_owned(), outcome(detached)),
    ]);
    let durable = callers.durable()?;
    let last_user = callers.kill(&scene);
    let aftermath = last_user.and_then(|()| scene.aftermath(Vec::new(), durable));
    outcomes.insert("aftermath".to_owned(), outcome(aftermath));
    Ok(outcomes)
}

/// The callers of a scene. One appends to the log, beside those that the scene is about.
struct Callers {
    all: Vec<Caller>,
    append: Caller,
    holder: Option<Caller>,
}

impl Callers {
    fn new(scene: &Scene<'_>, calls: &[Call]) -> Result<Self> {
        let all = calls.iter().map(|&call| scene.caller(call));
        Ok(Callers {
            all: all.collect::<Result<_>>()?,
            append: scene.caller(Call::Append)?,
            holder: None,
        })
    }

    fn go(&mut self) -> Result<()> {
        self.append.go()?;
        self.all.iter_mut().try_for_each(Caller::go)
    }

    /// All at work, and some blocks durable.
    fn busy(scene: &Scene<'_>) -> Result<Self> {
        let mut callers = Callers::new(scene, &Call::WAITING)?;
        callers.go()?;
        callers.go_on(scene)?;
        Ok(callers)
    }

    /// Everybody calls, and blocks become durable.
    fn go_on(&mut self, scene: &Scene<'_>) -> Result<()> {
        let before = self.append.durable()?;
        scene.until("ten more blocks are durable", || {
            Ok(self.append.durable()? >= before + 10)
        })?;
        self.all_are_calling()
    }

    fn all_are_calling(&mut self) -> Result<()> {
        for caller in self.all.iter_mut().chain([&mut self.append]) {
            ensure!(
                caller.is_calling()?,
                "the caller {} has an error too early",
                caller.call.name()
            );
        }
        Ok(())
    }

    /// All inside of a request, to a daemon that stands still. Who waits for a lock does so within
    /// the daemon.
    fn blocked(scene: &Scene<'_>) -> Result<Self> {
        let mut callers = Callers::new(scene, &Call::WAITING)?;
        callers.holder = Some(scene.caller(Call::Hold)?);
        let blocked = callers.block(scene);
        if blocked.is_err() {
            // Callers of a daemon that stands still cannot be killed: they close files.
            scene.signal(Signal::KILL)?;
        }
        blocked.map(|()| callers)
    }

    fn block(&mut self, scene: &Scene<'_>) -> Result<()> {
        let mut lock = scene.caller(Call::Lock)?;
        // A release of what was closed before is still under way at first, and would be taken for the lock.
        scene.until("no request is in flight", || Ok(scene.waiting()? == 0))?;
        lock.go()?;
        scene.until("the daemon has the lock request", || {
            Ok(scene.waiting()? == 1)
        })?;
        self.append.go()?;
        scene.until("blocks are durable", || Ok(self.append.durable()? >= 5))?;
        scene.stop()?;
        // Besides that for the lock.
        scene.until("the request of who appends is in flight", || {
            Ok(scene.waiting()? >= 2)
        })?;
        for caller in &mut self.all {
            let before = scene.waiting()?;
            caller.go()?;
            scene.until(&format!("{} is in flight", caller.call.name()), || {
                Ok(scene.waiting()? > before)
            })?;
        }
        self.all.push(lock);
        self.all_are_calling()
    }

    fn durable(&mut self) -> Result<usize> {
        self.append.durable()
    }

    /// Whether each got an error, of those that tell of a dead daemon, soon after it `ended`.
    fn errors(&mut self, scene: &Scene<'_>, ended: Instant) -> Result<Outcomes> {
        let deadline = scene.deadline();
        let mut outcomes = Outcomes::new();
        for caller in self.all.iter_mut().chain([&mut self.append]) {
            let name = caller.call.name();
            let outcome = match caller.end(deadline + scene.kept(caller.call))? {
                Some(end) if end.is_expected(caller.call) => Outcome::Passed,
                Some(end) => Outcome::Failed(format!("ended with {end:?}")),
                None => Outcome::Failed(format!("no error {:.1?} later", ended.elapsed())),
            };
            outcomes.insert(name.to_owned(), outcome);
        }
        Ok(outcomes)
    }

    fn with_aftermath(mut self, scene: Scene<'_>, mut outcomes: Outcomes) -> Result<Outcomes> {
        let durable = self.durable()?;
        let mut users = self.all;
        users.push(self.append);
        users.extend(self.holder);
        let aftermath = outcome(scene.aftermath(users, durable));
        outcomes.insert("aftermath".to_owned(), aftermath);
        Ok(outcomes)
    }

    fn get_errors(mut self, scene: Scene<'_>, ended: Instant) -> Result<Outcomes> {
        let outcomes = self.errors(&scene, ended)?;
        self.with_aftermath(scene, outcomes)
    }

    /// Ends all, which must be possible at once.
    fn kill(self, scene: &Scene<'_>) -> Result<()> {
        let deadline = scene.deadline();
        for mut caller in self.all.into_iter().chain([self.append]).chain(self.holder) {
            ensure!(
                caller.kill(deadline)?,
                "the caller {} cannot be killed",
                caller.call.name()
            );
        }
        Ok(())
    }
}
