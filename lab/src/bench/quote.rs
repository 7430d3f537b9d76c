//! Documents quote a committed run: what lies between two markers is written by this program, and a
//! test finds a quotation that is not the run's.
//!
//! ```text
//! <!-- bench:overview begin -->
//! …
//! <!-- bench:overview end -->
//! ```

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::render::{facts, format, markdown, table};
use super::result::{Bench, Kind};

/// The run that the documents quote, in the project's directory.
pub const RUN: &str = "docs/bench/linux-6.18.json";

/// The documents, in the project's directory.
pub const DOCUMENTS: [&str; 2] = ["README.md", "docs/PERFORMANCE_TUNING.md"];

/// What writes the quotations anew.
pub const RENEW: &str = "cargo xtask bench quote";

/// Workloads that say the most in a short table.
const HEADLINES: [&str; 20] = [
    "read-seq-1m-cold",
    "read-rand-4k-cold",
    "read-mmap-cold",
    "rand-psync-1t-direct",
    "write-seq-1m",
    "write-seq-4k",
    "write-rand-4k",
    "create-4k",
    "stat-hot",
    "stat-cold",
    "rename",
    "unlink",
    "open-read-close-hot",
    "readdir-hot",
    "getxattr-hot",
    "untar",
    "git-status-hot",
    "ripgrep-hot",
    "cargo-build",
    "mix",
];

/// A block that documents may quote.
type Render = fn(&Bench) -> String;

/// The blocks by the names in their markers.
const BLOCKS: [(&str, Render); 4] = [
    ("overview", overview),
    ("requests", requests),
    ("claims", claims),
    ("peers", peers),
];

/// Writes the quotations of all documents anew; tells which documents changed.
///
/// # Errors
///
/// When the run or a document cannot be read, or a document's markers are wrong.
pub fn renew(project: &Path) -> Result<Vec<&'static str>> {
    let mut changed = Vec::new();
    for (document, text, renewed) in documents(project)? {
        if text != renewed {
            let path = project.join(document);
            fs::write(&path, renewed)
                .with_context(|| format!("cannot write {}", path.display()))?;
            changed.push(document);
        }
    }
    Ok(changed)
}

/// Whether each document quotes the committed run as it is.
///
/// # Errors
///
/// When one does not, with its name, the block and the way out; or as [`renew`].
pub fn check(project: &Path) -> Result<()> {
    let mut stale = Vec::new();
    for (document, text, renewed) in documents(project)? {
        let blocks = quotations(&text)?.into_iter().zip(quotations(&renewed)?);
        let differing = blocks
            .filter(|(old, new)| old != new)
            .map(|(_, (name, _))| name);
        stale.extend(differing.map(|name| format!("{document}: block {name:?}")));
    }
    ensure!(
        stale.is_empty(),
        "not what {RUN} says: {}; run `{RENEW}`",
        stale.join(", ")
    );
    Ok(())
}

/// Each document with its text now and the text that it should have.
fn documents(project: &Path) -> Result<Vec<(&'static str, String, String)>> {
    let read = |name: &str| {
        let path = project.join(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let run = read(RUN).context(
        "documents quote a committed run: make one with `cargo xtask bench` and copy its JSON there",
    )?;
    let bench = Bench::from_json(&run).context(RUN)?;
    let document = |name: &'static str| {
        let text = read(name)?;
        let renewed = renewed(&text, &bench).context(name)?;
        Ok((name, text, renewed))
    };
    DOCUMENTS.into_iter().map(document).collect()
}

/// The text with every block of this run.
fn renewed(text: &str, bench: &Bench) -> Result<String> {
    let mut parts = String::new();
    let mut rest = text;
    for (name, old) in quotations(text)? {
        let (_, render) = BLOCKS
            .iter()
            .find(|(known, _)| *known == name)
            .with_context(|| unknown(&name))?;
        let begin = begin(&name);
        let (before, after) = rest.split_once(&begin).context("a marker is gone")?;
        parts += &format!("{before}{begin}\n{}", render(bench).trim_end());
        parts.push('\n');
        rest = &after[old.len()..];
    }
    Ok(parts + rest)
}

/// The blocks of a document in order: name and text.
fn quotations(document: &str) -> Result<Vec<(String, String)>> {
    const OPEN: &str = "<!-- bench:";
    let mut found = Vec::new();
    let mut rest = document;
    while let Some((_, after)) = rest.split_once(OPEN) {
        let (marker, after) = after
            .split_once(" -->")
            .context("a marker without its end `-->`")?;
        let Some(name) = marker.strip_suffix(" begin") else {
            bail!("the marker {marker:?} has no begin");
        };
        let (body, after) = after
            .split_once(&end(name))
            .with_context(|| format!("the block {name:?} has no end: {}", end(name)))?;
        ensure!(
            !body.contains(OPEN),
            "the block {name:?} has another one inside"
        );
        found.push((name.to_owned(), body.to_owned()));
        rest = after;
    }
    ensure!(
        !found.is_empty(),
        "no quotation, that is no line such as {}",
        begin("overview")
    );
    Ok(found)
}

fn begin(name: &str) -> String {
    format!("<!-- bench:{name} begin -->")
}

fn end(name: &str) -> String {
    format!("<!-- bench:{name} end -->")
}

fn unknown(name: &str) -> String {
    let known = BLOCKS.map(|(name, _)| name).join(", ");
    format!("no block is named {name:?}; there are {known}")
}

fn overview(bench: &Bench) -> String {
    let ours: Vec<&str> = [Kind::Preset, Kind::Baseline]
        .into_iter()
        .flat_map(|kind| bench.of_kind(kind))
        .map(|one| one.name.as_str())
        .collect();
    let header = ["workload"]
        .into_iter()
        .chain(ours.iter().copied())
        .chain(["best peer", "÷ best peer"]);
    let rows = HEADLINES
        .into_iter()
        .filter_map(|name| bench.row(name))
        .map(|row| {
            let ratio = |name: &str| markdown::median(row, name);
            let best = bench
                .best_peer(row)
                .map(|(name, _)| format!("{} {name}", ratio(name)));
            [row.workload.clone()]
                .into_iter()
                .chain(ours.iter().map(|name| ratio(name)))
                .chain([best.unwrap_or_else(|| format::NOTHING.to_owned())])
                .chain([markdown::median_lead(bench, row)])
                .collect::<Vec<_>>()
        });
    format!(
        "{}. {}\n\n{}",
        facts::headline(bench),
        facts::LEAD,
        table::markdown(header, rows)
    )
}

fn requests(bench: &Bench) -> String {
    markdown::requests(&Bench {
        rows: HEADLINES
            .into_iter()
            .filter_map(|name| bench.row(name))
            .cloned()
            .collect(),
        ..bench.clone()
    })
}

fn claims(bench: &Bench) -> String {
    markdown::claims(bench)
}

fn peers(bench: &Bench) -> String {
    markdown::contestants(bench)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::sample;
    use crate::bench::statistics::Spread;

    /// A project with a run, and this as both documents.
    fn project(run: &Bench, document: &str) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("docs/bench")).unwrap();
        fs::write(directory.path().join(RUN), run.to_json().unwrap()).unwrap();
        for name in DOCUMENTS {
            fs::write(directory.path().join(name), document).unwrap();
        }
        directory
    }

    fn quoting(blocks: &[&str]) -> String {
        let block = |name: &&str| {
            format!(
                "before {name}\n{}\nformer text\n{}\n",
                begin(name),
                end(name)
            )
        };
        blocks.iter().map(block).collect::<String>() + "after\n"
    }

    #[test]
    fn a_renewed_document_is_up_to_date_and_keeps_what_is_around() {
        let run = sample::full();
        let project = project(&run, &quoting(&["overview", "requests", "claims", "peers"]));
        let project = project.path();
        assert_eq!(renew(project).unwrap(), DOCUMENTS);
        check(project).unwrap();
        assert!(renew(project).unwrap().is_empty(), "nothing is left to do");
        let text = fs::read_to_string(project.join("README.md")).unwrap();
        for expected in [
            "before overview\n",
            "before peers\n",
            "`cargo xtask bench` on 2025-11-24",
        ] {
            assert!(text.contains(expected), "{expected:?} in {text}");
        }
        assert!(!text.contains("former text") && text.ends_with("-->\nafter\n"));
    }

    #[test]
    fn an_old_quotation_is_named_with_the_way_out() {
        let project = project(&sample::full(), &quoting(&["overview", "peers"]));
        renew(project.path()).unwrap();
        let path = project.path().join("README.md");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("create-4k", "create-5k")).unwrap();
        let error = check(project.path()).unwrap_err().to_string();
        assert!(error.contains(r#"README.md: block "overview""#), "{error}");
        assert!(error.contains("cargo xtask bench quote"), "{error}");
        assert!(!error.contains("peers"), "{error}");
    }

    #[test]
    fn without_the_run_nothing_is_up_to_date() {
        let project = project(&sample::full(), &quoting(&["overview"]));
        fs::remove_file(project.path().join(RUN)).unwrap();
        let error = format!("{:#}", check(project.path()).unwrap_err());
        assert!(error.contains(RUN), "{error}");
    }

    #[test]
    fn wrong_markers_are_errors() {
        let error = |text: &str| format!("{:#}", renewed(text, &sample::exact()).unwrap_err());
        assert!(error("no marker").contains("no quotation"));
        assert!(error("<!-- bench:overview begin -->").contains("has no end"));
        assert!(error("<!-- bench:overview end -->").contains("has no begin"));
        assert!(error(&quoting(&["speed"])).contains("there are overview, requests"));
        let nested = quoting(&["overview"]).replace("former text", &begin("claims"));
        assert!(error(&nested).contains("another one inside"));
    }

    #[test]
    fn the_overview_has_presets_baseline_and_the_best_peer() {
        let mut run = sample::exact();
        run.rows[0].cells.push(
            sample::full()
                .row("create-4k")
                .unwrap()
                .cell("bindfs")
                .unwrap()
                .clone(),
        );
        run.contestants
            .push(sample::full().contestant("bindfs").unwrap().clone());
        sample::set(&mut run, "create-4k", "bindfs", [0.25; 3]);
        for (name, ratio) in [("balanced", 2.0), ("high-performance", 3.2)] {
            let to_peer = Spread::of([ratio; 3]).map(|ratio| ("bindfs".to_owned(), ratio));
            sample::figures(&mut run, "create-4k", name).to_best_peer = to_peer;
        }
        for name in ["ext4", "baseline", "bindfs"] {
            sample::figures(&mut run, "create-4k", name).to_best_peer = None;
        }
        let text = overview(&run);
        let line = text.lines().last().unwrap().replace(' ', "");
        assert_eq!(
            line,
            "|create-4k|0.50|0.80|0.10|0.25bindfs|3.20high-performance|"
        );
    }
}
