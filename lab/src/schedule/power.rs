//! A guest whose power is cut: it is killed while it writes, and boots again with the same disks.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::run::Site;
use crate::cell::Contestant;
use crate::guest::protocol::{Event, Job, PROTOCOL, PowerVerify, PowerWrite, Step, StepOutcome};
use crate::machine::{Driver, Guest};
use crate::power::cut::Machine;
use crate::power::verify::Loss;
use crate::power::{self, Log};

/// A guest of a site, with disks of its own.
pub(super) struct Powered<'a> {
    site: &'a dyn Site,
    /// Where its disks and its console are.
    room: &'a Path,
    /// Who is written to from now on.
    pub(super) contestant: Contestant,
    /// Up, with nothing to do: the boot that looks what is left also writes the next time.
    up: Option<Driver<Guest>>,
    /// Release of the kernel, when it was up once.
    pub(super) kernel: String,
}

impl<'a> Powered<'a> {
    pub(super) fn new(site: &'a dyn Site, room: &'a Path, contestant: Contestant) -> Self {
        Powered {
            site,
            room,
            contestant,
            up: None,
            kernel: String::new(),
        }
    }

    fn boot(&mut self) -> Result<Driver<Guest>> {
        let guest = self.site.start(self.room)?;
        let mut driver = Driver::new(guest, &self.site.limits())?;
        driver.greet(&mut |event| {
            if let Event::Hello { kernel, .. } = event {
                self.kernel.clone_from(kernel);
            }
            ControlFlow::Continue(())
        })?;
        Ok(driver)
    }

    fn job(&self, step: Step) -> Job {
        Job {
            protocol: PROTOCOL,
            steps: vec![step],
            quick: true,
            patience: self.site.patience(),
            cuts: 1,
            xfstests: None,
        }
    }
}

impl Machine for Powered<'_> {
    fn write(
        &mut self,
        seed: u64,
        last: Option<u64>,
        on_event: &mut dyn FnMut(power::Event) -> ControlFlow<Duration>,
    ) -> Result<()> {
        let mut driver = match self.up.take() {
            Some(driver) => driver,
            None => self.boot()?,
        };
        let write = Step::PowerWrite(PowerWrite {
            contestant: self.contestant,
            seed,
            last,
        });
        let mut failed = None;
        driver.work(&self.job(write), &mut |event| match event {
            Event::Power(event) => on_event(*event),
            Event::Finished {
                outcome: StepOutcome::Failed(why),
                ..
            } => {
                failed = Some(why.clone());
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Continue(()),
        })?;
        match failed {
            Some(why) => bail!("the writer failed: {why}"),
            None => Ok(()),
        }
    }

    fn verify(&mut self, log: &Log) -> Result<Vec<Loss>> {
        let mut driver = self.boot().context("after the cut")?;
        let verify = Step::PowerVerify(PowerVerify {
            contestant: self.contestant,
            log: *log,
        });
        let mut found = None;
        driver.work(&self.job(verify), &mut |event| {
            if let Event::Finished { outcome, .. } = event {
                found = Some(outcome.clone());
            }
            ControlFlow::Continue(())
        })?;
        self.up = Some(driver);
        match found {
            Some(StepOutcome::Losses(losses)) => Ok(losses),
            Some(StepOutcome::Failed(why)) => bail!("cannot compare what is left: {why}"),
            other => bail!("the agent answered with {other:?}"),
        }
    }
}
