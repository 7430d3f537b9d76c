//! What a program of this machine loads.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process;

const LIMIT: Duration = Duration::from_secs(30);

/// The shared libraries of a program, its interpreter among them; none of a static one.
pub(crate) fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let mut command = Command::new("ldd");
    command.arg(program).env("LC_ALL", "C.UTF-8");
    let finished = process::run(&mut command, LIMIT)?;
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
}
