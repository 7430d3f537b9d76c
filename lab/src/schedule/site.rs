//! The real sites of a run: guests from images, and this machine.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use dynamicfs::config::Preset;

use super::run::Site;
use super::store::{Facts, Store};
use super::xfstests;
use crate::guest::SHELL;
use crate::images::{self, Backend, Disks, Image, Target};
use crate::machine::{Accelerator, Disk, Guest, Host, Qemu, Uml, Writes};
use crate::paths::Paths;
use crate::progress::Progress;
use crate::suites::xfstests::Xfstests;
use crate::suites::{Programs, Suite};
use crate::tools::quiet;

/// Size of the disk that cases cross to, in MiB.
const SECONDARY_MIB: u32 = 64;

/// The program.
const QEMU: &str = "qemu-system-x86_64";

/// How many times as long all takes where the processor is emulated.
const EMULATED: u32 = 20;

/// The sites of a run, by name of the target.
#[derive(Debug, Default)]
pub struct Sites {
    sites: BTreeMap<String, RealSite>,
    accelerator: Option<Accelerator>,
}

/// Where a target's guests come from.
#[derive(Debug)]
enum RealSite {
    Host(Host),
    Guest(Box<GuestSite>),
}

#[derive(Debug)]
struct GuestSite {
    /// `None` in user mode, where nothing is virtual.
    accelerator: Option<Accelerator>,
    patience: u32,
    image: Image,
    declared: images::Guest,
    /// With the agent and the suites.
    programs: PathBuf,
    initramfs: PathBuf,
    /// With a tree of xfstests, for a target that can run it.
    xfstests: Option<PathBuf>,
}

impl Sites {
    /// Prepares what the guests of `targets` share: their initramfs, a disk with the programs, and one
    /// with the tree of xfstests if there is one. `shared` is a directory of the run's own. Images that
    /// are missing are built.
    ///
    /// # Errors
    ///
    /// When an image cannot be built, a program is missing, or there is no room.
    pub fn prepare(
        paths: &Paths,
        targets: &[Target],
        shared: &Path,
        xfstests: Option<&Xfstests>,
        progress: &Progress,
    ) -> Result<Self> {
        let runs_xfstests =
            |target: &Target| target.guest.is_some() && target.can_run(Suite::Xfstests);
        // Nothing of it is prepared where no guest runs it.
        let xfstests = xfstests.filter(|_| targets.iter().any(runs_xfstests));
        let mut sites = Sites::default();
        let mut stage: Option<PathBuf> = None;
        for target in targets {
            let site = match &target.guest {
                None => RealSite::Host(Host {
                    agent: paths.debug("dynamicfs-agent"),
                    command: paths.release("dynamicfs"),
                }),
                Some(declared) => {
                    let image = images::build(paths, target, progress)?;
                    let stage = match &stage {
                        Some(stage) => stage.clone(),
                        None => stage
                            .insert(gather(paths, &image, shared, xfstests)?)
                            .clone(),
                    };
                    let xfstests = match xfstests {
                        Some(given) if runs_xfstests(target) => {
                            Some(xfstests::disk(&image, given, shared)?)
                        }
                        _ => None,
                    };
                    let initramfs = shared.join(format!("{}.initramfs", target.name));
                    image.initramfs(&stage.join("bin/dynamicfs-agent"), &initramfs)?;
                    let accelerator = match target.backend {
                        Backend::Qemu => Some(sites.accelerator(&image, shared, progress)?),
                        Backend::Uml | Backend::Host => None,
                    };
                    RealSite::Guest(Box::new(GuestSite {
                        accelerator,
                        patience: patience(target, accelerator),
                        image,
                        declared: declared.clone(),
                        programs: shared.join("programs.disk"),
                        initramfs,
                        xfstests,
                    }))
                }
            };
            sites.sites.insert(target.name.clone(), site);
        }
        Ok(sites)
    }

    /// The site of a target.
    ///
    /// # Errors
    ///
    /// When it was not prepared.
    pub fn get(&self, target: &str) -> Result<&dyn Site> {
        match self.sites.get(target) {
            Some(RealSite::Host(host)) => Ok(host),
            Some(RealSite::Guest(guest)) => Ok(&**guest),
            None => anyhow::bail!("the target {target} was not prepared"),
        }
    }

    /// Boots a target's guest with this process' terminal as its console and a shell on it, until that
    /// ends.
    ///
    /// # Errors
    ///
    /// When the guest does not start.
    pub fn shell(&self, target: &str, preset: Preset, room: &Path) -> Result<bool> {
        match self.sites.get(target) {
            Some(RealSite::Guest(guest)) => guest.shell(preset, room),
            _ => anyhow::bail!("no guest of the target {target} was prepared"),
        }
    }

    /// Keeps what a run's targets are made of.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn describe(&self, store: &Store) -> Result<()> {
        for (target, site) in &self.sites {
            if let RealSite::Guest(guest) = site {
                let facts = Facts {
                    accelerator: guest.accelerator,
                    image: guest.image.id.clone(),
                    packages: guest.image.packages.clone(),
                    ..store.facts(target)?
                };
                store.keep_facts(target, &facts)?;
            }
        }
        Ok(())
    }

    /// Found out once, with the first kernel that there is.
    fn accelerator(
        &mut self,
        image: &Image,
        shared: &Path,
        progress: &Progress,
    ) -> Result<Accelerator> {
        if let Some(known) = self.accelerator {
            return Ok(known);
        }
        let directories: Vec<&Path> = image.kernel.parent().into_iter().chain([shared]).collect();
        let qemu = image.tools.command(QEMU, &directories);
        let (found, why) = Accelerator::probe(qemu, &image.kernel, shared)?;
        if let Some(why) = why {
            progress.note(&format!("guests are emulated (TCG): {why}"));
        }
        self.accelerator = Some(found);
        Ok(found)
    }
}

/// Factor for all time limits of a target.
fn patience(target: &Target, accelerator: Option<Accelerator>) -> u32 {
    match accelerator {
        Some(Accelerator::Tcg) => target.patience * EMULATED,
        _ => target.patience,
    }
}

/// Collects the programs, without their symbols, and makes a disk of them.
fn gather(
    paths: &Paths,
    image: &Image,
    shared: &Path,
    xfstests: Option<&Xfstests>,
) -> Result<PathBuf> {
    let stage = shared.join("programs");
    let bin = stage.join("bin");
    fs::create_dir_all(&bin)?;
    let suites = Programs::of(paths);
    let programs = [
        paths.release("dynamicfs"),
        paths.debug("dynamicfs-agent"),
        suites.suite,
        suites.pjdfstest,
        suites.fsx,
    ];
    for program in &programs {
        let name = program.file_name().context("a program without a name")?;
        quiet(
            Command::new("strip")
                .arg("-o")
                .arg(bin.join(name))
                .arg(program),
        )
        .with_context(|| format!("cannot prepare {}", program.display()))?;
    }
    // mount(8) finds it as the helper of its type.
    symlink("dynamicfs", bin.join("mount.fuse.dynamicfs"))?;
    if let Some(given) = xfstests {
        xfstests::add_libraries(given, &stage.join("lib"))?;
    }
    let disk = shared.join("programs.disk");
    let mut mke2fs = image.tools.command("mke2fs", &[shared]);
    mke2fs
        .args(["-q", "-t", "ext4", "-O", "^has_journal", "-d"])
        .arg(&stage)
        .arg(&disk)
        .arg("64M");
    quiet(&mut mke2fs)?;
    Ok(stage)
}

impl Site for Host {
    fn start(&self, room: &Path) -> Result<Guest> {
        Host::start(self, room)
    }

    fn patience(&self) -> u32 {
        1
    }
}

impl Site for GuestSite {
    fn start(&self, room: &Path) -> Result<Guest> {
        match self.machine(room, "")? {
            Machine::Qemu(qemu) => qemu.start(self.program(room), room),
            Machine::Uml(uml) => uml.start(self.program(room), room),
        }
    }

    fn patience(&self) -> u32 {
        self.patience
    }

    fn has_power(&self) -> bool {
        true
    }
}

/// A guest's machine, not started.
enum Machine {
    Qemu(Qemu),
    Uml(Uml),
}

impl GuestSite {
    fn shell(&self, preset: Preset, room: &Path) -> Result<bool> {
        let words = format!("{SHELL}={}", preset.name());
        match self.machine(room, &words)? {
            Machine::Qemu(qemu) => qemu.run_on_terminal(self.program(room), room),
            Machine::Uml(uml) => uml.run_on_terminal(self.program(room), room),
        }
    }

    /// With its disks in `room`, and more words on the kernel's command line.
    fn machine(&self, room: &Path, words: &str) -> Result<Machine> {
        let disks = self.disks(room)?;
        let initramfs = self.initramfs.clone();
        let command_line = format!("{} {words}", self.image.command_line);
        let memory_mib = self.declared.memory_mib;
        Ok(match self.accelerator {
            Some(accelerator) => Machine::Qemu(Qemu {
                accelerator,
                kernel: self.image.kernel.clone(),
                initramfs,
                command_line,
                disks,
                memory_mib,
                cpus: self.declared.vcpus,
            }),
            None => Machine::Uml(Uml {
                initramfs,
                command_line,
                disks,
                memory_mib,
            }),
        })
    }

    /// What executes it.
    fn program(&self, room: &Path) -> Command {
        let directories = self.directories(room);
        let directories: Vec<&Path> = directories.iter().map(PathBuf::as_path).collect();
        let kernel = self.image.kernel.display().to_string();
        let program = if self.accelerator.is_some() {
            QEMU
        } else {
            &kernel
        };
        self.image.tools.command(program, &directories)
    }

    /// Root and programs, which guests share, and disks of the guest's own, made if they are not there.
    fn disks(&self, room: &Path) -> Result<Vec<Disk>> {
        let disk = |file: &Path, writes| Disk {
            file: file.to_owned(),
            writes,
        };
        let mut disks = vec![
            disk(&self.image.root_disk, Writes::Vanish),
            disk(&self.programs, Writes::Refused),
        ];
        let secondary = Disks {
            size_mib: SECONDARY_MIB,
            features: Vec::new(),
        };
        for (name, disks_of) in [
            ("ext4", &self.declared.disks),
            ("back", &self.declared.disks),
            ("other", &secondary),
        ] {
            let file = room.join(format!("{name}.disk"));
            if !file.exists() {
                self.image.data_disk(disks_of, &file)?;
            }
            disks.push(disk(&file, Writes::Stay));
        }
        // Its tests write beside themselves.
        let tree = self.xfstests.iter();
        disks.extend(tree.map(|file| disk(file, Writes::Vanish)));
        Ok(disks)
    }

    /// What the programs of the tools tree must see.
    fn directories(&self, room: &Path) -> Vec<PathBuf> {
        let files = [&self.image.kernel, &self.image.root_disk, &self.programs];
        let mut directories: Vec<PathBuf> = files
            .iter()
            .filter_map(|file| Some(file.parent()?.to_owned()))
            .chain([room.to_owned()])
            .collect();
        directories.sort();
        directories.dedup();
        directories
    }
}
