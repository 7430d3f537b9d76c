//! Where something holds, in as few words as possible.

use super::rank;
use crate::target::Permissions;

/// A preset on a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    pub(crate) target: &'a str,
    pub(crate) preset: &'a str,
    pub(crate) permissions: Permissions,
}

/// Where, of all places where it could be: `everywhere`, `host, linux-7: balanced, safe`.
pub(crate) fn whereabouts(all: &[Place<'_>], here: &[Place<'_>]) -> String {
    let targets = distinct(all.iter().map(|place| place.target));
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    for &target in &targets {
        let words = presets(&on(all, target), &on(here, target));
        match groups.iter_mut().find(|(known, _)| *known == words) {
            Some((_, group)) => group.push(target),
            None => groups.push((words, vec![target])),
        }
    }
    groups.retain(|(words, _)| !words.is_empty());
    match groups.as_slice() {
        [(words, group)] if group.len() == targets.len() => match targets.len() {
            1 => words.clone(),
            _ if words == EVERY => "everywhere".to_owned(),
            _ => format!("every target: {words}"),
        },
        groups => {
            let words = groups
                .iter()
                .map(|(words, group)| format!("{}: {words}", group.join(", ")));
            words.collect::<Vec<_>>().join("; ")
        }
    }
}

const EVERY: &str = "every preset";

fn on<'a>(places: &[Place<'a>], target: &str) -> Vec<Place<'a>> {
    let there = places.iter().filter(|place| place.target == target);
    there.copied().collect()
}

/// The presets of one target.
fn presets(all: &[Place<'_>], here: &[Place<'_>]) -> String {
    if all.iter().all(|place| here.contains(place)) {
        return EVERY.to_owned();
    }
    let mut names = distinct(here.iter().map(|place| place.preset));
    names.sort_unstable_by_key(|name| rank(name));
    let words = names.into_iter().map(|name| {
        let is_whole = |place: &&Place<'_>| place.preset != name || here.contains(place);
        if all.iter().all(|place| is_whole(&place)) {
            return name.to_owned();
        }
        let mut only = here.iter().filter(|place| place.preset == name);
        let permissions = only.next().map_or("", |place| place.permissions.name());
        format!("{name} (permissions by the {permissions})")
    });
    words.collect::<Vec<_>>().join(", ")
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut distinct = Vec::new();
    for name in names {
        if !distinct.contains(&name) {
            distinct.push(name);
        }
    }
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;
    use Permissions::{Kernel, Storage};

    fn places<'a>(targets: &[&'a str], presets: &[(&'a str, Permissions)]) -> Vec<Place<'a>> {
        let mut places = Vec::new();
        for &target in targets {
            for &(preset, permissions) in presets {
                places.push(Place {
                    target,
                    preset,
                    permissions,
                });
            }
        }
        places
    }

    #[test]
    fn few_words_for_many_places() {
        let runs = [
            ("balanced", Kernel),
            ("balanced", Storage),
            ("safe", Kernel),
        ];
        let all = places(&["old", "new", "host"], &runs);
        let cases = [
            (all.clone(), "everywhere"),
            (places(&["old", "host"], &runs), "old, host: every preset"),
            (
                places(&["old", "new", "host"], &runs[..2]),
                "every target: balanced",
            ),
            (
                places(&["new"], &runs[1..]),
                "new: balanced (permissions by the storage), safe",
            ),
        ];
        for (here, words) in cases {
            assert_eq!(whereabouts(&all, &here), words);
        }
        let mut two = places(&["old"], &runs[2..]);
        two.extend(places(&["new"], &runs[..2]));
        assert_eq!(whereabouts(&all, &two), "old: safe; new: balanced");
        let one = places(&["host"], &runs);
        assert_eq!(whereabouts(&one, &one[2..]), "safe");
    }
}
