//! From a declaration to what a backend boots.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::apt::Archive;
use super::cache::{Cache, Pruned, allocated};
use super::declaration::{Disks, Guest, Kernel, Target, load_all};
use super::kernel::{self, Module, Unpacked};
use super::lock::{Lock, Locked};
use super::root::{self, Format, Root, read_manifest};
use super::tree::ToolsTree;
use super::{disk, initramfs};
use crate::hash::{hash_bytes, hash_file};
use crate::paths::Paths;
use crate::progress::Progress;
use crate::tools::{IMAGE_PACKAGES, ensure_packages};

/// The root that is not booted.
const TOOLS: &str = "tools";

/// Digits of a hash in a name: enough for the entries of a lifetime.
const DIGITS: usize = 16;

/// What a guest is booted from. Its files are shared by all guests and must not be written to.
#[derive(Debug, Clone)]
pub struct Image {
    /// The kernel: a bzImage, or the program for `uml` (to be run in [`Image::tools`]).
    pub kernel: PathBuf,
    /// What uname(2) will say.
    pub release: String,
    /// The kernel's command line: the declared part, and parameters of built-in modules.
    pub command_line: String,
    /// The modules to load, in order.
    pub modules: Vec<Module>,
    /// The root file system: ext4 without a journal, raw.
    pub root_disk: PathBuf,
    /// The programs that boot it.
    pub tools: ToolsTree,
    /// Hash of all that it was made of.
    pub id: String,
    /// The Debian packages of the kernel and of the root, with versions.
    pub packages: Vec<(String, String)>,
    /// How long this call took, in seconds.
    pub seconds: f64,
    /// What it takes on disk, parts that it shares with others included.
    pub bytes: u64,
}

impl Image {
    /// Writes the initramfs with `agent` as `/init` to the file `at`. In it are also
    /// `/modules/NN-NAME.ko` in the order of loading, and `/modules.list` with a line for each: the
    /// file's name, and after a space its parameters.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or written, or a library of the agent is missing.
    pub fn initramfs(&self, agent: &Path, at: &Path) -> Result<()> {
        initramfs::write(agent, &self.modules, at)
    }

    /// Makes an empty ext4 on the file `at` (an absolute path), sparse, for suites. Two disks of
    /// the same size are the same, byte by byte but for times.
    ///
    /// # Errors
    ///
    /// When mke2fs does not know a feature, or there is no room.
    pub fn data_disk(&self, disks: &Disks, at: &Path) -> Result<()> {
        let directory = at.parent().context("a disk in no directory")?;
        disk::data(self.tools.command("mke2fs", &[directory]), disks, at)
    }

    /// Makes an ext4 on the file `at` with what is in the directory `tree` (both absolute paths).
    ///
    /// # Errors
    ///
    /// When the tree cannot be read, or there is no room.
    pub(crate) fn tree_disk(&self, tree: &Path, at: &Path) -> Result<()> {
        let directory = at.parent().context("a disk in no directory")?;
        let mke2fs = self.tools.command("mke2fs", &[directory, tree]);
        disk::tree(mke2fs, tree, allocated(tree)?, at)
    }
}

/// The names of what a target is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entries {
    pub(super) tools: String,
    pub(super) root: String,
    pub(super) kernel: String,
}

impl Entries {
    pub(super) fn of(paths: &Paths, lock: &Lock, target: &Target, guest: &Guest) -> Result<Self> {
        Ok(Entries {
            tools: root_entry(&root::load(paths, TOOLS)?, lock),
            root: root_entry(&root::load(paths, &guest.root)?, lock),
            kernel: kernel_entry(guest, &lock.kernel_of(target)?)?,
        })
    }

    pub(super) fn names(self) -> [String; 3] {
        [self.tools, self.root, self.kernel]
    }
}

fn root_entry(root: &Root, lock: &Lock) -> String {
    format!("root-{}-{}", root.name, &root.hash(lock.epoch)[..DIGITS])
}

fn kernel_entry(guest: &Guest, packages: &[&Locked]) -> Result<String> {
    let (name, source) = match &guest.kernel {
        Kernel::Packages { .. } => {
            let hashes: Vec<&str> = packages.iter().map(|one| one.sha256.as_str()).collect();
            let name = packages.last().map_or("", |package| &package.name);
            (name.to_owned(), hashes.join(" "))
        }
        Kernel::Files { image, modules } => {
            // Kernels that somebody works on: any change to them makes another entry.
            let order = modules.join("modules.dep");
            let metadata =
                fs::metadata(&order).with_context(|| format!("cannot read {}", order.display()))?;
            let changed = (metadata.mtime(), metadata.mtime_nsec());
            (
                "files".to_owned(),
                format!("{image:?} {} {modules:?} {changed:?}", hash_file(image)?),
            )
        }
    };
    let all = format!("{} {source} {:?}", kernel::RECIPE, guest.modules);
    Ok(format!(
        "kernel-{name}-{}",
        &hash_bytes(all.as_bytes())[..DIGITS]
    ))
}

fn deb_entry(package: &Locked) -> String {
    format!(
        "deb-{}-{}",
        package.name,
        &package.sha256[..DIGITS.min(package.sha256.len())]
    )
}

/// Makes what is missing of a target's image. Interrupted at any point, it goes on at the next
/// call with the part that was being made.
///
/// # Errors
///
/// For a target on the host, which boots nothing; without root; when a package is not what the
/// lock says or is no longer in the archive, the network fails, or there is no room.
pub fn build(paths: &Paths, target: &Target, progress: &Progress) -> Result<Image> {
    let start = Instant::now();
    let guest = target.guest.as_ref().with_context(|| {
        format!(
            "the target {} runs on this kernel: there is nothing to build",
            target.name
        )
    })?;
    let lock = Lock::load(paths)?;
    let cache = Cache::open(&paths.images())?;
    let names = Entries::of(paths, &lock, target, guest)?;
    let builder = Builder {
        paths,
        lock: &lock,
        cache: &cache,
        progress,
    };
    let tools = builder.tools()?;
    let kernel_entry = builder.kernel(target, guest, &names.kernel, &tools)?;
    let root_entry = builder.root(&root::load(paths, &guest.root)?, &tools)?;
    let kernel = Unpacked::load(&kernel_entry)?;
    let mut words = vec![guest.command_line.clone()];
    words.extend(kernel.command_line);
    words.retain(|word| !word.is_empty());
    let mut packages: Vec<(String, String)> = lock
        .kernel_of(target)?
        .iter()
        .map(|package| (package.name.clone(), package.version.clone()))
        .collect();
    packages.extend(read_manifest(&root_entry.join(MANIFEST))?);
    Ok(Image {
        kernel: kernel.image,
        release: kernel.release,
        id: hash_bytes(format!("{names:?} {words:?}").as_bytes()),
        command_line: words.join(" "),
        modules: kernel.modules,
        root_disk: root_entry.join(DISK),
        bytes: allocated(tools.path())? + allocated(&kernel_entry)? + allocated(&root_entry)?,
        tools,
        packages,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// Makes the tools tree alone.
///
/// # Errors
///
/// Those of [`build`].
pub fn tools(paths: &Paths, progress: &Progress) -> Result<ToolsTree> {
    Builder {
        paths,
        lock: &Lock::load(paths)?,
        cache: &Cache::open(&paths.images())?,
        progress,
    }
    .tools()
}

/// Removes what no target and no root of the checkout is made of.
///
/// # Errors
///
/// When a declaration makes no sense, or something cannot be removed.
pub fn prune(paths: &Paths, progress: &Progress) -> Result<Pruned> {
    let lock = Lock::load(paths)?;
    let mut keep: BTreeSet<String> = lock.packages.iter().map(deb_entry).collect();
    for target in load_all(paths)? {
        if let Some(guest) = &target.guest {
            keep.extend(Entries::of(paths, &lock, &target, guest)?.names());
        }
    }
    for name in root::names(paths)? {
        keep.insert(root_entry(&root::load(paths, &name)?, &lock));
    }
    Cache::open(&paths.images())?.maker(progress)?.prune(&keep)
}

/// Files of the entry of a root.
const DISK: &str = "disk";
const TREE: &str = "tree";
const MANIFEST: &str = "packages";

struct Builder<'a> {
    paths: &'a Paths,
    lock: &'a Lock,
    cache: &'a Cache,
    progress: &'a Progress,
}

impl Builder<'_> {
    /// The entry of that name; the right to make it is asked for only when it is not there.
    fn get(&self, name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        if let Some(path) = self.cache.entry(name) {
            return Ok(path);
        }
        if !rustix::process::geteuid().is_root() {
            bail!(
                "making images needs root; run the same command as root (for example with sudo -E)"
            );
        }
        ensure_packages(IMAGE_PACKAGES)?;
        let maker = self.cache.maker(self.progress)?;
        if let Some(path) = self.cache.entry(name) {
            // Made by the one that was waited for.
            return Ok(path);
        }
        let start = Instant::now();
        let path = maker.get(name, make)?;
        let mib = allocated(&path)? >> 20;
        let seconds = start.elapsed().as_secs_f64();
        self.progress
            .note(&format!("made {name}: {mib} MiB in {seconds:.0} s"));
        Ok(path)
    }

    fn tools(&self) -> Result<ToolsTree> {
        let root = root::load(self.paths, TOOLS)?;
        let entry = self.get(&root_entry(&root, self.lock), |part| {
            self.progress.step("the tools that boot guests: packages");
            let (tree, manifest) = (part.join(TREE), part.join(MANIFEST));
            self.bootstrap(&root, Format::Directory, &tree, &manifest, part)
        })?;
        Ok(ToolsTree::new(entry.join(TREE)))
    }

    fn root(&self, root: &Root, tools: &ToolsTree) -> Result<PathBuf> {
        self.get(&root_entry(root, self.lock), |part| {
            self.progress.step(&format!("root {}: packages", root.name));
            let (tar, manifest) = (part.join("root.tar"), part.join(MANIFEST));
            self.bootstrap(root, Format::Tar, &tar, &manifest, part)?;
            self.progress.step(&format!("root {}: disk", root.name));
            let bytes = fs::metadata(&tar)?.len();
            let mke2fs = tools.command("mke2fs", &[part]);
            disk::root(mke2fs, &tar, bytes, self.lock.epoch, &part.join(DISK))?;
            Ok(fs::remove_file(&tar)?)
        })
    }

    fn bootstrap(
        &self,
        root: &Root,
        format: Format,
        to: &Path,
        manifest: &Path,
        part: &Path,
    ) -> Result<()> {
        let work = part.join("work");
        fs::create_dir(&work)?;
        root.bootstrap(self.lock.epoch, format, to, manifest, &work)?;
        Ok(fs::remove_dir_all(&work)?)
    }

    fn kernel(
        &self,
        target: &Target,
        guest: &Guest,
        name: &str,
        tools: &ToolsTree,
    ) -> Result<PathBuf> {
        if let Some(path) = self.cache.entry(name) {
            return Ok(path);
        }
        let packages: Vec<PathBuf> = self
            .lock
            .kernel_of(target)?
            .into_iter()
            .map(|package| self.package(package))
            .collect::<Result<_>>()?;
        self.get(name, |part| {
            self.progress
                .step(&format!("kernel of {}: modules", target.name));
            match &guest.kernel {
                Kernel::Packages { .. } => kernel::unpack(&packages, &guest.modules, tools, part),
                Kernel::Files { image, modules } => {
                    kernel::gather(image, modules, &guest.modules, tools, part)
                }
            }
        })
    }

    /// The file of a package: the one that the lock means, or an error.
    fn package(&self, package: &Locked) -> Result<PathBuf> {
        let entry = self.get(&deb_entry(package), |part| {
            let (name, version) = (&package.name, &package.version);
            let mib = package.size.div_ceil(1 << 20);
            self.progress
                .step(&format!("{name} {version}: download {mib} MiB"));
            let lists = format!("apt-{}", package.suite);
            let lists = self.cache.directory().join(lists);
            Archive::open(&lists, &package.suite)?.download(package, part)?;
            verify(&only_file(part)?, package)
        })?;
        let file = only_file(&entry)?;
        // It may have lain here for long.
        verify(&file, package).with_context(|| format!("remove {}", entry.display()))?;
        Ok(file)
    }
}

fn only_file(directory: &Path) -> Result<PathBuf> {
    let mut entries = fs::read_dir(directory)?;
    let first = entries
        .next()
        .with_context(|| format!("{} is empty", directory.display()))??;
    Ok(first.path())
}

fn verify(file: &Path, package: &Locked) -> Result<()> {
    let found = hash_file(file)?;
    if found != package.sha256 {
        bail!(
            "{} {} has SHA-256 {found}, and {} in vm-images/images.lock; what the archive has is \
             pinned by: cargo xtask lab image update",
            package.name,
            package.version,
            package.sha256
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(sha256: &str) -> Locked {
        Locked {
            suite: "trixie".to_owned(),
            wanted: "linux".to_owned(),
            name: "linux".to_owned(),
            version: "6".to_owned(),
            sha256: sha256.to_owned(),
            size: 3,
        }
    }

    #[test]
    fn a_package_of_another_hash_is_an_error_with_both() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("linux.deb");
        fs::write(&file, "abc").unwrap();
        let right = hash_bytes(b"abc");
        verify(&file, &package(&right)).unwrap();
        let wrong = "0".repeat(64);
        let error = verify(&file, &package(&wrong)).unwrap_err().to_string();
        assert!(error.contains(&right) && error.contains(&wrong), "{error}");
    }

    #[test]
    fn a_kernel_is_another_with_other_packages_or_modules() {
        let paths = Paths::discover();
        let target = super::super::load(&paths, "linux-6.12").unwrap();
        let mut guest = target.guest.unwrap();
        let (one, other) = (package(&"a".repeat(64)), package(&"b".repeat(64)));
        let first = kernel_entry(&guest, &[&one]).unwrap();
        assert_eq!(kernel_entry(&guest, &[&one]).unwrap(), first);
        assert_ne!(kernel_entry(&guest, &[&other]).unwrap(), first);
        guest.modules.pop();
        assert_ne!(kernel_entry(&guest, &[&one]).unwrap(), first);
    }
}
