//! What a run is to do.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use dynamicfs::config::Preset;

use super::contestant::Contestant;
use super::peers::{Peer, Prepared};
use super::result::{self, Settings};
use crate::target::Dynamicfs;
use crate::workload::{Fixtures, Workload};

/// A full run is to end within 40 minutes on 2 processors, a quick one within 6, and the last
/// repetition of noisy rows takes as long as it takes.
const LIMIT: Duration = Duration::from_secs(24 * 60);
const QUICK_LIMIT: Duration = Duration::from_secs(4 * 60 + 30);

/// What a run is to do.
#[derive(Debug)]
pub struct Plan {
    /// Who takes part, ext4 first.
    pub contestants: Vec<Contestant>,
    /// Who was to take part and cannot, with the reason in `not_run`.
    pub absent: Vec<result::Contestant>,
    /// The workloads.
    pub workloads: Vec<Workload>,
    /// How to measure.
    pub settings: Settings,
    /// No noisy row is begun again after this time.
    pub limit: Duration,
    /// The command line, for the report.
    pub command: String,
    /// Version of dynamicfs, for the report.
    pub version: String,
    /// What workloads share, outside of all contestants.
    pub fixtures: Fixtures,
}

impl Plan {
    /// ext4, `baseline` and the presets, mounted by `command`. What workloads share is kept in a new
    /// directory in `scratch`.
    ///
    /// # Errors
    ///
    /// When that directory cannot be made.
    pub fn new(
        command: &Dynamicfs,
        presets: &[Preset],
        workloads: Vec<Workload>,
        quick: bool,
        scratch: &Path,
    ) -> Result<Self> {
        let fixtures = Fixtures {
            dir: scratch.join("fixtures"),
            quick,
        };
        fs::create_dir(&fixtures.dir)
            .with_context(|| format!("cannot create {}", fixtures.dir.display()))?;
        let others = presets.iter().filter(|&&one| one != Preset::Baseline);
        let presets = [Preset::Baseline].into_iter().chain(others.copied());
        Ok(Plan {
            contestants: [Contestant::ext4()]
                .into_iter()
                .chain(presets.map(|preset| Contestant::preset(preset, command)))
                .collect(),
            absent: Vec::new(),
            workloads,
            // Many short turns rather than few long ones: which processor serves a mount, and what
            // else disturbs a turn, often stays so for the whole of it.
            settings: if quick {
                Settings {
                    repetitions: 5,
                    more_if_noisy: 1,
                    turn_ms: 50,
                    quick,
                }
            } else {
                Settings {
                    repetitions: 5,
                    more_if_noisy: 4,
                    turn_ms: 120,
                    quick,
                }
            },
            limit: if quick { QUICK_LIMIT } else { LIMIT },
            command: String::new(),
            version: String::new(),
            fixtures,
        })
    }

    /// Adds presets with other mount options.
    pub fn vary(&mut self, command: &Dynamicfs, variants: &[(Preset, String)]) {
        let made = variants.iter();
        self.contestants
            .extend(made.map(|(preset, change)| Contestant::variant(*preset, change, command)));
    }

    /// Adds the peers that can be had, and notes why the others cannot.
    pub fn invite(&mut self, peers: &[Peer], prepared: &Prepared) {
        for peer in peers {
            match prepared.of(peer) {
                Ok(ready) => self.contestants.push(Contestant::peer(peer, ready)),
                Err(reason) => self.absent.push(peer.absent(&reason)),
            }
        }
    }

    /// Steps for the progress bar; repetitions of noisy rows come on top.
    pub fn steps(&self) -> usize {
        (self.settings.repetitions + 1) * self.workloads.len()
    }
}
