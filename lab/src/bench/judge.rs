//! From samples to figures.

use std::collections::BTreeMap;

use super::result::{Cell, Figures, Kind};
use super::statistics::{Spread, median};
use crate::meter::Cpu;
use crate::workload::{Percentiles, Sample};

/// What one contestant did in one workload.
#[derive(Debug, Clone, Default)]
pub(super) struct Score {
    /// One for each repetition, in order.
    pub(super) samples: Vec<Sample>,
    /// The first failure; after it the contestant has no more turns in this workload.
    pub(super) failed: Option<String>,
    pub(super) daemon_memory: Option<u64>,
    pub(super) requests: Option<BTreeMap<String, f64>>,
}

/// The cells of a row. `names` and `scores` are in the order of the contestants, ext4 first.
pub(super) fn judge(names: &[(&str, Kind)], scores: &[Score]) -> Vec<Cell> {
    let of_kind = |kind| names.iter().position(|(_, one)| *one == kind);
    let reference = of_kind(Kind::Ext4).map(|index| &scores[index]);
    let baseline = of_kind(Kind::Baseline).map(|index| &scores[index]);
    let mut cells: Vec<Cell> = names
        .iter()
        .zip(scores)
        .map(|((name, kind), score)| Cell {
            contestant: (*name).to_owned(),
            samples: score.samples.clone(),
            failed: score.failed.clone(),
            figures: figures(*kind, score, reference, baseline),
        })
        .collect();
    compare_with_best_peer(names, scores, &mut cells);
    cells
}

fn figures(
    kind: Kind,
    score: &Score,
    ext4: Option<&Score>,
    baseline: Option<&Score>,
) -> Option<Figures> {
    if score.failed.is_some() {
        return None;
    }
    let seconds = Spread::of(score.samples.iter().map(Sample::seconds_per_operation))?;
    let to_ext4 = ext4.and_then(|ext4| ratios(ext4, score));
    // What slows down everybody is not in a ratio; that of ext4 to itself says nothing.
    let telling = to_ext4.filter(|_| kind != Kind::Ext4).unwrap_or(seconds);
    Some(Figures {
        seconds,
        to_ext4,
        to_baseline: baseline.and_then(|baseline| ratios(baseline, score)),
        to_best_peer: None,
        noisy: telling.is_noisy(),
        cpu: cpu(&score.samples)?,
        daemon_memory: score.daemon_memory,
        latency: latency(&score.samples),
        requests: score.requests.clone(),
    })
}

/// How many times as fast as the other, repetition by repetition.
fn ratios(other: &Score, own: &Score) -> Option<Spread> {
    if other.failed.is_some() {
        return None;
    }
    let pairs = other.samples.iter().zip(&own.samples);
    Spread::of(
        pairs.map(|(other, own)| other.seconds_per_operation() / own.seconds_per_operation()),
    )
}

fn cpu(samples: &[Sample]) -> Option<Cpu> {
    let of = |part: fn(&Cpu) -> f64| {
        median(
            samples
                .iter()
                .map(|sample| part(&sample.cpu) / sample.operations as f64),
        )
    };
    Some(Cpu {
        client: of(|cpu| cpu.client)?,
        daemon: of(|cpu| cpu.daemon)?,
    })
}

fn latency(samples: &[Sample]) -> Option<Percentiles> {
    let all: Vec<Percentiles> = samples.iter().filter_map(|sample| sample.latency).collect();
    let of = |part: fn(&Percentiles) -> f64| median(all.iter().map(part));
    Some(Percentiles {
        p50: of(|p| p.p50)?,
        p90: of(|p| p.p90)?,
        p99: of(|p| p.p99)?,
        p999: of(|p| p.p999)?,
    })
}

/// Sets each contestant beside the fastest peer.
fn compare_with_best_peer(names: &[(&str, Kind)], scores: &[Score], cells: &mut [Cell]) {
    let to_ext4 = |cell: &Cell| Some(cell.figures.as_ref()?.to_ext4?.median);
    let best = names
        .iter()
        .zip(scores)
        .zip(cells.iter())
        .filter(|(((_, kind), _), _)| *kind == Kind::Peer)
        .filter_map(|(((name, _), score), cell)| Some((*name, score, to_ext4(cell)?)))
        .max_by(|(.., a), (.., b)| a.total_cmp(b));
    let Some((name, best, _)) = best else { return };
    for (cell, score) in cells.iter_mut().zip(scores) {
        if let Some(figures) = &mut cell.figures {
            figures.to_best_peer = ratios(best, score).map(|ratio| (name.to_owned(), ratio));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(seconds: &[f64]) -> Score {
        Score {
            samples: seconds
                .iter()
                .map(|&seconds| Sample {
                    operations: 10,
                    seconds,
                    cpu: Cpu {
                        client: seconds,
                        daemon: 0.0,
                    },
                    latency: None,
                })
                .collect(),
            ..Score::default()
        }
    }

    const NAMES: [(&str, Kind); 4] = [
        ("ext4", Kind::Ext4),
        ("baseline", Kind::Baseline),
        ("slow", Kind::Peer),
        ("fast", Kind::Peer),
    ];

    #[test]
    fn ratios_are_taken_within_a_repetition() {
        let scores = [
            score(&[1.0, 2.0, 1.0]),
            score(&[10.0, 20.0, 10.0]),
            score(&[4.0, 8.0, 4.0]),
            score(&[2.0, 4.0, 2.0]),
        ];
        let cells = judge(&NAMES, &scores);
        let figures = cells[3].figures.as_ref().unwrap();
        let to_ext4 = figures.to_ext4.unwrap();
        assert_eq!((to_ext4.min, to_ext4.median, to_ext4.max), (0.5, 0.5, 0.5));
        assert_eq!(figures.to_baseline.unwrap().median, 5.0);
        assert_eq!(figures.seconds.median, 0.2);
        assert_eq!(figures.cpu.client, 0.2);
        let slow = cells[2].figures.as_ref().unwrap();
        let (name, ratio) = slow.to_best_peer.as_ref().unwrap();
        assert_eq!((name.as_str(), ratio.min, ratio.max), ("fast", 0.5, 0.5));
        let noisy: Vec<bool> = cells
            .iter()
            .map(|cell| cell.figures.as_ref().unwrap().noisy)
            .collect();
        assert_eq!(
            noisy,
            [true, false, false, false],
            "the times vary, the ratios do not"
        );
    }

    #[test]
    fn a_failure_has_no_figures_and_is_nobodys_reference() {
        let failed = Score {
            failed: Some("EIO".to_owned()),
            ..score(&[1.0])
        };
        let cells = judge(&NAMES[..2], &[failed, score(&[2.0])]);
        assert_eq!(cells[0].figures, None);
        let figures = cells[1].figures.as_ref().unwrap();
        assert_eq!((figures.to_ext4, &figures.to_best_peer), (None, &None));
    }
}
