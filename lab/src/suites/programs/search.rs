//! ripgrep, by read(2) and by mmap(2).

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{Cx, Seen};
use crate::material;

/// Each way finds each occurrence.
pub(super) fn counts(cx: &Cx) -> Result<Seen> {
    // The count that the material itself tells: it is made once more for it.
    let copy = cx.scratch.join("counted");
    std::fs::create_dir(&copy)?;
    // The ten further links of one file are ten further files to a search.
    let expected = material::tree(&copy)? + 10 * lines_with_needle(&copy.join("d0/f7"))?;
    std::fs::remove_dir_all(&copy)?;
    for way in ["--mmap", "--no-mmap"] {
        let printed = cx.run(
            cx.command("rg")
                .args([
                    "--no-config",
                    "--hidden",
                    "--no-ignore",
                    "--text",
                    "--count",
                    way,
                ])
                .args(["--no-filename", "--threads", "2", material::NEEDLE, "tree"]),
        )?;
        let mut found = 0;
        for line in printed.lines() {
            found += line
                .parse::<usize>()
                .with_context(|| format!("rg printed {line:?}"))?;
        }
        ensure!(
            found == expected,
            "rg {way} found {found} lines instead of {expected}"
        );
    }
    Ok(Seen::from([("lines".to_owned(), json!(expected))]))
}

fn lines_with_needle(file: &std::path::Path) -> Result<usize> {
    let text = std::fs::read_to_string(file)?;
    Ok(text
        .lines()
        .filter(|line| line.contains(material::NEEDLE))
        .count())
}
