//! The first file system of a guest: the agent with its libraries, and the kernel's modules.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::cpio::Archive;
use super::kernel::Module;
use crate::process;

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

/// The shared libraries of a program, its interpreter among them; none of a static one.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let mut command = Command::new("ldd");
    command.arg(program).env("LC_ALL", "C.UTF-8");
    let finished = process::run(&mut command, Duration::from_secs(30))?;
    if finished.stderr.contains("not a dynamic executable") {
        return Ok(Vec::new());
    }
    if !finished.success() {
        bail!(
            "{command:?}: {}: {}",
            finished.ending(),
            finished.stderr.trim()
        );
    }
    parse(&finished.stdout).with_context(|| program.display().to_string())
}

/// Reads the lines of ldd(1): `NAME => PATH (ADDRESS)`, `PATH (ADDRESS)`, or the kernel's own
/// `linux-vdso.so.1 (ADDRESS)`.
fn parse(text: &str) -> Result<Vec<PathBuf>> {
    let mut libraries = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        let found = line.split_once(" => ").map_or(line, |(_, path)| path);
        if found == "not found" {
            bail!("a library is missing here: {line}");
        }
        let path = found.split(" (").next().unwrap_or(found);
        if path.starts_with('/') {
            libraries.push(PathBuf::from(path));
        }
    }
    Ok(libraries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::run;

    #[test]
    fn reads_what_ldd_says() {
        let text = "\tlinux-vdso.so.1 (0x1)\n\
                    \tlibgcc_s.so.1 => /lib/x86_64-linux-gnu/libgcc_s.so.1 (0x2)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x3)\n";
        let expected = [
            "/lib/x86_64-linux-gnu/libgcc_s.so.1",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(parse(text).unwrap(), expected.map(PathBuf::from));
        assert_eq!(
            parse("\tstatically linked\n").unwrap(),
            Vec::<PathBuf>::new()
        );
        let error = parse("\tlibx.so => not found\n").unwrap_err();
        assert!(error.to_string().contains("libx.so"), "{error}");
    }

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
