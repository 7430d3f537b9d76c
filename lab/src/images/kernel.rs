//! Kernels: the image, and the modules that a guest loads, in the order of loading.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::declaration::ModuleRequest;
use super::tree::{ToolsTree, contained};
use crate::program::run_as;

/// Raised when the same packages are to give another entry.
pub(super) const RECIPE: u32 = 1;

const LIMIT: Duration = Duration::from_secs(5 * 60);

/// What is told of a kernel beside its files.
const RECORD: &str = "kernel.json";

/// A kernel module for a guest to load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// Its name, with `_`.
    pub name: String,
    /// The file, not compressed.
    pub file: PathBuf,
    /// Its parameters, for finit_module(2) to be joined with spaces.
    pub parameters: Vec<String>,
}

/// A kernel that was unpacked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unpacked {
    /// The file to boot.
    pub(super) image: PathBuf,
    /// What uname(2) will say.
    pub(super) release: String,
    /// In the order of loading.
    pub(super) modules: Vec<Module>,
    /// Parameters of modules that are built in, for the command line.
    pub(super) command_line: Vec<String>,
}

impl Unpacked {
    /// Reads what [`unpack`] or [`gather`] left in `entry`.
    pub(super) fn load(entry: &Path) -> Result<Self> {
        let path = entry.join(RECORD);
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut unpacked: Unpacked =
            serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        // The files are named from the entry, which has been renamed since.
        unpacked.image = entry.join(unpacked.image);
        for module in &mut unpacked.modules {
            module.file = entry.join(&module.file);
        }
        Ok(unpacked)
    }
}

/// Takes the kernel and the modules out of packages, into the empty directory `entry`.
pub(super) fn unpack(
    packages: &[PathBuf],
    wanted: &[ModuleRequest],
    tools: &ToolsTree,
    entry: &Path,
) -> Result<()> {
    let unpacked = entry.join("unpacked");
    for package in packages {
        let mut unpack = contained("dpkg-deb");
        unpack.arg("-x").arg(package).arg(&unpacked);
        let name = format!("dpkg-deb -x {}", package.display());
        run_as(&name, &mut unpack, LIMIT)?;
    }
    let image = only(
        &unpacked,
        &[
            "boot/vmlinuz-*",
            "usr/lib/modules/*/vmlinuz",
            "usr/bin/linux.uml",
        ],
    )?;
    let found = only(
        &unpacked,
        &[
            "lib/modules/*",
            "usr/lib/modules/*",
            "usr/lib/uml/modules/*",
        ],
    )?;
    let release = file_name(&found);
    // Where depmod(8) looks, of whatever version it is.
    let stage = entry.join("stage");
    fs::create_dir_all(stage.join("lib/modules"))?;
    std::os::unix::fs::symlink(".", stage.join("usr"))?;
    let modules = stage.join("lib/modules").join(&release);
    fs::rename(&image, entry.join("image"))?;
    fs::rename(&found, &modules)?;
    let mut depmod = tools.command("depmod", &[entry]);
    depmod.arg("-b").arg(&stage).arg(&release);
    run_as("depmod", &mut depmod, LIMIT)?;
    gather_modules(&modules, wanted, tools, entry, PathBuf::from("image"))?;
    fs::remove_dir_all(&stage)?;
    fs::remove_dir_all(&unpacked)?;
    Ok(())
}

/// Takes the modules of a kernel that is no package; the image stays where it is.
pub(super) fn gather(
    image: &Path,
    modules: &Path,
    wanted: &[ModuleRequest],
    tools: &ToolsTree,
    entry: &Path,
) -> Result<()> {
    if !modules.join("modules.dep").is_file() {
        bail!(
            "{0} has no modules.dep; make it with: depmod (or make modules_install) for {0}",
            modules.display()
        );
    }
    gather_modules(modules, wanted, tools, entry, image.to_owned())
}

fn gather_modules(
    directory: &Path,
    wanted: &[ModuleRequest],
    tools: &ToolsTree,
    entry: &Path,
    image: PathBuf,
) -> Result<()> {
    let read = |name: &str| {
        let path = directory.join(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let release = file_name(directory);
    let order = Order::resolve(&read("modules.dep")?, &read("modules.builtin")?, wanted)
        .with_context(|| format!("the kernel {release}"))?;
    fs::create_dir(entry.join("modules"))?;
    let mut modules = Vec::new();
    for (path, parameters) in order.modules {
        let name = module_name(&path);
        let file = PathBuf::from(format!("modules/{:02}-{name}.ko", modules.len()));
        copy_module(&directory.join(&path), &entry.join(&file), tools)?;
        modules.push(Module {
            name,
            file,
            parameters,
        });
    }
    let unpacked = Unpacked {
        image,
        release,
        modules,
        command_line: order.command_line,
    };
    fs::write(entry.join(RECORD), serde_json::to_vec_pretty(&unpacked)?)?;
    Ok(())
}

/// Copies a module, without the compression that old kernels cannot read.
fn copy_module(from: &Path, to: &Path, tools: &ToolsTree) -> Result<()> {
    let extension = from.extension().unwrap_or_default().to_string_lossy();
    let copy =
        |to: &Path| fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()));
    match extension.as_ref() {
        "ko" => {
            copy(to)?;
        }
        "xz" => {
            let compressed = to.with_extension("ko.xz");
            copy(&compressed)?;
            let directory = to.parent().context("a module in no directory")?;
            let mut xz = tools.command("xz", &[directory]);
            run_as("xz", xz.arg("--decompress").arg(&compressed), LIMIT)?;
        }
        other => bail!(
            "{}: cannot read modules of the form .{other}",
            from.display()
        ),
    }
    Ok(())
}

/// The one path that matches one of the patterns, where `*` is one whole name or its end.
fn only(root: &Path, patterns: &[&str]) -> Result<PathBuf> {
    let mut found = Vec::new();
    for pattern in patterns {
        let mut paths = vec![root.to_owned()];
        for part in pattern.split('/') {
            paths = paths.iter().flat_map(|path| matching(path, part)).collect();
        }
        found.extend(paths);
    }
    match found.as_slice() {
        [path] => Ok(path.clone()),
        _ => bail!(
            "the packages have {} files where one is wanted ({}); correct the packages of the kernel",
            found.len(),
            patterns.join(" or ")
        ),
    }
}

fn matching(directory: &Path, part: &str) -> Vec<PathBuf> {
    let pattern = wildmatch::WildMatch::new(part);
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| pattern.matches(&entry.file_name().to_string_lossy()))
        .map(|entry| entry.path())
        .collect()
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// The name of the module in a file such as `kernel/fs/fuse/fuse.ko.xz`.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.split(".ko").next().unwrap_or(file);
    stem.replace('-', "_")
}

/// What to load, and what to say on the command line.
#[derive(Debug, Default, PartialEq, Eq)]
struct Order {
    modules: Vec<(String, Vec<String>)>,
    command_line: Vec<String>,
}

impl Order {
    /// From `modules.dep` and `modules.builtin` (modules.dep(5)).
    fn resolve(dep: &str, builtin: &str, wanted: &[ModuleRequest]) -> Result<Self> {
        let dependencies: BTreeMap<String, (&str, Vec<String>)> = dep
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(path, needs)| {
                let needs = needs.split_whitespace().map(module_name).collect();
                (module_name(path), (path, needs))
            })
            .collect();
        let mut order = Order::default();
        for request in wanted {
            if dependencies.contains_key(&request.name) {
                order.add(&dependencies, &request.name, &request.parameters)?;
            } else if builtin
                .lines()
                .any(|path| module_name(path) == request.name)
            {
                let parameter = |text| format!("{}.{text}", request.name);
                order
                    .command_line
                    .extend(request.parameters.iter().map(parameter));
            } else {
                bail!(
                    "has no module {}, and does not have it built in; correct the declaration",
                    request.name
                );
            }
        }
        Ok(order)
    }

    fn add(
        &mut self,
        all: &BTreeMap<String, (&str, Vec<String>)>,
        name: &str,
        parameters: &[String],
    ) -> Result<()> {
        let (path, needs) = all
            .get(name)
            .with_context(|| format!("modules.dep does not list {name}"))?;
        if let Some(known) = self.modules.iter_mut().find(|(known, _)| known == path) {
            known.1.extend_from_slice(parameters);
            return Ok(());
        }
        for need in needs {
            self.add(all, need, &[])?;
        }
        self.modules.push(((*path).to_owned(), parameters.to_vec()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "kernel/drivers/virtio/virtio.ko:\n\
                       kernel/drivers/virtio/virtio_ring.ko: kernel/drivers/virtio/virtio.ko\n\
                       kernel/drivers/virtio/virtio-pci.ko.xz: kernel/drivers/virtio/virtio_ring.ko kernel/drivers/virtio/virtio.ko\n\
                       kernel/fs/fuse/fuse.ko:\n";

    fn request(text: &str) -> ModuleRequest {
        let mut words = text.split(' ').map(str::to_owned);
        ModuleRequest {
            name: words.next().unwrap(),
            parameters: words.collect(),
        }
    }

    #[test]
    fn what_a_module_needs_comes_before_it_once() {
        let wanted = ["virtio_ring", "virtio_pci", "fuse a=1"].map(request);
        let order = Order::resolve(DEP, "", &wanted).unwrap();
        let names: Vec<String> = order
            .modules
            .iter()
            .map(|(path, _)| module_name(path))
            .collect();
        assert_eq!(names, ["virtio", "virtio_ring", "virtio_pci", "fuse"]);
        assert_eq!(order.modules[3].1, ["a=1"]);
    }

    #[test]
    fn parameters_of_what_is_built_in_go_to_the_command_line() {
        let wanted = [request("loop max_loop=8")];
        let order = Order::resolve(DEP, "kernel/drivers/block/loop.ko\n", &wanted).unwrap();
        assert_eq!(order.command_line, ["loop.max_loop=8"]);
        assert!(order.modules.is_empty());
    }

    #[test]
    fn a_module_that_the_kernel_lacks_is_named() {
        let error = Order::resolve(DEP, "", &[request("zfs")]).unwrap_err();
        assert!(error.to_string().contains("no module zfs"), "{error}");
    }

    #[test]
    fn a_kernel_that_is_no_package_keeps_its_image_and_needs_modules_dep() {
        let dir = tempfile::tempdir().unwrap();
        let modules = dir.path().join("6.99-own");
        let entry = dir.path().join("entry");
        fs::create_dir_all(modules.join("kernel/fs/fuse")).unwrap();
        fs::create_dir(&entry).unwrap();
        fs::write(modules.join("kernel/fs/fuse/fuse.ko"), "module").unwrap();
        fs::write(modules.join("modules.builtin"), "").unwrap();
        let image = dir.path().join("bzImage");
        let tools = ToolsTree::new(dir.path().to_owned());
        let wanted = [request("fuse")];
        let error = gather(&image, &modules, &wanted, &tools, &entry).unwrap_err();
        assert!(error.to_string().contains("no modules.dep"), "{error}");
        fs::write(modules.join("modules.dep"), "kernel/fs/fuse/fuse.ko:\n").unwrap();
        gather(&image, &modules, &wanted, &tools, &entry).unwrap();
        let unpacked = Unpacked::load(&entry).unwrap();
        assert_eq!(
            (&unpacked.image, unpacked.release.as_str()),
            (&image, "6.99-own")
        );
        let file = &unpacked.modules[0].file;
        assert_eq!(file, &entry.join("modules/00-fuse.ko"));
        assert_eq!(fs::read_to_string(file).unwrap(), "module");
    }

    #[test]
    fn one_file_and_no_other_is_the_kernel() {
        let dir = tempfile::tempdir().unwrap();
        let boot = dir.path().join("boot");
        fs::create_dir(&boot).unwrap();
        let patterns = ["boot/vmlinuz-*", "usr/bin/linux.uml"];
        assert!(only(dir.path(), &patterns).is_err());
        fs::write(boot.join("vmlinuz-6.1"), "").unwrap();
        fs::write(boot.join("config-6.1"), "").unwrap();
        assert_eq!(
            only(dir.path(), &patterns).unwrap(),
            boot.join("vmlinuz-6.1")
        );
        fs::write(boot.join("vmlinuz-6.2"), "").unwrap();
        assert!(only(dir.path(), &patterns).is_err());
    }
}
