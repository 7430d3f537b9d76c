//! What several samples say together.

use serde::{Deserialize, Serialize};

/// A median that is uncertain by more than this part of itself counts as noisy.
const NOISY: f64 = 0.10;

/// What noisy means, in the words of the reports.
pub(crate) const NOISY_MEANS: &str = "the median is uncertain by more than a tenth";

/// Median and range. Quartiles are interpolated linearly between neighbours (type 7 of Hyndman and
/// Fan, "Sample quantiles in statistical packages", 1996).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Least.
    pub min: f64,
    /// A quarter is less.
    pub lower: f64,
    /// Half is less.
    pub median: f64,
    /// Three quarters are less.
    pub upper: f64,
    /// Greatest.
    pub max: f64,
    /// The notch of McGill, Tukey and Larsen ("Variations of box plots", 1978): 1.57 times the range
    /// between the quartiles, divided by the root of the number of samples. Where median ± margin of
    /// two spreads do not overlap, their medians differ with roughly 95 % confidence. The median
    /// itself where one sample is all there is.
    pub margin: f64,
}

impl Spread {
    /// Of the samples; `None` without any.
    pub fn of(samples: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut samples: Vec<f64> = samples.into_iter().collect();
        samples.sort_unstable_by(f64::total_cmp);
        let last = samples.len().checked_sub(1)?;
        let at = |part: f64| {
            let place = part * last as f64;
            let (below, above) = (samples[place as usize], samples[place.ceil() as usize]);
            below + (above - below) * place.fract()
        };
        let (lower, median, upper) = (at(0.25), at(0.5), at(0.75));
        let margin = match last {
            0 => median,
            _ => 1.57 * (upper - lower) / (samples.len() as f64).sqrt(),
        };
        Some(Spread {
            min: samples[0],
            lower,
            median,
            upper,
            max: samples[last],
            margin,
        })
    }

    /// Whether the median is uncertain by more than a tenth of itself.
    pub fn is_noisy(&self) -> bool {
        self.margin > NOISY * self.median
    }

    /// Whether the two ranges have a value in common.
    pub fn overlaps(&self, other: &Spread) -> bool {
        self.min <= other.max && other.min <= self.max
    }
}

/// Half of the values are less. `None` without any.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    Spread::of(values).map(|spread| spread.median)
}

/// The mean of ratios: twice as fast and half as fast make 1. `None` without any.
pub fn geometric_mean(ratios: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (sum, count) = ratios.into_iter().fold((0.0, 0), |(sum, count), ratio| {
        (sum + ratio.ln(), count + 1)
    });
    (count > 0).then(|| (sum / f64::from(count)).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_neighbours() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0]).unwrap();
        let expected = Spread {
            min: 1.0,
            lower: 1.75,
            median: 2.5,
            upper: 3.25,
            max: 4.0,
            margin: 1.57 * 1.5 / 2.0,
        };
        assert_eq!(spread, expected);
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([7.0]).unwrap().upper, 7.0);
    }

    #[test]
    fn noise_is_an_uncertain_median() {
        let calm = Spread::of([1.0, 1.02, 1.04, 1.01, 3.0]).unwrap();
        assert!(!calm.is_noisy(), "one outlier of five");
        let wide = [1.0, 1.2, 1.4, 1.1, 3.0];
        assert!(Spread::of(wide).unwrap().is_noisy());
        let often = wide.repeat(5);
        assert!(!Spread::of(often).unwrap().is_noisy(), "more of the same");
        assert!(Spread::of([1.0]).unwrap().is_noisy(), "one tells nothing");
    }

    #[test]
    fn ranges_that_touch_overlap() {
        let spread = |a, b| Spread::of([a, b]).unwrap();
        assert!(spread(1.0, 2.0).overlaps(&spread(2.0, 3.0)));
        assert!(!spread(1.0, 2.0).overlaps(&spread(2.1, 3.0)));
    }

    #[test]
    fn twice_and_half_are_one_in_the_mean() {
        assert_eq!(geometric_mean([2.0, 0.5]), Some(1.0));
        assert_eq!(geometric_mean([]), None);
    }
}
