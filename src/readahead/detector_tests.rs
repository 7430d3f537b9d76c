//! What holds for every detector, and the patterns by example.

use std::ops::Range;

use proptest::prelude::*;

use super::detector::{Detector, Observation, Pattern, REMEMBERED};

const KIB: u64 = 1024;
const MAX_WINDOW: u64 = 128 * KIB;
const GIB: u64 = 1 << 30;
const READ: u64 = 4 * KIB;

fn observe_all(reads: impl IntoIterator<Item = u64>, file_size: u64) -> Vec<Observation> {
    let mut detector = Detector::new(MAX_WINDOW);
    let observe = |offset| detector.observe(offset, READ, file_size);
    reads.into_iter().map(observe).collect()
}

fn hints(seen: &[Observation]) -> Vec<Range<u64>> {
    seen.iter().filter_map(|one| one.hint.clone()).collect()
}

fn hits(seen: &[Observation]) -> usize {
    seen.iter().filter(|one| one.hit).count()
}

fn blocks(numbers: impl IntoIterator<Item = u64>) -> impl Iterator<Item = u64> {
    numbers.into_iter().map(|number| number * READ)
}

#[test]
fn the_third_consecutive_read_starts_a_small_window_that_doubles() {
    let seen = observe_all(blocks(0..400), GIB);
    assert_eq!(seen[0], Observation::default());
    assert_eq!(seen[1], Observation::default());
    assert_eq!(seen[2].started, Some(Pattern::Forward));
    assert_eq!(seen[2].hint, Some(3 * READ..5 * READ));
    let sizes: Vec<u64> = hints(&seen)
        .iter()
        .map(|r| (r.end - r.start) / KIB)
        .collect();
    assert_eq!(sizes[..6], [8, 16, 32, 64, 128, 128]);
    assert_eq!(hits(&seen), 397);
}

#[test]
fn backward_runs_are_hinted_down_to_the_beginning() {
    let seen = observe_all(blocks((0..200).rev()), GIB);
    assert_eq!(seen[2].started, Some(Pattern::Backward));
    assert_eq!(hints(&seen).last().map(|hint| hint.start), Some(0));
    assert_eq!(hits(&seen), 197);
}

#[test]
fn strided_runs_are_hinted_piece_by_piece_in_both_directions() {
    let up = observe_all(blocks((0..50).map(|i| i * 25)), GIB);
    assert_eq!(up[2].started, Some(Pattern::Strided(25 * READ as i64)));
    assert_eq!(up[2].hint, Some(75 * READ..76 * READ));
    assert_eq!(hits(&up), 47);

    let down = observe_all(blocks((0..50).rev().map(|i| i * 25)), GIB);
    assert_eq!(down[2].started, Some(Pattern::Strided(-25 * READ as i64)));
    assert_eq!(hits(&down), 47);
}

#[test]
fn random_reads_shrink_the_window_and_end_the_run() {
    let mut detector = Detector::new(MAX_WINDOW);
    let mut largest = 0;
    for offset in blocks(0..200) {
        let hint = detector.observe(offset, READ, GIB).hint;
        largest = hint.map_or(largest, |hint| hint.end - hint.start);
    }
    assert_eq!(largest, MAX_WINDOW);
    for number in [90_000, 50_000, 110_000] {
        detector.observe(number * READ, READ, GIB);
    }
    let next = blocks(200..300).find_map(|offset| detector.observe(offset, READ, GIB).hint);
    // Halved three times: the run goes on where it was.
    assert_eq!(next.map(|hint| hint.end - hint.start), Some(MAX_WINDOW / 8));

    for number in [10_000, 80_000, 20_000, 70_000, 40_000] {
        detector.observe(number * READ, READ, GIB);
    }
    let seen = detector.observe(300 * READ, READ, GIB);
    assert_eq!(seen, Observation::default());
}

#[test]
fn reads_larger_than_the_window_cause_no_hints() {
    let mut detector = Detector::new(MAX_WINDOW);
    for i in 0..10 {
        let seen = detector.observe(i * 2 * MAX_WINDOW, 2 * MAX_WINDOW, GIB);
        assert_eq!(seen.hint, None);
    }
}

#[test]
fn a_wrong_guess_of_the_direction_does_not_last() {
    // The third overtaken by the first two: looks backward at first.
    let seen = observe_all(blocks([2, 0, 1].into_iter().chain(3..60)), GIB);
    let forward = seen
        .iter()
        .position(|one| one.started == Some(Pattern::Forward));
    assert!(
        forward.is_some_and(|at| at <= 3 + REMEMBERED),
        "{forward:?}"
    );
}

#[test]
fn a_read_of_nothing_at_the_largest_offset_ends() {
    let mut detector = Detector::new(MAX_WINDOW);
    for offset in [u64::MAX, u64::MAX - 4096, u64::MAX] {
        detector.observe(offset, 4096, u64::MAX);
    }
    assert_eq!(
        detector.observe(u64::MAX, 1, u64::MAX),
        Observation::default()
    );
}

/// Offset, length, and how the next read follows, for streams with every kind of pattern.
fn any_reads() -> impl Strategy<Value = Vec<(u64, u64)>> {
    let read = (0u64..2048, 1u64..64);
    let run = (0u64..2048, 1u64..32, -3i64..4, 1usize..20).prop_map(|(at, len, step, count)| {
        let offsets = (0..count as i64).map(move |i| at as i64 + i * step * len as i64);
        let reads = offsets.filter(|offset| *offset >= 0);
        reads.map(|offset| (offset as u64, len)).collect::<Vec<_>>()
    });
    let piece = prop_oneof![read.prop_map(|read| vec![read]), run];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hints_stay_in_the_file_in_the_window_and_do_not_repeat(
        reads in any_reads(),
        file_size in 0u64..4000,
        max_window in 4u64..300,
    ) {
        // Units of 512 bytes keep offsets small enough to meet.
        let mut detector = Detector::new(max_window * 512);
        let mut of_run: Vec<Range<u64>> = Vec::new();
        for (offset, len) in reads {
            let seen = detector.observe(offset * 512, len * 512, file_size * 512);
            if seen.started.is_some() {
                of_run.clear();
            }
            let Some(hint) = seen.hint else { continue };
            prop_assert!(hint.start < hint.end);
            prop_assert!(hint.end <= file_size * 512);
            prop_assert!(hint.end - hint.start <= max_window * 512);
            for earlier in &of_run {
                prop_assert!(hint.end <= earlier.start || earlier.end <= hint.start);
            }
            of_run.push(hint);
        }
    }

    #[test]
    fn offsets_at_the_end_of_the_range_do_no_harm(
        back in prop::collection::vec(0u64..40_000, 1..40),
        len in 1u64..=u64::MAX,
    ) {
        let mut detector = Detector::new(MAX_WINDOW);
        for back in back {
            let hint = detector.observe(u64::MAX - back, len % 5000 + 1, u64::MAX).hint;
            prop_assert!(hint.is_none_or(|hint| hint.start < hint.end));
        }
    }

    #[test]
    fn random_reads_yield_almost_no_hints(
        numbers in prop::collection::vec(0..GIB / READ, 1000),
    ) {
        let seen = observe_all(blocks(numbers), GIB);
        prop_assert!(hints(&seen).len() <= 10, "{:?}", hints(&seen));
    }

    #[test]
    fn a_sequence_with_neighbours_swapped_is_still_detected(
        swaps in prop::collection::vec(any::<bool>(), 100),
    ) {
        let mut order: Vec<u64> = (0..200).collect();
        for (pair, swap) in order.chunks_mut(2).zip(swaps) {
            if swap {
                pair.reverse();
            }
        }
        let seen = observe_all(blocks(order), GIB);
        let first = seen.iter().position(|one| one.hint.is_some());
        prop_assert!(first.is_some_and(|at| at <= 3), "{:?}", first);
        prop_assert!(hits(&seen) >= 190, "{} hits", hits(&seen));
    }
}
