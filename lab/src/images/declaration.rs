//! The targets, `vm-images/*.toml`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::paths::Paths;
use crate::suites::Suite;

/// The target that is the machine itself.
pub const HOST: &str = "host";

/// What runs a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// A virtual machine: KVM where it is to be had, otherwise emulation.
    Qemu,
    /// Linux as a process of the host.
    Uml,
    /// The running kernel.
    Host,
}

impl Backend {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Qemu => "qemu",
            Backend::Uml => "uml",
            Backend::Host => "host",
        }
    }
}

/// How much a run takes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// The targets that tell most in 20 minutes.
    Quick,
    /// Every target.
    Full,
    /// Every target, with the amounts of a night.
    Nightly,
}

impl Profile {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Quick => "quick",
            Profile::Full => "full",
            Profile::Nightly => "nightly",
        }
    }
}

/// Something that suites run on.
#[derive(Debug, Clone)]
pub struct Target {
    /// Stem of the file that declares it.
    pub name: String,
    /// What it is for, in a sentence.
    pub purpose: String,
    /// What runs it.
    pub backend: Backend,
    /// The profiles that take it in.
    pub profiles: BTreeSet<Profile>,
    /// Factor for every time limit where system calls are slow even with the backend at its best;
    /// 1 by default. Emulation in place of KVM is not counted here.
    pub patience: u32,
    /// Names of suites that it can run beyond those that every target can.
    pub suites: Vec<String>,
    /// Whether it runs those, and measures; true by default. A target may be there for one thing.
    pub common_suites: bool,
    /// The machine; `None` for the host.
    pub guest: Option<Guest>,
}

impl Target {
    /// Whether it can run a suite that not every target can.
    pub(crate) fn can_run(&self, suite: Suite) -> bool {
        self.suites.iter().any(|name| name == suite.name())
    }
}

/// A machine to boot.
#[derive(Debug, Clone)]
pub struct Guest {
    /// Its kernel.
    pub kernel: Kernel,
    /// What is added to the kernel's command line.
    pub command_line: String,
    /// Kernel modules to load, in order; what they depend on comes by itself.
    pub modules: Vec<ModuleRequest>,
    /// Name of its root file system, `vm-images/roots/NAME.toml`.
    pub root: String,
    /// The disks that suites work on.
    pub disks: Disks,
    /// Memory in MiB, 1024 by default: enough for the suites, and for two guests on a laptop.
    pub memory_mib: u32,
    /// Virtual CPUs, 1 by default: emulation is slower with more.
    pub vcpus: u32,
}

/// Where a kernel comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kernel {
    /// Debian packages; the lock says which.
    Packages {
        /// Suite of the archive.
        suite: String,
        /// Names, with `*` where the version stands: the newest counts.
        packages: Vec<String>,
    },
    /// Files of this machine.
    Files {
        /// The kernel (bzImage, or the program for `uml`).
        image: PathBuf,
        /// The directory of its modules, with `modules.dep`.
        modules: PathBuf,
    },
}

/// A kernel module that a target wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleRequest {
    /// Its name, with `_`.
    pub name: String,
    /// Its parameters, as on modprobe's command line. They go to the kernel's command line where
    /// the module is built in.
    pub parameters: Vec<String>,
}

/// The disks that suites work on: ext4's own, the one behind the mounts, both alike.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disks {
    /// Size of each in MiB, sparse; 6144 by default: room for two files of 2 GiB.
    #[serde(default = "default_disk")]
    pub size_mib: u32,
    /// Features for mke2fs(8) `-O` beyond the usual ones.
    #[serde(default)]
    pub features: Vec<String>,
}

impl Default for Disks {
    fn default() -> Self {
        Disks {
            size_mib: default_disk(),
            features: Vec::new(),
        }
    }
}

fn default_disk() -> u32 {
    6144
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    purpose: String,
    backend: Backend,
    profiles: Vec<Profile>,
    patience: Option<u32>,
    #[serde(default)]
    suites: Vec<String>,
    #[serde(default = "yes")]
    common_suites: bool,
    kernel: Option<KernelFile>,
    command_line: Option<String>,
    modules: Option<Vec<String>>,
    root: Option<String>,
    disks: Option<Disks>,
    memory_mib: Option<u32>,
    vcpus: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KernelFile {
    suite: Option<String>,
    packages: Option<Vec<String>>,
    path: Option<PathBuf>,
    modules: Option<PathBuf>,
}

/// Reads all targets, in order of their names, newest kernel last.
///
/// # Errors
///
/// When a file cannot be read, or declares something that makes no sense.
pub fn load_all(paths: &Paths) -> Result<Vec<Target>> {
    let mut names = names(paths)?;
    names.sort_by_cached_key(|name| version_key(name));
    names.iter().map(|name| load(paths, name)).collect()
}

/// The names of all targets.
///
/// # Errors
///
/// When the directory of declarations cannot be read.
pub fn names(paths: &Paths) -> Result<Vec<String>> {
    toml_stems(&paths.vm_images())
}

/// Reads one target.
///
/// # Errors
///
/// When there is none of that name (with those that are), or it makes no sense.
pub fn load(paths: &Paths, name: &str) -> Result<Target> {
    let directory = paths.vm_images();
    let path = directory.join(format!("{name}.toml"));
    if !path.is_file() {
        bail!(
            "no target {name:?}: there are {}",
            toml_stems(&directory)?.join(", ")
        );
    }
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(name, &text).with_context(|| path.display().to_string())
}

pub(super) fn toml_stems(directory: &Path) -> Result<Vec<String>> {
    let mut stems = Vec::new();
    for entry in
        fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?
    {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
            && let Some(stem) = path.file_stem()
        {
            stems.push(stem.to_string_lossy().into_owned());
        }
    }
    stems.sort();
    Ok(stems)
}

/// Orders 6.1, 6.12, 6.18, 7 as versions are.
fn version_key(name: &str) -> (String, Vec<u32>) {
    let digits = name
        .find(|c: char| c.is_ascii_digit())
        .unwrap_or(name.len());
    let (word, version) = name.split_at(digits);
    let numbers = version.split('.').filter_map(|part| part.parse().ok());
    (word.to_owned(), numbers.collect())
}

fn parse(name: &str, text: &str) -> Result<Target> {
    let file: File = toml::from_str(text)?;
    if file.purpose.trim().is_empty() {
        bail!("purpose: is empty; say in a sentence what the target is for");
    }
    let patience = file.patience.unwrap_or(1);
    if !(1..=100).contains(&patience) {
        bail!("patience: {patience} is not from 1 to 100");
    }
    Ok(Target {
        name: name.to_owned(),
        purpose: file.purpose.clone(),
        backend: file.backend,
        profiles: file.profiles.iter().copied().collect(),
        patience,
        suites: file.suites.clone(),
        common_suites: file.common_suites,
        guest: match file.backend {
            Backend::Host => no_guest(&file)?,
            Backend::Qemu | Backend::Uml => Some(guest(file)?),
        },
    })
}

fn no_guest(file: &File) -> Result<Option<Guest>> {
    let given = [
        ("kernel", file.kernel.is_some()),
        ("command_line", file.command_line.is_some()),
        ("modules", file.modules.is_some()),
        ("root", file.root.is_some()),
        ("disks", file.disks.is_some()),
        ("memory_mib", file.memory_mib.is_some()),
        ("vcpus", file.vcpus.is_some()),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((field, _)) => bail!("{field}: the backend \"host\" boots nothing and has no such"),
        None => Ok(None),
    }
}

fn guest(file: File) -> Result<Guest> {
    let memory_mib = file.memory_mib.unwrap_or(1024);
    if !(256..=65536).contains(&memory_mib) {
        bail!("memory_mib: {memory_mib} is not from 256 to 65536");
    }
    let vcpus = file.vcpus.unwrap_or(1);
    if !(1..=64).contains(&vcpus) {
        bail!("vcpus: {vcpus} is not from 1 to 64");
    }
    let disks = file.disks.unwrap_or_default();
    if disks.size_mib < 64 {
        bail!("disks.size_mib: {} is less than 64", disks.size_mib);
    }
    let modules = file.modules.unwrap_or_default();
    Ok(Guest {
        kernel: kernel(file.kernel.context("kernel: is missing")?)?,
        command_line: file.command_line.unwrap_or_default(),
        modules: modules
            .iter()
            .map(|text| module(text))
            .collect::<Result<_>>()?,
        root: file
            .root
            .context("root: is missing; \"base\" is the usual one")?,
        disks,
        memory_mib,
        vcpus,
    })
}

fn kernel(file: KernelFile) -> Result<Kernel> {
    match file {
        KernelFile {
            suite: Some(suite),
            packages: Some(packages),
            path: None,
            modules: None,
        } if !packages.is_empty() => Ok(Kernel::Packages { suite, packages }),
        KernelFile {
            suite: None,
            packages: None,
            path: Some(image),
            modules: Some(modules),
        } => Ok(Kernel::Files { image, modules }),
        _ => bail!("kernel: must have either suite and packages, or path and modules"),
    }
}

fn module(text: &str) -> Result<ModuleRequest> {
    let mut words = text.split_whitespace();
    let name = words
        .next()
        .with_context(|| format!("modules: {text:?} names no module"))?;
    let parameters: Vec<String> = words.map(str::to_owned).collect();
    if let Some(bad) = parameters.iter().find(|word| !word.contains('=')) {
        bail!("modules: {text:?}: {bad:?} is no parameter of the form name=value");
    }
    Ok(ModuleRequest {
        name: name.replace('-', "_"),
        parameters,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUEST: &str = "purpose = \"x\"\nbackend = \"qemu\"\nprofiles = [\"quick\"]\nroot = \"base\"\n\
                         modules = [\"fuse enable_uring=1\"]\n";
    const KERNEL: &str = "[kernel]\nsuite = \"trixie\"\npackages = [\"linux-*\"]\n";

    fn error(text: &str) -> String {
        format!("{:#}", parse("t", text).unwrap_err())
    }

    #[test]
    fn the_targets_of_the_project_are_sound() {
        let targets = load_all(&Paths::discover()).unwrap();
        let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "host",
                "linux-6.1",
                "linux-6.12",
                "linux-6.18",
                "linux-7",
                "macos-like",
                "selinux",
                "uml"
            ]
        );
        let quick = targets
            .iter()
            .filter(|target| target.profiles.contains(&Profile::Quick));
        assert_eq!(quick.count(), 3);
        for target in &targets {
            assert!(target.profiles.contains(&Profile::Full), "{}", target.name);
            assert!(
                target.profiles.contains(&Profile::Nightly),
                "{}",
                target.name
            );
            if let Some(guest) = &target.guest {
                super::super::root::load(&Paths::discover(), &guest.root).unwrap();
            }
        }
    }

    #[test]
    fn a_guest_has_defaults_and_its_modules_parameters() {
        let target = parse("t", &format!("{GUEST}{KERNEL}")).unwrap();
        let guest = target.guest.unwrap();
        assert_eq!(
            (guest.memory_mib, guest.vcpus, target.patience),
            (1024, 1, 1)
        );
        assert_eq!(guest.modules[0].name, "fuse");
        assert_eq!(guest.modules[0].parameters, ["enable_uring=1"]);
    }

    #[test]
    fn an_error_names_the_field_and_the_value() {
        let unknown = error(&format!("{GUEST}memory = 3\n{KERNEL}"));
        assert!(unknown.contains("unknown field `memory`"), "{unknown}");
        let small = error(&format!("{GUEST}memory_mib = 3\n{KERNEL}"));
        assert!(small.starts_with("memory_mib: 3 "), "{small}");
        let backend = error(&GUEST.replace("qemu", "xen"));
        assert!(backend.contains("xen"), "{backend}");
        let both = error(&format!("{GUEST}{KERNEL}path = \"/x\"\n"));
        assert!(both.starts_with("kernel: "), "{both}");
        let host = error(&GUEST.replace("qemu", "host"));
        assert!(host.starts_with("modules: "), "{host}");
        assert_eq!(error(GUEST), "kernel: is missing");
    }
}
