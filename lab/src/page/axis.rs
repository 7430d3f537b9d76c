//! Where a ratio stands in a plot.

use crate::bench::statistics::Spread;

/// More labels than these would touch on a telephone.
const LABELS: usize = 6;

/// A logarithmic axis of ratios.
pub(crate) struct Axis {
    low: f64,
    high: f64,
}

impl Axis {
    /// From one round value to another: 1, 2 or 5 times a power of ten, with 1.00 between.
    pub(crate) fn of(spreads: impl Iterator<Item = Spread>) -> Axis {
        let (low, high) = spreads.fold((1.0_f64, 1.0_f64), |(low, high), spread| {
            (low.min(spread.min), high.max(spread.max))
        });
        let ladder = ladder();
        let below = ladder.iter().rev().find(|step| **step <= low * 0.97);
        let above = ladder.iter().find(|step| **step >= high * 1.03);
        Axis {
            low: *below.unwrap_or(&low),
            high: *above.unwrap_or(&high),
        }
    }

    /// The place of a value, percent of the width.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let place = (value / self.low).ln() / (self.high / self.low).ln();
        (place * 100.0).clamp(0.0, 100.0)
    }

    /// The values with a line: all round ones, or the powers of ten where those are too many.
    pub(crate) fn ticks(&self) -> Vec<f64> {
        let inside = |step: &f64| (self.low..=self.high).contains(step);
        let all: Vec<f64> = ladder().into_iter().filter(inside).collect();
        if all.len() <= LABELS {
            return all;
        }
        all.into_iter()
            .filter(|step| step.log10().fract().abs() < 1e-9)
            .collect()
    }

    /// As short as a round value allows.
    pub(crate) fn label(value: f64) -> String {
        if value == 1.0 {
            "1.00".to_owned()
        } else {
            format!("{value}")
        }
    }
}

/// 1, 2 and 5 times the powers of ten that a ratio may have.
fn ladder() -> Vec<f64> {
    let decades = (-6..=4).map(|power| 10_f64.powi(power));
    decades
        .flat_map(|decade| [1.0, 2.0, 5.0].map(|step| step * decade))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(low: f64, high: f64) -> Axis {
        Axis::of(Spread::of([low, high]).into_iter())
    }

    #[test]
    fn the_axis_ends_at_round_values_and_contains_one() {
        let wide = axis(0.0016, 0.9);
        assert_eq!((wide.low, wide.high), (0.001, 2.0));
        assert_eq!(wide.ticks(), [0.001, 0.01, 0.1, 1.0]);
        let narrow = axis(0.8, 1.1);
        assert_eq!(narrow.ticks(), [0.5, 1.0, 2.0]);
    }

    #[test]
    fn places_are_logarithmic() {
        let axis = Axis {
            low: 0.01,
            high: 100.0,
        };
        assert_eq!(
            (axis.at(0.01), axis.at(1.0), axis.at(100.0)),
            (0.0, 50.0, 100.0)
        );
        assert_eq!(axis.at(1e9), 100.0);
    }

    #[test]
    fn labels_are_short() {
        let labels: Vec<String> = [0.001, 0.2, 1.0, 5.0].map(Axis::label).into();
        assert_eq!(labels, ["0.001", "0.2", "1.00", "5"]);
    }
}
