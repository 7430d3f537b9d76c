//! The table of docs/ARCHITECTURE.md that says what shows each capability of the kernel at work.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use dynamicfs::transport::capability::Capability;

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The rows: capabilities, and what shows them.
fn rows() -> Vec<(Vec<String>, Vec<String>)> {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ARCHITECTURE.md");
    let document = fs::read_to_string(document).unwrap();
    let (_, rest) = document.split_once("\n## Capabilities\n").unwrap();
    let section = rest.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let names = format!("`{}", cells.next()?);
        let all = |text: &str| quoted(text).map(str::to_owned).collect();
        Some((all(&names), all(cells.next()?)))
    });
    rows.collect()
}

/// Every Rust file below a directory of this project.
fn sources(below: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_capability_is_in_it_once() {
    let rows = rows();
    let named: Vec<&str> = rows
        .iter()
        .flat_map(|(names, _)| names)
        .map(String::as_str)
        .collect();
    let distinct: BTreeSet<&str> = named.iter().copied().collect();
    assert_eq!(named.len(), distinct.len(), "named twice");
    let known: BTreeSet<&str> = Capability::ALL.iter().map(|known| known.name()).collect();
    assert_eq!(distinct, known);
}

#[test]
fn the_tests_that_it_names_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for directory in ["src", "tests", "lab/src/suite/cases", "lab/src/suites"] {
        sources(&root.join(directory), &mut files);
    }
    // A test in a file or directory of a name, or all that are there.
    let exists = |citation: &str| {
        let (place, test) = match citation.rsplit_once("::") {
            Some((place, test)) => (place.rsplit("::").next().unwrap_or(place), Some(test)),
            None => (citation.rsplit(':').next().unwrap_or(citation), None),
        };
        let in_place = |file: &&PathBuf| {
            let file = file.strip_prefix(root).unwrap().with_extension("");
            file.iter().any(|component| component == place)
        };
        files.iter().filter(in_place).any(|file| match test {
            Some(test) => fs::read_to_string(file)
                .unwrap()
                .contains(&format!("fn {test}(")),
            None => true,
        })
    };
    for (names, shown_by) in rows() {
        for citation in &shown_by {
            assert!(exists(citation), "{names:?}: there is no {citation}");
        }
    }
    assert!(!exists("mount_linux::no_such_test") && !exists("suite:nothing"));
}
