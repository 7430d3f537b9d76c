//! What mounts asked of their kernels, and what came of it.

use dynamicfs::mount::MountReport;
use dynamicfs::transport::Negotiated;

use super::{Place, rank, whereabouts};
use crate::report::model::{Report, Target};
use crate::target::Permissions;

/// What became of a capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// In force as it was asked.
    InForce,
    /// Less than was asked.
    Less,
    /// Asked, and not in force.
    Refused,
    /// Not asked.
    NotAsked,
}

impl State {
    pub(crate) const ALL: [State; 4] =
        [State::InForce, State::Less, State::Refused, State::NotAsked];

    pub(crate) fn of(item: &Negotiated) -> State {
        match (item.asked.as_str(), item.effective.as_str()) {
            ("no", _) => State::NotAsked,
            (asked, effective) if asked == effective => State::InForce,
            (_, "no") => State::Refused,
            _ => State::Less,
        }
    }

    /// The mark in tables.
    pub(crate) fn mark(self) -> &'static str {
        match self {
            State::InForce => "●",
            State::Less => "◐",
            State::Refused => "✕",
            State::NotAsked => "·",
        }
    }

    /// What the mark means.
    pub(crate) fn words(self) -> &'static str {
        match self {
            State::InForce => "in force as asked",
            State::Less => "in force, less than asked",
            State::Refused => "asked and refused",
            State::NotAsked => "not asked",
        }
    }
}

/// Kernels that granted the same.
#[derive(Debug)]
pub(crate) struct Kernels<'a> {
    /// The targets.
    pub(crate) targets: Vec<&'a str>,
    /// What mounts of each preset said there.
    pub(crate) presets: Vec<(&'a str, &'a MountReport)>,
}

/// The targets, those together that granted the same to every preset.
pub(crate) fn kernels(report: &Report) -> Vec<Kernels<'_>> {
    let mut groups: Vec<Kernels<'_>> = Vec::new();
    for target in &report.targets {
        let presets = presets(target);
        if presets.is_empty() {
            continue;
        }
        match groups
            .iter_mut()
            .find(|group| alike(&group.presets, &presets))
        {
            Some(group) => group.targets.push(&target.name),
            None => groups.push(Kernels {
                targets: vec![&target.name],
                presets,
            }),
        }
    }
    groups
}

fn presets(target: &Target) -> Vec<(&str, &MountReport)> {
    let mounts = target.capabilities.iter();
    let mut presets: Vec<_> = mounts
        .map(|(preset, mount)| (preset.as_str(), mount))
        .collect();
    presets.sort_unstable_by_key(|(preset, _)| rank(preset));
    presets
}

fn alike(a: &[(&str, &MountReport)], b: &[(&str, &MountReport)]) -> bool {
    let same = |(x, y): (&(&str, &MountReport), &(&str, &MountReport))| {
        x.0 == y.0 && x.1.io_mode == y.1.io_mode && x.1.capabilities == y.1.capabilities
    };
    a.len() == b.len() && a.iter().zip(b).all(same)
}

impl Kernels<'_> {
    /// Names of capabilities and limits, in the order of the mounts' reports.
    pub(crate) fn names<'a>(groups: &'a [Kernels<'_>]) -> Vec<&'a str> {
        let mut names: Vec<&str> = Vec::new();
        let mounts = groups.iter().flat_map(|group| &group.presets);
        for item in mounts.flat_map(|(_, mount)| &mount.capabilities) {
            if !names.contains(&item.name.as_str()) {
                names.push(&item.name);
            }
        }
        names
    }
}

/// The I/O mode in force, without the reason for it.
pub(crate) fn io_mode(mount: &MountReport) -> &str {
    mount.io_mode.split(" (").next().unwrap_or_default()
}

/// Why something is not as asked, or not asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reason<'a> {
    pub(crate) name: &'a str,
    /// What was asked and what is in force.
    pub(crate) what: String,
    pub(crate) why: &'a str,
    /// Where, in words.
    pub(crate) places: String,
}

/// Everything that is not as asked, by name, each reason once.
pub(crate) fn reasons(report: &Report) -> Vec<Reason<'_>> {
    let mut all: Vec<Place<'_>> = Vec::new();
    let mut found: Vec<(Told<'_>, Vec<Place<'_>>)> = Vec::new();
    for target in &report.targets {
        for (preset, mount) in presets(target) {
            let place = Place {
                target: &target.name,
                preset,
                permissions: Permissions::Kernel,
            };
            all.push(place);
            for told in told(mount) {
                match found.iter_mut().find(|(known, _)| *known == told) {
                    Some((_, here)) => here.push(place),
                    None => found.push((told, vec![place])),
                }
            }
        }
    }
    found.sort_by_key(|((name, ..), _)| *name);
    found
        .into_iter()
        .map(|((name, what, why), here)| Reason {
            name,
            what,
            why,
            places: whereabouts(&all, &here),
        })
        .collect()
}

/// Name, what came of it, and why.
type Told<'a> = (&'a str, String, &'a str);

fn told(mount: &MountReport) -> Vec<Told<'_>> {
    let mode = mount.io_mode.split_once(" (");
    let mode = mode.map(|(mode, why)| ("I/O mode", mode.to_owned(), why.trim_end_matches(')')));
    let items = mount.capabilities.iter();
    let items =
        items.filter_map(|item| Some((item.name.as_str(), what(item), item.why.as_deref()?)));
    mode.into_iter().chain(items).collect()
}

/// `asked 2097152, in force 1048576`.
pub(crate) fn what(item: &Negotiated) -> String {
    match State::of(item) {
        State::Less => format!("asked {}, in force {}", item.asked, item.effective),
        state => state.words().to_owned(),
    }
}
