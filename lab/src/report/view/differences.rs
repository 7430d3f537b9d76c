//! Each case that differs somewhere, once.

use super::{Place, whereabouts};
use crate::compare::{Comparison, Excuse};
use crate::suites::Suite;

/// One case that differs somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) suite: Suite,
    pub(crate) test: &'a str,
    /// How it differs; those that nothing accepts first.
    pub(crate) ways: Vec<Way<'a>>,
}

/// One way in which a case differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Way<'a> {
    /// What ext4 does.
    pub(crate) reference: &'a str,
    /// What the preset does.
    pub(crate) preset: &'a str,
    pub(crate) excuse: Option<&'a Excuse>,
    /// Where, in words.
    pub(crate) places: String,
}

impl Entry<'_> {
    /// One of its ways in a line.
    pub(crate) fn line(&self, way: &Way<'_>) -> String {
        format!(
            "{} {} ({}): ext4 {}, here {}",
            self.suite.name(),
            self.test,
            way.places,
            way.reference,
            way.preset
        )
    }

    /// Whether nothing accepts it, somewhere.
    pub(crate) fn is_open(&self) -> bool {
        self.ways.iter().any(|way| way.excuse.is_none())
    }
}

/// The differences of all these, by suite and name.
pub(crate) fn entries<'a>(run: &[(&'a str, &'a Comparison)]) -> Vec<Entry<'a>> {
    let mut found: Vec<(Suite, &str, Found<'_>, Place<'_>)> = Vec::new();
    for (target, comparison) in run {
        for difference in &comparison.differences {
            let what = (
                difference.excuse.as_ref(),
                difference.reference.as_str(),
                difference.preset.as_str(),
            );
            found.push((
                comparison.suite,
                &difference.test,
                what,
                place(target, comparison),
            ));
        }
    }
    // Stable: places stay in the order of the run.
    found.sort_by_key(|(suite, test, what, _)| (*suite, *test, *what));
    let cases = found.chunk_by(|x, y| (x.0, x.1) == (y.0, y.1));
    cases.map(|case| entry(run, case)).collect()
}

/// Excuse, what ext4 does, what the preset does.
type Found<'a> = (Option<&'a Excuse>, &'a str, &'a str);

fn entry<'a>(
    run: &[(&'a str, &'a Comparison)],
    case: &[(Suite, &'a str, Found<'a>, Place<'a>)],
) -> Entry<'a> {
    let (suite, test, _, _) = case[0];
    let all: Vec<Place<'_>> = run
        .iter()
        .filter(|(_, comparison)| comparison.suite == suite)
        .map(|(target, comparison)| place(target, comparison))
        .collect();
    let way = |alike: &[(Suite, &'a str, Found<'a>, Place<'a>)]| {
        let (excuse, reference, preset) = alike[0].2;
        let here: Vec<Place<'_>> = alike.iter().map(|it| it.3).collect();
        Way {
            reference,
            preset,
            excuse,
            places: whereabouts(&all, &here),
        }
    };
    Entry {
        suite,
        test,
        ways: case.chunk_by(|x, y| x.2 == y.2).map(way).collect(),
    }
}

fn place<'a>(target: &'a str, comparison: &'a Comparison) -> Place<'a> {
    Place {
        target,
        preset: &comparison.preset,
        permissions: comparison.permissions,
    }
}
