//! All workloads, and how a person names some of them.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use dynamicfs::config::nearest;
use wildmatch::WildMatch;

use super::{Workload, data, directories, files, latency, names, programs, random_reads, xattrs};

/// All workloads, in the order of reports.
pub fn all() -> Vec<Workload> {
    let mut all = data::workloads();
    all.extend(random_reads::workloads());
    all.extend(files::workloads());
    all.extend(names::workloads());
    all.extend(directories::workloads());
    all.extend(xattrs::workloads());
    all.extend(programs::workloads());
    all.extend(latency::workloads());
    // Stable: within a group the order is that of its file.
    all.sort_by_key(|workload| workload.group);
    all
}

/// Those that `patterns` name, in the order of [`all`]: each is a name, or has `*` for any letters
/// and `?` for one.
///
/// # Errors
///
/// When a pattern names none; with the names that are near.
pub fn select(patterns: &[impl AsRef<str>]) -> Result<Vec<Workload>> {
    let mut chosen = BTreeSet::new();
    for pattern in patterns.iter().map(AsRef::as_ref) {
        let wanted = WildMatch::new(pattern);
        let matching = all().into_iter().filter(|one| wanted.matches(one.name));
        let matching: Vec<&str> = matching.map(|one| one.name).collect();
        if matching.is_empty() {
            bail!("no workload is called {pattern:?}; {}", instead_of(pattern));
        }
        chosen.extend(matching);
    }
    Ok(all()
        .into_iter()
        .filter(|one| chosen.contains(one.name))
        .collect())
}

/// What a person may have meant.
fn instead_of(word: &str) -> String {
    let letters = word.trim_matches('*');
    let names: Vec<&str> = all().into_iter().map(|one| one.name).collect();
    let akin = |name: &&&str| !letters.is_empty() && name.contains(letters);
    let akin: Vec<&str> = names.iter().filter(akin).copied().collect();
    if !akin.is_empty() {
        format!("near are {}", akin.join(", "))
    } else if let Some(name) = nearest(word, names.iter().map(|name| (name, name))) {
        format!("did you mean {name}?")
    } else {
        format!("there are {}", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    use tempfile::TempDir;

    use super::super::{Budget, Fixtures, Group, Material, Room, Sample, Turn};
    use super::*;
    use crate::meter::Meter;

    #[test]
    fn names_are_words_joined_by_hyphens_and_each_is_there_once() {
        let all = all();
        let names: BTreeSet<&str> = all.iter().map(|one| one.name).collect();
        assert_eq!(names.len(), all.len());
        for one in &all {
            let words = one.name.split('-');
            for word in words {
                let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
                assert!(!word.is_empty() && word.chars().all(plain), "{}", one.name);
            }
            assert!(!one.operation.is_empty(), "{}", one.name);
        }
    }

    #[test]
    fn each_group_has_a_workload_in_the_quick_set_and_stands_together() {
        let all = all();
        for group in [
            Group::Data,
            Group::RandomReads,
            Group::Metadata,
            Group::Directories,
            Group::ExtendedAttributes,
            Group::RealWork,
            Group::Latency,
        ] {
            assert!(all.iter().any(|one| one.group == group && one.quick));
        }
        assert!(all.is_sorted_by_key(|one| one.group));
    }

    #[test]
    fn patterns_choose_in_the_order_of_all() {
        let names = |patterns: &[&str]| -> Vec<&str> {
            let chosen = select(patterns).unwrap();
            chosen.iter().map(|one| one.name).collect()
        };
        assert_eq!(
            names(&["unlink", "append-fsync"]),
            ["append-fsync", "unlink"]
        );
        assert_eq!(names(&["walk-*", "walk-hot"]), ["walk-hot", "walk-cold"]);
        assert_eq!(names(&["rand-*-8t-direct"]).len(), 2);
        assert_eq!(names(&["*"]).len(), all().len());
    }

    #[test]
    fn an_unknown_name_is_answered_with_near_ones() {
        let error = |word: &str| select(&["untar", word]).unwrap_err().to_string();
        assert_eq!(
            error("renmae"),
            "no workload is called \"renmae\"; did you mean rename?"
        );
        assert_eq!(
            error("walk"),
            "no workload is called \"walk\"; near are walk-hot, walk-cold"
        );
        assert!(error("zzzzzzzzz").contains("there are read-seq-128k-cold, "));
        assert!(error("").contains("there are "));
    }

    /// In memory where that has room: an fsync of a busy disk takes as long as all the rest.
    fn place() -> TempDir {
        let room = rustix::fs::statvfs("/dev/shm").map_or(0, |fs| fs.f_bavail * fs.f_frsize);
        if room > 512 << 20 {
            tempfile::tempdir_in("/dev/shm").unwrap()
        } else {
            tempfile::tempdir().unwrap()
        }
    }

    /// A native directory, as the engine makes it.
    fn room(place: &Path, workload: &Workload) -> Room {
        let fixtures = Fixtures {
            dir: place.join("fixtures"),
            quick: true,
        };
        fs::create_dir_all(&fixtures.dir).unwrap();
        let (name, make) = match workload.material {
            Material::Shared { name, make } | Material::Lasting { name, make } => {
                (format!("shared-{name}"), make)
            }
            Material::Own { make } => (workload.name.to_owned(), make),
        };
        let dir = place.join(name);
        if !dir.exists() {
            fs::create_dir(&dir).unwrap();
            make(&dir, &fixtures).unwrap();
        }
        Room {
            backing: dir.clone(),
            dir,
            fixtures,
        }
    }

    fn turn(workload: &Workload, room: &Room, budget: Budget) -> Result<Sample> {
        let meter = Meter::default();
        (workload.before)(room)?;
        let mut turn = Turn::new(budget, &meter);
        (workload.run)(room, &mut turn)?;
        turn.finish()
    }

    #[test]
    fn each_workload_runs_again_and_again_in_the_same_room() {
        let place = place();
        let few = Budget {
            time: Duration::from_millis(5),
            operations: 64,
        };
        for workload in all() {
            let room = room(place.path(), &workload);
            // fio takes long to begin, and changes nothing.
            let turns = if workload.group == Group::RandomReads {
                1
            } else {
                3
            };
            for round in 0..turns {
                let sample = turn(&workload, &room, few)
                    .unwrap_or_else(|error| panic!("{}, turn {round}: {error:#}", workload.name));
                assert!(sample.seconds > 0.0, "{}", workload.name);
                let latency = workload.group == Group::Latency;
                assert_eq!(sample.latency.is_some(), latency, "{}", workload.name);
            }
        }
    }
}
