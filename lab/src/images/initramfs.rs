//! The first file system of a guest: the agent with its libraries, and the kernel's modules.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::cpio::Archive;
use super::kernel::Module;
use super::libraries::libraries;

/// What is in it, for whoever runs as `/init`:
/// - `/init`, with the shared libraries that it needs;
/// - `/modules/NN-NAME.ko`, in the order of loading;
/// - `/modules.list`, a line for each: the name of the file, and parameters after a space;
/// - `/dev/console`, `/dev/null`, and the empty directories `/proc`, `/sys`, `/root`.
pub(super) fn write(agent: &Path, modules: &[Module], at: &Path) -> Result<()> {
    let part = at.with_extension("part");
    let file = File::create(&part).with_context(|| format!("cannot make {}", part.display()))?;
    let mut archive = Archive::new(BufWriter::new(file));
    fill(&mut archive, agent, modules)?;
    archive.finish()?.flush()?;
    fs::rename(&part, at).with_context(|| format!("cannot make {}", at.display()))
}

fn fill(archive: &mut Archive<impl Write>, agent: &Path, modules: &[Module]) -> Result<()> {
    for directory in ["dev", "modules", "proc", "root", "sys"] {
        archive.directory(directory)?;
    }
    archive.device("dev/console", 0o600, (5, 1))?;
    archive.device("dev/null", 0o666, (1, 3))?;
    archive.file("init", 0o755, &read(agent)?)?;
    add_libraries(archive, &libraries(agent)?)?;
    let mut list = String::new();
    for module in modules {
        let name = module
            .file
            .file_name()
            .context("a module without a file name")?
            .to_string_lossy();
        archive.file(&format!("modules/{name}"), 0o644, &read(&module.file)?)?;
        list.push_str(&name);
        for parameter in &module.parameters {
            list.push(' ');
            list.push_str(parameter);
        }
        list.push('\n');
    }
    archive.file("modules.list", 0o644, list.as_bytes())?;
    Ok(())
}

fn add_libraries(archive: &mut Archive<impl Write>, libraries: &[PathBuf]) -> Result<()> {
    let mut directories = BTreeSet::new();
    for library in libraries {
        directories.extend(library.ancestors().skip(1));
    }
    // In order, so that each comes after the one that it is in.
    for directory in directories {
        let name = inner(directory);
        if !name.is_empty() {
            archive.directory(&name)?;
        }
    }
    for library in libraries {
        archive.file(&inner(library), 0o755, &read(library)?)?;
    }
    Ok(())
}

fn inner(path: &Path) -> String {
    path.to_string_lossy().trim_start_matches('/').to_owned()
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::run;
    use std::process::Command;
    use std::time::Duration;

    #[test]
    fn the_program_runs_with_what_was_packed_alone() {
        if !super::super::is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let module = dir.path().join("00-fuse.ko");
        fs::write(&module, "module").unwrap();
        let modules = [Module {
            name: "fuse".to_owned(),
            file: module,
            parameters: vec!["enable_uring=1".to_owned()],
        }];
        let at = dir.path().join("initramfs");
        write(Path::new("/bin/true"), &modules, &at).unwrap();
        let root = dir.path().join("unpacked");
        fs::create_dir(&root).unwrap();
        let limit = Duration::from_secs(30);
        let mut unpack = Command::new("sh");
        unpack
            .args(["-c", "cpio -id --quiet < \"$1\"", "sh"])
            .arg(&at);
        run(unpack.current_dir(&root), limit).unwrap();
        run(
            Command::new("/usr/sbin/chroot").arg(&root).arg("/init"),
            limit,
        )
        .unwrap();
        let list = fs::read_to_string(root.join("modules.list")).unwrap();
        assert_eq!(list, "00-fuse.ko enable_uring=1\n");
        assert_eq!(
            fs::read_to_string(root.join("modules/00-fuse.ko")).unwrap(),
            "module"
        );
    }
}
