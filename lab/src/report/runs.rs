//! Where runs lie: a directory each, with `report.json` and what is made of it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{Report, html, markdown};
use crate::paths::{Paths, write_whole};

/// The file that all else is made of.
pub const JSON: &str = "report.json";

/// What people read, in Markdown.
pub const MARKDOWN: &str = "report.md";

/// What people read, in HTML.
pub const HTML: &str = "report.html";

impl Report {
    /// Writes [`JSON`], [`MARKDOWN`] and [`HTML`].
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn write(&self, directory: &Path) -> Result<()> {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        write(&directory.join(JSON), &self.to_json()?)?;
        self.write_pages(directory)
    }

    /// Writes [`MARKDOWN`] and [`HTML`].
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn write_pages(&self, directory: &Path) -> Result<()> {
        write(&directory.join(MARKDOWN), &markdown(self))?;
        write(&directory.join(HTML), &html(self))
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    write_whole(path, |file| Ok(file.write_all(text.as_bytes())?))
}

/// The `report.json` of a run: its name, its directory, or the file; without, that of the last run.
///
/// # Errors
///
/// When there is none: the error names the runs that there are.
pub fn find(paths: &Paths, run: Option<&Path>) -> Result<PathBuf> {
    let Some(run) = run else {
        return latest(paths).with_context(|| {
            let runs = paths.runs();
            format!(
                "no run below {}: `cargo xtask lab run` makes one",
                runs.display()
            )
        });
    };
    let candidates = [
        run.to_owned(),
        run.join(JSON),
        paths.runs().join(run).join(JSON),
    ];
    if let Some(found) = candidates.into_iter().find(|path| path.is_file()) {
        return Ok(found);
    }
    let names: Vec<String> = all(paths)
        .iter()
        .filter_map(|path| Some(path.parent()?.file_name()?.display().to_string()))
        .collect();
    bail!(
        "there is no run {}; there is {}",
        run.display(),
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        }
    );
}

/// The run whose result was written last.
fn latest(paths: &Paths) -> Option<PathBuf> {
    let written = |path: &PathBuf| fs::metadata(path).and_then(|file| file.modified()).ok();
    all(paths).into_iter().max_by_key(written)
}

fn all(paths: &Paths) -> Vec<PathBuf> {
    let entries = fs::read_dir(paths.runs()).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.path().join(JSON))
        .filter(|path| path.is_file())
        .collect();
    found.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn a_run_is_found_by_name_by_directory_and_by_file() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths {
            root: root.path().to_owned(),
            target: root.path().join("target"),
        };
        let nothing = find(&paths, None).unwrap_err();
        assert!(nothing.to_string().contains("cargo xtask lab run"));
        let report = sample::red();
        let directory = paths.runs().join("one");
        report.write(&directory).unwrap();
        let json = directory.join(JSON);
        let ways = [None, Some(Path::new("one")), Some(&directory), Some(&json)];
        for way in ways {
            assert_eq!(find(&paths, way).unwrap(), json);
        }
        assert_eq!(Report::read(&json).unwrap(), report);
        let error = find(&paths, Some(Path::new("two"))).unwrap_err();
        assert_eq!(error.to_string(), "there is no run two; there is one");
    }

    #[test]
    fn a_report_of_another_format_is_refused() {
        let error = Report::from_json(r#"{"format": 99}"#).unwrap_err();
        assert!(error.to_string().contains("format 99"), "{error}");
        assert!(Report::from_json("{}").is_err());
    }
}
