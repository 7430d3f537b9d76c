//! What reports ask of a run.

use super::result::{Bench, Cell, Contestant, Figures, Kind, Row};
use super::statistics::Spread;
use crate::workload::Group;

impl Bench {
    /// Those that took part, in order.
    pub fn running(&self) -> impl Iterator<Item = &Contestant> {
        self.contestants.iter().filter(|one| one.not_run.is_none())
    }

    /// Those that took part and are of this kind.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Contestant> {
        self.running().filter(move |one| one.kind == kind)
    }

    /// The groups in their order, each with its rows.
    pub fn groups(&self) -> Vec<(Group, Vec<&Row>)> {
        let mut groups: Vec<Group> = self.rows.iter().map(|row| row.group).collect();
        groups.sort_unstable();
        groups.dedup();
        let rows = |group| self.rows.iter().filter(move |row| row.group == group);
        groups
            .into_iter()
            .map(|group| (group, rows(group).collect()))
            .collect()
    }

    /// The peer that was fastest in this row, with its figures.
    pub fn best_peer<'a>(&'a self, row: &'a Row) -> Option<(&'a str, &'a Figures)> {
        let mut figures = row.cells.iter().filter_map(|cell| cell.figures.as_ref());
        let (name, _) = figures.find_map(|figures| figures.to_best_peer.as_ref())?;
        Some((name, row.figures(name)?))
    }

    /// The preset that is fastest in this row, with its speed relative to the best peer.
    pub fn lead<'a>(&'a self, row: &'a Row) -> Option<(&'a str, &'a Spread)> {
        self.of_kind(Kind::Preset)
            .filter_map(|preset| {
                let (_, ratio) = row.figures(&preset.name)?.to_best_peer.as_ref()?;
                Some((preset.name.as_str(), ratio))
            })
            .max_by(|(_, a), (_, b)| a.median.total_cmp(&b.median))
    }

    /// All cells with their rows.
    pub fn cells(&self) -> impl Iterator<Item = (&Row, &Cell)> {
        self.rows
            .iter()
            .flat_map(|row| row.cells.iter().map(move |cell| (row, cell)))
    }

    /// The rows with noise, and on whom.
    pub fn noisy(&self) -> Vec<(&Row, Vec<&str>)> {
        let rows = self.rows.iter().map(|row| (row, row.noisy()));
        rows.filter(|(_, who)| !who.is_empty()).collect()
    }

    /// What failed, and why.
    pub fn failed(&self) -> impl Iterator<Item = (&Row, &Cell, &str)> {
        self.cells()
            .filter_map(|(row, cell)| Some((row, cell, cell.failed.as_deref()?)))
    }

    /// What failed on a preset. `baseline` is a yardstick as the peers are: direct reads, for one, end
    /// in the page cache behind it.
    pub fn failed_presets(&self) -> impl Iterator<Item = (&Row, &Cell, &str)> {
        self.failed().filter(|(_, cell, _)| {
            self.contestant(&cell.contestant)
                .is_some_and(|one| one.kind == Kind::Preset)
        })
    }

    /// The largest memory of a contestant's daemons in any workload, bytes, and which one that was.
    pub fn peak_memory<'a>(&'a self, contestant: &str) -> Option<(u64, &'a str)> {
        self.rows
            .iter()
            .filter_map(|row| {
                let bytes = row.figures(contestant)?.daemon_memory?;
                Some((bytes, row.workload.as_str()))
            })
            .max_by_key(|(bytes, _)| *bytes)
    }
}

impl Row {
    /// The figures of that contestant, if it took part and did not fail.
    pub fn figures(&self, contestant: &str) -> Option<&Figures> {
        self.cell(contestant)?.figures.as_ref()
    }

    /// Its speed relative to ext4.
    pub fn to_ext4(&self, contestant: &str) -> Option<&Spread> {
        self.figures(contestant)?.to_ext4.as_ref()
    }

    /// On whom the ratio spreads so much that a small difference says nothing.
    pub fn noisy(&self) -> Vec<&str> {
        self.cells
            .iter()
            .filter(|cell| cell.figures.as_ref().is_some_and(|figures| figures.noisy))
            .map(|cell| cell.contestant.as_str())
            .collect()
    }
}
