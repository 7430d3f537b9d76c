//! What repetitions say together.

use serde::{Deserialize, Serialize};

/// Above this spread a figure is called noisy: a difference of that size says little.
const NOISY: f64 = 0.15;

/// How long the repetitions took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// Median, seconds.
    pub median: f64,
    /// Fastest, seconds.
    pub min: f64,
    /// Slowest, seconds.
    pub max: f64,
}

impl Times {
    /// Of at least one repetition, in seconds.
    pub(super) fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_unstable_by(f64::total_cmp);
        Times {
            median: samples[samples.len() / 2],
            min: samples[0],
            max: samples[samples.len() - 1],
        }
    }

    /// From the fastest to the slowest, as a part of the median.
    pub fn spread(&self) -> f64 {
        (self.max - self.min) / self.median
    }

    /// Whether the spread exceeds 15 %.
    pub fn is_noisy(&self) -> bool {
        self.spread() > NOISY
    }
}

/// Least and greatest.
pub(super) fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold(
        (f64::INFINITY, f64::NEG_INFINITY),
        |(least, greatest), value| (least.min(value), greatest.max(value)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_and_the_range() {
        let times = Times::of(vec![5.0, 1.0, 3.0, 2.0, 4.0]);
        let expected = Times {
            median: 3.0,
            min: 1.0,
            max: 5.0,
        };
        assert_eq!(times, expected);
        assert!(times.is_noisy());
        assert!(!Times::of(vec![0.95, 1.0, 1.05]).is_noisy());
        assert_eq!(range([0.9, 1.2, 1.0].into_iter()), (0.9, 1.2));
    }
}
